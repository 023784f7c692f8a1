"""People are changed by administrators, each time in one transaction with one event, refusals too."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from sekisho.identity.people import add_person, change_groups, disable_person, issue_sign_in_link, people_for
from sekisho.identity.signin import SignedIn, SignIn, resolve, use_link
from sekisho.model.people import Caller, Channel, Person
from sekisho.model.reasons import Reason
from sekisho.policy.verdict import Deny
from sekisho.store.database import Store
from sekisho.store.people import find_person, list_people
from sekisho.store.refusals import Tally
from sekisho.store.tables import outbox, requests

NOW = datetime(2026, 3, 4, 3, 0, tzinfo=UTC)
SINCE = NOW + timedelta(minutes=5)


def by(name: str, *groups: str) -> Caller:
    return Caller(Person(name, frozenset(groups)), "192.0.2.7", Channel.PAGE)


ADMIN = by("admin", "administrators")


@pytest.fixture
def filled(store: Store) -> Store:
    for name, groups in (("admin", ("administrators",)), ("hanako", ("marketing",)), ("taro", ("security",))):
        assert not isinstance(add_person(store, by=None, name=name, groups=groups, now=NOW), Deny)
    return store


def events(store: Store, after: int = 0) -> Sequence[dict]:
    with store.reading() as tx:
        return tx.execute(select(outbox.c.event).where(outbox.c.id > after).order_by(outbox.c.id)).scalars().all()


def count(store: Store) -> int:
    return len(events(store))


def person(store: Store, name: str) -> Person:
    with store.reading() as tx:
        row = find_person(tx, name)
    assert row is not None
    return row.person


def test_a_person_is_added_with_their_groups_and_one_event(filled: Store):
    before = count(filled)
    added = add_person(filled, by=ADMIN, name="aoi", display="高橋 葵", groups=["auditors"], language="ja", now=NOW)
    assert added == Person("aoi", frozenset({"auditors"}), display="高橋 葵", language="ja") == person(filled, "aoi")
    (event,) = events(filled)[before:]
    assert (event["kind"], event["by"], event["details"]) == ("person.added", "admin", {"person": "aoi", "groups": ["auditors"]})


@pytest.mark.parametrize(
    ("caller", "name", "reason"),
    [
        (by("hanako", "marketing"), "new", Reason.NOT_ADMINISTRATOR),
        (by("hanako", "administrators"), "new", Reason.NOT_ADMINISTRATOR),
        (by("ghost", "administrators"), "new", Reason.NOT_SIGNED_IN),
        (ADMIN, "hanako", Reason.PERSON_EXISTS),
        (ADMIN, "Not A Name", Reason.NAME_MALFORMED),
        (ADMIN, "nul\0", Reason.NAME_MALFORMED),
        (ADMIN, "\ud800", Reason.NAME_MALFORMED),
        (ADMIN, "x" * 10_000, Reason.NAME_MALFORMED),
    ],
    ids=["not an administrator", "no administrator any more", "nobody", "exists", "no name", "nul", "half a surrogate", "endless"],
)
def test_a_refusal_is_one_event_and_changes_nothing(filled: Store, caller: Caller, name: str, reason: Reason):
    with filled.reading() as tx:
        people_before = list_people(tx)
    before = count(filled)
    denial = add_person(filled, by=caller, name=name, now=NOW)
    assert isinstance(denial, Deny)
    assert denial.reason is reason
    with filled.reading() as tx:
        assert list_people(tx) == people_before
    (event,) = events(filled)[before:]
    assert (event["kind"], event["reason"], event["by"]) == ("access.refused", str(reason), caller.person.name)


def test_groups_are_changed_whole_and_the_log_holds_both(filled: Store):
    change_groups(filled, by=ADMIN, name="hanako", groups=["marketing", "operations"], now=NOW)
    assert person(filled, "hanako").groups == {"marketing", "operations"}
    change_groups(filled, by=ADMIN, name="hanako", groups=[], now=NOW)
    assert person(filled, "hanako").groups == frozenset()
    told = events(filled)[-1]["details"]
    assert told == {"person": "hanako", "before": ["marketing", "operations"], "groups": []}


def test_nobody_changes_their_own_groups(filled: Store):
    denial = change_groups(filled, by=ADMIN, name="admin", groups=["administrators", "security"], now=NOW)
    assert denial == Deny(Reason.OWN_ACCOUNT)
    assert person(filled, "admin").groups == {"administrators"}
    assert disable_person(filled, by=ADMIN, name="admin", now=NOW) == Deny(Reason.OWN_ACCOUNT)


def test_an_administrator_who_was_put_out_a_moment_ago_is_none(filled: Store):
    change_groups(filled, by=None, name="admin", groups=[], now=NOW)
    assert change_groups(filled, by=ADMIN, name="hanako", groups=["security"], now=NOW) == Deny(Reason.NOT_ADMINISTRATOR)


def test_a_link_is_good_once(filled: Store):
    secret = issue_sign_in_link(filled, by=ADMIN, name="hanako", now=NOW)
    assert isinstance(secret, str)
    signed_in = use_link(filled, secret=secret, address="192.0.2.7", tally=Tally(), now=SINCE)
    assert isinstance(signed_in, SignedIn)
    assert signed_in.person.name == "hanako"
    again = use_link(filled, secret=secret, address="192.0.2.7", tally=Tally(), now=SINCE)
    assert again == Deny(Reason.LINK_USED_OR_OLD)
    assert [event["kind"] for event in events(filled)[-3:]] == ["sign-in-link.issued", "signed-in", "sign-in.refused"]


def test_a_link_is_good_for_a_day(filled: Store):
    secret = issue_sign_in_link(filled, by=ADMIN, name="hanako", now=NOW)
    assert isinstance(secret, str)
    assert use_link(filled, secret=secret, address="192.0.2.7", tally=Tally(), now=NOW + timedelta(hours=24)) == Deny(Reason.LINK_USED_OR_OLD)


def test_a_new_link_voids_the_one_before(filled: Store):
    first, second = (issue_sign_in_link(filled, by=ADMIN, name="hanako", now=NOW) for _ in range(2))
    assert isinstance(first, str)
    assert isinstance(second, str)
    assert use_link(filled, secret=first, address="192.0.2.7", tally=Tally(), now=SINCE) == Deny(Reason.LINK_USED_OR_OLD)
    assert isinstance(use_link(filled, secret=second, address="192.0.2.7", tally=Tally(), now=SINCE), SignedIn)


def test_neither_link_nor_secret_is_ever_stored(filled: Store):
    secret = issue_sign_in_link(filled, by=ADMIN, name="hanako", now=NOW)
    assert isinstance(secret, str)
    signed_in = use_link(filled, secret=secret, address="192.0.2.7", tally=Tally(), now=SINCE)
    assert isinstance(signed_in, SignedIn)
    with filled.reading() as tx:
        for table in outbox.metadata.sorted_tables:
            stored = repr(tx.execute(select(table)).all())
            assert secret not in stored
            assert signed_in.secret not in stored


def test_disabling_ends_sign_ins_links_grants_and_requests(filled: Store):
    secret = issue_sign_in_link(filled, by=ADMIN, name="hanako", now=NOW)
    assert isinstance(secret, str)
    signed_in = use_link(filled, secret=secret, address="192.0.2.7", tally=Tally(), now=NOW)
    assert isinstance(signed_in, SignedIn)
    link = issue_sign_in_link(filled, by=ADMIN, name="hanako", now=NOW)
    assert isinstance(link, str)
    _request(filled, "r-pending", "pending")
    _request(filled, "r-granted", "approved")
    _request(filled, "r-denied", "denied")
    assert isinstance(disable_person(filled, by=ADMIN, name="hanako", now=SINCE), Person)
    assert resolve(filled, secret=signed_in.secret, address="192.0.2.7", now=SINCE) == Deny(Reason.NOT_SIGNED_IN)
    assert use_link(filled, secret=link, address="192.0.2.7", tally=Tally(), now=SINCE) == Deny(Reason.LINK_USED_OR_OLD)
    with filled.reading() as tx:
        found = {row.id: (row.state, row.end_reason) for row in tx.execute(select(requests))}
    assert found == {"r-pending": ("denied", "person-disabled"), "r-granted": ("ended", "person-disabled"), "r-denied": ("denied", None)}
    told = next(event for event in events(filled) if event["kind"] == "person.disabled")
    assert told["details"] == {"person": "hanako", "grants_ended": ["r-granted"], "requests_denied": ["r-pending"], "sign_ins": 1}


def test_disabling_twice_is_one_event(filled: Store):
    disable_person(filled, by=ADMIN, name="hanako", now=NOW)
    before = count(filled)
    assert isinstance(disable_person(filled, by=ADMIN, name="hanako", now=SINCE), Person)
    assert count(filled) == before


def test_who_is_disabled_acts_no_more_although_their_caller_was_made_before(filled: Store):
    change_groups(filled, by=None, name="taro", groups=["administrators"], now=NOW)
    disable_person(filled, by=ADMIN, name="taro", now=NOW)
    assert add_person(filled, by=by("taro", "administrators"), name="new", now=NOW) == Deny(Reason.PERSON_DISABLED)
    assert issue_sign_in_link(filled, by=ADMIN, name="taro", now=NOW) == Deny(Reason.PERSON_DISABLED)


def test_only_administrators_list_people(filled: Store):
    listed = people_for(filled, by=ADMIN, now=NOW)
    assert not isinstance(listed, Deny)
    assert [row.person.name for row in listed] == ["admin", "hanako", "taro"]
    assert people_for(filled, by=by("hanako"), now=NOW) == Deny(Reason.NOT_ADMINISTRATOR)
    assert events(filled)[-1]["reason"] == "not-administrator"


def test_a_sign_in_says_who_as_of_now(filled: Store):
    secret = issue_sign_in_link(filled, by=ADMIN, name="hanako", now=NOW)
    assert isinstance(secret, str)
    signed_in = use_link(filled, secret=secret, address="192.0.2.7", tally=Tally(), now=NOW)
    assert isinstance(signed_in, SignedIn)
    change_groups(filled, by=ADMIN, name="hanako", groups=["operations"], now=NOW)
    found = resolve(filled, secret=signed_in.secret, address="192.0.2.7", now=NOW)
    assert isinstance(found, SignIn)
    assert found.person.groups == {"operations"}


def _request(store: Store, name: str, state: str) -> None:
    times = {"asked_at": NOW, "starts_at": NOW, "ends_at": NOW + timedelta(hours=1)}
    row = {"id": name, "room": "campaign", "room_digest": "d", "person": "hanako", "reason": "r", "ticket": "", "address": "192.0.2.7", "state": state}
    with store.writing() as tx:
        tx.execute(requests.insert().values(**row, **times))
