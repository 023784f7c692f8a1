"""People and their sign-ins, read from the tables. Both identity and sessions need them, and neither knows the other."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from sekisho.model.people import Caller, Person
from sekisho.model.reasons import Reason
from sekisho.policy.second_factor import NO_PROOF, Proof
from sekisho.policy.verdict import Deny
from sekisho.store.tables import memberships, people, second_factors, sign_ins


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A person with what only identity and the decisions need to know of them."""

    person: Person
    is_disabled: bool
    password_hash: str | None
    has_second_factor: bool


@dataclass(frozen=True, slots=True)
class SignInRow:
    """`ended_at` is set when somebody ended it (signed out, disabled, password reset); one that is merely too old keeps None."""

    id: str
    person: str
    kind: str  # "cookie" or "token"
    address: str
    seen_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    second_factor_at: datetime | None


def find_person(tx: Connection, name: str, *, lock: bool = False) -> PersonRow | None:
    """With `lock`, nobody else changes this person, or asks for rooms as them, until the transaction is over. Rows that name the person may be
    written meanwhile (FOR NO KEY UPDATE): who holds a request and writes one of those must not wait for who holds the person and wants the request."""
    wanted = select(people).where(people.c.name == name)
    row = tx.execute(wanted.with_for_update(key_share=True) if lock else wanted).first()
    if row is None:
        return None
    groups = frozenset(tx.execute(select(memberships.c.group_name).where(memberships.c.person == name)).scalars())
    person = Person(row.name, groups, display=row.display, language=row.language)
    factor = tx.execute(_enrolled().where(second_factors.c.person == name)).first()  # after the lock: as it is then
    return PersonRow(person, is_disabled=row.disabled_at is not None, password_hash=row.password_hash, has_second_factor=factor is not None)


def list_people(tx: Connection) -> list[PersonRow]:
    """Everybody, by name."""
    groups: dict[str, set[str]] = {}
    for row in tx.execute(select(memberships)):
        groups.setdefault(row.person, set()).add(row.group_name)
    enrolled = set(tx.execute(_enrolled()).scalars())
    return [
        PersonRow(
            Person(row.name, frozenset(groups.get(row.name, ())), display=row.display, language=row.language),
            is_disabled=row.disabled_at is not None,
            password_hash=row.password_hash,
            has_second_factor=row.name in enrolled,
        )
        for row in tx.execute(select(people).order_by(people.c.name))
    ]


def find_sign_in(tx: Connection, sign_in: str) -> SignInRow | None:
    """By its id, which is no secret."""
    row = tx.execute(select(sign_ins).where(sign_ins.c.id == sign_in)).first()
    return None if row is None else _sign_in(row)


def find_sign_in_by_fingerprint(tx: Connection, fingerprint: str) -> SignInRow | None:
    row = tx.execute(select(sign_ins).where(sign_ins.c.fingerprint == fingerprint)).first()
    return None if row is None else _sign_in(row)


def find_proof(tx: Connection, *, person: str, sign_in: str) -> Proof:
    """What a sign-in has of a second factor; nothing, if it is not this person's or was ended."""
    who, row = find_person(tx, person), find_sign_in(tx, sign_in)
    if who is None or row is None or row.person != person or row.ended_at is not None:
        return NO_PROOF
    return Proof(who.has_second_factor, row.second_factor_at)


def as_of_now(tx: Connection, by: Caller) -> Caller | Deny:
    """The caller with the groups they have in this transaction: what their sign-in was resolved to may be some moments old."""
    row = find_person(tx, by.person.name)
    if row is None:
        return Deny(Reason.NOT_SIGNED_IN)
    return Deny(Reason.PERSON_DISABLED) if row.is_disabled else replace(by, person=row.person)


def _enrolled() -> Select[tuple[str]]:
    return select(second_factors.c.person).where(second_factors.c.confirmed_at.is_not(None))


def _sign_in(row: Row[Any]) -> SignInRow:
    return SignInRow(row.id, row.person, row.kind, row.address, row.seen_at, row.expires_at, row.ended_at, row.second_factor_at)
