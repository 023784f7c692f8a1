"""Somebody at a door or inside: everything that a decision on one connection needs, as it is in one transaction, and the decision."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from sekisho.model.people import Caller, Channel, Person
from sekisho.model.reasons import Reason
from sekisho.model.room import Place, Room
from sekisho.model.session import Request, Session, request_id
from sekisho.policy.deciding import deciding
from sekisho.policy.enter import EnterFacts
from sekisho.policy.second_factor import NO_PROOF, Proof
from sekisho.policy.verdict import Allow, Deny
from sekisho.sessions import records
from sekisho.sessions.acts.standing import bound_room
from sekisho.sessions.doorway import Fact, Refused
from sekisho.store.people import find_person, find_sign_in

NO_GRANT = Deny(Reason.NO_GRANT, {"room": "this room"})


@dataclass(frozen=True, slots=True)
class Presence:
    person: Person
    is_disabled: bool
    sign_in_ends_at: datetime | None  # None: it was ended, or is not this person's
    proof: Proof
    grant: Request
    session: Session
    room: Room | None  # None: its file cannot be read any more


def presence(tx: Connection, *, session: str, person: str, sign_in: str) -> Presence | None:
    """None if there is no such session of theirs. Rows are looked at in the order people, requests, sessions."""
    who = find_person(tx, person)
    grant = records.locked_request(tx, request_id(session))
    row = records.locked_session(tx, session)
    if who is None or grant is None or row is None or grant.person != person:
        return None
    signed_in = find_sign_in(tx, sign_in)
    is_standing = signed_in is not None and signed_in.person == person and signed_in.ended_at is None
    return Presence(
        person=who.person,
        is_disabled=who.is_disabled,
        sign_in_ends_at=signed_in.expires_at if signed_in is not None and is_standing else None,
        proof=Proof(who.has_second_factor, signed_in.second_factor_at) if signed_in is not None and is_standing else NO_PROOF,
        grant=grant,
        session=row,
        room=bound_room(tx, grant),
    )


def denial(
    found: Presence | None, decide: Callable[[EnterFacts], Allow | Deny], *, kind: str, address: str, places: Sequence[Place], now: datetime
) -> Deny | None:
    """Why this person may not do what `decide` decides, through this kind of channel from this address; None if they may."""
    if found is None:
        return NO_GRANT
    if found.sign_in_ends_at is None or found.sign_in_ends_at <= now:
        return Deny(Reason.NOT_SIGNED_IN)
    facts = EnterFacts(
        caller=Caller(found.person, address, Channel(kind)),
        is_disabled=found.is_disabled,
        grant=found.grant,
        room=found.room,
        session=found.session.state,
        kind=kind,
        places=places,
        now=now,
        proof=found.proof,
    )
    verdict = deciding(lambda: decide(facts))
    return verdict if isinstance(verdict, Deny) else None


def refused(to: int, denied: Deny) -> Refused:
    return Refused(to, denied.reason, tuple(Fact(name, value) for name, value in denied.facts.items()))
