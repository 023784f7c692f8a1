"""May this text come into this room through its clipboard? Each paste is decided by itself; out of a room there is nothing to decide: nothing leaves."""

from dataclasses import dataclass
from datetime import timedelta

from sekisho.model.reasons import Reason
from sekisho.policy.deciding import first_denial
from sekisho.policy.enter import EnterFacts, decide_enter
from sekisho.policy.texts import render_duration
from sekisho.policy.verdict import Allow, Deny

PASTE_LIMIT_BYTES = 65_536  # of UTF-8
PASTES_WINDOW = timedelta(minutes=1)
PASTES_IN_WINDOW = 60  # by one connection: faster than anybody works by hand, slow enough that nobody fills the log


@dataclass(frozen=True, slots=True)
class PasteFacts:
    """`inside` are the facts of coming in; `recent` counts the connection's pastes that were let in within the window."""

    inside: EnterFacts
    size_bytes: int
    recent: int


def decide_paste(facts: PasteFacts) -> Allow | Deny:
    """All that is needed to come in, a room that lets text in, and a text of a size that it takes. A frozen session takes none."""
    inside = decide_enter(facts.inside)
    if isinstance(inside, Deny):
        return inside
    return first_denial(_check_room(facts), _check_size(facts.size_bytes), _check_rate(facts.recent)) or Allow("clipboard.in")


def _check_room(facts: PasteFacts) -> Deny | None:
    room = facts.inside.room
    if room is not None and room.clipboard.paste_in:
        return None
    return Deny(Reason.PASTE_NOT_ALLOWED, {"room": room.name if room else "this room"})


def _check_size(size_bytes: int) -> Deny | None:
    if size_bytes <= 0:
        return Deny(Reason.PASTE_EMPTY)
    return Deny(Reason.PASTE_TOO_LONG, {"most": str(PASTE_LIMIT_BYTES), "found": str(size_bytes)}) if size_bytes > PASTE_LIMIT_BYTES else None


def _check_rate(recent: int) -> Deny | None:
    if recent < PASTES_IN_WINDOW:
        return None
    return Deny(Reason.PASTE_TOO_OFTEN, {"most": str(PASTES_IN_WINDOW), "wait": render_duration(PASTES_WINDOW)})
