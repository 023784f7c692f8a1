"""May this person ask for this room, and may they ask for it like this?"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sekisho.model.people import Caller
from sekisho.model.reasons import Reason
from sekisho.model.room import Place, Room
from sekisho.model.session import Request
from sekisho.policy.asking import check_duration, check_hours, check_longest, check_overlap
from sekisho.policy.deciding import first_denial
from sekisho.policy.listed import decide_listed
from sekisho.policy.places import decide_place
from sekisho.policy.texts import check_text, render_duration, render_time, shown
from sekisho.policy.verdict import Allow, Deny

REASON_MOST_CHARACTERS = 500
TICKET_MOST_CHARACTERS = 128  # also what bounds the time that a bad pattern may take
FARTHEST_AHEAD = timedelta(days=30)
_NOW = timedelta(minutes=1)  # a start this far back means "now": forms and clocks are not exact


@dataclass(frozen=True, slots=True)
class RequestFacts:
    caller: Caller
    room: Room | None  # None: there is none of this name in force
    room_name: str
    reason: str
    ticket: str
    starts_at: datetime
    duration: timedelta
    places: Sequence[Place]
    others: Sequence[Request]  # the same person's requests for this room that are pending or approved
    now: datetime


def decide_room(caller: Caller, room: Room, places: Sequence[Place]) -> Allow | Deny:
    """May this person, from where they are, ask for the room at all? Says nothing about when."""
    listed = decide_listed(caller.person, room)
    place = decide_place(caller.address, wanted=room.access.places, places=places)
    if isinstance(listed, Allow) and isinstance(place, Allow):
        return Allow(f"{listed.rule} {place.rule}")
    return listed if isinstance(listed, Deny) else place


def decide_request(facts: RequestFacts) -> Allow | Deny:
    """The whole of a request. Precedence: the room, the person, the place, then what was written, then when."""
    room = facts.room
    if room is None:
        return Deny(Reason.NO_SUCH_ROOM, {"room": shown(facts.room_name)})
    allowed = decide_room(facts.caller, room, facts.places)
    if isinstance(allowed, Deny):
        return allowed
    return _check_texts(facts, room) or _check_time(facts, room) or allowed


def _check_texts(facts: RequestFacts, room: Room) -> Deny | None:
    return first_denial(
        _check_reason_length(facts.reason, room),
        check_text(facts.reason, field="The reason", most=REASON_MOST_CHARACTERS),
        _check_ticket(facts.ticket, room),
        check_text(facts.ticket, field="The ticket", most=TICKET_MOST_CHARACTERS),
    )


def _check_reason_length(reason: str, room: Room) -> Deny | None:
    length = len(reason.strip())
    if length < room.approval.reason_characters:
        return Deny(Reason.REASON_TOO_SHORT, {"least": str(room.approval.reason_characters), "found": str(length)})
    if length > REASON_MOST_CHARACTERS:
        return Deny(Reason.REASON_TOO_LONG, {"most": str(REASON_MOST_CHARACTERS), "found": str(length)})
    return None


def _check_ticket(ticket: str, room: Room) -> Deny | None:
    pattern = room.approval.ticket
    if pattern is None:
        return None
    if len(ticket) <= TICKET_MOST_CHARACTERS and re.fullmatch(pattern, ticket, re.ASCII):
        return None
    return Deny(Reason.TICKET_MALFORMED, {"expected": pattern, "found": shown(ticket) or "nothing"})


def _check_time(facts: RequestFacts, room: Room) -> Deny | None:
    """Each check only after the one before it: what is far too long must not be counted through the hours."""
    if (denial := check_duration(facts.duration) or check_longest(room, facts.duration) or _check_start(facts)) is not None:
        return denial
    ends_at = facts.starts_at + facts.duration
    return check_hours(room, facts.starts_at, ends_at) or check_overlap(room.name, facts.starts_at, ends_at, facts.others)


def _check_start(facts: RequestFacts) -> Deny | None:
    if facts.starts_at < facts.now - _NOW:
        return Deny(Reason.IN_THE_PAST, {"found": render_time(facts.starts_at)})
    if facts.starts_at > facts.now + FARTHEST_AHEAD:
        return Deny(Reason.TOO_FAR_AHEAD, {"most": render_duration(FARTHEST_AHEAD), "found": render_time(facts.starts_at)})
    return None
