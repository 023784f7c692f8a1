"""Names, texts, places, sign-in, roles: the small decisions."""

from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.policy_samples import ADMIN, AOI, ELSEWHERE, HANAKO, HOUR, MINUTE, NOW, OFFICE, PLACES, ROOM, TARO, VPN

from sekisho.model.people import Person
from sekisho.model.reasons import SENTENCES, Reason
from sekisho.model.room import Place
from sekisho.policy.deciding import deciding
from sekisho.policy.people import decide_adding, decide_disabling, decide_linking, decide_regrouping
from sekisho.policy.places import decide_place, place_of
from sekisho.policy.reading import decide_reading, decide_seeing
from sekisho.policy.signin import (
    COOKIE_IDLE,
    AttemptFacts,
    SignInFacts,
    check_new_password,
    counted_address,
    decide_attempt,
    decide_password,
    decide_stay_signed_in,
)
from sekisho.policy.texts import check_text, is_name, is_showable, one_line, render_duration, shown
from sekisho.policy.verdict import Allow, Deny

# a decision that fails


def test_a_decision_that_raises_is_a_refusal():
    verdict = deciding(lambda: Allow("x") if 1 / 0 else Allow("y"))
    assert verdict == Deny(Reason.DECISION_FAILED, {"error": "ZeroDivisionError"})


@pytest.mark.parametrize("answer", [None, True, 1, "allow"])
def test_a_decision_that_answers_anything_else_is_a_refusal(answer: object):
    verdict = deciding(lambda: answer)  # type: ignore[arg-type, return-value]
    assert isinstance(verdict, Deny)
    assert verdict.reason is Reason.DECISION_FAILED


def test_an_answer_is_passed_on_as_it_is():
    assert deciding(lambda: Allow("x")) == Allow("x")
    assert deciding(lambda: Deny(Reason.NOT_LISTED)) == Deny(Reason.NOT_LISTED)


def test_every_reason_has_its_sentence():
    assert set(SENTENCES) == set(Reason)


# places


@pytest.mark.parametrize(
    ("address", "names"),
    [
        (OFFICE, ("office",)),
        (VPN, ("vpn",)),
        ("198.51.100.128", ()),
        (ELSEWHERE, ()),
        (f"::ffff:{OFFICE}", ("office",)),
        ("::ffff:c000:207", ("office",)),
        ("2001:db8:1:2::3", ("office",)),
        ("2001:db8:2::3", ()),
        ("192.0.2.007", ()),
        ("3221225991", ()),
        ("0xc0000207", ()),
        (f" {OFFICE}", ()),
        (f"{OFFICE}%eth0", ()),
        (f"{OFFICE}/24", ()),
        ("", ()),
        ("localhost", ()),
        ("1" * 10_000, ()),
    ],
)
def test_an_address_is_in_the_places_whose_networks_hold_it(address: str, names: tuple[str, ...]):
    assert place_of(address, PLACES) == names


def test_a_place_that_is_set_up_wrongly_refuses_instead_of_letting_in():
    wrong = (Place("office", ("192.0.2.0/33",)), PLACES[1])
    verdict = deciding(lambda: decide_place(VPN, wanted=("vpn",), places=wrong))
    assert verdict == Deny(Reason.DECISION_FAILED, {"error": "ValueError"})


def test_no_wanted_place_holds_nobody():
    assert isinstance(decide_place(OFFICE, wanted=(), places=PLACES), Deny)


@given(number=st.integers(0, 2**32 - 1))
def test_an_address_mapped_into_ipv6_comes_from_where_it_comes(number: int):
    plain = str(ip_address(number))
    assert place_of(f"::ffff:{plain}", PLACES) == place_of(plain, PLACES)


# texts


@pytest.mark.parametrize("name", ["a", "hanako", "t.suzuki", "ops-2_x", "a" * 32])
def test_a_name_is_a_name(name: str):
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "Hanako", "1a", "a b", "a/b", "../x", "a" * 33, "花子", "a\n", "a\0", "-a"])
def test_what_is_no_name_is_none(name: str):
    assert not is_name(name)


@given(text=st.text(alphabet=st.characters(), max_size=300))
def test_whatever_somebody_wrote_can_be_shown_and_kept(text: str):
    safe = shown(text)
    assert is_showable(safe)
    assert len(safe) <= 81
    safe.encode()
    assert "\0" not in safe


@given(text=st.text(max_size=100))
def test_one_line_is_one_line_and_done_once(text: str):
    assert not set(one_line(text)) & set("\r\n\t")
    assert one_line(one_line(text)) == one_line(text)


def test_text_of_any_script_passes_and_what_hides_or_reorders_does_not():
    for fine in ("先週の　資料", "Überprüfung", "résumé", "עברית", "👍"):
        assert check_text(fine, field="x", most=50) is None
    for wrong in ("a\tb", "a\nb", "a\x7f", "\x1b[31m", "a\N{RIGHT-TO-LEFT OVERRIDE}b", "a\N{ZERO WIDTH SPACE}b", "\ud800", "x" * 51):
        assert check_text(wrong, field="x", most=50) is not None


@pytest.mark.parametrize(("seconds", "text"), [(0, "0m"), (59, "59s"), (60, "1m"), (3600, "1h"), (5400, "1h30m"), (90061, "25h1m1s")])
def test_a_duration_is_written_as_it_is_typed(seconds: int, text: str):
    assert render_duration(timedelta(seconds=seconds)) == text


# signing in

ATTEMPT = AttemptFacts(address=OFFICE, of_person=0, of_address=0, of_codes=0, places=PLACES, sign_in_places=())
SIGN_IN = SignInFacts("cookie", OFFICE, NOW, NOW + 12 * HOUR, None, is_person_disabled=False, places=PLACES, sign_in_places=(), now=NOW)


@pytest.mark.parametrize(
    ("attempt", "reason"),
    [
        (ATTEMPT, None),
        (replace(ATTEMPT, of_person=4, of_address=19), None),
        (replace(ATTEMPT, of_person=5), Reason.TOO_MANY_ATTEMPTS),
        (replace(ATTEMPT, of_address=20), Reason.TOO_MANY_ATTEMPTS),
        (replace(ATTEMPT, of_codes=4), None),
        (replace(ATTEMPT, of_codes=5), Reason.TOO_MANY_ATTEMPTS),
        (replace(ATTEMPT, address=ELSEWHERE), None),
        (replace(ATTEMPT, sign_in_places=("office",)), None),
        (replace(ATTEMPT, sign_in_places=("vpn",)), Reason.OUTSIDE_PLACE),
        (replace(ATTEMPT, sign_in_places=("moon",)), Reason.OUTSIDE_PLACE),
    ],
)
def test_a_try_to_sign_in_is_decided_before_the_password_is_looked_at(attempt: AttemptFacts, reason: Reason | None):
    verdict = decide_attempt(attempt)
    assert (verdict.reason if isinstance(verdict, Deny) else None) == reason


@pytest.mark.parametrize(
    ("sign_in", "reason"),
    [
        (SIGN_IN, None),
        (replace(SIGN_IN, now=NOW + COOKIE_IDLE - timedelta(seconds=1)), None),
        (replace(SIGN_IN, now=NOW + COOKIE_IDLE), Reason.NOT_SIGNED_IN),
        (replace(SIGN_IN, kind="token", now=NOW + 11 * HOUR), None),
        (replace(SIGN_IN, kind="token", now=NOW + 12 * HOUR), Reason.NOT_SIGNED_IN),
        (replace(SIGN_IN, seen_at=NOW + 11 * HOUR + 59 * MINUTE, now=NOW + 12 * HOUR), Reason.NOT_SIGNED_IN),
        (replace(SIGN_IN, ended_at=NOW), Reason.NOT_SIGNED_IN),
        (replace(SIGN_IN, is_person_disabled=True), Reason.PERSON_DISABLED),
        (replace(SIGN_IN, sign_in_places=("office",)), None),
        (replace(SIGN_IN, sign_in_places=("office",), address=ELSEWHERE), Reason.OUTSIDE_PLACE),
    ],
)
def test_a_sign_in_holds_for_its_time_its_person_and_its_places(sign_in: SignInFacts, reason: Reason | None):
    verdict = decide_stay_signed_in(sign_in)
    assert (verdict.reason if isinstance(verdict, Deny) else None) == reason


def test_who_does_not_know_the_password_learns_nothing_about_the_account():
    assert decide_password(matches=False, is_disabled=True) == decide_password(matches=False, is_disabled=False) == Deny(Reason.WRONG_PASSWORD)
    assert decide_password(matches=True, is_disabled=True) == Deny(Reason.PERSON_DISABLED)


def test_a_password_has_a_least_and_a_greatest_length():
    assert check_new_password("a" * 12) is None
    assert check_new_password("a" * 11) == Deny(Reason.PASSWORD_TOO_SHORT, {"least": "12", "found": "11"})
    assert check_new_password("a" * 257) == Deny(Reason.PASSWORD_TOO_LONG, {"most": "256", "found": "257"})


def test_one_machine_cannot_count_as_many_by_changing_its_ipv6_address():
    assert counted_address("2001:db8:1:2::3") == counted_address("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert counted_address(f"::ffff:{OFFICE}") == counted_address(OFFICE) == OFFICE


# people and roles

NEW = Person("new", frozenset({"marketing"}), display="New", language="ja")


@pytest.mark.parametrize(
    ("by", "new", "is_taken", "reason"),
    [
        (ADMIN, NEW, False, None),
        (None, NEW, False, None),
        (TARO, NEW, False, Reason.NOT_ADMINISTRATOR),
        (AOI, NEW, False, Reason.NOT_ADMINISTRATOR),
        (ADMIN, NEW, True, Reason.PERSON_EXISTS),
        (ADMIN, replace(NEW, name="New Person"), False, Reason.NAME_MALFORMED),
        (ADMIN, replace(NEW, name=""), False, Reason.NAME_MALFORMED),
        (ADMIN, replace(NEW, groups=frozenset({"Mar keting"})), False, Reason.GROUP_MALFORMED),
        (ADMIN, replace(NEW, groups=frozenset(f"g{n}" for n in range(65))), False, Reason.GROUP_MALFORMED),
        (ADMIN, replace(NEW, display="x" * 65), False, Reason.TEXT_MALFORMED),
        (ADMIN, replace(NEW, display="\x1b[1m"), False, Reason.TEXT_MALFORMED),
        (ADMIN, replace(NEW, language="tlh"), False, Reason.LANGUAGE_UNKNOWN),
    ],
)
def test_adding_a_person_is_decided_with_its_reason(by: Person | None, new: Person, is_taken: bool, reason: Reason | None):  # noqa: FBT001  a column
    verdict = decide_adding(by, new, is_taken=is_taken)
    assert (verdict.reason if isinstance(verdict, Deny) else None) == reason


def test_nobody_changes_their_own_groups_or_disables_themselves():
    assert decide_regrouping(ADMIN, "admin", ["administrators"], is_known=True) == Deny(Reason.OWN_ACCOUNT)
    assert decide_disabling(ADMIN, "admin", is_known=True) == Deny(Reason.OWN_ACCOUNT)
    assert isinstance(decide_regrouping(ADMIN, "taro", ["security"], is_known=True), Allow)
    assert decide_regrouping(TARO, "hanako", ["security"], is_known=True) == Deny(Reason.NOT_ADMINISTRATOR)
    assert decide_disabling(ADMIN, "nobody", is_known=False) == Deny(Reason.NO_SUCH_PERSON, {"name": "nobody"})


def test_a_link_is_for_somebody_who_is_there_and_not_disabled():
    assert isinstance(decide_linking(ADMIN, "taro", is_known=True, is_disabled=False), Allow)
    assert decide_linking(ADMIN, "taro", is_known=True, is_disabled=True) == Deny(Reason.PERSON_DISABLED)
    assert decide_linking(ADMIN, "x", is_known=False, is_disabled=False) == Deny(Reason.NO_SUCH_PERSON, {"name": "x"})
    assert decide_linking(HANAKO, "hanako", is_known=True, is_disabled=False) == Deny(Reason.NOT_ADMINISTRATOR)


def test_the_log_is_read_by_auditors_and_administrators_alone():
    assert isinstance(decide_reading(AOI), Allow)
    assert isinstance(decide_reading(ADMIN), Allow)
    assert decide_reading(TARO) == decide_reading(HANAKO) == Deny(Reason.NOT_AUDITOR)


@pytest.mark.parametrize(("viewer", "may"), [(HANAKO, True), (TARO, True), (ADMIN, True), (AOI, True), (Person("grace", frozenset({"marketing"})), False)])
def test_a_request_is_seen_by_its_person_the_approvers_and_who_reads_the_log(viewer: Person, may: bool):  # noqa: FBT001  a column
    assert isinstance(decide_seeing(viewer, request="r-a", person="hanako", room=ROOM), Allow) is may
