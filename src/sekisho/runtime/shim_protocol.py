"""What the agent and a session's shim say to one another, over the shim's own Unix socket. One agent at a time; a restarted agent connects
again and is told `Changed` at once."""

from dataclasses import dataclass
from typing import ClassVar

from sekisho.model.session import EndReason
from sekisho.runtime.protocol import Changed, OpenKind


@dataclass(frozen=True, slots=True)
class EndNow:
    VERB: ClassVar[str] = "end-now"
    reason: EndReason


@dataclass(frozen=True, slots=True)
class EndAt:
    VERB: ClassVar[str] = "end-at"
    ends_at: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Freeze (`held`) or thaw by order of control."""

    VERB: ClassVar[str] = "hold"
    held: bool


@dataclass(frozen=True, slots=True)
class Renewed:
    VERB: ClassVar[str] = "renewed"


@dataclass(frozen=True, slots=True)
class Want:
    VERB: ClassVar[str] = "want"
    number: int
    kind: OpenKind


@dataclass(frozen=True, slots=True)
class Given:
    """With the descriptors that `OpenKind` lists; none and `ports` empty if there is nothing to give."""

    VERB: ClassVar[str] = "given"
    to: int
    ports: tuple[int, ...] = ()


ToShim = (EndNow, EndAt, Hold, Renewed, Want)
FromShim = (Changed, Given)
