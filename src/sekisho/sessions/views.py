"""Lists, each for one person: what they may see, and beside each thing what they may do with it, decided by the same functions that the acts ask.

Everything here reads in the caller's transaction and writes nothing; what is shown may be over a moment later, and the acts decide anew.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, func, or_, select, true

from sekisho.model.people import Caller, Channel, Person
from sekisho.model.reasons import Reason
from sekisho.model.room import Kind, Place, Room
from sekisho.model.session import Request, RequestState, Session, session_id
from sekisho.policy.approve import DecisionFacts, decide_approve, decide_end, decide_withdraw
from sekisho.policy.deciding import deciding
from sekisho.policy.listed import listed_by
from sekisho.policy.reading import decide_reading, decide_seeing
from sekisho.policy.request import decide_room
from sekisho.policy.second_factor import NO_PROOF, Proof
from sekisho.policy.texts import shown
from sekisho.policy.verdict import Allow, Deny
from sekisho.sessions import records, states
from sekisho.sessions.acts.standing import ID, bound_room
from sekisho.sessions.roombook import RoomBook
from sekisho.store.tables import approvals, connections, people, requests, sessions

LIMIT = 500
OVER_FOR = timedelta(days=1)  # how long a session that is over is listed


@dataclass(frozen=True, slots=True)
class Offer:
    """A room in force, and whether it may be asked for from here."""

    room: Room
    verdict: Allow | Deny


@dataclass(frozen=True, slots=True)
class RequestView:
    """`room` is the one in force, or else `bound`, the one that the request is bound to and that a session of it is; None if it cannot be read. `decision`
    says whether this person may approve or deny, `withdrawal` whether they may take it back, `ending` whether they may end the grant."""

    request: Request
    room: Room | None
    bound: Room | None
    session: Session | None
    is_mine: bool
    decision: Allow | Deny
    withdrawal: Allow | Deny
    ending: Allow | Deny


@dataclass(frozen=True, slots=True)
class SessionView:
    session: Session
    kinds: tuple[Kind, ...]
    is_mine: bool
    ending: Allow | Deny


def rooms_for(person: Person, *, address: str, book: RoomBook, places: Sequence[Place]) -> list[Offer]:
    """Every room in force, by name; those that may not be asked for say why."""
    caller = Caller(person, address, Channel.PAGE)

    def offer(room: Room) -> Offer:
        return Offer(room, deciding(lambda: decide_room(caller, room, places)))

    return [offer(room) for room in book.current.values()]


def requests_for(
    tx: Connection, person: Person, *, proof: Proof = NO_PROOF, book: RoomBook, now: datetime, state: RequestState | None = None, limit: int = LIMIT
) -> list[RequestView]:
    """Newest first: one's own; of the rooms one approves; all of them for auditors and administrators. `proof` is that of the sign-in that looks."""
    wanted = [requests.c.state == state.value] if state else []
    return _views(tx, person, wanted, proof=proof, book=book, now=now, limit=limit)


def request_for(tx: Connection, person: Person, request: str, *, proof: Proof = NO_PROOF, book: RoomBook, now: datetime) -> RequestView | Deny:
    """One request, if this person may see it."""
    found = _views(tx, person, [requests.c.id == request], proof=proof, book=book, now=now, limit=1) if ID.fullmatch(request) else []
    return found[0] if found else Deny(Reason.NO_SUCH_REQUEST, {"request": shown(request)})


def sessions_for(tx: Connection, person: Person, *, book: RoomBook, now: datetime) -> list[SessionView]:
    """Sessions that this person may see, newest first: those that are not over, and those that were over within a day."""
    is_listed = or_(sessions.c.state.not_in([state.value for state in states.OVER]), sessions.c.over_at > now - OVER_FOR)
    with_session = [requests.c.id.in_(select(sessions.c.request).where(is_listed))]
    found = _views(tx, person, with_session, proof=NO_PROOF, book=book, now=now, limit=LIMIT)
    return [SessionView(view.session, view.bound.kinds if view.bound else (), view.is_mine, view.ending) for view in found if view.session]


def _views(
    tx: Connection, person: Person, wanted: Collection[ColumnElement[bool]], *, proof: Proof, book: RoomBook, now: datetime, limit: int
) -> list[RequestView]:
    newest = select(requests).where(_may_concern(person, book), *wanted).order_by(requests.c.asked_at.desc(), requests.c.id).limit(limit)
    found = [records.request_of(row) for row in tx.execute(newest)]
    ids = [request.id for request in found]
    said_yes, running, rooms = _approvals(tx, ids), _sessions(tx, ids), _bound_rooms(tx, book)
    disabled = set(tx.execute(select(people.c.name).where(people.c.disabled_at.is_not(None))).scalars())
    views = []
    for bare in found:
        request = replace(bare, approvals=said_yes.get(bare.id, ()))
        bound, current = rooms(request), book.current.get(request.room)
        if isinstance(decide_seeing(person, request=request.id, person=request.person, room=current or bound), Allow):
            views.append(_view(person, request, bound, current, running.get(request.id), proof=proof, is_disabled=request.person in disabled, now=now))
    return views


def _view(
    person: Person, request: Request, bound: Room | None, current: Room | None, session: Session | None, *, proof: Proof, is_disabled: bool, now: datetime
) -> RequestView:
    room = current or bound

    def decision() -> Allow | Deny:
        if room is None:
            return Deny(Reason.ROOM_FILE_CHANGED)
        is_in_force = current is not None
        return decide_approve(DecisionFacts(person, request, room, is_in_force, note="", now=now, is_person_disabled=is_disabled, proof=proof))

    return RequestView(
        request=request,
        room=room,
        bound=bound,
        session=replace(session, ends_at=request.ends_at) if session else None,
        is_mine=request.person == person.name,
        decision=deciding(decision),
        withdrawal=deciding(lambda: decide_withdraw(person, request, now)),
        ending=deciding(lambda: decide_end(person, request, room, now)),
    )


def _may_concern(person: Person, book: RoomBook) -> ColumnElement[bool]:
    """What the database can rule out: the rest is decided on each."""
    if isinstance(decide_reading(person), Allow):
        return true()
    approved = [name for name, room in book.current.items() if listed_by(person, room.approval.by)]
    return or_(requests.c.person == person.name, requests.c.room.in_(approved), requests.c.room.not_in(list(book.current)))


def _bound_rooms(tx: Connection, book: RoomBook) -> Callable[[Request], Room | None]:
    """The room that a request is bound to; each file that is no longer in force is read once."""
    read: dict[tuple[str, str], Room | None] = {}

    def room_of(request: Request) -> Room | None:
        current = book.current.get(request.room)
        if current is not None and current.digest == request.room_digest:
            return current
        key = (request.room, request.room_digest)
        if key not in read:
            read[key] = bound_room(tx, request)
        return read[key]

    return room_of


def _approvals(tx: Connection, ids: list[str]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for row in tx.execute(select(approvals).where(approvals.c.request.in_(ids)).order_by(approvals.c.at, approvals.c.person)):
        found[row.request] = (*found.get(row.request, ()), row.person)
    return found


def _sessions(tx: Connection, ids: list[str]) -> Mapping[str, Session]:
    """request id -> its session, with how many connections are open."""
    wanted = [session_id(request) for request in ids]
    opened = select(connections.c.session, func.count().label("open")).where(connections.c.session.in_(wanted), connections.c.closed_at.is_(None))
    counts: dict[str, int] = {row.session: row.open for row in tx.execute(opened.group_by(connections.c.session))}
    rows = tx.execute(select(sessions).where(sessions.c.id.in_(wanted)))
    return {row.request: replace(records.session_of(row), connections=counts.get(row.id, 0)) for row in rows}
