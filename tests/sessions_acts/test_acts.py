"""Every act: one transaction, one event, refusals too; on SQLite and on PostgreSQL alike."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select
from tests.sessions_acts.acts_house import CAMPAIGN, ELSEWHERE, HOUR, MINUTE, NOW, OFFICE, World

from sekisho.identity.people import change_groups, disable_person
from sekisho.model.reasons import Reason
from sekisho.model.session import EndReason, Request, RequestState, SessionState, session_id
from sekisho.policy.verdict import Deny
from sekisho.sessions import acts
from sekisho.sessions.acts import Ticket, asking, granting
from sekisho.sessions.acts.standing import locked_request
from sekisho.sessions.roombook import room_by_digest
from sekisho.store.tables import requests, sign_ins, tickets
from sekisho.system import randomness


def reason(outcome: object) -> Reason | None:
    return outcome.reason if isinstance(outcome, Deny) else None


def stored(world: World, request: str) -> Request:
    with world.store.writing() as tx:
        found = locked_request(tx, request)
    assert found is not None
    return found


# asking


def test_a_request_waits_and_the_log_says_who_why_and_from_where(world: World):
    asked = world.asked(reason="Export of last week\r\nfor the newsletter", ticket=" MKT-42 ")
    assert stored(world, asked.id) == asked
    assert (asked.state, asked.reason, asked.ticket) == (RequestState.PENDING, "Export of last week for the newsletter", "MKT-42")
    assert (asked.starts_at, asked.ends_at, asked.address) == (NOW, NOW + HOUR, OFFICE)
    (event,) = world.events()
    assert (event["kind"], event["by"], event["address"], event["channel"], event["room"], event["request"]) == (
        "request.made",
        "hanako",
        OFFICE,
        "page",
        "campaign",
        asked.id,
    )
    assert event["details"]["why"] == "Export of last week for the newsletter"
    assert event["details"]["places"] == ["office"]
    assert event["details"]["room_digest"] == world.book.current["campaign"].digest


def test_the_room_file_is_kept_with_the_request_that_is_bound_to_it(world: World):
    asked = world.asked()
    world.write("campaign", CAMPAIGN.replace("2h", "1h"))
    with world.store.reading() as tx:
        assert room_by_digest(tx, asked.room_digest).access.longest == 2 * HOUR


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"room": "nope"}, Reason.NO_SUCH_ROOM),
        ({"room": "\ud800\0" * 500}, Reason.NO_SUCH_ROOM),
        ({"name": "taro"}, Reason.NOT_LISTED),
        ({"name": "unheard-of"}, Reason.NOT_SIGNED_IN),
        ({"reason": ""}, Reason.REASON_TOO_SHORT),
        ({"reason": "x" * 100_000}, Reason.REASON_TOO_LONG),
        ({"reason": "\ud800\0\x1b[2J" * 5}, Reason.TEXT_MALFORMED),
        ({"ticket": "x" * 100_000}, Reason.TICKET_MALFORMED),
        ({"ticket": "\0"}, Reason.TICKET_MALFORMED),
        ({"length": 3 * HOUR}, Reason.TOO_LONG),
        ({"length": timedelta.max}, Reason.TOO_LONG),
        ({"starts": NOW - HOUR}, Reason.IN_THE_PAST),
        ({"starts": NOW + 10 * HOUR}, Reason.OUTSIDE_HOURS),
        ({"starts": NOW.replace(tzinfo=None)}, Reason.DECISION_FAILED),
    ],
)
def test_a_refused_request_leaves_one_event_and_nothing_else(world: World, how: dict, expected: Reason):
    assert reason(world.ask(**how)) is expected
    ((kind, by, told),) = world.told()
    assert (kind, by, told) == ("request.refused", how.get("name", "hanako"), str(expected))
    with world.store.reading() as tx:
        assert tx.execute(select(requests)).all() == []


def test_from_outside_the_place_it_is_refused(world: World):
    world.address = ELSEWHERE
    assert reason(world.ask()) is Reason.OUTSIDE_PLACE
    assert world.events()[0]["details"]["facts"] == {"address": ELSEWHERE, "places": "office"}


def test_one_person_has_a_room_once_at_a_time(world: World):
    first = world.asked()
    assert world.ask() == Deny(Reason.OVERLAPPING, {"request": first.id, "room": "campaign"})
    assert isinstance(world.ask(starts=NOW + HOUR), Request)
    assert isinstance(world.ask("oliver"), Request)
    assert isinstance(world.ask(room="orders"), Request)
    world.deny("taro", first.id)
    assert isinstance(world.ask(), Request)


# deciding


def test_an_approval_makes_the_request_a_grant(world: World):
    asked = world.asked()
    granted = world.approve("taro", asked.id, "seen\nwith the owner")
    assert granted == stored(world, asked.id)
    assert granted == replace(asked, state=RequestState.APPROVED, approvals=("taro",), decided_by="taro", note="seen with the owner")
    event = world.events()[-1]
    assert (event["kind"], event["by"], event["details"]["person"], event["details"]["is_granted"]) == ("request.approved", "taro", "hanako", True)
    assert (event["details"]["note"], event["details"]["rule"]) == ("seen with the owner", "group:security")
    assert event["session"] == session_id(asked.id)


def test_where_two_are_needed_the_second_approver_grants(world: World):
    asked = world.asked(room="orders")
    first = world.approve("taro", asked.id)
    assert isinstance(first, Request)
    assert (first.state, first.approvals, first.decided_by) == (RequestState.PENDING, ("taro",), "")
    assert reason(world.approve("taro", asked.id)) is Reason.ALREADY_DECIDED
    second = world.approve("grace", asked.id)
    assert isinstance(second, Request)
    assert (second.state, set(second.approvals), second.decided_by) == (RequestState.APPROVED, {"taro", "grace"}, "grace")


@pytest.mark.parametrize("loss", ["disabled", "no approver any more"])
def test_an_approval_of_somebody_who_could_not_give_it_now_does_not_count(world: World, loss: str):
    asked = world.asked(room="orders")
    world.approve("taro", asked.id)
    if loss == "disabled":
        disable_person(world.store, by=None, name="taro", now=NOW)
    else:
        change_groups(world.store, by=None, name="taro", groups=[], now=NOW)
    second = world.approve("grace", asked.id)
    assert isinstance(second, Request)
    assert second.state is RequestState.PENDING
    third = world.approve("oliver", asked.id)
    assert isinstance(third, Request)
    assert third.state is RequestState.APPROVED


def test_nobody_decides_on_their_own_request(world: World):
    asked = world.asked("oliver")
    change_groups(world.store, by=None, name="oliver", groups=["marketing", "security", "administrators", "auditors"], now=NOW)
    assert world.approve("oliver", asked.id) == Deny(Reason.OWN_REQUEST)
    assert world.deny("oliver", asked.id) == Deny(Reason.OWN_REQUEST)
    world.approve("taro", asked.id)
    assert world.extend("oliver", asked.id) == Deny(Reason.OWN_REQUEST)
    assert [told for told in world.told() if told[0] == "decision.refused"] == [("decision.refused", "oliver", "own-request")] * 3
    assert stored(world, asked.id).approvals == ("taro",)


def test_an_approver_who_was_put_out_a_moment_ago_is_none(world: World):
    asked, taro = world.asked(), world.caller("taro")
    change_groups(world.store, by=None, name="taro", groups=[], now=NOW)
    outcome = acts.approve(world.store, by=taro, request=asked.id, book=world.book, places=(), now=NOW)
    assert reason(outcome) is Reason.NOT_APPROVER


@pytest.mark.parametrize("request_id", ["r-aaaaaaaaaa", "", "r-", "s-aaaaaaaaaa", "nul\0", "\ud800", "x" * 100_000, "r-aaaaaaaaaa' OR 1=1"])
def test_a_request_that_is_none_is_refused_and_told(world: World, request_id: str):
    for decide in (world.approve, world.deny, world.extend, world.end, world.leave):
        assert reason(decide("taro", request_id)) is Reason.NO_SUCH_REQUEST
    assert len(world.told()) == 5


def test_a_denial_needs_a_note_and_is_final(world: World):
    asked = world.asked()
    assert world.deny("taro", asked.id, " ") == Deny(Reason.NOTE_MISSING)
    denied = world.deny("taro", asked.id, "not this week")
    assert denied == replace(asked, state=RequestState.DENIED, decided_by="taro", note="not this week")
    assert reason(world.approve("grace", asked.id)) is Reason.ALREADY_DECIDED
    assert world.told()[1:] == [
        ("decision.refused", "taro", "note-missing"),
        ("request.denied", "taro", ""),
        ("decision.refused", "grace", "already-decided"),
    ]


def test_what_was_asked_under_another_room_file_is_not_approved_but_may_be_denied(world: World):
    first, second = world.asked(), world.asked("oliver")
    world.write("campaign", CAMPAIGN.replace("2h", "3h"))
    assert world.approve("taro", first.id) == Deny(Reason.ROOM_FILE_CHANGED)
    assert isinstance(world.deny("taro", first.id), Request)
    world.write("campaign", "")
    assert world.approve("taro", second.id) == Deny(Reason.ROOM_FILE_CHANGED)
    assert isinstance(world.deny("taro", second.id), Request)


def test_what_nobody_decided_in_time_is_not_granted(world: World):
    asked = world.asked()
    world.now = NOW + HOUR
    assert world.approve("taro", asked.id) == Deny(Reason.ALREADY_DECIDED, {"state": "expired"})


def test_a_request_of_a_disabled_person_is_not_granted(world: World):
    asked = world.asked()
    disable_person(world.store, by=None, name="hanako", now=NOW)
    assert reason(world.approve("taro", asked.id)) is Reason.ALREADY_DECIDED
    assert stored(world, asked.id).state is RequestState.DENIED


def test_a_decision_that_raises_refuses_and_is_told(world: World, monkeypatch: pytest.MonkeyPatch):
    asked = world.asked()
    monkeypatch.setattr(granting, "decide_approve", lambda facts: 1 / 0)
    monkeypatch.setattr(asking, "decide_request", lambda facts: 1 / 0)
    assert world.approve("taro", asked.id) == Deny(Reason.DECISION_FAILED, {"error": "ZeroDivisionError"})
    assert reason(world.ask(starts=NOW + 2 * HOUR)) is Reason.DECISION_FAILED
    assert [told for _, _, told in world.told()] == ["", "decision-failed", "decision-failed"]
    assert stored(world, asked.id).state is RequestState.PENDING


# the grant


def test_an_extension_moves_the_end_and_keeps_to_the_longest(world: World):
    grant = world.granted()
    extended = world.extend("taro", grant.id)
    assert extended == replace(grant, ends_at=NOW + 90 * MINUTE) == stored(world, grant.id)
    assert reason(world.extend("taro", grant.id, HOUR)) is Reason.TOO_LONG
    assert world.told()[-2:] == [("grant.extended", "taro", ""), ("decision.refused", "taro", "too-long")]


@pytest.mark.parametrize(("who", "why"), [("hanako", EndReason.LEFT), ("taro", EndReason.ENDED_BY_APPROVER), ("admin", EndReason.ENDED_BY_APPROVER)])
def test_a_grant_is_ended_by_its_person_an_approver_or_an_administrator(world: World, who: str, why: EndReason):
    grant = world.granted()
    assert world.end(who, grant.id) == replace(grant, state=RequestState.ENDED, end_reason=why, ended_by=who) == stored(world, grant.id)
    assert world.told()[-1] == ("grant.ended", who, str(why))
    assert reason(world.end(who, grant.id)) is Reason.NOT_RUNNING


@pytest.mark.parametrize("who", ["aoi", "ghost"])
def test_nobody_else_ends_it(world: World, who: str):
    grant = world.granted()
    assert reason(world.end(who, grant.id)) is Reason.NOT_APPROVER
    assert stored(world, grant.id).state is RequestState.APPROVED


def test_a_grant_can_be_ended_after_its_room_file_is_gone(world: World):
    grant = world.granted()
    world.write("campaign", "")
    assert isinstance(world.end("taro", grant.id), Request)


def test_leaving_ends_the_grant(world: World):
    grant = world.granted()
    session = world.open_session(grant)
    assert world.leave("taro", session) == Deny(Reason.NOT_YOURS)
    left = world.leave("hanako", session)
    assert isinstance(left, Request)
    assert (left.state, left.end_reason, left.ended_by) == (RequestState.ENDED, EndReason.LEFT, "hanako")


# entering


def test_a_ticket_is_for_one_session_one_person_one_address_and_a_minute(world: World):
    session = world.open_session(world.granted())
    ticket = world.ticket("hanako", session)
    assert isinstance(ticket, Ticket)
    assert (ticket.session, ticket.room) == (session, "campaign")
    with world.store.reading() as tx:
        row = tx.execute(select(tickets)).one()
    assert row.fingerprint == randomness.fingerprint(ticket.secret)
    assert (row.session, row.person, row.kind, row.address, row.sign_in) == (session, "hanako", "terminal", OFFICE, "i-hanako")
    assert (row.expires_at, row.used_at) == (NOW + MINUTE, None)
    assert world.told()[-1] == ("entry.allowed", "hanako", "")
    assert ticket.secret not in repr(world.events())


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (None, Reason.SESSION_NOT_READY),
        (SessionState.OPENING, Reason.SESSION_NOT_READY),
        (SessionState.STAGING, Reason.SESSION_NOT_READY),
        (SessionState.FROZEN, Reason.SESSION_FROZEN),
        (SessionState.ENDING, Reason.SESSION_NOT_READY),
        (SessionState.FAILED, Reason.SESSION_NOT_READY),
    ],
)
def test_a_session_that_is_not_ready_is_not_entered(world: World, state: SessionState | None, expected: Reason):
    grant = world.granted()
    if state:
        world.open_session(grant, state)
    assert reason(world.ticket("hanako", session_id(grant.id))) is expected
    assert world.told()[-1] == ("entry.refused", "hanako", str(expected))
    with world.store.reading() as tx:
        assert tx.execute(select(tickets)).all() == []


def test_a_ticket_is_refused_with_its_reason(world: World):
    session = world.open_session(world.granted())
    world.sign_in("taro")
    for name, kind, sign_in, expected in (
        ("taro", "terminal", None, Reason.NOT_YOURS),
        ("admin", "terminal", None, Reason.NOT_YOURS),
        ("hanako", "desktop", None, Reason.KIND_NOT_OFFERED),
        ("hanako", "\ud800\0" * 99, None, Reason.KIND_NOT_OFFERED),
        ("hanako", "terminal", "", Reason.NOT_SIGNED_IN),
        ("hanako", "terminal", "i-taro", Reason.NOT_SIGNED_IN),
    ):
        assert reason(world.ticket(name, session, kind, sign_in=sign_in)) is expected
    for nothing in ("s-nothing", "", "\0", "\ud800", "x" * 10_000):
        assert reason(world.ticket("hanako", nothing)) is Reason.NO_GRANT
    world.address = ELSEWHERE
    assert reason(world.ticket("hanako", session)) is Reason.OUTSIDE_PLACE
    world.address, world.now = OFFICE, NOW + HOUR
    assert reason(world.ticket("hanako", session)) is Reason.TIME_OVER


def test_a_sign_in_that_was_ended_opens_no_room(world: World):
    session = world.open_session(world.granted())
    world.sign_in("hanako")
    with world.store.writing() as tx:
        tx.execute(sign_ins.update().values(ended_at=NOW))
    assert reason(world.ticket("hanako", session)) is Reason.NOT_SIGNED_IN


def test_a_grant_keeps_to_the_room_file_it_was_given_for(world: World):
    session = world.open_session(world.granted())
    world.write("campaign", CAMPAIGN.replace('places = ["office"]', "places = []"))
    assert isinstance(world.ticket("hanako", session), Ticket)


def test_who_was_put_out_of_the_room_s_people_does_not_enter_any_more(world: World):
    session = world.open_session(world.granted())
    change_groups(world.store, by=None, name="hanako", groups=[], now=NOW)
    assert reason(world.ticket("hanako", session)) is Reason.NOT_LISTED
