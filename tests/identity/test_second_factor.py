"""Second factors: a secret counts once a code confirmed it, each code is good once, guessing does not pay, and nobody takes one away without proof."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update
from tests.identity.authenticator import STEP, code_at

from sekisho.identity import passwords
from sekisho.identity.cipher import FactorCipher
from sekisho.identity.people import add_person, disable_person, issue_sign_in_link
from sekisho.identity.second_factor import (
    begin_enrolment,
    confirm_enrolment,
    factor_of,
    prove_again,
    remove_factor,
    renew_recovery_codes,
    reset_factor,
)
from sekisho.identity.signin import CodeAsked, SignedIn, SignIn, finish_sign_in, resolve, set_password, sign_in_with_password, use_link
from sekisho.model.errors import Trouble
from sekisho.model.people import Caller, Channel, Person
from sekisho.model.reasons import Reason
from sekisho.policy.second_factor import ENROLMENT_LIFE, STEP_LIFE, Proof
from sekisho.policy.verdict import Deny
from sekisho.store.database import Store
from sekisho.store.people import find_person
from sekisho.store.refusals import Tally
from sekisho.store.tables import outbox, people, recovery_codes, second_factors, sign_in_steps

NOW = datetime(2026, 3, 4, 3, 0, tzinfo=UTC)
OFFICE, ELSEWHERE = "192.0.2.7", "203.0.113.5"
PASSWORD = "correct horse battery"
CIPHER = FactorCipher(b"k" * 32)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same algorithm with little work: what it costs is not what these tests promise."""
    light = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", light)
    monkeypatch.setattr(passwords, "_DUMMY", light.hash("of nothing"))


@pytest.fixture
def filled(store: Store) -> Store:
    for name, groups in (("hanako", ()), ("taro", ()), ("admin", ("administrators",))):
        add_person(store, by=None, name=name, groups=groups, now=NOW)
    with store.writing() as tx:
        tx.execute(people.update().where(people.c.name != "taro").values(password_hash=passwords.hash_password(PASSWORD)))
    return store


def by(store: Store, name: str = "hanako", *, address: str = OFFICE) -> Caller:
    with store.reading() as tx:
        row = find_person(tx, name)
    assert row is not None
    return Caller(row.person, address, Channel.PAGE)


def events(store: Store, kind: str = "") -> list[dict]:
    with store.reading() as tx:
        told = tx.execute(select(outbox.c.event).order_by(outbox.c.id)).scalars().all()
    return [event for event in told if event["kind"].startswith(kind) and event["kind"] != "person.added"]


def kinds(store: Store, kind: str = "") -> Sequence[tuple[str, str]]:
    return [(event["kind"], event.get("reason", "")) for event in events(store, kind)]


def first_step(store: Store, *, name: str = "hanako", password: str = PASSWORD, address: str = OFFICE, now: datetime = NOW) -> SignedIn | CodeAsked | Deny:
    return sign_in_with_password(store, name=name, password=password, address=address, channel=Channel.PAGE, now=now)


def second_step(store: Store, step: str, code: str, *, address: str = OFFICE, now: datetime = NOW, tally: Tally | None = None) -> SignedIn | Deny:
    return finish_sign_in(store, CIPHER, secret=step, code=code, address=address, channel=Channel.PAGE, tally=tally or Tally(), now=now)


def asked(store: Store, *, address: str = OFFICE, now: datetime = NOW) -> str:
    step = first_step(store, address=address, now=now)
    assert isinstance(step, CodeAsked)
    return step.secret


def signed_in(store: Store, *, now: datetime = NOW, name: str = "hanako") -> SignedIn:
    made = first_step(store, name=name, now=now)
    assert isinstance(made, SignedIn)
    return made


def begun(store: Store, *, now: datetime = NOW, name: str = "hanako") -> bytes:
    secret = begin_enrolment(store, CIPHER, by=by(store, name), password=PASSWORD, now=now)
    assert isinstance(secret, bytes)
    return secret


def confirm(store: Store, sign_in: str, code: str, *, now: datetime = NOW) -> tuple[str, ...] | Deny:
    return confirm_enrolment(store, CIPHER, by=by(store), sign_in=sign_in, code=code, now=now)


def enrolled(store: Store, *, name: str = "hanako") -> tuple[bytes, SignedIn, tuple[str, ...]]:
    """The secret, the sign-in that confirmed it, and the recovery codes. The code of NOW is used up by it."""
    here = signed_in(store, name=name)
    secret = begun(store, name=name)
    codes = confirm_enrolment(store, CIPHER, by=by(store, name), sign_in=here.sign_in.id, code=code_at(secret, NOW), now=NOW)
    assert isinstance(codes, tuple)
    return secret, here, codes


def proof(store: Store, made: SignedIn, *, now: datetime = NOW) -> Proof:
    found = resolve(store, secret=made.secret, address=OFFICE, now=now)
    assert isinstance(found, SignIn), found
    return found.proof


def reason(outcome: object) -> Reason | None:
    return outcome.reason if isinstance(outcome, Deny) else None


# setting one up


def test_a_secret_counts_only_once_a_code_confirmed_it_and_that_code_is_a_proof_of_this_sign_in_alone(filled: Store):
    here, elsewhere = signed_in(filled), signed_in(filled)
    secret = begun(filled)
    assert isinstance(first_step(filled), SignedIn), "nobody is asked for a code that was never seen to work"
    codes = confirm(filled, here.sign_in.id, code_at(secret, NOW))
    assert isinstance(codes, tuple)
    assert len(codes) == 10
    assert proof(filled, here) == Proof(is_enrolled=True, at=NOW)
    assert proof(filled, elsewhere) == Proof(is_enrolled=True, at=None)
    assert isinstance(first_step(filled), CodeAsked)
    assert [kind for kind, _ in kinds(filled, "second-factor")] == ["second-factor.begun", "second-factor.enrolled", "second-factor.asked"]


def test_neither_the_secret_nor_a_code_is_readable_in_the_database_or_the_log(filled: Store):
    secret, _, codes = enrolled(filled)
    with filled.reading() as tx:
        stored = tx.execute(select(second_factors.c.secret)).scalar_one()
        kept = tx.execute(select(recovery_codes.c.fingerprint)).scalars().all()
    assert secret not in stored
    told = str(events(filled))
    plain = {code.replace("-", "") for code in codes}
    assert not any(code in told or code in kept for code in {*codes, *plain, secret.hex(), code_at(secret, NOW)})


@pytest.mark.parametrize(("name", "password", "expected"), [("hanako", "wrong", Reason.WRONG_PASSWORD), ("taro", "", Reason.PASSWORD_MISSING)])
def test_a_secret_is_shown_only_for_the_password(filled: Store, name: str, password: str, expected: Reason):
    assert reason(begin_enrolment(filled, CIPHER, by=by(filled, name), password=password, now=NOW)) is expected
    assert kinds(filled) == [("second-factor.refused", expected.value)]


def test_a_wrong_code_confirms_nothing_and_may_be_tried_again(filled: Store):
    here, secret = signed_in(filled), begun(filled)
    assert reason(confirm(filled, here.sign_in.id, "000000")) is Reason.CODE_WRONG
    assert factor_of(filled, "hanako") is None
    assert isinstance(confirm(filled, here.sign_in.id, code_at(secret, NOW)), tuple)


def test_what_was_begun_is_void_after_its_time_and_once_it_is_begun_anew(filled: Store):
    here, first = signed_in(filled), begun(filled)
    late = NOW + ENROLMENT_LIFE
    assert reason(confirm(filled, here.sign_in.id, code_at(first, late), now=late)) is Reason.CODE_TOO_LATE
    second = begun(filled)
    assert reason(confirm(filled, here.sign_in.id, code_at(first, NOW))) is Reason.CODE_WRONG
    assert isinstance(confirm(filled, here.sign_in.id, code_at(second, NOW)), tuple)


def test_whoever_has_one_neither_begins_nor_confirms_another(filled: Store):
    secret, here, _ = enrolled(filled)
    assert reason(begin_enrolment(filled, CIPHER, by=by(filled), password=PASSWORD, now=NOW)) is Reason.SECOND_FACTOR_THERE
    later = NOW + STEP
    assert reason(confirm(filled, here.sign_in.id, code_at(secret, later), now=later)) is Reason.SECOND_FACTOR_THERE


# signing in


def test_the_password_alone_signs_nobody_in_who_has_a_second_factor(filled: Store):
    secret, _, _ = enrolled(filled)
    step = asked(filled)
    assert reason(resolve(filled, secret=step, address=OFFICE, now=NOW)) is Reason.NOT_SIGNED_IN
    later = NOW + STEP
    made = second_step(filled, step, code_at(secret, later), now=later)
    assert isinstance(made, SignedIn)
    assert proof(filled, made, now=later) == Proof(is_enrolled=True, at=later)
    event = events(filled, "signed-in")[-1]
    assert (event["by"], event["details"]["how"], event["details"]["second_factor"]) == ("hanako", "password", "code")


def test_a_right_password_without_a_code_is_in_the_log_and_not_as_the_act_of_that_person(filled: Store):
    enrolled(filled)
    asked(filled, address=ELSEWHERE)
    event = events(filled, "second-factor.asked")[-1]
    assert "by" not in event
    assert (event["address"], event["details"]) == (ELSEWHERE, {"person": "hanako", "how": "password"})


def test_a_code_is_good_once_and_none_is_that_is_older_than_one_that_was_used(filled: Store):
    secret, _, _ = enrolled(filled)
    later = NOW + 2 * STEP
    step = asked(filled, now=later)
    assert reason(second_step(filled, step, code_at(secret, NOW), now=later)) is Reason.CODE_WRONG
    assert isinstance(second_step(filled, step, code_at(secret, later), now=later), SignedIn)
    for code in (code_at(secret, later), code_at(secret, later - STEP)):
        assert reason(second_step(filled, asked(filled, now=later), code, now=later)) is Reason.CODE_USED
    assert isinstance(second_step(filled, asked(filled, now=later), code_at(secret, later + STEP), now=later), SignedIn), "the clock of the device is fast"


def test_a_step_is_good_once_for_ten_minutes_and_not_after_another_password(filled: Store):
    secret, here, codes = enrolled(filled)
    late = NOW + STEP_LIFE
    assert reason(second_step(filled, asked(filled), code_at(secret, late), now=late)) is Reason.CODE_TOO_LATE
    step = asked(filled)
    assert isinstance(second_step(filled, step, codes[0]), SignedIn)
    assert reason(second_step(filled, step, codes[1])) is Reason.CODE_TOO_LATE
    step = asked(filled)
    set_password(filled, by=by(filled), sign_in=here.sign_in.id, password=PASSWORD + "!", current=PASSWORD, now=NOW)
    assert reason(second_step(filled, step, codes[1])) is Reason.CODE_TOO_LATE


def test_steps_that_never_were_do_not_fill_the_log(filled: Store):
    tally = Tally()
    for _ in range(25):
        assert reason(second_step(filled, "made-up", "000000", tally=tally)) is Reason.CODE_TOO_LATE
    assert len(events(filled, "sign-in.refused")) == 10


def test_who_is_disabled_between_password_and_code_is_not_signed_in(filled: Store):
    _, _, codes = enrolled(filled)
    step = asked(filled)
    disable_person(filled, by=None, name="hanako", now=NOW)
    assert reason(second_step(filled, step, codes[0])) is Reason.CODE_TOO_LATE


def test_a_link_asks_for_the_code_too(filled: Store):
    secret, _, _ = enrolled(filled)
    link = issue_sign_in_link(filled, by=None, name="hanako", now=NOW)
    assert isinstance(link, str)
    step = use_link(filled, secret=link, address=OFFICE, tally=Tally(), now=NOW)
    assert isinstance(step, CodeAsked)
    later = NOW + STEP
    made = second_step(filled, step.secret, code_at(secret, later), now=later)
    assert isinstance(made, SignedIn)
    assert isinstance(set_password(filled, by=by(filled), sign_in=made.sign_in.id, password="another horse battery", now=later), Person)


# guessing


def test_five_wrong_codes_lock_out_the_right_one_from_every_address_for_five_minutes(filled: Store):
    secret, _, _ = enrolled(filled)
    for number in range(5):
        address = f"198.51.100.{number}"
        assert reason(second_step(filled, asked(filled, address=address), "000000", address=address)) is Reason.CODE_WRONG
    now = NOW + timedelta(minutes=4, seconds=59)
    assert reason(second_step(filled, asked(filled, now=now), code_at(secret, now), now=now)) is Reason.TOO_MANY_ATTEMPTS
    now = NOW + timedelta(minutes=5)
    assert isinstance(second_step(filled, asked(filled, now=now), code_at(secret, now), now=now), SignedIn)


def test_wrong_passwords_of_strangers_lock_nobodys_code_out(filled: Store):
    secret, _, _ = enrolled(filled)
    step = asked(filled)
    for _ in range(6):
        first_step(filled, password="wrong", address=ELSEWHERE)
    later = NOW + STEP
    assert isinstance(second_step(filled, step, code_at(secret, later), now=later), SignedIn)


def test_who_is_signed_in_guesses_no_more_often(filled: Store):
    _, here, _ = enrolled(filled)
    outcomes = [reason(prove_again(filled, CIPHER, by=by(filled), sign_in=here.sign_in.id, code="000000", now=NOW)) for _ in range(8)]
    assert outcomes == [Reason.CODE_WRONG] * 5 + [Reason.TOO_MANY_ATTEMPTS] * 3
    assert kinds(filled, "second-factor.refused") == [("second-factor.refused", "code-wrong")] * 5 + [("second-factor.refused", "too-many-attempts")]


# races


def at_once(*acts: Callable[[], object]) -> list[object]:
    outcomes: list[object] = [None] * len(acts)
    start = threading.Barrier(len(acts))

    def run(index: int, act: Callable[[], object]) -> None:
        start.wait(timeout=30)
        outcomes[index] = act()

    threads = [threading.Thread(target=run, args=(index, act)) for index, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return outcomes


def test_of_two_who_give_the_same_code_at_once_one_is_signed_in(filled: Store):
    secret, _, codes = enrolled(filled)
    for number in range(1, 6):
        now = NOW + number * timedelta(minutes=5)
        for code in (code_at(secret, now), codes[number]):
            steps = asked(filled, now=now), asked(filled, now=now)
            outcomes = at_once(*(lambda step=step: second_step(filled, step, code, now=now) for step in steps))  # noqa: B023  it is over within the round
            assert sorted(str(reason(outcome)) for outcome in outcomes) == ["None", "code-used"], outcomes


def test_many_guesses_at_once_are_no_more_than_many_in_a_row(filled: Store):
    enrolled(filled)
    steps = [asked(filled) for _ in range(12)]
    outcomes = at_once(*(lambda step=step: second_step(filled, step, "000000") for step in steps))
    assert sorted(str(reason(outcome)) for outcome in outcomes) == ["code-wrong"] * 5 + ["too-many-attempts"] * 7


# recovery codes


def test_a_recovery_code_stands_in_for_a_code_once_and_for_its_person_alone(filled: Store):
    _, _, codes = enrolled(filled)
    made = second_step(filled, asked(filled), codes[0])
    assert isinstance(made, SignedIn)
    assert proof(filled, made).at == NOW
    assert events(filled, "signed-in")[-1]["details"]["second_factor"] == "recovery-code"
    assert reason(second_step(filled, asked(filled), codes[0])) is Reason.CODE_USED
    factor = factor_of(filled, "hanako")
    assert factor is not None
    assert factor.recovery_codes == 9
    enrolled(filled, name="admin")
    step = first_step(filled, name="admin")
    assert isinstance(step, CodeAsked)
    assert reason(second_step(filled, step.secret, codes[1])) is Reason.CODE_WRONG


def test_new_recovery_codes_need_password_and_code_and_void_the_old_ones(filled: Store):
    secret, _, codes = enrolled(filled)
    later = NOW + STEP
    code = code_at(secret, later)
    assert reason(renew_recovery_codes(filled, CIPHER, by=by(filled), password="wrong", code=code, now=later)) is Reason.WRONG_PASSWORD
    fresh = renew_recovery_codes(filled, CIPHER, by=by(filled), password=PASSWORD, code=code, now=later)
    assert isinstance(fresh, tuple)
    assert not set(fresh) & set(codes)
    assert reason(second_step(filled, asked(filled), codes[0])) is Reason.CODE_WRONG
    assert isinstance(second_step(filled, asked(filled), fresh[9]), SignedIn)


def test_a_recovery_code_helps_where_the_key_was_lost_and_a_code_says_what_is_wrong(filled: Store):
    secret, _, codes = enrolled(filled)
    other = FactorCipher(b"l" * 32)
    step, later = asked(filled), NOW + STEP
    with pytest.raises(Trouble, match="this installation's key"):
        finish_sign_in(filled, other, secret=step, code=code_at(secret, later), address=OFFICE, channel=Channel.PAGE, tally=Tally(), now=later)
    made = finish_sign_in(filled, other, secret=step, code=codes[0], address=OFFICE, channel=Channel.PAGE, tally=Tally(), now=later)
    assert isinstance(made, SignedIn)


# giving a code again


def test_a_code_given_again_proves_this_sign_in_and_no_other(filled: Store):
    other = signed_in(filled)
    secret, here, _ = enrolled(filled)
    later = NOW + STEP
    assert isinstance(prove_again(filled, CIPHER, by=by(filled), sign_in=other.sign_in.id, code=code_at(secret, later), now=later), Person)
    assert proof(filled, other, now=later).at == later
    assert proof(filled, here, now=later).at == NOW
    assert kinds(filled, "second-factor.proven") == [("second-factor.proven", "")]


def test_anothers_sign_in_is_proven_by_nobody_and_uses_no_code_up(filled: Store):
    secret, here, _ = enrolled(filled)
    admin = signed_in(filled, name="admin")
    later = NOW + STEP
    code = code_at(secret, later)
    assert reason(prove_again(filled, CIPHER, by=by(filled), sign_in=admin.sign_in.id, code=code, now=later)) is Reason.NOT_SIGNED_IN
    assert isinstance(prove_again(filled, CIPHER, by=by(filled), sign_in=here.sign_in.id, code=code, now=later), Person)


def test_who_has_no_factor_proves_nothing(filled: Store):
    here = signed_in(filled)
    assert reason(prove_again(filled, CIPHER, by=by(filled), sign_in=here.sign_in.id, code="000000", now=NOW)) is Reason.NO_SECOND_FACTOR


# taking it away


def test_removing_needs_the_password_and_a_code_and_takes_the_proofs_with_it(filled: Store):
    secret, here, codes = enrolled(filled)
    later = NOW + STEP
    code = code_at(secret, later)
    assert reason(remove_factor(filled, CIPHER, by=by(filled), password="wrong", code=code, now=later)) is Reason.WRONG_PASSWORD
    assert reason(remove_factor(filled, CIPHER, by=by(filled), password=PASSWORD, code="000000", now=later)) is Reason.CODE_WRONG
    assert factor_of(filled, "hanako") is not None
    assert isinstance(remove_factor(filled, CIPHER, by=by(filled), password=PASSWORD, code=code, now=later), Person)
    assert proof(filled, here, now=later) == Proof(is_enrolled=False, at=None)
    assert isinstance(first_step(filled, now=later), SignedIn)
    with filled.reading() as tx:
        assert tx.execute(select(recovery_codes)).all() == []
    assert kinds(filled, "second-factor.re") == [
        ("second-factor.refused", "wrong-password"),
        ("second-factor.refused", "code-wrong"),
        ("second-factor.removed", ""),
    ]
    assert codes


def test_an_administrator_resets_anothers_and_every_sign_in_of_that_person_ends(filled: Store):
    _, here, _ = enrolled(filled)
    step = asked(filled)
    assert isinstance(reset_factor(filled, by=by(filled, "admin"), name="hanako", now=NOW), Person)
    assert reason(resolve(filled, secret=here.secret, address=OFFICE, now=NOW)) is Reason.NOT_SIGNED_IN
    assert reason(second_step(filled, step, "000000")) is Reason.CODE_TOO_LATE
    event = events(filled, "second-factor.reset")[-1]
    assert (event["by"], event["details"]) == ("admin", {"person": "hanako", "sign_ins_ended": 1})
    assert isinstance(first_step(filled), SignedIn)


@pytest.mark.parametrize(
    ("who", "whose", "expected"),
    [
        ("admin", "admin", Reason.OWN_SECOND_FACTOR),
        ("hanako", "admin", Reason.NOT_ADMINISTRATOR),
        ("hanako", "hanako", Reason.NOT_ADMINISTRATOR),
        ("admin", "taro", Reason.NO_SECOND_FACTOR),
        ("admin", "nobody", Reason.NO_SUCH_PERSON),
        ("admin", "\0", Reason.NO_SUCH_PERSON),
    ],
)
def test_nobody_else_resets_and_never_their_own(filled: Store, who: str, whose: str, expected: Reason):
    enrolled(filled, name="admin")
    assert reason(reset_factor(filled, by=by(filled, who), name=whose, now=NOW)) is expected
    assert kinds(filled)[-1] == ("second-factor.refused", expected.value)


def test_steps_that_nobody_finished_are_forgotten(filled: Store):
    enrolled(filled)
    for _ in range(3):
        asked(filled)
    asked(filled, now=NOW + STEP_LIFE)
    with filled.reading() as tx:
        assert len(tx.execute(select(sign_in_steps)).all()) == 1


def test_a_factor_moved_to_another_person_by_hand_does_not_open(filled: Store):
    """Who can write to the database but has not the key gives nobody their own device."""
    enrolled(filled)
    own, _, _ = enrolled(filled, name="admin")
    with filled.writing() as tx:
        stored = tx.execute(select(second_factors.c.secret).where(second_factors.c.person == "admin")).scalar_one()
        tx.execute(update(second_factors).where(second_factors.c.person == "hanako").values(secret=stored, last_step=0))
    with pytest.raises(Trouble):
        second_step(filled, asked(filled), code_at(own, NOW))
