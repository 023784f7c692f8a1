"""What an act decides on, read and locked in its transaction, and how what came of it is written down."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, select

from sekisho.model.event import EventKind
from sekisho.model.people import Caller, Person
from sekisho.model.reasons import Reason
from sekisho.model.room import Place, Room
from sekisho.model.session import Request, RequestState, session_id
from sekisho.policy.deciding import deciding
from sekisho.policy.places import place_of
from sekisho.policy.texts import shown
from sekisho.policy.verdict import Allow, Deny
from sekisho.sessions import records
from sekisho.sessions.roombook import RoomBook, room_by_digest
from sekisho.sessions.roomfile import RoomFileRefused
from sekisho.store.events import note, refuse
from sekisho.store.people import as_of_now, find_person
from sekisho.store.tables import approvals, requests

ID = re.compile(r"[rs]-[a-z0-9]{1,32}")
_ALIVE = (RequestState.PENDING.value, RequestState.APPROVED.value)


@dataclass(frozen=True, slots=True)
class Case:
    """A decision that is asked for. `room` is the one in force under the request's name or, when there is none, the one it is bound to."""

    unverified_request: str
    asked: Request | None
    room: Room | None
    is_room_in_force: bool
    by: Caller  # as they came
    caller: Caller | Deny  # as they stand in this transaction
    places: Sequence[Place]
    now: datetime

    @property
    def name(self) -> str:
        return self.by.person.name

    @property
    def person(self) -> Person:
        """Asked for by decisions alone, which are only asked when the caller stands."""
        assert isinstance(self.caller, Caller)
        return self.caller.person

    def both(self) -> tuple[Request, Room]:
        """What a decision that was allowed was about."""
        assert self.asked is not None
        assert self.room is not None
        return self.asked, self.room

    def decided(self, decide: Callable[[Request, Room], Allow | Deny]) -> Allow | Deny:
        def with_room(asked: Request) -> Allow | Deny:
            return decide(asked, self.room) if self.room else Deny(Reason.ROOM_FILE_CHANGED)

        return self.decided_without_room(with_room)

    def decided_without_room(self, decide: Callable[[Request], Allow | Deny]) -> Allow | Deny:
        asked = self.asked
        if isinstance(self.caller, Deny):
            return self.caller
        if asked is None:
            return Deny(Reason.NO_SUCH_REQUEST, {"request": shown(self.unverified_request)})
        return deciding(lambda: decide(asked))


def locked_case(tx: Connection, *, by: Caller, request: str, book: RoomBook | None, places: Sequence[Place], now: datetime) -> Case:
    """Nobody else changes the request, or asks for rooms as its person, until the transaction is over."""
    asked = locked_request_of_person(tx, request)
    room = book.current.get(asked.room) if asked and book else None
    bound = bound_room(tx, asked) if asked and room is None else None
    return Case(request, asked, room or bound, room is not None, by, as_of_now(tx, by), places, now)


def locked_request_of_person(tx: Connection, unverified_id: str) -> Request | None:
    """The person first, then the request: the order that everybody keeps to."""
    if not ID.fullmatch(unverified_id):
        return None
    person = tx.execute(select(requests.c.person).where(requests.c.id == unverified_id)).scalar()
    if person is None:
        return None
    find_person(tx, person, lock=True)
    return locked_request(tx, unverified_id)


def locked_request(tx: Connection, unverified_id: str) -> Request | None:
    """The request with its approvals, locked."""
    found = records.locked_request(tx, unverified_id) if ID.fullmatch(unverified_id) else None
    return None if found is None else replace(found, approvals=approved_by(tx, found.id))


def approved_by(tx: Connection, request: str) -> tuple[str, ...]:
    rows = select(approvals.c.person).where(approvals.c.request == request).order_by(approvals.c.at, approvals.c.person)
    return tuple(tx.execute(rows).scalars())


def others_of(tx: Connection, person: str, room: str) -> tuple[Request, ...]:
    """The person's requests for the room that are pending or approved."""
    wanted = select(requests).where(requests.c.person == person, requests.c.room == room, requests.c.state.in_(_ALIVE))
    return tuple(records.request_of(row) for row in tx.execute(wanted))


def bound_room(tx: Connection, request: Request) -> Room | None:
    """The room as the file that the request is bound to gave it; None if that cannot be read any more."""
    try:
        return replace(room_by_digest(tx, request.room_digest), name=request.room)
    except RoomFileRefused:
        return None


def note_act(tx: Connection, kind: EventKind, case: Case, allowed: Allow, *, reason: str = "", details: Mapping[str, object] | None = None) -> None:
    """The event of an act on a request: whose it is, by which rule it was allowed, and from which places."""
    asked = case.asked
    assert asked is not None
    told = {**_told(case), "rule": allowed.rule, **(details or {})}
    note(tx, kind, by=case.by, now=case.now, room=asked.room, request=asked.id, session=session_id(asked.id), reason=reason, details=told)


def refuse_act(tx: Connection, case: Case, denial: Deny, *, act: str, details: Mapping[str, object] | None = None) -> Deny:
    told = {"act": act, **_told(case), **(details or {})}
    if case.asked is None:
        return refuse(tx, EventKind.DECISION_REFUSED, denial, by=case.by, now=case.now, details=told)
    return refuse(tx, EventKind.DECISION_REFUSED, denial, by=case.by, now=case.now, room=case.asked.room, request=case.asked.id, details=told)


def _told(case: Case) -> dict[str, object]:
    person = {"person": case.asked.person} if case.asked else {}
    places = place_of(case.by.address, case.places)
    return {**person, "places": list(places)} if places else dict(person)
