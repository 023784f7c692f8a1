"""Signing in, staying signed in, signing out. A sign-in is a secret of 256 bits that only its fingerprint is kept of; it is bound to nothing but its
person, its time and the places of the settings, which are looked at again each time it is used.

A cookie lives 12 hours and 1 hour without use; an API token lives 12 hours: it is for a person at a shell, so a working day is enough. A sign-in
link is good once, within 24 hours; using it voids the password that was there, and a new one is set afterwards. Who has a second factor is signed in
by neither without a code, in a second step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, delete, insert, select, update

from sekisho.identity.cipher import FactorCipher
from sekisho.identity.passwords import hash_password
from sekisho.identity.people import end_sign_ins
from sekisho.identity.proving import use_code
from sekisho.identity.trying import Knock, begin_attempt, matched_hash, take_back
from sekisho.model.event import Event, EventKind
from sekisho.model.people import Caller, Channel, Person
from sekisho.model.reasons import Reason
from sekisho.model.room import Place
from sekisho.policy.deciding import deciding
from sekisho.policy.second_factor import STEP_LIFE, Proof
from sekisho.policy.signin import (
    SIGN_IN_LIFE,
    SignInFacts,
    check_new_password,
    counted_address,
    decide_password,
    decide_sign_in_place,
    decide_stay_signed_in,
)
from sekisho.policy.texts import is_name, shown
from sekisho.policy.verdict import Allow, Deny
from sekisho.store import outbox
from sekisho.store.database import Store
from sekisho.store.events import note, refuse
from sekisho.store.people import PersonRow, as_of_now, find_person, find_sign_in_by_fingerprint
from sekisho.store.refusals import Tally
from sekisho.store.tables import people, sign_in_links, sign_in_steps, sign_ins
from sekisho.system import randomness

_NO_LINK = Deny(Reason.LINK_USED_OR_OLD)
_TOO_LATE = Deny(Reason.CODE_TOO_LATE)
_SEEN_EVERY = timedelta(minutes=1)  # not each page is worth a write


@dataclass(frozen=True, slots=True)
class SignIn:
    """A sign-in that holds now. `id` is no secret."""

    id: str
    person: Person
    kind: str  # "cookie" or "token"
    expires_at: datetime
    proof: Proof


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A sign-in that was just made, and its secret: the cookie or the token. It cannot be had again."""

    secret: str
    sign_in: SignIn

    @property
    def person(self) -> Person:
        return self.sign_in.person

    @property
    def expires_at(self) -> datetime:
        return self.sign_in.expires_at


@dataclass(frozen=True, slots=True)
class CodeAsked:
    """The password or the link was right, and the person has a second factor: `finish_sign_in` takes this secret and a code, within a few minutes."""

    secret: str


def sign_in_with_password(
    store: Store,
    *,
    name: str,
    password: str,
    address: str,
    channel: Channel,
    places: Sequence[Place] = (),
    sign_in_places: Sequence[str] = (),
    now: datetime,
) -> SignedIn | CodeAsked | Deny:
    """A cookie for a page, a token for the API. The password is looked at outside of any transaction, for that takes its time; the try is counted before."""
    knock = Knock(name if is_name(name) else "", address, channel, now)
    attempt = begin_attempt(store, knock, refuse=partial(_refused, knock=knock), places=places, sign_in_places=sign_in_places)
    if isinstance(attempt, Deny):
        return attempt
    matched = matched_hash(store, knock.name, password)
    with store.writing() as tx:
        row = find_person(tx, knock.name, lock=True)
        is_right = row is not None and matched is not None and row.password_hash == matched
        verdict = deciding(lambda: decide_password(matches=is_right, is_disabled=row is not None and row.is_disabled))
        if isinstance(verdict, Deny):
            return _refused(tx, verdict, knock)
        assert row is not None
        take_back(tx, attempt)
        return _passed(tx, row, knock, how="password")


def use_link(
    store: Store,
    *,
    secret: str,
    address: str,
    channel: Channel = Channel.PAGE,
    places: Sequence[Place] = (),
    sign_in_places: Sequence[str] = (),
    tally: Tally,
    now: datetime,
) -> SignedIn | CodeAsked | Deny:
    """Sign in by a link, once. The password that was there, if any, and all other sign-ins and links of the person are void from now on.

    Links that never were are refused as `tally` allows: anybody can make them up, and none but the first of them is worth a write.
    """
    fingerprint, more = randomness.fingerprint(secret), 0
    if not _is_known_link(store, fingerprint):
        counted = tally.to_write(counted_address(address), _NO_LINK.reason, now=now)
        if counted is None:
            return _NO_LINK
        more = counted
    with store.writing() as tx:
        row = _link_owner(tx, fingerprint, now=now)
        knock = Knock(row.person.name if row else "", address, channel, now)
        verdict = deciding(lambda: _decide_link(row, address=address, places=places, sign_in_places=sign_in_places))
        if isinstance(verdict, Deny):
            return _refused(tx, verdict, knock, more=more)
        assert row is not None
        tx.execute(update(people).where(people.c.name == knock.name).values(password_hash=None))
        end_sign_ins(tx, knock.name, now=now)
        return _passed(tx, row, knock, how="link")


def finish_sign_in(
    store: Store,
    cipher: FactorCipher,
    *,
    secret: str,
    code: str,
    address: str,
    channel: Channel,
    places: Sequence[Place] = (),
    sign_in_places: Sequence[str] = (),
    tally: Tally,
    now: datetime,
) -> SignedIn | Deny:
    """The second step, for whom the first one asked for a code. A wrong code may be tried again, as often as a password."""
    fingerprint = randomness.fingerprint(secret)
    with store.reading() as tx:
        known = tx.execute(select(sign_in_steps.c.person).where(sign_in_steps.c.fingerprint == fingerprint)).scalar()
    knock = Knock(known or "", address, channel, now)
    refuse = partial(_refused, knock=knock)
    if known is None:
        more = tally.to_write(counted_address(address), _TOO_LATE.reason, now=now)
        return _TOO_LATE if more is None else _refused_alone(store, _TOO_LATE, knock, more=more)
    attempt = begin_attempt(store, knock, is_code=True, refuse=refuse, places=places, sign_in_places=sign_in_places)
    if isinstance(attempt, Deny):
        return attempt
    with store.writing() as tx:
        row = find_person(tx, known, lock=True)
        mine = (sign_in_steps.c.fingerprint == fingerprint, sign_in_steps.c.expires_at > now)
        how = tx.execute(select(sign_in_steps.c.how).where(*mine)).scalar()
        used = _TOO_LATE if row is None or how is None else use_code(tx, cipher, person=known, typed=code, now=now)
        if row is None or how is None or isinstance(used, Deny):
            return refuse(tx, used if isinstance(used, Deny) else _TOO_LATE)
        take_back(tx, attempt)
        tx.execute(delete(sign_in_steps).where(*mine))
        return _signed_in(tx, row, knock, how=how, second_factor=used.rule)


def resolve(store: Store, *, secret: str, address: str, places: Sequence[Place] = (), sign_in_places: Sequence[str] = (), now: datetime) -> SignIn | Deny:
    """Whose cookie or token this is, if it holds from this address now. Writes no event: the door that asked says what was refused."""
    fingerprint = randomness.fingerprint(secret)
    with store.reading() as tx:
        row = find_sign_in_by_fingerprint(tx, fingerprint)
        person = find_person(tx, row.person) if row else None
    if row is None or person is None:
        return Deny(Reason.NOT_SIGNED_IN)
    facts = SignInFacts(
        kind=row.kind,
        address=address,
        seen_at=row.seen_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        is_person_disabled=person.is_disabled,
        places=places,
        sign_in_places=sign_in_places,
        now=now,
    )
    verdict = deciding(lambda: decide_stay_signed_in(facts))
    if isinstance(verdict, Deny):
        return verdict
    if now - row.seen_at >= _SEEN_EVERY:
        with store.writing() as tx:
            tx.execute(update(sign_ins).where(sign_ins.c.id == row.id, sign_ins.c.seen_at < now).values(seen_at=now))
    return SignIn(row.id, person.person, row.kind, row.expires_at, Proof(person.has_second_factor, row.second_factor_at))


def sign_out(store: Store, *, sign_in: SignIn, address: str, channel: Channel, now: datetime) -> None:
    """End this sign-in. Signing out twice is done at once."""
    by = Caller(sign_in.person, address, channel)
    kind = EventKind.TOKEN_REVOKED if sign_in.kind == "token" else EventKind.SIGNED_OUT
    with store.writing() as tx:
        ended = tx.execute(update(sign_ins).where(sign_ins.c.id == sign_in.id, sign_ins.c.ended_at.is_(None)).values(ended_at=now))
        if ended.rowcount:
            note(tx, kind, by=by, now=now, details={"sign_in": sign_in.id})


def set_password(store: Store, *, by: Caller, sign_in: str, password: str, current: str = "", now: datetime) -> Person | Deny:
    """One's own password. `current` is needed where there is one. All other sign-ins of the person end; `sign_in` is the id of the one that stays."""
    knock = Knock.of(by, now)
    attempt = begin_attempt(store, knock, refuse=partial(_refused, knock=knock))
    if isinstance(attempt, Deny):
        return attempt
    matched = matched_hash(store, knock.name, current)
    hashed = None if check_new_password(password) else hash_password(password)
    with store.writing() as tx:
        caller = as_of_now(tx, by)
        row = find_person(tx, by.person.name, lock=True)
        is_allowed = row is not None and row.password_hash == matched
        verdict = (
            caller if isinstance(caller, Deny) else check_new_password(password) or deciding(lambda: decide_password(matches=is_allowed, is_disabled=False))
        )
        if isinstance(verdict, Deny):
            return refuse(tx, EventKind.ACCESS_REFUSED, verdict, by=by, now=now, details={"act": "set-password"})
        assert row is not None
        take_back(tx, attempt)
        tx.execute(update(people).where(people.c.name == by.person.name).values(password_hash=hashed))
        ended = end_sign_ins(tx, by.person.name, now=now, kept=sign_in)
        note(tx, EventKind.PASSWORD_SET, by=by, now=now, details={"sign_ins_ended": ended})
        return row.person


def _is_known_link(store: Store, fingerprint: str) -> bool:
    with store.reading() as tx:
        return tx.execute(select(sign_in_links.c.person).where(sign_in_links.c.fingerprint == fingerprint)).first() is not None


def _link_owner(tx: Connection, fingerprint: str, *, now: datetime) -> PersonRow | None:
    wanted = select(sign_in_links.c.person).where(
        sign_in_links.c.fingerprint == fingerprint, sign_in_links.c.used_at.is_(None), sign_in_links.c.expires_at > now
    )
    name = tx.execute(wanted).scalar()
    if name is None:
        return None
    row = find_person(tx, name, lock=True)
    return row if tx.execute(wanted).scalar() is not None else None  # another may have used it while this one waited for the lock


def _decide_link(row: PersonRow | None, *, address: str, places: Sequence[Place], sign_in_places: Sequence[str]) -> Allow | Deny:
    if row is None:
        return _NO_LINK
    return Deny(Reason.PERSON_DISABLED) if row.is_disabled else decide_sign_in_place(address, places=places, sign_in_places=sign_in_places)


def _passed(tx: Connection, row: PersonRow, knock: Knock, *, how: str) -> SignedIn | CodeAsked:
    """The first step was right. Who was asked for a code is signed in by nothing yet."""
    if not row.has_second_factor:
        return _signed_in(tx, row, knock, how=how)
    secret = randomness.token()
    tx.execute(delete(sign_in_steps).where(sign_in_steps.c.expires_at <= knock.now))
    step = {"person": row.person.name, "how": how, "expires_at": knock.now + STEP_LIFE}
    tx.execute(insert(sign_in_steps).values(fingerprint=randomness.fingerprint(secret), **step))
    where = {"address": shown(knock.address), "channel": str(knock.channel)}
    outbox.append(tx, Event(EventKind.SECOND_FACTOR_ASKED, knock.now, details={"person": row.person.name, "how": how}, **where))
    return CodeAsked(secret)


def _signed_in(tx: Connection, row: PersonRow, knock: Knock, *, how: str, second_factor: str = "") -> SignedIn:
    """`second_factor` is what was given as one, if anything was."""
    made = _make_sign_in(tx, row, knock, is_proven=second_factor != "")
    by = Caller(row.person, knock.address, knock.channel)
    proven = {"second_factor": second_factor} if second_factor else {}
    note(tx, EventKind.SIGNED_IN, by=by, now=knock.now, details={"how": how, "sign_in": made.sign_in.id, "kind": made.sign_in.kind, **proven})
    return made


def _make_sign_in(tx: Connection, row: PersonRow, knock: Knock, *, is_proven: bool) -> SignedIn:
    secret, now = randomness.token(), knock.now
    kind = "token" if knock.channel is Channel.API else "cookie"
    proof = Proof(row.has_second_factor, now if is_proven else None)
    made = SignIn(randomness.identifier("i-"), row.person, kind, now + SIGN_IN_LIFE, proof)
    times = {"created_at": now, "seen_at": now, "expires_at": made.expires_at, "second_factor_at": proof.at}
    told = {"id": made.id, "fingerprint": randomness.fingerprint(secret), "person": row.person.name, "kind": kind, "address": shown(knock.address)}
    tx.execute(insert(sign_ins).values(**told, **times))
    return SignedIn(secret, made)


def _refused_alone(store: Store, denial: Deny, knock: Knock, *, more: int) -> Deny:
    with store.writing() as tx:
        return _refused(tx, denial, knock, more=more)


def _refused(tx: Connection, denial: Deny, knock: Knock, *, more: int = 0) -> Deny:
    """The name stands in the details: nobody has shown to be that person. So does how many before this one were only counted."""
    named: dict[str, object] = {"person": knock.name} if knock.name else {}
    event = Event(
        EventKind.SIGN_IN_REFUSED,
        knock.now,
        address=shown(knock.address),
        channel=str(knock.channel),
        reason=str(denial.reason),
        details=named | ({"more": more} if more else {}),
    )
    outbox.append(tx, event)
    return denial
