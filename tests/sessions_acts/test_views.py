"""Lists: each person sees what concerns them, and what they may do with it is what the acts will say."""

from datetime import timedelta

import pytest
from sqlalchemy import insert
from tests.sessions_acts.acts_house import CAMPAIGN, ELSEWHERE, HOUR, NOW, OFFICE, PEOPLE, PLACES, World

from sekisho.model.reasons import Reason
from sekisho.model.session import Request, RequestState, SessionState, session_id
from sekisho.policy.verdict import Allow, Deny
from sekisho.sessions.views import Offer, RequestView, SessionView, request_for, requests_for, rooms_for, sessions_for
from sekisho.store.tables import connections, sessions


def listed(world: World, name: str, state: RequestState | None = None) -> list[RequestView]:
    with world.store.reading() as tx:
        return requests_for(tx, world.caller(name).person, book=world.book, now=world.now, state=state)


def may_decide(world: World, name: str) -> set[str]:
    return {view.request.id for view in listed(world, name, RequestState.PENDING) if isinstance(view.decision, Allow)}


def running(world: World, name: str) -> list[SessionView]:
    with world.store.reading() as tx:
        return sessions_for(tx, world.caller(name).person, book=world.book, now=world.now)


def offers(world: World, name: str, address: str = OFFICE) -> dict[str, Offer]:
    return {offer.room.name: offer for offer in rooms_for(world.caller(name).person, address=address, book=world.book, places=PLACES)}


def test_every_room_is_shown_with_why_not(world: World):
    assert all(isinstance(offer.verdict, Allow) for offer in offers(world, "hanako").values())
    assert list(offers(world, "hanako")) == ["campaign", "orders"]
    refused = offers(world, "taro")["campaign"].verdict
    assert isinstance(refused, Deny)
    assert refused.reason is Reason.NOT_LISTED
    refused = offers(world, "hanako", ELSEWHERE)["campaign"].verdict
    assert isinstance(refused, Deny)
    assert refused.reason is Reason.OUTSIDE_PLACE


def test_each_sees_their_own_approvers_their_rooms_and_auditors_and_administrators_all(world: World):
    world.write("campaign", CAMPAIGN.replace('by = ["group:security"]', 'by = ["person:grace"]'))
    mine, theirs = world.asked("hanako"), world.asked("oliver", "orders")
    seen = {name: {view.request.id for view in listed(world, name)} for name in PEOPLE}
    assert seen == {
        "hanako": {mine.id},
        "oliver": {theirs.id},
        "taro": {theirs.id},
        "grace": {mine.id, theirs.id},
        "aoi": {mine.id, theirs.id},
        "admin": {mine.id, theirs.id},
        "ghost": set(),
    }
    for name, ids in seen.items():
        with world.store.reading() as tx:
            for request in (mine.id, theirs.id):
                found = request_for(tx, world.caller(name).person, request, book=world.book, now=NOW)
                assert isinstance(found, RequestView) is (request in ids)


@pytest.mark.parametrize("request_id", ["", "r-", "nul\0", "\ud800", "x" * 100_000])
def test_what_is_no_request_is_not_found(world: World, request_id: str):
    with world.store.reading() as tx:
        found = request_for(tx, world.caller("admin").person, request_id, book=world.book, now=NOW)
    assert isinstance(found, Deny)
    assert found.reason is Reason.NO_SUCH_REQUEST


def test_requests_are_listed_newest_first_and_by_state(world: World):
    first = world.asked()
    world.now = NOW + timedelta(minutes=1)
    second = world.asked("oliver")
    world.approve("taro", first.id)
    assert [view.request.id for view in listed(world, "taro")] == [second.id, first.id]
    assert [view.request.id for view in listed(world, "taro", RequestState.APPROVED)] == [first.id]
    (view,) = listed(world, "hanako")
    assert (view.is_mine, view.request.approvals, view.room) == (True, ("taro",), world.book.current["campaign"])


def test_what_a_list_says_may_be_done_is_what_the_acts_say(world: World):
    asked = [world.asked("hanako"), world.asked("oliver"), world.asked("hanako", "orders")]
    world.approve("taro", asked[2].id)
    for name in PEOPLE:
        for view in listed(world, name):
            outcome = world.approve(name, view.request.id)
            assert isinstance(outcome, Request) is isinstance(view.decision, Allow), (name, view)
    for name in ("ghost", "aoi", "oliver"):
        for view in listed(world, name, RequestState.APPROVED):
            outcome = world.end(name, view.request.id)
            assert isinstance(outcome, Request) is isinstance(view.ending, Allow), (name, view)


def test_what_waits_says_who_may_decide_it(world: World):
    first, second = world.asked("hanako"), world.asked("oliver")
    assert may_decide(world, "taro") == {first.id, second.id}
    assert may_decide(world, "oliver") == {first.id}, "not their own"
    assert may_decide(world, "admin") == may_decide(world, "hanako") == set()
    world.deny("grace", first.id)
    assert may_decide(world, "taro") == {second.id}
    world.now = NOW + 2 * HOUR
    assert may_decide(world, "taro") == set(), "its time is over"


def test_who_approved_already_does_not_decide_again(world: World):
    asked = world.asked(room="orders")
    world.approve("taro", asked.id)
    assert (may_decide(world, "taro"), may_decide(world, "grace")) == (set(), {asked.id})


def test_sessions_are_listed_with_their_connections_and_the_grant_s_end(world: World):
    grant = world.granted()
    session = world.open_session(grant)
    _connect(world, session, closed=False)
    _connect(world, session, closed=True)
    world.extend("taro", grant.id)
    (view,) = running(world, "hanako")
    assert (view.session.id, view.session.connections, view.is_mine) == (session_id(grant.id), 1, True)
    assert view.session.ends_at == NOW + 1.5 * HOUR, "although control has not seen it yet"
    assert isinstance(view.ending, Allow)
    assert {name for name in PEOPLE if running(world, name)} == {"hanako", "oliver", "taro", "grace", "aoi", "admin"}
    assert isinstance(running(world, "aoi")[0].ending, Deny)


def test_a_session_that_is_over_is_listed_for_a_day(world: World):
    session = world.open_session(world.granted(), SessionState.FAILED)
    with world.store.writing() as tx:
        tx.execute(sessions.update().where(sessions.c.id == session).values(over_at=NOW, why="The image is not there."))
    world.now = NOW + timedelta(hours=23)
    assert [view.session.why for view in running(world, "hanako")] == ["The image is not there."]
    world.now = NOW + timedelta(hours=25)
    assert running(world, "hanako") == []


def test_approvers_still_see_a_grant_whose_room_file_is_gone(world: World):
    world.open_session(world.granted())
    world.write("campaign", "")
    assert len(running(world, "taro")) == len(running(world, "hanako")) == 1
    assert running(world, "ghost") == []


def _connect(world: World, session: str, *, closed: bool) -> None:
    row = {"id": f"c-{closed}", "session": session, "person": "hanako", "kind": "terminal", "address": OFFICE, "sign_in": world.sign_in("hanako")}
    with world.store.writing() as tx:
        tx.execute(insert(connections).values(**row, opened_at=NOW, closed_at=NOW if closed else None))
