"""Coming in and going out: what the doorway asks, each as one transaction that writes its event, refusals too.

A ticket is used up by the first who shows it, whatever comes of it. Whether somebody may come in, or may still be in, is decided by `policy.enter` with facts
read in the same transaction. A connection's `why` is empty until it is cut or closed.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from sekisho.model.event import Event, EventKind
from sekisho.model.people import Caller, Channel
from sekisho.model.reasons import Reason
from sekisho.model.room import Place, Room
from sekisho.model.session import request_id
from sekisho.policy.enter import decide_enter, decide_stay
from sekisho.policy.places import parse_address
from sekisho.policy.signin import counted_address
from sekisho.policy.verdict import Deny
from sekisho.sessions import records
from sekisho.sessions.acts import leave
from sekisho.sessions.doorway import Admitted, Allowed, Closed, Recheck, Redeem, Refused
from sekisho.sessions.presence import NO_GRANT, Presence, denial, presence, refused
from sekisho.store import outbox
from sekisho.store.database import Store
from sekisho.store.people import find_person
from sekisho.store.refusals import Tally
from sekisho.store.tables import connections, tickets
from sekisho.store.tables import outbox as outbox_rows
from sekisho.system import randomness

GATEWAY_LOST = "gateway-lost"
_KEPT = timedelta(days=1)
_NO_TICKET = Deny(Reason.TICKET_USED_OR_OLD)
_TICKET_LIMIT_CHARACTERS = 128
_GREATEST_COUNT = 2**53 - 1
_WORD = re.compile(r"[a-z][a-z-]{0,39}")


@dataclass(frozen=True, slots=True)
class Admission:
    """A ticket that was good. `event` is the outbox row that the log must have before anybody is let in."""

    event: int
    connection: str
    session: str
    kind: str  # a Kind of the room
    person: str
    language: str
    room: Room
    ends_at: datetime
    again: str

    def admitted(self, to: int, *, capability: str) -> Admitted:
        idle = self.room.access.idle_end
        return Admitted(
            to=to,
            connection=self.connection,
            session=self.session,
            room=self.room.name,
            title=self.room.title,
            person=self.person,
            language=self.language,
            ends_at=self.ends_at.timestamp(),
            idle_end_seconds=None if idle is None else idle.total_seconds(),
            paste_in=self.room.clipboard.paste_in,
            capability=capability,
            again=self.again,
        )


# coming in


def redeem(store: Store, ask: Redeem, *, places: Sequence[Place], tally: Tally, now: datetime) -> Admission | Refused:
    """Use up a ticket. If it was good: the connection's row, `connection.opened`, and a ticket to come again; else `entry.refused`.

    Tickets that never were are refused as `tally` allows: anybody can make them up, and none but the first of them is worth a write.
    """
    more = 0
    if not _is_known(store, ask.ticket):
        counted = tally.to_write(counted_address(ask.address), _NO_TICKET.reason, now=now)
        if counted is None:
            return refused(ask.number, _NO_TICKET)
        more = counted
    with store.writing() as tx:
        ticket = _use_up(tx, ask.ticket, now)
        if ticket is None or not _is_good(ticket, ask, now):
            return _refuse(tx, ask, ticket, _NO_TICKET, now, more=more)
        found = presence(tx, session=ticket.session, person=ticket.person, sign_in=ticket.sign_in)
        denied = denial(found, decide_enter, kind=ask.kind, address=ask.address, places=places, now=now)
        if found is None or denied is not None:
            return _refuse(tx, ask, ticket, denied or NO_GRANT, now)
        return _admit(tx, ask, ticket, found, now)


def _is_known(store: Store, secret: str) -> bool:
    """Was there ever such a ticket, good or not?"""
    if len(secret) > _TICKET_LIMIT_CHARACTERS:
        return False
    with store.reading() as tx:
        return tx.execute(select(tickets.c.session).where(tickets.c.fingerprint == randomness.fingerprint(secret))).first() is not None


def _use_up(tx: Connection, secret: str, now: datetime) -> Row[Any] | None:
    """The ticket as it was before it was shown now; None if there never was one."""
    if len(secret) > _TICKET_LIMIT_CHARACTERS:
        return None
    mine = tickets.c.fingerprint == randomness.fingerprint(secret)
    ticket = tx.execute(select(tickets).where(mine).with_for_update()).first()
    tx.execute(update(tickets).where(mine, tickets.c.used_at.is_(None)).values(used_at=now))
    return ticket


def _is_good(ticket: Row[Any], ask: Redeem, now: datetime) -> bool:
    """Unused, in time, and shown for what and from where it was issued."""
    address = parse_address(ask.address)
    is_same_address = address is not None and address == parse_address(ticket.address)
    return ticket.used_at is None and ticket.expires_at > now and ticket.kind == ask.kind and is_same_address


def _refuse(tx: Connection, ask: Redeem, ticket: Row[Any] | None, denied: Deny, now: datetime, *, more: int = 0) -> Refused:
    """`more` refusals before this one were only counted."""
    place = {} if ticket is None else {"by": ticket.person, "session": ticket.session, "request": request_id(ticket.session)}
    details: dict[str, object] = {"facts": dict(denied.facts)} if denied.facts else {}
    if more:
        details["more"] = more
    outbox.append(tx, Event(EventKind.ENTRY_REFUSED, now, address=ask.address[:64], channel=ask.kind[:32], reason=denied.reason, details=details, **place))
    return refused(ask.number, denied)


def _admit(tx: Connection, ask: Redeem, ticket: Row[Any], found: Presence, now: datetime) -> Admission:
    assert found.room is not None, "nobody is allowed into what cannot be read"
    connection, again = randomness.identifier("c-"), randomness.token()
    shared = {"session": ticket.session, "person": ticket.person, "kind": ask.kind, "address": ask.address, "sign_in": ticket.sign_in}
    tx.execute(insert(connections).values(id=connection, opened_at=now, **shared))
    tx.execute(insert(tickets).values(fingerprint=randomness.fingerprint(again), expires_at=found.grant.ends_at, **shared))
    row = tx.execute(select(connections).where(connections.c.id == connection)).one()
    event = outbox.append(tx, records.connection_event(tx, EventKind.CONNECTION_OPENED, row, now=now, by=ticket.person))
    return Admission(
        event=event,
        connection=connection,
        session=ticket.session,
        kind=ask.kind,
        person=ticket.person,
        language=found.person.language,
        room=found.room,
        ends_at=found.grant.ends_at,
        again=again,
    )


def is_logged(store: Store, event: int) -> bool:
    """Has the log this event of the outbox?"""
    with store.reading() as tx:
        return bool(tx.execute(select(outbox_rows.c.accepted).where(outbox_rows.c.id == event)).scalar())


# being in


def recheck(store: Store, ask: Recheck, *, places: Sequence[Place], now: datetime) -> Allowed | Refused:
    """May this connection go on, from the address that it has now? If not, it is cut: written down here, closed by the gateway that asked."""
    with store.writing() as tx:
        row = tx.execute(select(connections).where(connections.c.id == ask.connection).with_for_update()).first()
        if row is None or row.closed_at is not None:
            return refused(ask.number, NO_GRANT)
        found = presence(tx, session=row.session, person=row.person, sign_in=row.sign_in)
        denied = denial(found, decide_stay, kind=row.kind, address=ask.address, places=places, now=now)
        if found is None or denied is not None:
            denied = denied or NO_GRANT
            _cut(tx, row, denied.reason, address=ask.address, now=now)
            return refused(ask.number, denied)
        return Allowed(ask.number, found.grant.ends_at.timestamp())


def _cut(tx: Connection, row: Row[Any], reason: str, *, address: str, now: datetime) -> None:
    if row.why:
        return  # cut before
    tx.execute(update(connections).where(connections.c.id == row.id).values(why=reason))
    details = {"address_now": address[:64]} if address != row.address else {}
    outbox.append(tx, records.connection_event(tx, EventKind.CONNECTION_CUT, row, now=now, reason=reason, details=details))


def refusal_by_now(store: Store, connection: str, *, places: Sequence[Place], now: datetime) -> Deny | None:
    """Why a connection that was let in a moment ago may not be after all; None if it still may."""
    with store.writing() as tx:  # it looks at rows as whoever decides does: locked
        row = tx.execute(select(connections).where(connections.c.id == connection)).one()
        found = presence(tx, session=row.session, person=row.person, sign_in=row.sign_in)
        denied = denial(found, decide_enter, kind=row.kind, address=row.address, places=places, now=now)
        if denied is None and (row.why or row.closed_at is not None):
            return Deny(Reason.CONTROL_UNAVAILABLE)
        return denied


# going out


def closed(store: Store, news: Closed, *, now: datetime) -> None:
    """A gateway says that a connection is over; if the person asked to leave, so is the grant. Heard twice, it counts once."""
    with store.writing() as tx:
        row = tx.execute(select(connections).where(connections.c.id == news.connection).with_for_update()).first()
        if row is None:
            return
        if row.closed_at is None:
            _close(tx, row, _word(news.why), now=now, bytes_in=sane_count(news.bytes_in), bytes_out=sane_count(news.bytes_out))
    if news.left:
        _leave(store, row, now=now)


def _leave(store: Store, row: Row[Any], *, now: datetime) -> None:
    """The person asked to end the session. Only the first time: the grant is over then."""
    if records.wanted(store, row.session, now=now) is None:
        return
    with store.reading() as tx:
        who = find_person(tx, row.person)
    if who is not None:
        leave(store, by=Caller(who.person, row.address, Channel(row.kind)), session=row.session, now=now)


def turned_away(store: Store, connection: str, why: str, *, now: datetime) -> None:
    """Nobody came in after all, although the row was written."""
    with store.writing() as tx:
        row = tx.execute(select(connections).where(connections.c.id == connection).with_for_update()).first()
        if row is not None and row.closed_at is None:
            _close(tx, row, why, now=now)


def take_stock(store: Store, *, own: Collection[str], held: Collection[str], now: datetime) -> dict[str, str]:
    """A gateway holds `own`, all of them together `held`. Every other open connection is lost and closed in the books. Gives those of `own` that must
    close, and why."""
    with store.writing() as tx:
        rows = {row.id: row for row in tx.execute(select(connections).where(connections.c.closed_at.is_(None)).with_for_update())}
        for row in rows.values():
            if row.id not in held:
                _close(tx, row, GATEWAY_LOST, now=now)
    must_close = {connection: Reason.NO_GRANT.value for connection in own if connection not in rows}
    return must_close | {connection: rows[connection].why for connection in own if connection in rows and rows[connection].why}


def _close(tx: Connection, row: Row[Any], why: str, *, now: datetime, bytes_in: int = 0, bytes_out: int = 0) -> None:
    """What it was cut for is why it closed."""
    reason = row.why or why
    values = {"closed_at": now, "why": reason, "bytes_in": bytes_in, "bytes_out": bytes_out}
    tx.execute(update(connections).where(connections.c.id == row.id).values(**values))
    counted = {"bytes_in": bytes_in, "bytes_out": bytes_out, "seconds": round((now - row.opened_at).total_seconds(), 3)}
    outbox.append(tx, records.connection_event(tx, EventKind.CONNECTION_CLOSED, row, now=now, by=row.person, reason=reason, details=counted))


def forget_old_tickets(store: Store, *, now: datetime) -> None:
    with store.writing() as tx:
        tx.execute(delete(tickets).where(tickets.c.expires_at < now - _KEPT))


def _word(unverified: str) -> str:
    return unverified if _WORD.fullmatch(unverified) else "unknown"


def sane_count(unverified: int) -> int:
    return min(max(unverified, 0), _GREATEST_COUNT)
