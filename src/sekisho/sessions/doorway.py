"""What the portal and the gateway say to control, and what it says to them: over `control.sock`, SOCK_SEQPACKET, one message a packet.

The portal only nudges. The gateway redeems an entry ticket, and while a connection lasts asks again every minute from which address it may; control decides
(`policy.enter`), writes the event, waits until the log has it, registers a capability with the agent, and answers. When a connection must
end, control says `Cut` unasked.
"""

from dataclasses import dataclass
from typing import ClassVar

from sekisho.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class Fact:
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Nudge:
    """Something changed in the store: look now."""

    VERB: ClassVar[str] = "nudge"


@dataclass(frozen=True, slots=True)
class Redeem:
    VERB: ClassVar[str] = "redeem"
    number: int
    ticket: str  # the secret that the portal issued, single use
    address: str
    kind: str  # a Kind of the room: "desktop" or "terminal"


@dataclass(frozen=True, slots=True)
class Admitted:
    VERB: ClassVar[str] = "admitted"
    to: int
    connection: str  # "c-…"
    session: str
    room: str
    title: str
    person: str
    language: str  # "en" or "ja"
    ends_at: float
    idle_end_seconds: float | None
    paste_in: bool
    capability: str  # hex; open it at the agent within 10 s
    again: str  # a fresh single-use ticket for the same person, session and sign-in, to reconnect after a lost network


@dataclass(frozen=True, slots=True)
class Refused:
    VERB: ClassVar[str] = "refused"
    to: int
    reason: Reason
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Recheck:
    """Every minute for every connection. Answered by Allowed or Refused."""

    VERB: ClassVar[str] = "recheck"
    number: int
    connection: str
    address: str


@dataclass(frozen=True, slots=True)
class Allowed:
    VERB: ClassVar[str] = "allowed"
    to: int
    ends_at: float


@dataclass(frozen=True, slots=True)
class Paste:
    """May this text come in through this connection's clipboard? Asked before the room sees any of it; the text itself is never told. Answered by Pasted,
    once the log has it, or by Refused."""

    VERB: ClassVar[str] = "paste"
    number: int
    connection: str
    address: str
    characters: int
    size_bytes: int  # of the text in UTF-8


@dataclass(frozen=True, slots=True)
class Pasted:
    VERB: ClassVar[str] = "pasted"
    to: int


@dataclass(frozen=True, slots=True)
class Closed:
    """A connection is over: by the person, the network, or a cut. `left` means that the person asked to end the session."""

    VERB: ClassVar[str] = "closed"
    connection: str
    why: str  # "disconnected", "left", "idle", "time-over"; of a cut its reason, a Reason or an EndReason
    bytes_in: int  # from the person
    bytes_out: int  # to the person
    left: bool = False


@dataclass(frozen=True, slots=True)
class Alive:
    """Sent once by a gateway after it connected: every connection that it still holds. Control closes the books of all others."""

    VERB: ClassVar[str] = "alive"
    connections: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """Close this connection now and show why."""

    VERB: ClassVar[str] = "cut"
    connection: str
    reason: str  # a Reason or an EndReason


@dataclass(frozen=True, slots=True)
class Extended:
    VERB: ClassVar[str] = "extended"
    session: str
    ends_at: float


FromPortal = (Nudge,)
FromGateway = (Redeem, Recheck, Paste, Closed, Alive)
ToGateway = (Admitted, Refused, Allowed, Pasted, Cut, Extended)
