"""What may be decided on a request and its grant, and by whom: approve, deny, withdraw, extend, end.

Nobody decides on their own request, whatever groups they are in: that comes first, before any list is looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sekisho.model.people import Person
from sekisho.model.reasons import Reason
from sekisho.model.room import Room
from sekisho.model.session import Request, RequestState
from sekisho.policy.asking import check_duration, check_hours, check_longest, check_overlap
from sekisho.policy.deciding import first_denial
from sekisho.policy.listed import decide_approver
from sekisho.policy.second_factor import NO_PROOF, Proof, check_proof
from sekisho.policy.texts import check_text
from sekisho.policy.verdict import Allow, Deny

NOTE_MOST_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class DecisionFacts:
    """`room` is the one in force under the request's name; or, when there is none, the one the request was made under."""

    person: Person
    request: Request
    room: Room
    is_room_in_force: bool
    note: str
    now: datetime
    is_person_disabled: bool = False  # the person who asked
    proof: Proof = NO_PROOF  # of the sign-in that the approver came by


@dataclass(frozen=True, slots=True)
class ExtensionFacts:
    person: Person
    request: Request
    room: Room
    is_room_in_force: bool
    duration: timedelta
    others: Sequence[Request]  # the same person's other requests for this room that are pending or approved
    now: datetime
    proof: Proof = NO_PROOF


def decide_approve(facts: DecisionFacts) -> Allow | Deny:
    """One approval. Whether it is the last that is needed is counted by the act."""
    return _decide(
        facts,
        _check_unchanged(facts.request, facts.room, is_in_force=facts.is_room_in_force),
        _check_asker(facts),
        _check_again(facts),
        check_proof(facts.room, facts.proof, facts.now),
    )


def decide_deny(facts: DecisionFacts) -> Allow | Deny:
    """A denial needs a note. Neither a changed room file nor a second factor stands in its way: closing never waits."""
    return _decide(facts, None if facts.note.strip() else Deny(Reason.NOTE_MISSING))


def _decide(facts: DecisionFacts, *more: Deny | None) -> Allow | Deny:
    approver = _decide_other(facts.person, facts.request, facts.room)
    if isinstance(approver, Deny):
        return approver
    return first_denial(check_pending(facts.request, facts.now), *more, check_note(facts.note)) or approver


def decide_withdraw(person: Person, request: Request, now: datetime) -> Allow | Deny:
    """To take one's own request back before it is decided. A grant is given back by ending it."""
    if person.name != request.person:
        return Deny(Reason.NOT_YOUR_REQUEST)
    return check_pending(request, now) or Allow("own")


def decide_extend(facts: ExtensionFacts) -> Allow | Deny:
    """The whole grant, counted from its start, must stay within the room's longest time and its hours. It gives more: it takes what an approval takes."""
    approver = _decide_other(facts.person, facts.request, facts.room)
    if isinstance(approver, Deny):
        return approver
    return _check_extension(facts) or approver


def decide_end(person: Person, request: Request, room: Room | None, now: datetime) -> Allow | Deny:
    """By its person, an approver or an administrator. `room` as in DecisionFacts; None if not even its file is kept any more."""
    rule = _may_end_rule(person, request, room)
    if rule is None:
        return Deny(Reason.NOT_APPROVER, {"room": request.room, "approvers": ", ".join(room.approval.by) if room else "unknown"})
    return check_running(request, now) or Allow(rule)


def decide_leave(person: Person, request: Request, now: datetime) -> Allow | Deny:
    """To end one's own session from inside or beside it."""
    if person.name != request.person:
        return Deny(Reason.NOT_YOURS)
    return check_running(request, now) or Allow("own")


def check_note(note: str) -> Deny | None:
    if len(note) > NOTE_MOST_CHARACTERS:
        return Deny(Reason.NOTE_TOO_LONG, {"most": str(NOTE_MOST_CHARACTERS), "found": str(len(note))})
    return check_text(note, field="The note", most=NOTE_MOST_CHARACTERS)


def check_pending(request: Request, now: datetime) -> Deny | None:
    """Does it still wait for a decision?"""
    if request.state is not RequestState.PENDING:
        return Deny(Reason.ALREADY_DECIDED, {"state": str(request.state)})
    return Deny(Reason.ALREADY_DECIDED, {"state": str(RequestState.EXPIRED)}) if request.ends_at <= now else None


def check_running(request: Request, now: datetime) -> Deny | None:
    """Is there a grant that is not over? One that has not begun counts."""
    if request.state is not RequestState.APPROVED:
        return Deny(Reason.NOT_RUNNING, {"state": str(request.state)})
    return Deny(Reason.NOT_RUNNING, {"state": "ended"}) if request.ends_at <= now else None


def _decide_other(person: Person, request: Request, room: Room) -> Allow | Deny:
    if person.name == request.person:
        return Deny(Reason.OWN_REQUEST)
    return decide_approver(person, room)


def _check_unchanged(request: Request, room: Room, *, is_in_force: bool) -> Deny | None:
    return None if is_in_force and room.name == request.room and room.digest == request.room_digest else Deny(Reason.ROOM_FILE_CHANGED)


def _check_asker(facts: DecisionFacts) -> Deny | None:
    return Deny(Reason.PERSON_DISABLED) if facts.is_person_disabled else None


def _check_again(facts: DecisionFacts) -> Deny | None:
    return Deny(Reason.ALREADY_DECIDED, {"state": "approved by you"}) if facts.person.name in facts.request.approvals else None


def _check_extension(facts: ExtensionFacts) -> Deny | None:
    if (denial := check_running(facts.request, facts.now) or check_duration(facts.duration)) is not None:
        return denial
    if (
        denial := _check_unchanged(facts.request, facts.room, is_in_force=facts.is_room_in_force) or check_proof(facts.room, facts.proof, facts.now)
    ) is not None:
        return denial
    total = facts.request.ends_at - facts.request.starts_at + facts.duration
    if (denial := check_longest(facts.room, total)) is not None:
        return denial
    starts_at, ends_at = facts.request.starts_at, facts.request.starts_at + total
    others = [other for other in facts.others if other.id != facts.request.id]
    return check_hours(facts.room, starts_at, ends_at) or check_overlap(facts.room.name, starts_at, ends_at, others)


def _may_end_rule(person: Person, request: Request, room: Room | None) -> str | None:
    if person.name == request.person:
        return "own"
    if room is not None and isinstance(approver := decide_approver(person, room), Allow):
        return approver.rule
    return "group:administrators" if person.is_administrator else None
