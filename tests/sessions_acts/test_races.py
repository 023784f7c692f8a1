"""Two people, or one person twice, at the same instant: the transaction decides, and only one of them wins. On both databases."""

import threading
from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import func, select, update
from tests.sessions_acts.acts_house import HOUR, NOW, World

from sekisho.identity.people import disable_person
from sekisho.model.session import Request, RequestState
from sekisho.policy.verdict import Deny
from sekisho.sessions.acts.standing import locked_request
from sekisho.store.tables import outbox, tickets
from sekisho.system import randomness

ROUNDS = 5


def at_once(*acts: Callable[[], object]) -> list[object]:
    """What each gives, all begun together."""
    outcomes: list[object] = [None] * len(acts)
    start = threading.Barrier(len(acts))

    def run(index: int, act: Callable[[], object]) -> None:
        start.wait(timeout=30)
        try:
            outcomes[index] = act()
        except Exception as error:  # noqa: BLE001  told to the test
            outcomes[index] = error

    threads = [threading.Thread(target=run, args=(index, act)) for index, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return outcomes


def reasons(outcomes: list[object]) -> list[str]:
    """ "" for a success."""
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)], outcomes
    return sorted(str(outcome.reason) if isinstance(outcome, Deny) else "" for outcome in outcomes)


def state_of(world: World, request: str) -> Request:
    with world.store.writing() as tx:
        found = locked_request(tx, request)
    assert found is not None
    return found


def each_round(world: World, name: str = "hanako", room: str = "campaign") -> Request:
    """A request of its own hour for every round."""
    for hour in range(24 * 7):
        made = world.ask(name, room, starts=NOW + hour * HOUR)
        if isinstance(made, Request):
            return made
    raise AssertionError("no hour is left")


def test_two_approvers_at_once_where_one_is_enough(world: World):
    for _ in range(ROUNDS):
        asked = each_round(world)
        outcomes = at_once(partial(world.approve, "taro", asked.id), partial(world.approve, "grace", asked.id))
        assert reasons(outcomes) == ["", "already-decided"]
        assert len(state_of(world, asked.id).approvals) == 1


def test_two_approvers_at_once_where_both_are_needed(world: World):
    for _ in range(ROUNDS):
        asked = each_round(world, room="orders")
        assert reasons(at_once(partial(world.approve, "taro", asked.id), partial(world.approve, "grace", asked.id))) == ["", ""]
        granted = state_of(world, asked.id)
        assert granted.state is RequestState.APPROVED
        assert set(granted.approvals) == {"taro", "grace"}


def test_one_approver_twice_at_once_is_one_approval(world: World):
    for _ in range(ROUNDS):
        asked = each_round(world, room="orders")
        assert reasons(at_once(*[partial(world.approve, "taro", asked.id)] * 3)) == ["", "already-decided", "already-decided"]
        assert state_of(world, asked.id).state is RequestState.PENDING


def test_approving_and_denying_at_once(world: World):
    for _ in range(ROUNDS):
        asked = each_round(world)
        outcomes = at_once(partial(world.approve, "taro", asked.id), partial(world.deny, "grace", asked.id))
        assert reasons(outcomes) == ["", "already-decided"]
        winner = next(outcome for outcome in outcomes if isinstance(outcome, Request))
        assert state_of(world, asked.id).state is winner.state


def test_ending_twice_and_extending_at_once(world: World):
    for _ in range(ROUNDS):
        asked = each_round(world)
        world.approve("taro", asked.id)
        outcomes = at_once(
            partial(world.end, "taro", asked.id), partial(world.leave, "hanako", asked.id.replace("r-", "s-")), partial(world.extend, "grace", asked.id)
        )
        told = reasons(outcomes)
        assert told.count("not-running") in (1, 2)
        assert state_of(world, asked.id).state is RequestState.ENDED


def test_extending_while_they_ask_for_the_time_after_gives_one_of_both(world: World):
    for day in range(2):
        world.now = NOW + day * 24 * HOUR
        grant = world.granted()
        outcomes = at_once(partial(world.extend, "grace", grant.id), partial(world.ask, starts=grant.ends_at))
        assert reasons(outcomes) == ["", "overlapping"]


def test_disabling_while_it_is_approved_leaves_no_grant(world: World):
    asked = world.asked()
    at_once(partial(world.approve, "taro", asked.id), lambda: disable_person(world.store, by=None, name="hanako", now=NOW))
    assert state_of(world, asked.id).state in (RequestState.DENIED, RequestState.ENDED)


def test_disabling_while_they_ask_leaves_nothing_that_could_be_granted(world: World):
    for name in ("hanako", "oliver"):
        outcomes = at_once(lambda name=name: world.ask(name), lambda name=name: disable_person(world.store, by=None, name=name, now=NOW))
        reasons(outcomes)
        if isinstance(outcomes[0], Request):
            assert state_of(world, outcomes[0].id).state is RequestState.DENIED


def test_one_person_asking_many_times_at_once_gets_one(world: World):
    outcomes = at_once(*[world.ask] * 5)
    assert reasons(outcomes) == ["", *["overlapping"] * 4]


def test_a_ticket_shown_many_times_at_once_is_good_once(world: World):
    session = world.open_session(world.granted())
    ticket = world.ticket("hanako", session)
    assert not isinstance(ticket, Deny)
    mine = tickets.c.fingerprint == randomness.fingerprint(ticket.secret)

    def redeem() -> int:
        with world.store.writing() as tx:
            return tx.execute(update(tickets).where(mine, tickets.c.used_at.is_(None)).values(used_at=NOW)).rowcount

    assert sorted(at_once(*[redeem] * 6), key=str) == [0, 0, 0, 0, 0, 1]


def test_every_act_of_a_race_has_its_one_event(world: World):
    asked = world.asked()
    before = _events(world)
    at_once(*[lambda name=name: world.approve(name, asked.id) for name in ("taro", "grace", "oliver", "hanako", "admin")])
    assert _events(world) == before + 5


def _events(world: World) -> int:
    with world.store.reading() as tx:
        return tx.execute(select(func.count()).select_from(outbox)).scalar_one()


@pytest.mark.parametrize("name", ["hanako"])
def test_a_request_and_its_event_are_there_together_or_not_at_all(world: World, monkeypatch: pytest.MonkeyPatch, name: str):
    """The process dies between the row and the event."""
    before = _events(world)

    def dying(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("sekisho.sessions.acts.asking.note", dying)
    with pytest.raises(KeyboardInterrupt):
        world.ask(name)
    monkeypatch.undo()
    assert _events(world) == before
    assert isinstance(world.ask(name), Request), "nothing of it was left to overlap with"
