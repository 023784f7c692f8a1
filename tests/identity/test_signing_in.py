"""Signing in and staying signed in; what is refused is refused alike and in the log, and guessing does not pay."""

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from sekisho.identity import passwords
from sekisho.identity.people import add_person, disable_person, issue_sign_in_link
from sekisho.identity.signin import SignedIn, SignIn, resolve, set_password, sign_in_with_password, sign_out, use_link
from sekisho.model.people import Caller, Channel, Person
from sekisho.model.reasons import Reason
from sekisho.model.room import Place
from sekisho.policy.verdict import Deny
from sekisho.store.database import Store
from sekisho.store.refusals import Tally
from sekisho.store.tables import attempts, outbox, people

NOW = datetime(2026, 3, 4, 3, 0, tzinfo=UTC)
OFFICE, ELSEWHERE = "192.0.2.7", "203.0.113.5"
PLACES = (Place("office", ("192.0.2.0/24",)),)
PASSWORD = "正しい馬 battery staple"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same algorithm with little work: what it costs is not what these tests promise."""
    light = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", light)
    monkeypatch.setattr(passwords, "_DUMMY", light.hash("of nothing"))


@pytest.fixture
def filled(store: Store) -> Store:
    for name in ("hanako", "taro"):
        add_person(store, by=None, name=name, now=NOW)
    with store.writing() as tx:
        tx.execute(people.update().where(people.c.name == "hanako").values(password_hash=passwords.hash_password(PASSWORD)))
    return store


def kinds(store: Store) -> Sequence[tuple[str, str]]:
    with store.reading() as tx:
        told = tx.execute(select(outbox.c.event).order_by(outbox.c.id)).scalars().all()
    return [(event["kind"], event.get("reason", "")) for event in told if event["kind"] != "person.added"]


def attempt(
    store: Store,
    password: str = PASSWORD,
    *,
    name: str = "hanako",
    address: str = OFFICE,
    channel: Channel = Channel.PAGE,
    wanted: Sequence[str] = (),
    now: datetime = NOW,
) -> SignedIn | Deny:
    return sign_in_with_password(store, name=name, password=password, address=address, channel=channel, places=PLACES, sign_in_places=wanted, now=now)


def signed_in(store: Store, **how: object) -> SignedIn:
    made = attempt(store, **how)  # type: ignore[arg-type]
    assert isinstance(made, SignedIn)
    return made


def reason(outcome: object) -> Reason | None:
    return outcome.reason if isinstance(outcome, Deny) else None


def test_the_right_password_gives_a_sign_in_that_is_found_again(filled: Store):
    made = signed_in(filled)
    found = resolve(filled, secret=made.secret, address=OFFICE, now=NOW)
    assert found == made.sign_in
    assert isinstance(found, SignIn)
    assert (found.person.name, found.kind, found.expires_at) == ("hanako", "cookie", NOW + timedelta(hours=12))
    assert kinds(filled) == [("signed-in", "")]


def test_over_the_api_it_is_a_token(filled: Store):
    assert signed_in(filled, channel=Channel.API).sign_in.kind == "token"


def test_the_same_characters_from_another_keyboard_are_the_same_password(filled: Store):
    wide = PASSWORD.replace("battery", "\uff42\uff41\uff54\uff54\uff45\uff52\uff59")
    assert isinstance(attempt(filled, wide), SignedIn)


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("hanako", "wrong password, wrong"),
        ("hanako", ""),
        ("hanako", PASSWORD + "x" * 300),
        ("taro", ""),
        ("taro", PASSWORD),
        ("nobody", PASSWORD),
        ("", PASSWORD),
        ("'; DROP TABLE people; --", PASSWORD),
        ("nul\0", PASSWORD),
        ("\ud800", "\ud800"),
        ("x" * 100_000, "x" * 100_000),
    ],
    ids=["wrong", "empty", "longer", "none set, empty", "none set", "nobody", "no name", "quotes", "nul", "half a surrogate", "endless"],
)
def test_who_does_not_know_the_password_hears_the_same_whoever_they_say_they_are(filled: Store, name: str, password: str):
    assert attempt(filled, password, name=name) == Deny(Reason.WRONG_PASSWORD)
    assert kinds(filled) == [("sign-in.refused", "wrong-password")]


def test_a_refused_sign_in_is_not_written_down_as_the_act_of_that_person(filled: Store):
    attempt(filled, "wrong password")
    with filled.reading() as tx:
        event = tx.execute(select(outbox.c.event).order_by(outbox.c.id.desc()).limit(1)).scalar_one()
    assert "by" not in event
    assert (event["details"], event["address"]) == ({"person": "hanako"}, OFFICE)


def test_a_disabled_person_hears_so_only_with_the_right_password(filled: Store):
    disable_person(filled, by=None, name="hanako", now=NOW)
    assert reason(attempt(filled, "wrong password")) is Reason.WRONG_PASSWORD
    assert reason(attempt(filled)) is Reason.PERSON_DISABLED


def test_sign_in_is_bound_to_the_places_of_the_settings_where_there_are_any(filled: Store):
    assert reason(attempt(filled, address=ELSEWHERE, wanted=("office",))) is Reason.OUTSIDE_PLACE
    made = signed_in(filled, wanted=("office",))
    assert reason(resolve(filled, secret=made.secret, address=ELSEWHERE, places=PLACES, sign_in_places=("office",), now=NOW)) is Reason.OUTSIDE_PLACE
    assert isinstance(resolve(filled, secret=made.secret, address=OFFICE, places=PLACES, sign_in_places=("office",), now=NOW), SignIn)


def test_five_wrong_passwords_lock_out_the_right_one_for_five_minutes(filled: Store):
    for _ in range(5):
        assert reason(attempt(filled, "wrong password")) is Reason.WRONG_PASSWORD
    assert reason(attempt(filled)) is Reason.TOO_MANY_ATTEMPTS
    assert reason(attempt(filled, now=NOW + timedelta(minutes=4, seconds=59))) is Reason.TOO_MANY_ATTEMPTS
    assert isinstance(attempt(filled, now=NOW + timedelta(minutes=10)), SignedIn)


def test_a_lockout_is_of_one_address_so_that_nobody_locks_out_another(filled: Store):
    for _ in range(6):
        attempt(filled, "wrong password")
    assert isinstance(attempt(filled, address=ELSEWHERE), SignedIn)


def test_twenty_wrong_names_lock_out_the_address(filled: Store):
    for number in range(20):
        assert reason(attempt(filled, "wrong password", name=f"guess{number}")) is Reason.WRONG_PASSWORD
    assert reason(attempt(filled)) is Reason.TOO_MANY_ATTEMPTS


def test_who_goes_on_guessing_does_not_fill_the_log(filled: Store):
    for number in range(60):
        attempt(filled, "wrong password", name=f"guess{number % 30}")
    assert len(kinds(filled)) <= 21 + 1
    assert kinds(filled)[-1] == ("sign-in.refused", "too-many-attempts")


def test_a_success_takes_its_try_back(filled: Store):
    for _ in range(30):
        assert isinstance(attempt(filled), SignedIn)
    with filled.reading() as tx:
        assert tx.execute(select(attempts)).all() == []


def test_many_guesses_at_once_are_no_more_than_many_in_a_row(filled: Store):
    outcomes: list[object] = []
    start = threading.Barrier(12)

    def guess() -> None:
        start.wait(timeout=20)
        outcomes.append(reason(attempt(filled, "wrong password")))

    threads = [threading.Thread(target=guess) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert outcomes.count(Reason.WRONG_PASSWORD) == 5
    assert outcomes.count(Reason.TOO_MANY_ATTEMPTS) == 7


@pytest.mark.parametrize("secret", ["", "nonsense", "x" * 10_000, "\ud800", "nul\0"])
def test_a_secret_that_is_none_signs_nobody_in(filled: Store, secret: str):
    assert resolve(filled, secret=secret, address=OFFICE, now=NOW) == Deny(Reason.NOT_SIGNED_IN)
    assert use_link(filled, secret=secret, address=OFFICE, tally=Tally(), now=NOW) == Deny(Reason.LINK_USED_OR_OLD)


def test_who_makes_up_links_does_not_fill_the_log(filled: Store):
    tally, knocks = Tally(), [f"2001:db8::{at:x}" for at in range(25)]  # one machine, many addresses
    used, now = issue_sign_in_link(filled, by=None, name="taro", now=NOW), NOW + timedelta(minutes=1)
    assert isinstance(use_link(filled, secret=used, address=OFFICE, tally=tally, now=NOW), SignedIn)
    before = len(kinds(filled))
    for at, address in enumerate(knocks):
        assert use_link(filled, secret=f"made-up-{at}", address=address, tally=tally, now=NOW) == Deny(Reason.LINK_USED_OR_OLD)
    assert len(kinds(filled)) == before + 10
    use_link(filled, secret=used, address=knocks[0], tally=tally, now=NOW)
    assert len(kinds(filled)) == before + 11, "a link that was one is always written down"
    use_link(filled, secret="made-up", address=knocks[0], tally=tally, now=now)
    with filled.reading() as tx:
        last = tx.execute(select(outbox.c.event).order_by(outbox.c.id.desc()).limit(1)).scalar_one()
    assert (last["kind"], last["details"]) == ("sign-in.refused", {"more": 15})


def test_a_cookie_is_over_after_an_hour_without_use(filled: Store):
    made = signed_in(filled)
    assert isinstance(resolve(filled, secret=made.secret, address=OFFICE, now=NOW + timedelta(minutes=59)), SignIn)
    assert isinstance(resolve(filled, secret=made.secret, address=OFFICE, now=NOW + timedelta(minutes=118)), SignIn)
    assert reason(resolve(filled, secret=made.secret, address=OFFICE, now=NOW + timedelta(minutes=178))) is Reason.NOT_SIGNED_IN


def test_no_use_makes_a_sign_in_outlive_its_twelve_hours(filled: Store):
    made = signed_in(filled)
    for minutes in range(0, 720, 30):
        assert isinstance(resolve(filled, secret=made.secret, address=OFFICE, now=NOW + timedelta(minutes=minutes)), SignIn)
    assert reason(resolve(filled, secret=made.secret, address=OFFICE, now=NOW + timedelta(hours=12))) is Reason.NOT_SIGNED_IN


def test_signing_out_ends_this_sign_in_alone_and_once(filled: Store):
    first, second = signed_in(filled), signed_in(filled)
    for _ in range(2):
        sign_out(filled, sign_in=first.sign_in, address=OFFICE, channel=Channel.PAGE, now=NOW)
    assert reason(resolve(filled, secret=first.secret, address=OFFICE, now=NOW)) is Reason.NOT_SIGNED_IN
    assert isinstance(resolve(filled, secret=second.secret, address=OFFICE, now=NOW), SignIn)
    assert kinds(filled)[2:] == [("signed-out", "")]


def test_a_token_has_no_idle_time_and_is_revoked_by_signing_out(filled: Store):
    made = signed_in(filled, channel=Channel.API)
    found = resolve(filled, secret=made.secret, address=OFFICE, now=NOW + timedelta(hours=11))
    assert isinstance(found, SignIn)
    sign_out(filled, sign_in=found, address=OFFICE, channel=Channel.API, now=NOW)
    assert kinds(filled) == [("signed-in", ""), ("token.revoked", "")]


# setting a password


def linked(store: Store, name: str) -> SignedIn:
    secret = issue_sign_in_link(store, by=None, name=name, now=NOW)
    assert isinstance(secret, str)
    made = use_link(store, secret=secret, address=OFFICE, tally=Tally(), now=NOW)
    assert isinstance(made, SignedIn)
    return made


def change(store: Store, made: SignedIn, new: str, *, current: str = "") -> Person | Deny:
    by = Caller(made.person, OFFICE, Channel.PAGE)
    return set_password(store, by=by, sign_in=made.sign_in.id, password=new, current=current, now=NOW)


def test_a_newcomer_sets_a_password_and_signs_in_with_it(filled: Store):
    made = linked(filled, "taro")
    assert isinstance(change(filled, made, "a password of mine"), Person)
    assert isinstance(attempt(filled, "a password of mine", name="taro"), SignedIn)


def test_a_link_voids_the_password_and_every_other_sign_in(filled: Store):
    before = signed_in(filled)
    made = linked(filled, "hanako")
    assert reason(attempt(filled)) is Reason.WRONG_PASSWORD
    assert reason(resolve(filled, secret=before.secret, address=OFFICE, now=NOW)) is Reason.NOT_SIGNED_IN
    assert isinstance(resolve(filled, secret=made.secret, address=OFFICE, now=NOW), SignIn)


def test_changing_a_password_needs_the_one_before_and_ends_the_other_sign_ins(filled: Store):
    other, made = signed_in(filled), signed_in(filled)
    assert reason(change(filled, made, "a new password, long")) is Reason.WRONG_PASSWORD
    assert reason(change(filled, made, "a new password, long", current="wrong")) is Reason.WRONG_PASSWORD
    assert reason(change(filled, made, "too short", current=PASSWORD)) is Reason.PASSWORD_TOO_SHORT
    assert isinstance(change(filled, made, "a new password, long", current=PASSWORD), Person)
    assert reason(resolve(filled, secret=other.secret, address=OFFICE, now=NOW)) is Reason.NOT_SIGNED_IN
    assert isinstance(resolve(filled, secret=made.secret, address=OFFICE, now=NOW), SignIn)
    assert [kind for kind, _ in kinds(filled)[2:]] == ["access.refused"] * 3 + ["password.set"]


def test_guessing_the_current_password_is_counted_too(filled: Store):
    made = signed_in(filled)
    for _ in range(5):
        change(filled, made, "a new password, long", current="wrong")
    assert reason(change(filled, made, "a new password, long", current=PASSWORD)) is Reason.TOO_MANY_ATTEMPTS


def test_a_link_used_twice_at_once_signs_in_once(filled: Store):
    secret = issue_sign_in_link(filled, by=None, name="taro", now=NOW)
    assert isinstance(secret, str)
    outcomes: list[object] = []
    start = threading.Barrier(6)

    def use() -> None:
        start.wait(timeout=20)
        outcomes.append(reason(use_link(filled, secret=secret, address=OFFICE, tally=Tally(), now=NOW)))

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert outcomes.count(None) == 1
    assert outcomes.count(Reason.LINK_USED_OR_OLD) == 5


def test_a_password_is_kept_as_argon2id_of_the_recommended_strength(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    stored = passwords.hash_password(PASSWORD)
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert passwords.matches(PASSWORD, stored)
    assert not passwords.matches("wrong password", stored)
    assert not passwords.matches("", None)


def test_it_takes_as_long_to_refuse_nobody_as_somebody(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    stored = passwords.hash_password(PASSWORD)

    def quickest(hashed: str | None) -> float:
        times = []
        for _ in range(3):
            before = time.perf_counter()
            passwords.matches("wrong password", hashed)
            times.append(time.perf_counter() - before)
        return min(times)

    assert quickest(None) > quickest(stored) / 3
