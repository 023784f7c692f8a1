"""Capabilities become descriptors: at the agent's `open.sock`, without waiting for it."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sekisho.egress.loop import READ, WRITE, Loop, Timer
from sekisho.egress.session import close_all
from sekisho.model.messages import MalformedMessage, parse, render
from sekisho.runtime.protocol import Failed, FromOpener, Open, Opened, OpenKind
from sekisho.system.packets import Channel, ChannelClosed, connect

ANSWER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Got:
    session: str
    descriptors: tuple[int, ...]  # now the receiver's


Outcome = Got | str  # or the reference of the failure
Then = Callable[[Outcome], None]


class Opener:
    def __init__(self, loop: Loop, path: Path) -> None:
        self._loop = loop
        self._path = path
        self._numbers = itertools.count(1)
        self._asked: dict[int, tuple[Then, Timer]] = {}
        self._channel: Channel | None = None

    def open(self, capability: str, then: Then) -> None:
        """`then` is called once: with descriptors, or with why not: `agent-unavailable`, or the agent's own reference."""
        number = next(self._numbers)
        self._asked[number] = (then, self._loop.after(ANSWER_SECONDS, lambda: self._answer(number, "agent-unavailable")))
        try:
            channel = self._connected()
            channel.send(render(Open(number=number, capability=capability)))
            self._loop.change(channel.fileno(), READ | (WRITE if channel.is_waiting_to_write else 0))
        except ChannelClosed:
            self._fail_all()

    def close(self) -> None:
        if self._channel is not None:
            self._loop.forget(self._channel.fileno())
            self._channel.close()
            self._channel = None

    def _connected(self) -> Channel:
        if self._channel is None:
            self._channel = connect(self._path)
            self._loop.watch(self._channel.fileno(), READ, lambda _events: self._on_ready())
        return self._channel

    def _on_ready(self) -> None:
        channel = self._channel
        assert channel is not None
        try:
            channel.flush()
            while self._channel is channel and (received := channel.receive()) is not None:
                self._on_packet(*received)
        except (ChannelClosed, MalformedMessage):
            self._fail_all()
            return
        if self._channel is channel:
            self._loop.change(channel.fileno(), READ | (WRITE if channel.is_waiting_to_write else 0))

    def _on_packet(self, packet: bytes, descriptors: tuple[int, ...]) -> None:
        try:
            message = parse(packet, FromOpener)
        except MalformedMessage:
            close_all(descriptors)
            raise
        if isinstance(message, Opened) and message.kind is OpenKind.EGRESS and message.to in self._asked:
            self._answer(message.to, Got(message.session, descriptors))
            return
        close_all(descriptors)
        if isinstance(message, Failed):
            self._answer(message.to, message.reference)

    def _answer(self, number: int, outcome: Outcome) -> None:
        asked = self._asked.pop(number, None)
        if asked is not None:
            then, timer = asked
            timer.cancel()
            then(outcome)

    def _fail_all(self) -> None:
        self.close()
        for number in tuple(self._asked):
            self._answer(number, "agent-unavailable")
