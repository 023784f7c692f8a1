"""What control reads and writes: the facts of a round in one look, and each recording step as one transaction with at most one event.

Everything here may be called twice: a step whose change is there already changes nothing and says nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, or_, select, update

from sekisho.model.event import Event, EventKind
from sekisho.model.room import Room
from sekisho.model.session import EndReason, Request, RequestState, Session, SessionState, request_id, session_id
from sekisho.runtime.protocol import SessionSeen
from sekisho.sessions import states
from sekisho.sessions.plan import OpenConnection
from sekisho.sessions.roombook import room_by_digest
from sekisho.sessions.states import RequestEvent, SessionEvent
from sekisho.store import outbox
from sekisho.store.database import Store
from sekisho.store.people import find_person
from sekisho.store.tables import connections, people, requests, sessions, sign_ins
from sekisho.store.tables import outbox as outbox_rows

_ALIVE = (RequestState.PENDING.value, RequestState.APPROVED.value)
_OVER = tuple(state.value for state in states.OVER)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The store's part of `plan.Facts`."""

    requests: tuple[Request, ...]
    sessions: Mapping[str, Session]
    connections: tuple[OpenConnection, ...]
    disabled: frozenset[str]


def gather(store: Store, *, seen: Collection[str]) -> Recorded:
    """What the store says, in one consistent look. `seen` are the sessions that the agent shows."""
    with store.reading() as tx:
        asked = _requests(tx, [request_id(session) for session in seen])
        rows = _sessions(tx, [*seen, *(session_id(request.id) for request in asked)])
        return Recorded(asked, rows, _connections(tx), _disabled(tx, {request.person for request in asked}))


def _requests(tx: Connection, others: list[str]) -> tuple[Request, ...]:
    open_sessions = select(sessions.c.request).where(sessions.c.state.not_in(_OVER))
    wanted = or_(requests.c.state.in_(_ALIVE), requests.c.id.in_(open_sessions), requests.c.id.in_(others))
    return tuple(request_of(row) for row in tx.execute(select(requests).where(wanted)))


def _sessions(tx: Connection, ids: list[str]) -> dict[str, Session]:
    wanted = or_(sessions.c.state.not_in(_OVER), sessions.c.id.in_(ids))
    return {row.id: session_of(row) for row in tx.execute(select(sessions).where(wanted))}


def _connections(tx: Connection) -> tuple[OpenConnection, ...]:
    source = connections.join(sign_ins, connections.c.sign_in == sign_ins.c.id).join(people, connections.c.person == people.c.name)
    columns = (connections.c.id, connections.c.session, connections.c.why, sign_ins.c.ended_at, sign_ins.c.expires_at, people.c.disabled_at)
    found = tx.execute(select(*columns).select_from(source).where(connections.c.closed_at.is_(None)))
    return tuple(
        OpenConnection(
            id=row.id,
            session=row.session,
            is_cut=row.why != "",
            is_signed_in=row.ended_at is None,
            sign_in_expires_at=row.expires_at,
            is_disabled=row.disabled_at is not None,
        )
        for row in found
    )


def _disabled(tx: Connection, names: Collection[str]) -> frozenset[str]:
    return frozenset(tx.execute(select(people.c.name).where(people.c.name.in_(names), people.c.disabled_at.is_not(None))).scalars())


def request_of(row: Row[Any]) -> Request:
    """A row of `requests`, without its approvals."""
    return Request(
        id=row.id,
        room=row.room,
        room_digest=row.room_digest,
        person=row.person,
        reason=row.reason,
        ticket=row.ticket,
        address=row.address,
        asked_at=row.asked_at,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        state=RequestState(row.state),
        decided_by=row.decided_by,
        note=row.note,
        end_reason=EndReason(row.end_reason) if row.end_reason else None,
        ended_by=row.ended_by,
    )


def session_of(row: Row[Any]) -> Session:
    """A row of `sessions`, without its connections."""
    return Session(
        id=row.id,
        request=row.request,
        room=row.room,
        person=row.person,
        state=SessionState(row.state),
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        staged_bytes=row.staged_bytes,
        staged_total_bytes=row.staged_total_bytes,
        staged_files=row.staged_files,
        why=row.why,
    )


def locked_request(tx: Connection, request: str) -> Request | None:
    row = tx.execute(select(requests).where(requests.c.id == request).with_for_update()).first()
    return None if row is None else request_of(row)


def locked_session(tx: Connection, session: str) -> Session | None:
    row = tx.execute(select(sessions).where(sessions.c.id == session).with_for_update()).first()
    return None if row is None else session_of(row)


# grants


def expire_request(store: Store, request: str, *, now: datetime) -> None:
    """Nobody decided before its time was over."""
    with store.writing() as tx:
        found = locked_request(tx, request)
        if found is None or found.state is not RequestState.PENDING or found.ends_at > now:
            return
        state = states.request_after(found.state, RequestEvent.EXPIRED)
        tx.execute(update(requests).where(requests.c.id == request).values(state=state.value))
        outbox.append(tx, _of_request(EventKind.REQUEST_EXPIRED, found, now=now))


def end_grant(store: Store, request: str, reason: EndReason, *, now: datetime) -> None:
    """The system ends a grant: approved -> ended. One that was extended since its time was over goes on."""
    with store.writing() as tx:
        grant = locked_request(tx, request)
        if grant is not None and (reason is not EndReason.TIME_OVER or grant.ends_at <= now):
            end_grant_in(tx, request, reason, now=now)


def end_grant_in(tx: Connection, request: str, reason: EndReason, *, now: datetime, why: str = "") -> None:
    found = locked_request(tx, request)
    if found is None or found.state is not RequestState.APPROVED:
        return
    state = states.request_after(found.state, RequestEvent.ENDED)
    tx.execute(update(requests).where(requests.c.id == request).values(state=state.value, end_reason=reason.value))
    outbox.append(tx, _of_request(EventKind.GRANT_ENDED, found, now=now, reason=reason, details={"why": why} if why else {}))


def _of_request(kind: EventKind, request: Request, *, now: datetime, reason: str = "", details: Mapping[str, object] | None = None) -> Event:
    told = {"person": request.person, **(details or {})}
    return Event(kind=kind, at=now, room=request.room, request=request.id, session=session_id(request.id), reason=reason, details=told)


# sessions


def open_session(store: Store, request: str, *, now: datetime) -> None:
    """The row of a session that a grant wants now, and `session.opening`."""
    with store.writing() as tx:
        grant = locked_request(tx, request)
        if grant is None or not is_in_force(grant, now) or locked_session(tx, session_id(request)) is not None:
            return
        row = {"id": session_id(request), "request": request, "room": grant.room, "person": grant.person, "state": SessionState.OPENING.value}
        tx.execute(insert(sessions).values(**row, starts_at=grant.starts_at, ends_at=grant.ends_at))
        details = {"ends_at": grant.ends_at.isoformat(), "room_digest": grant.room_digest}
        event = Event(EventKind.SESSION_OPENING, now, by=grant.person, room=grant.room, request=request, session=session_id(request), details=details)
        outbox.append(tx, event)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A session that a grant wants, with the room file that the grant is bound to, and the language of its person ("en", "ja")."""

    grant: Request
    room: Room
    is_opening: bool
    language: str


def wanted(store: Store, session: str, *, now: datetime) -> Wanted | None:
    """The grant and room of a session that may be, as of now; None if it may not. Raises RoomFileRefused if its room file cannot be read any more."""
    with store.reading() as tx:
        row = tx.execute(select(requests).where(requests.c.id == request_id(session))).first()
        state = tx.execute(select(sessions.c.state).where(sessions.c.id == session)).scalar()
        if row is None or state is None or state in _OVER or not is_in_force(request_of(row), now):
            return None
        room = replace(room_by_digest(tx, row.room_digest), name=row.room)
        who = find_person(tx, row.person)
        return Wanted(request_of(row), room, is_opening=state == SessionState.OPENING.value, language=who.person.language if who else "")


def is_in_force(grant: Request, now: datetime) -> bool:
    return grant.state is RequestState.APPROVED and grant.starts_at <= now < grant.ends_at


def record_state(store: Store, session: str, event: SessionEvent, seen: SessionSeen | None, *, now: datetime) -> None:
    """Write down what was seen of a session; if it is over then, its grant is too. Raises states.Impossible."""
    with store.writing() as tx:
        grant = locked_request(tx, request_id(session))
        row = locked_session(tx, session)
        if row is None or grant is None or row.state in states.OVER:
            return
        after = states.session_after(row.state, event)
        values: dict[str, Any] = {"state": after.value, "ends_at": grant.ends_at, "why": "", **_seen_values(seen)}
        if after is SessionState.READY and row.state in (SessionState.OPENING, SessionState.STAGING):
            values["opened_at"] = now
        if after in states.OVER:
            reason = grant.end_reason or _end_reason(after, seen)
            values |= {"over_at": now, "end_reason": reason.value, "why": _why(row, seen)}
            end_grant_in(tx, grant.id, reason, now=now, why=values["why"])
        tx.execute(update(sessions).where(sessions.c.id == session).values(**values))


def _seen_values(seen: SessionSeen | None) -> dict[str, Any]:
    if seen is None:
        return {}
    counted: dict[str, Any] = {"staged_bytes": seen.staged_bytes, "staged_total_bytes": seen.staged_total_bytes, "staged_files": seen.staged_files}
    return counted if seen.certificate is None else {**counted, "certificate": asdict(seen.certificate)}


def _end_reason(after: SessionState, seen: SessionSeen | None) -> EndReason:
    if seen is not None and seen.end_reason is not None:
        return seen.end_reason
    return EndReason.OPEN_FAILED if after is SessionState.FAILED else EndReason.SHIM_LOST


def _why(row: Session, seen: SessionSeen | None) -> str:
    if seen is not None:
        return seen.why
    if row.why or row.state is SessionState.OPENING:
        return row.why
    return "The machine that ran this room does not know it any longer."


def cannot_open(store: Store, session: str, why: str, *, now: datetime) -> None:
    """Control or the agent cannot make it: the session failed, and its grant is over."""
    with store.writing() as tx:
        locked_request(tx, request_id(session))
        row = locked_session(tx, session)
        if row is None or row.state is not SessionState.OPENING:
            return
        state = states.session_after(row.state, SessionEvent.CANNOT_OPEN)
        values = {"state": state.value, "why": why, "over_at": now, "end_reason": EndReason.OPEN_FAILED.value}
        tx.execute(update(sessions).where(sessions.c.id == session).values(**values))
        end_grant_in(tx, row.request, EndReason.OPEN_FAILED, now=now, why=why)


def say_why(store: Store, session: str, why: str) -> None:
    """What holds up a session that is still opening, for people to read."""
    with store.writing() as tx:
        opening = (sessions.c.id == session, sessions.c.state == SessionState.OPENING.value, sessions.c.why != why)
        tx.execute(update(sessions).where(*opening).values(why=why))


def note_held(store: Store, session: str, kind: EventKind, reason: str, *, now: datetime) -> None:
    """`session.frozen` or `session.thawed`, by order of control."""
    with store.writing() as tx:
        grant = locked_request(tx, request_id(session))
        if grant is not None:
            outbox.append(tx, _of_request(kind, grant, now=now, reason=reason))


# connections


def mark_cut(store: Store, connection: str, reason: str, *, now: datetime) -> None:
    """A connection was told to close. It is closed once the gateway says so."""
    with store.writing() as tx:
        row = tx.execute(select(connections).where(connections.c.id == connection).with_for_update()).first()
        if row is None or row.closed_at is not None or row.why:
            return
        tx.execute(update(connections).where(connections.c.id == connection).values(why=reason))
        outbox.append(tx, connection_event(tx, EventKind.CONNECTION_CUT, row, now=now, reason=reason))


def connection_event(
    tx: Connection, kind: EventKind, row: Row[Any], *, now: datetime, by: str = "", reason: str = "", details: Mapping[str, object] | None = None
) -> Event:
    """An event of one connection. `details` always names the connection and its person."""
    room = tx.execute(select(sessions.c.room).where(sessions.c.id == row.session)).scalar() or ""
    told = {"connection": row.id, "person": row.person, **(details or {})}
    place = {"room": room, "request": request_id(row.session), "session": row.session}
    return Event(kind=kind, at=now, by=by, address=row.address, channel=row.kind, reason=reason, details=told, **place)


# the log


def last_event(store: Store) -> int:
    """The id of the newest event in the outbox; 0 if there is none."""
    with store.reading() as tx:
        return tx.execute(select(func.max(outbox_rows.c.id))).scalar() or 0


def is_logged_through(store: Store, event: int) -> bool:
    """Has the log every event up to and with this one?"""
    with store.reading() as tx:
        waiting = select(outbox_rows.c.id).where(outbox_rows.c.id <= event, ~outbox_rows.c.accepted).limit(1)
        return tx.execute(waiting).first() is None
