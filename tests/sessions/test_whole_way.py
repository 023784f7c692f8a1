"""The whole way of one session on both databases, from the grant to what the log says of it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.sessions.house import House, in_house
from tests.sessions.peers import until

from sekisho.model.reasons import Reason
from sekisho.sessions.doorway import Admitted, Allowed, Closed
from sekisho.sessions.performing import Performer
from sekisho.sessions.steps import Step
from sekisho.store.database import Store

Perform = Callable[[Performer, Step], Awaitable[None]]

STORY = [
    "session.opening",
    "connection.opened",
    "connection.cut",
    "connection.closed",
    "entry.refused",
    "connection.opened",
    "connection.closed",
    "grant.ended",
]


def test_a_session_is_opened_entered_cut_entered_again_left_and_destroyed(tmp_path: Path, store: Store) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        first = await house.enters()
        assert isinstance(await house.gateway.recheck(first.connection), Allowed)
        assert (await house.gateway.recheck(first.connection, address="192.0.2.1")).reason is Reason.OUTSIDE_PLACE
        house.gateway.say(Closed(first.connection, "outside-place", 1, 2))
        assert (await house.gateway.redeem(first.again, address="192.0.2.1")).reason is Reason.TICKET_USED_OR_OLD
        second = await house.enters()
        assert isinstance(second, Admitted)
        house.gateway.say(Closed(second.connection, "left", 3, 4, left=True))
        await house.sees("destroyed")
        await until(lambda: not house.agent.sessions, "the agent has forgotten it")
        await until(lambda: house.logged() == STORY, "the log has the story, in order")
        assert house.row("sessions", "s-one").certificate["clean"] is True
        assert house.row("requests", "r-one").end_reason == "left"

    in_house(tmp_path, story, store=store)


@pytest.mark.parametrize("number", range(1, 11))
def test_control_killed_at_any_step_of_a_session_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    kills = Kills(number)
    monkeypatch.setattr(Performer, "perform", kills.around(Performer.perform))

    async def story(house: House) -> None:
        kills.house = house
        house.grant(seconds=1.0)
        await until(lambda: house.state() == "destroyed" and not house.agent.sessions, "destroyed and forgotten")
        assert kills.is_back
        assert house.row("requests", "r-one").end_reason == "time-over"
        assert house.row("sessions", "s-one").certificate["clean"] is True
        await until(lambda: sorted(house.logged()) == ["grant.ended", "session.opening"], "each is in the log once")
        assert len(house.agent.specs) == 1

    in_house(tmp_path, story)


class Kills:
    """Kills control when it is about to take its nth step, and starts another."""

    def __init__(self, number: int) -> None:
        self.house: House | None = None
        self.is_back = False
        self._left = number
        self._restart: asyncio.Task[None] | None = None

    def around(self, perform: Perform) -> Perform:
        async def counted(performer: Performer, step: Step) -> None:
            self._left -= self.house is not None
            if self.house is not None and self._left == 0:
                self._restart = asyncio.get_running_loop().create_task(self._again(self.house))
                await asyncio.get_running_loop().create_future()  # killed here
            await perform(performer, step)

        return counted

    async def _again(self, house: House) -> None:
        await house.kill_control()
        house.start_control()
        self.is_back = True
