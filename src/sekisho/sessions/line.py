"""A line: control's end of a SOCK_SEQPACKET socket that it connects to, on asyncio. It reconnects by itself, and knows which answer belongs to which question.

A question is a message with a `number`; its answer repeats that as `to`. What has no `to` is unasked. Nothing here blocks the loop, and a question is handed to
the kernel before `ask` first waits, so questions leave in the order in which their tasks began.
"""

import asyncio
import itertools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from sekisho.model import messages
from sekisho.model.messages import MalformedMessage, Message
from sekisho.system import packets
from sekisho.system.packets import Channel, ChannelClosed

ANSWER_SECONDS = 5.0
_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0
_log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class Away(ConnectionError):
    """Nobody is at the other end, or it did not answer in time: ask again later."""


class Line(Generic[Answer]):
    """`family` are the messages that the other end may say. `on_here` and `on_away` are called when it comes and goes,
    `on_unasked` for what it says by itself."""

    def __init__(
        self,
        path: Path,
        *,
        family: tuple[type[Any], ...],
        on_here: Callable[[], None],
        on_away: Callable[[], None],
        on_unasked: Callable[[Any], None] | None = None,
    ) -> None:
        self._path = path
        self._family = family
        self._on_here = on_here
        self._on_away = on_away
        self._on_unasked = on_unasked
        self._channel: Channel | None = None
        self._lost = asyncio.Event()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}

    @property
    def is_here(self) -> bool:
        return self._channel is not None

    async def keep(self) -> None:
        """Connect, and connect again whenever the other end goes away. Ends only by being cancelled."""
        pause = _PAUSE_SECONDS
        try:
            while True:
                if self._connect():
                    pause = _PAUSE_SECONDS
                    await self._lost.wait()
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        finally:
            self._lose()

    async def ask(self, question: Callable[[int], Message], *, seconds: float = ANSWER_SECONDS) -> Answer:
        """The answer to `question(number)`. Raises Away."""
        number = next(self._numbers)
        self._send(messages.render(question(number)))
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError as error:
            raise Away(f"{self._path.name} did not answer within {seconds} s") from error
        finally:
            self._waiting.pop(number, None)

    def _connect(self) -> bool:
        try:
            self._channel = packets.connect(self._path)
        except ChannelClosed:
            return False
        self._lost.clear()
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._read)
        self._on_here()
        return True

    def _send(self, packet: bytes) -> None:
        if self._channel is None:
            raise Away(f"nobody is at {self._path.name}")
        try:
            self._channel.send(packet)
        except ChannelClosed as error:
            self._lose()
            raise Away(str(error)) from error
        self._watch_writing()

    def _watch_writing(self) -> None:
        if self._channel is None:
            return
        loop, descriptor = asyncio.get_running_loop(), self._channel.fileno()
        if self._channel.is_waiting_to_write:
            loop.add_writer(descriptor, self._write)
        else:
            loop.remove_writer(descriptor)

    def _write(self) -> None:
        assert self._channel is not None
        try:
            self._channel.flush()
        except ChannelClosed:
            self._lose()
        self._watch_writing()

    def _read(self) -> None:
        try:
            while self._channel is not None and (packet := self._channel.receive()) is not None:
                for descriptor in packet[1]:
                    os.close(descriptor)
                self._hear(messages.parse(packet[0], self._family))
        except ChannelClosed:
            self._lose()
        except MalformedMessage as error:
            _log.error("%s said what it may not: %s", self._path.name, error)
            self._lose()

    def _hear(self, message: Any) -> None:
        to = getattr(message, "to", None)
        if to is not None:
            answer = self._waiting.get(to)
            if answer is not None and not answer.done():
                answer.set_result(message)
        elif self._on_unasked is not None:
            self._on_unasked(message)

    def _lose(self) -> None:
        channel, self._channel = self._channel, None
        if channel is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(channel.fileno())
        loop.remove_writer(channel.fileno())
        channel.close()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Away(f"{self._path.name} went away"))
        self._lost.set()
        self._on_away()
