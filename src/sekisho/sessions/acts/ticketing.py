"""Entry: a one-time ticket that leads from the portal to the rooms' host name, where control redeems it and decides again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select

from sekisho.model.event import EventKind
from sekisho.model.people import Caller
from sekisho.model.reasons import Reason
from sekisho.model.room import Place
from sekisho.model.session import Request, SessionState, request_id
from sekisho.policy.deciding import deciding
from sekisho.policy.enter import EnterFacts, decide_enter
from sekisho.policy.texts import shown
from sekisho.policy.verdict import Allow, Deny
from sekisho.sessions.acts.standing import ID, bound_room, locked_request
from sekisho.store.database import Store
from sekisho.store.events import note, refuse
from sekisho.store.people import as_of_now, find_proof, find_sign_in
from sekisho.store.tables import sessions, tickets
from sekisho.system import randomness

TICKET_LIFE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Ticket:
    """`secret` is good once, within a minute, from the address it was given to."""

    secret: str
    session: str
    room: str
    kind: str  # a Kind of the room


def issue_ticket(store: Store, *, by: Caller, sign_in: str, session: str, kind: str, places: Sequence[Place], now: datetime) -> Ticket | Deny:
    """`sign_in` is the id of the sign-in that the caller came by; `kind` how they want to be shown the room: a Kind."""
    with store.writing() as tx:
        grant = locked_request(tx, request_id(session)) if ID.fullmatch(session) else None
        verdict = _decided(tx, grant, by=by, sign_in=sign_in, kind=kind, places=places, now=now)
        told = {"wanted": shown(kind)}
        if grant is None or isinstance(verdict, Deny):
            denial = verdict if isinstance(verdict, Deny) else Deny(Reason.NO_GRANT, {"room": "this room"})
            known = {"room": grant.room, "request": grant.id, "session": session} if grant else {}
            return refuse(tx, EventKind.ENTRY_REFUSED, denial, by=by, now=now, details=told, **known)
        secret = randomness.token()
        row = {"session": session, "person": by.person.name, "kind": kind, "address": by.address, "sign_in": sign_in, "expires_at": now + TICKET_LIFE}
        tx.execute(insert(tickets).values(fingerprint=randomness.fingerprint(secret), **row))
        note(tx, EventKind.ENTRY_ALLOWED, by=by, now=now, room=grant.room, request=grant.id, session=session, details={**told, "rule": verdict.rule})
        return Ticket(secret, session, grant.room, kind)


def _decided(tx: Connection, grant: Request | None, *, by: Caller, sign_in: str, kind: str, places: Sequence[Place], now: datetime) -> Allow | Deny:
    caller = as_of_now(tx, by)
    if isinstance(caller, Deny):
        return caller
    if not _is_signed_in(tx, sign_in, caller.person.name, now):
        return Deny(Reason.NOT_SIGNED_IN)
    facts = EnterFacts(
        caller=caller,
        is_disabled=False,  # who is disabled did not come this far
        grant=grant,
        room=bound_room(tx, grant) if grant else None,
        session=_session_state(tx, grant) if grant else None,
        kind=kind,
        places=places,
        now=now,
        proof=find_proof(tx, person=caller.person.name, sign_in=sign_in),
    )
    return deciding(lambda: decide_enter(facts))


def _is_signed_in(tx: Connection, sign_in: str, person: str, now: datetime) -> bool:
    row = find_sign_in(tx, sign_in)
    return row is not None and row.person == person and row.ended_at is None and now < row.expires_at


def _session_state(tx: Connection, grant: Request) -> SessionState | None:
    state = tx.execute(select(sessions.c.state).where(sessions.c.request == grant.id)).scalar()
    return SessionState(state) if state else None
