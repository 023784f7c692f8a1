"""What control tells egress: which session may reach which names. Over `egress.sock`, SOCK_SEQPACKET, one message a packet.

Level-triggered: after every (re)connect control sends `Serve` for each live session, then `Only` with all of them; what egress serves beyond is dropped.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class RuleOrder:
    """As `model.room.EgressRule`."""

    name: str
    port: int
    wildcard: bool
    tls: bool
    target: str


@dataclass(frozen=True, slots=True)
class Serve:
    """Serve a session, or replace its rules and deadline if it is served already (`capability` is then empty)."""

    VERB: ClassVar[str] = "serve"
    number: int
    session: str
    room: str
    person: str
    ends_at: float
    rules: tuple[RuleOrder, ...]
    capability: str  # hex, kind egress; opened at the agent's open.sock


@dataclass(frozen=True, slots=True)
class Drop:
    VERB: ClassVar[str] = "drop"
    number: int
    session: str


@dataclass(frozen=True, slots=True)
class Only:
    VERB: ClassVar[str] = "only"
    number: int
    sessions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Served:
    """The answer to each of them. `sessions` are those that egress holds listeners for now."""

    VERB: ClassVar[str] = "served"
    to: int
    sessions: tuple[str, ...]
    failed: str = ""


ToEgress = (Serve, Drop, Only)
FromEgress = (Served,)
