"""The steps that control takes, as values: what `plan` says and `performing` does.

Each is safe to repeat. `ORDER` is the order in which the steps of one round are begun: closing first, opening last.
"""

from dataclasses import dataclass
from datetime import datetime

from sekisho.model.session import EndReason
from sekisho.runtime.protocol import SessionSeen
from sekisho.sessions.states import SessionEvent


@dataclass(frozen=True, slots=True)
class CutConnection:
    """Close it now, and show why."""

    connection: str
    session: str
    reason: str  # a Reason or an EndReason


@dataclass(frozen=True, slots=True)
class EndSession:
    """Destroy it now."""

    session: str
    reason: EndReason


@dataclass(frozen=True, slots=True)
class DropEgress:
    session: str


@dataclass(frozen=True, slots=True)
class RecordOver:
    """The grant is over: approved -> ended."""

    request: str
    reason: EndReason


@dataclass(frozen=True, slots=True)
class ExpireRequest:
    request: str


@dataclass(frozen=True, slots=True)
class RecordState:
    """Write down what was seen. If the session is over then, so is its grant, in the same transaction."""

    session: str
    event: SessionEvent
    seen: SessionSeen | None
    is_progress: bool = False  # only counters moved: may be written less often


@dataclass(frozen=True, slots=True)
class Forget:
    session: str


@dataclass(frozen=True, slots=True)
class Freeze:
    session: str


@dataclass(frozen=True, slots=True)
class Thaw:
    session: str


@dataclass(frozen=True, slots=True)
class ExtendSession:
    session: str
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class KeepEgress:
    """Egress serves nothing beyond these; it answers what it holds."""

    sessions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServeEgress:
    """Hand it to egress, or tell egress its new deadline."""

    session: str
    ends_at: datetime
    is_served: bool


@dataclass(frozen=True, slots=True)
class OpenSession:
    """Write the row and `session.opening`. It is created once the log has that."""

    request: str


@dataclass(frozen=True, slots=True)
class CreateSession:
    session: str


Step = (
    CutConnection
    | EndSession
    | DropEgress
    | RecordOver
    | ExpireRequest
    | RecordState
    | Forget
    | Freeze
    | Thaw
    | ExtendSession
    | KeepEgress
    | ServeEgress
    | OpenSession
    | CreateSession
)
CLOSING = (CutConnection, EndSession, DropEgress, Freeze)  # these wait for nothing
ORDER = (
    CutConnection,
    EndSession,
    DropEgress,
    Freeze,
    RecordOver,
    ExpireRequest,
    RecordState,
    Forget,
    ExtendSession,
    KeepEgress,
    Thaw,
    ServeEgress,
    OpenSession,
    CreateSession,
)
