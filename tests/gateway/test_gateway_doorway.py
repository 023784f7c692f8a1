"""The gateway's end of the doorway: what it does when control is silent, odd, away, or answers at the wrong moment."""

import asyncio
from pathlib import Path
from typing import Self

import pytest
import uvloop
from tests.gateway.rooms_host import Agent, Control, until

from sekisho.gateway.doorway_client import DoorwayClient
from sekisho.model.reasons import Reason
from sekisho.sessions.doorway import Allowed, Closed, Refused


class Story:
    def __init__(self, folder: Path) -> None:
        self.control = Control(folder / "control.sock", Agent(folder / "open.sock"))
        self.client = DoorwayClient(self.control.path, answer_seconds=1.0)

    async def __aenter__(self) -> Self:
        self.control.open()
        self.running = asyncio.create_task(self.client.run())
        await until(lambda: self.control.alive, "connected")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        self.control.close()


def test_an_answer_that_meets_a_cancellation_does_not_keep_the_asker_alive(tmp_path: Path) -> None:
    """Python 3.11's wait_for swallowed that cancellation: the task of a connection that was over asked on for ever, and its room was never released."""

    async def told() -> None:
        async with Story(tmp_path) as story:
            story.control.is_silent = True
            asking = asyncio.create_task(story.client.recheck(connection="c-1", address="192.0.2.1"))
            await until(lambda: story.control.rechecked, "asked")
            story.client._answered(Allowed(story.control.rechecked[0].number, 1.0))
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    uvloop.run(told())


def test_silence_and_absence_are_refusals(tmp_path: Path) -> None:
    async def told() -> None:
        async with Story(tmp_path) as story:
            story.control.is_silent = True
            redeeming = asyncio.create_task(story.client.redeem(ticket="t", address="192.0.2.1", kind="terminal"))
            await until(lambda: story.control.redeemed, "asked")
            story.control.close()  # it dies with the question
            assert (await redeeming).reason is Reason.CONTROL_UNAVAILABLE
            assert await story.client.recheck(connection="c-1", address="192.0.2.1") is None
            refused = await story.client.paste(connection="c-1", address="192.0.2.1", characters=1, size_bytes=3)
            assert isinstance(refused, Refused)
            assert refused.reason is Reason.CONTROL_UNAVAILABLE

    uvloop.run(told())


def test_the_answer_to_another_question_lets_no_paste_in(tmp_path: Path) -> None:
    async def told() -> None:
        async with Story(tmp_path) as story:
            story.control.holds_pastes = True
            asking = asyncio.create_task(story.client.paste(connection="c-1", address="192.0.2.1", characters=1, size_bytes=3))
            await until(lambda: story.control.pastes, "asked")
            assert (story.control.pastes[0].characters, story.control.pastes[0].size_bytes) == (1, 3)
            story.client._answered(Allowed(story.control.pastes[0].number, 1.0))
            assert isinstance(await asking, Refused)

    uvloop.run(told())


def test_an_admission_that_comes_too_late_is_closed_again(tmp_path: Path) -> None:
    async def told() -> None:
        async with Story(tmp_path) as story:
            story.client._answer_seconds = 0.0
            await story.client.redeem(ticket=story.control.issue(), address="192.0.2.1", kind="terminal")
            await until(lambda: story.control.closed, "closed")
            assert story.control.closed[0] == Closed("c-1", "disconnected", bytes_in=0, bytes_out=0)

    uvloop.run(told())


def test_a_malformed_message_is_a_lost_control_and_the_client_comes_back(tmp_path: Path) -> None:
    async def told() -> None:
        async with Story(tmp_path) as story:
            story.control.channels[0].send(b'{"verb":"open-sesame"}')
            await until(lambda: len(story.control.alive) == 2, "connected again")

    uvloop.run(told())


def test_that_somebody_left_is_said_again_to_a_control_that_came_back(tmp_path: Path) -> None:
    async def told() -> None:
        async with Story(tmp_path) as story:
            left = Closed("c-1", "left", bytes_in=1, bytes_out=2, left=True)
            story.client.closed(left)
            await until(lambda: story.control.closed, "said")
            story.control.close()
            story.client.closed(Closed("c-2", "disconnected", bytes_in=0, bytes_out=0))
            story.control.closed.clear()
            story.control.open()
            await until(lambda: len(story.control.alive) == 2, "connected again")
            assert sorted(each.connection for each in story.control.closed) == ["c-1", "c-2"]

    uvloop.run(told())
