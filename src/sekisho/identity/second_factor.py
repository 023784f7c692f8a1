"""Acts on second factors: one function, one transaction, one event, refusals too.

A secret is shown to its person once, for their password, and counts from the code that confirms it. Taking it away needs the password and a code; an
administrator may take away another's. Whatever a code or password is tried at here counts like a try to sign in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection, delete, insert, select, update

from sekisho.identity.cipher import FactorCipher
from sekisho.identity.codes import matching_step, new_secret, parse_code
from sekisho.identity.people import end_sign_ins
from sekisho.identity.proving import forget_factor, give_recovery_codes, recovery_codes_left, use_code, use_step
from sekisho.identity.trying import Knock, begin_attempt, matched_hash, take_back
from sekisho.model.event import EventKind
from sekisho.model.people import Caller, Person
from sekisho.model.reasons import Reason
from sekisho.policy.deciding import deciding
from sekisho.policy.second_factor import decide_beginning, decide_enrolling, decide_resetting
from sekisho.policy.signin import decide_password
from sekisho.policy.texts import is_name, shown
from sekisho.policy.verdict import Deny
from sekisho.store.database import Store
from sekisho.store.events import note, refuse
from sekisho.store.people import PersonRow, as_of_now, find_person, find_sign_in
from sekisho.store.tables import second_factors, sign_ins

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Factor:
    """A factor that counts, for its person to see."""

    since: datetime
    recovery_codes: int  # that are left


def factor_of(store: Store, person: str) -> Factor | None:
    with store.reading() as tx:
        since = tx.execute(select(second_factors.c.confirmed_at).where(second_factors.c.person == person)).scalar()
        return None if since is None else Factor(since, recovery_codes_left(tx, person))


def begin_enrolment(store: Store, cipher: FactorCipher, *, by: Caller, password: str, now: datetime) -> bytes | Deny:
    """A new secret, to be shown once. One that was begun before and never confirmed is void."""

    def begin(tx: Connection, row: PersonRow, *, matches: bool) -> bytes | Deny:
        verdict = deciding(
            lambda: decide_beginning(has_password=row.password_hash is not None, matches=matches, is_enrolled=row.has_second_factor),
        )
        if isinstance(verdict, Deny):
            return verdict
        secret, name = new_secret(), row.person.name
        tx.execute(delete(second_factors).where(second_factors.c.person == name))
        tx.execute(insert(second_factors).values(person=name, secret=cipher.encrypt(secret, person=name), begun_at=now, last_step=0))
        note(tx, EventKind.SECOND_FACTOR_BEGUN, by=by, now=now)
        return secret

    return _tried(store, begin, by=by, act="begin", password=password, now=now)


def confirm_enrolment(store: Store, cipher: FactorCipher, *, by: Caller, sign_in: str, code: str, now: datetime) -> tuple[str, ...] | Deny:
    """From now on the factor counts, and this sign-in has proven it. Gives the recovery codes, to be shown once."""

    def confirm(tx: Connection, row: PersonRow, **_: object) -> tuple[str, ...] | Deny:
        name = row.person.name
        begun = tx.execute(select(second_factors).where(second_factors.c.person == name)).first()
        verdict = deciding(lambda: decide_enrolling(begun_at=begun.begun_at if begun else None, is_enrolled=row.has_second_factor, now=now))
        if begun is None or isinstance(verdict, Deny):
            return verdict if isinstance(verdict, Deny) else Deny(Reason.CODE_TOO_LATE)
        used = use_step(tx, name, matching_step(parse_code(code), cipher.decrypt(begun.secret, person=name), now=now), last_step=begun.last_step)
        if isinstance(used, Deny):
            return used
        tx.execute(update(second_factors).where(second_factors.c.person == name).values(confirmed_at=now))
        _prove(tx, name, sign_in, now=now)
        note(tx, EventKind.SECOND_FACTOR_ENROLLED, by=by, now=now, details={"sign_in": sign_in})
        return give_recovery_codes(tx, name)

    return _tried(store, confirm, by=by, act="enrol", is_code=True, now=now)


def prove_again(store: Store, cipher: FactorCipher, *, by: Caller, sign_in: str, code: str, now: datetime) -> Person | Deny:
    """A code for a sign-in that is there already."""

    def prove(tx: Connection, row: PersonRow, **_: object) -> Person | Deny:
        if not _is_signed_in(tx, row.person.name, sign_in):
            return Deny(Reason.NOT_SIGNED_IN)
        used = use_code(tx, cipher, person=row.person.name, typed=code, now=now)
        if isinstance(used, Deny):
            return used
        _prove(tx, row.person.name, sign_in, now=now)
        note(tx, EventKind.SECOND_FACTOR_PROVEN, by=by, now=now, details={"sign_in": sign_in, "with": used.rule})
        return row.person

    return _tried(store, prove, by=by, act="confirm", is_code=True, now=now)


def remove_factor(store: Store, cipher: FactorCipher, *, by: Caller, password: str, code: str, now: datetime) -> Person | Deny:
    """One's own. What it proved is proven no longer."""

    def remove(tx: Connection, row: PersonRow, *, matches: bool) -> Person | Deny:
        used = _use_both(tx, cipher, row, code, matches=matches, now=now)
        if isinstance(used, Deny):
            return used
        forget_factor(tx, row.person.name)
        note(tx, EventKind.SECOND_FACTOR_REMOVED, by=by, now=now, details={"with": used})
        return row.person

    return _tried(store, remove, by=by, act="remove", password=password, is_code=True, now=now)


def renew_recovery_codes(store: Store, cipher: FactorCipher, *, by: Caller, password: str, code: str, now: datetime) -> tuple[str, ...] | Deny:
    """New recovery codes, to be shown once; those that were there are void."""

    def renew(tx: Connection, row: PersonRow, *, matches: bool) -> tuple[str, ...] | Deny:
        used = _use_both(tx, cipher, row, code, matches=matches, now=now)
        if isinstance(used, Deny):
            return used
        note(tx, EventKind.RECOVERY_CODES_RENEWED, by=by, now=now, details={"with": used})
        return give_recovery_codes(tx, row.person.name)

    return _tried(store, renew, by=by, act="renew-recovery-codes", password=password, is_code=True, now=now)


def reset_factor(store: Store, *, by: Caller, name: str, now: datetime) -> Person | Deny:
    """Another's, by an administrator: the device is lost, and the recovery codes with it. Every sign-in of that person ends."""
    with store.writing() as tx:
        row = find_person(tx, name, lock=True) if is_name(name) else None
        caller = as_of_now(tx, by)
        is_enrolled = row is not None and row.has_second_factor
        verdict = (
            caller if isinstance(caller, Deny) else deciding(lambda: decide_resetting(caller.person, name, is_known=row is not None, is_enrolled=is_enrolled))
        )
        if isinstance(verdict, Deny):
            return refuse(tx, EventKind.SECOND_FACTOR_REFUSED, verdict, by=by, now=now, details={"act": "reset", "person": shown(name)})
        assert row is not None
        forget_factor(tx, name)
        note(tx, EventKind.SECOND_FACTOR_RESET, by=by, now=now, details={"person": name, "sign_ins_ended": end_sign_ins(tx, name, now=now)})
        return row.person


def _tried(
    store: Store, act_on: Callable[..., T | Deny], *, by: Caller, act: str, password: str | None = None, is_code: bool = False, now: datetime
) -> T | Deny:
    """Count the try, look at the password if there is one, then act on the caller's own row, which is locked; a refusal is written down in the end."""

    def refused(tx: Connection, denial: Deny) -> Deny:
        return refuse(tx, EventKind.SECOND_FACTOR_REFUSED, denial, by=by, now=now, details={"act": act})

    attempt = begin_attempt(store, Knock.of(by, now), is_code=is_code, refuse=refused)
    if isinstance(attempt, Deny):
        return attempt
    matched = None if password is None else matched_hash(store, by.person.name, password)
    with store.writing() as tx:
        row = find_person(tx, by.person.name, lock=True)
        caller = as_of_now(tx, by)
        if isinstance(caller, Deny) or row is None:
            return refused(tx, caller if isinstance(caller, Deny) else Deny(Reason.NOT_SIGNED_IN))
        done = act_on(tx, row, matches=matched is not None and row.password_hash == matched)
        if isinstance(done, Deny):
            return refused(tx, done)
        take_back(tx, attempt)
        return done


def _use_both(tx: Connection, cipher: FactorCipher, row: PersonRow, code: str, *, matches: bool, now: datetime) -> str | Deny:
    """The password first: who does not know it uses no code up. Gives what was used."""
    verdict = deciding(lambda: decide_password(matches=matches, is_disabled=row.is_disabled))
    used = verdict if isinstance(verdict, Deny) else use_code(tx, cipher, person=row.person.name, typed=code, now=now)
    return used if isinstance(used, Deny) else used.rule


def _is_signed_in(tx: Connection, person: str, sign_in: str) -> bool:
    row = find_sign_in(tx, sign_in)
    return row is not None and row.person == person and row.ended_at is None


def _prove(tx: Connection, person: str, sign_in: str, *, now: datetime) -> None:
    tx.execute(update(sign_ins).where(sign_ins.c.id == sign_in, sign_ins.c.person == person).values(second_factor_at=now))
