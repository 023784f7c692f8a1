"""Tries at a secret, a password or a code. Each is counted before it is made, so that many at once are no more than many in a row; one that succeeds is
taken back. Looking at a password takes a while and is done outside of any transaction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from sekisho.identity.passwords import matches
from sekisho.model.people import Caller, Channel
from sekisho.model.room import Place
from sekisho.policy.deciding import deciding
from sekisho.policy.signin import (
    ATTEMPTS_OF_ADDRESS,
    ATTEMPTS_OF_CODES,
    ATTEMPTS_OF_PERSON,
    ATTEMPTS_WINDOW,
    PASSWORD_MOST_CHARACTERS,
    AttemptFacts,
    counted_address,
    decide_attempt,
)
from sekisho.policy.verdict import Deny
from sekisho.store.database import Store, Turn, serialize
from sekisho.store.people import find_person
from sekisho.store.tables import attempts


@dataclass(frozen=True, slots=True)
class Knock:
    """Somebody who has a secret to show: whom they say they are ("" if that is no name), and how they came."""

    name: str
    address: str
    channel: Channel
    now: datetime

    @classmethod
    def of(cls, by: Caller, now: datetime) -> "Knock":
        return cls(by.person.name, by.address, by.channel, now)


def begin_attempt(
    store: Store,
    knock: Knock,
    *,
    is_code: bool = False,
    refuse: Callable[[Connection, Deny], Deny],
    places: Sequence[Place] = (),
    sign_in_places: Sequence[str] = (),
) -> int | Deny:
    """The id of a try that may be made.

    Refusals are written down, by `refuse`, up to the limit and once above it; who goes on after that is refused without filling the log.
    """
    address = counted_address(knock.address)
    with store.writing() as tx:
        serialize(tx, Turn.ATTEMPTS)
        tx.execute(delete(attempts).where(attempts.c.at <= knock.now - ATTEMPTS_WINDOW))
        of_address = _count(tx, attempts.c.address == address)
        of_person = _count(tx, attempts.c.address == address, attempts.c.person == knock.name)
        of_codes = _count(tx, attempts.c.person == knock.name, attempts.c.is_code) if is_code else 0
        facts = AttemptFacts(knock.address, of_person=of_person, of_address=of_address, of_codes=of_codes, places=places, sign_in_places=sign_in_places)
        verdict = deciding(lambda: decide_attempt(facts))
        is_told = of_person <= ATTEMPTS_OF_PERSON and of_address <= ATTEMPTS_OF_ADDRESS and of_codes <= ATTEMPTS_OF_CODES
        if isinstance(verdict, Deny) and not is_told:
            return verdict
        row = insert(attempts).values(person=knock.name, address=address, at=knock.now, is_code=is_code).returning(attempts.c.id)
        attempt = int(tx.execute(row).scalar_one())
        return refuse(tx, verdict) if isinstance(verdict, Deny) else attempt


def take_back(tx: Connection, attempt: int) -> None:
    """It succeeded."""
    tx.execute(delete(attempts).where(attempts.c.id == attempt))


def matched_hash(store: Store, name: str, password: str) -> str | None:
    """The stored hash that the password matches. Takes as long for nobody as for somebody."""
    with store.reading() as tx:
        row = find_person(tx, name)
    stored = row.password_hash if row else None
    is_right = matches(password[:PASSWORD_MOST_CHARACTERS], stored) and len(password) <= PASSWORD_MOST_CHARACTERS
    return stored if is_right else None


def _count(tx: Connection, *wanted: ColumnElement[bool]) -> int:
    return tx.execute(select(func.count()).select_from(attempts).where(*wanted)).scalar_one()
