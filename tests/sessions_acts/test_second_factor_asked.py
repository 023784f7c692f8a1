"""Rooms that ask for a second factor: who enters, stays and approves with what their sign-in has proven. On both databases."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert, update
from tests.sessions_acts.acts_house import CAMPAIGN, HOUR, NOW, OFFICE, PLACES, World

from sekisho.model.reasons import Reason
from sekisho.model.session import Request
from sekisho.policy.second_factor import NO_PROOF, PROOF_LIFE, Proof
from sekisho.policy.verdict import Allow, Deny
from sekisho.sessions import acts, entering
from sekisho.sessions.acts import Ticket
from sekisho.sessions.doorway import Allowed, Recheck, Redeem, Refused
from sekisho.sessions.entering import Admission
from sekisho.sessions.views import request_for
from sekisho.store.refusals import Tally
from sekisho.store.tables import second_factors, sign_ins

ASKING = CAMPAIGN.replace("[access]", "[access]\nsecond_factor = true")


@pytest.fixture
def asking(world: World) -> World:
    world.write("campaign", ASKING)
    return world


def enrol(world: World, name: str) -> None:
    row = {"person": name, "secret": b"sealed", "begun_at": NOW, "confirmed_at": NOW, "last_step": 0}
    with world.store.writing() as tx:
        tx.execute(insert(second_factors).values(**row))


def prove(world: World, name: str, at: datetime | None) -> str:
    """The id of the person's sign-in, proven then."""
    made = world.sign_in(name)
    with world.store.writing() as tx:
        tx.execute(update(sign_ins).where(sign_ins.c.id == made).values(second_factor_at=at))
    return made


def approve(world: World, name: str, request: str, *, sign_in: str = "") -> Request | Deny:
    return acts.approve(world.store, by=world.caller(name), sign_in=sign_in, request=request, book=world.book, places=PLACES, now=world.now)


def reason(outcome: object) -> str:
    return str(outcome.reason) if isinstance(outcome, Deny | Refused) else ""


def granted(world: World) -> str:
    """A session of hanako's that is ready, approved by taro with a proof."""
    enrol(world, "taro")
    made = approve(world, "taro", world.asked().id, sign_in=prove(world, "taro", NOW))
    assert isinstance(made, Request), made
    return world.open_session(made)


def entered(world: World, session: str) -> Admission:
    ticket = world.ticket("hanako", session)
    assert isinstance(ticket, Ticket), ticket
    admission = entering.redeem(world.store, Redeem(1, ticket.secret, OFFICE, "terminal"), places=PLACES, tally=Tally(), now=world.now)
    assert isinstance(admission, Admission), admission
    return admission


def recheck(world: World, admission: Admission) -> Allowed | Refused:
    return entering.recheck(world.store, Recheck(2, admission.connection, OFFICE), places=PLACES, now=world.now)


def test_asking_for_the_room_needs_no_second_factor(asking: World):
    assert isinstance(asking.ask(), Request)


@pytest.mark.parametrize(
    ("is_enrolled", "proven", "expected"),
    [
        (False, None, Reason.SECOND_FACTOR_MISSING),
        (False, NOW, Reason.SECOND_FACTOR_MISSING),
        (True, None, Reason.SECOND_FACTOR_OLD),
        (True, NOW - PROOF_LIFE, Reason.SECOND_FACTOR_OLD),
        (True, NOW - PROOF_LIFE + timedelta(seconds=1), None),
    ],
)
def test_approving_and_entering_ask_for_a_proof_of_this_very_sign_in(asking: World, *, is_enrolled: bool, proven: datetime | None, expected: Reason | None):
    session = granted(asking)
    if is_enrolled:
        enrol(asking, "hanako")
        enrol(asking, "grace")
    prove(asking, "hanako", proven)
    request = asking.asked(starts=NOW + 2 * HOUR)
    assert reason(approve(asking, "grace", request.id, sign_in=prove(asking, "grace", proven))) == (expected or "")
    assert reason(asking.ticket("hanako", session)) == (expected or "")
    if expected:
        assert asking.told()[-2:] == [("decision.refused", "grace", expected.value), ("entry.refused", "hanako", expected.value)]


def test_another_persons_sign_in_proves_nothing(asking: World):
    enrol(asking, "taro")
    enrol(asking, "grace")
    assert reason(approve(asking, "taro", asking.asked().id, sign_in=prove(asking, "grace", NOW))) == "second-factor-missing"


def test_denying_and_ending_never_wait_for_a_code_and_extending_does(asking: World):
    granted(asking)
    request = asking.asked(starts=NOW + 2 * HOUR)
    assert isinstance(asking.deny("taro", request.id), Request)
    running = asking.asked(starts=NOW + 4 * HOUR)
    approve(asking, "taro", running.id, sign_in=asking.sign_in("taro"))
    assert reason(asking.extend("taro", running.id)) == "second-factor-missing"
    extended = acts.extend(
        asking.store,
        by=asking.caller("taro"),
        sign_in=asking.sign_in("taro"),
        request=running.id,
        duration=HOUR,
        book=asking.book,
        places=PLACES,
        now=asking.now,
    )
    assert isinstance(extended, Request)
    assert isinstance(asking.end("taro", running.id), Request)


def test_a_ticket_is_no_way_round_and_a_connection_is_cut_once_the_proof_is_gone(asking: World):
    session = granted(asking)
    enrol(asking, "hanako")
    prove(asking, "hanako", NOW)
    admission = entered(asking, session)
    assert isinstance(recheck(asking, admission), Allowed)
    assert entering.refusal_by_now(asking.store, admission.connection, places=PLACES, now=asking.now) is None
    ticket = asking.ticket("hanako", session)
    assert isinstance(ticket, Ticket)
    prove(asking, "hanako", None)
    redeemed = entering.redeem(asking.store, Redeem(3, ticket.secret, OFFICE, "terminal"), places=PLACES, tally=Tally(), now=asking.now)
    assert reason(redeemed) == "second-factor-old"
    assert reason(recheck(asking, admission)) == "second-factor-old"
    assert asking.told()[-1] == ("connection.cut", "", "second-factor-old")


def test_a_room_that_does_not_ask_lets_everybody_in_as_before(world: World):
    session = world.open_session(world.granted())
    assert isinstance(recheck(world, entered(world, session)), Allowed)


def test_what_an_approver_may_do_is_shown_as_it_would_be_decided(asking: World):
    request = asking.asked().id
    taro = asking.caller("taro").person
    for proof, expected in ((NO_PROOF, "second-factor-missing"), (Proof(is_enrolled=True, at=None), "second-factor-old")):
        with asking.store.reading() as tx:
            view = request_for(tx, taro, request, proof=proof, book=asking.book, now=asking.now)
        assert not isinstance(view, Deny)
        assert reason(view.decision) == expected
    with asking.store.reading() as tx:
        view = request_for(tx, taro, request, proof=Proof(is_enrolled=True, at=NOW), book=asking.book, now=asking.now)
    assert not isinstance(view, Deny)
    assert isinstance(view.decision, Allow)
