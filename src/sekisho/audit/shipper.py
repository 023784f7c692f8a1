"""The shipper: brings a producer's backlog to the audit process, over whatever loop the producer has. Nothing here blocks.

One batch is under way at a time: what comes meanwhile goes with the next, so that entries are committed in groups as large as the load. After a lost
connection the batch is sent again; audit drops what it has. A batch is at most `BATCH_BYTES`.

The owner asks for `fileno()` after every call and watches that one for reading, and for writing while `is_waiting_to_write`. A descriptor that is no
longer given stays open until the next `tick`, so that it can be unwatched first.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from sekisho.audit.wire import Accepted, MalformedPacket, Refused, parse_answer, render_appends
from sekisho.system.clock import Clock
from sekisho.system.packets import Channel, ChannelClosed, connect

BATCH_BYTES = 262_144
IDLE_SECONDS = 1.0  # a backlog that nobody kicked is looked at this often
ANSWER_SECONDS = 30.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 2.0
_logger = logging.getLogger(__name__)


class Backlog(Protocol):
    """What a producer has written durably and audit has not accepted yet."""

    @property
    def producer(self) -> str: ...

    def waiting(self, limit_bytes: int) -> list[tuple[int, bytes]]:
        """Entries after the last accepted one, numbered, in order; as many as `limit_bytes` holds, one at least if there is one. All of them durable here."""
        ...

    def accepted(self, through: int) -> None:
        """Audit has every entry up to this number."""
        ...


class Shipper:
    """`tick` when it asks for it, `on_ready` when its descriptor is, `kick` when there is something new. Not for use by more than one thread."""

    def __init__(self, backlog: Backlog, path: Path, clock: Clock) -> None:
        self._backlog = backlog
        self._path = path
        self._clock = clock
        self._channel: Channel | None = None
        self._broken: Channel | None = None
        self._awaited = 0  # the last number of the batch under way; 0: none is
        self._sent_at = 0.0
        self._retry_at = 0.0
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self.refusal = ""  # why audit refused an entry of this producer; empty while it does not
        self.on_change: Callable[[], None] = lambda: None  # called when the owner should look at fileno and is_waiting_to_write again

    def fileno(self) -> int | None:
        return self._channel.fileno() if self._channel else None

    @property
    def is_waiting_to_write(self) -> bool:
        return self._channel is not None and self._channel.is_waiting_to_write

    def kick(self) -> None:
        """There is something new in the backlog: it is sent at once if nothing is under way."""
        self._send()
        self.on_change()

    def on_ready(self) -> None:
        """The descriptor is readable or writable."""
        try:
            while self._channel and (received := self._channel.receive()):
                self._take_answer(received[0])
            if self._channel:
                self._channel.flush()
        except ChannelClosed as error:
            self._break(str(error))
        except MalformedPacket as error:
            self._break(f"audit said something malformed: {error}")
        self._send()

    def tick(self) -> float:
        """Connect if need be, send what there is. Seconds until it wants to be called again."""
        self._close_broken()
        now = self._clock.boottime()
        if self._channel is None and now >= self._retry_at:
            self._connect()
        if self._channel is not None and self._awaited and now - self._sent_at > ANSWER_SECONDS:
            self._break("audit does not answer")
        self._send()
        return IDLE_SECONDS if self._channel else max(0.001, self._retry_at - self._clock.boottime())

    def close(self) -> None:
        """Disconnect. The owner has unwatched the descriptor."""
        if self._channel:
            self._break("closed here")
        self._close_broken()

    def _close_broken(self) -> None:
        if self._broken:
            self._broken.close()
            self._broken = None

    def _connect(self) -> None:
        try:
            self._channel = connect(self._path)
        except ChannelClosed:
            self._wait_longer()

    def _send(self) -> None:
        if self._channel is None or self._awaited:
            return
        entries = self._backlog.waiting(BATCH_BYTES)
        if not entries:
            return
        self._awaited, self._sent_at = entries[-1][0], self._clock.boottime()
        try:
            for packet in render_appends(entries):
                self._channel.send(packet)
        except ChannelClosed as error:
            self._break(str(error))

    def _take_answer(self, packet: bytes) -> None:
        match parse_answer(packet):
            case Accepted(through):
                if not 0 < through <= self._awaited:
                    raise MalformedPacket("an answer to what was not sent")
                self._backlog.accepted(through)
                self._pause_seconds, self.refusal = _FIRST_PAUSE_SECONDS, ""
                self._awaited = 0 if through == self._awaited else self._awaited
            case Refused(number, why):
                self.refusal = why
                self._pause_seconds = _LONGEST_PAUSE_SECONDS
                _logger.error("audit refuses entry %d of %s: %s", number, self._backlog.producer, why)

    def _break(self, why: str) -> None:
        _logger.warning("%s lost its connection to audit: %s", self._backlog.producer, why)
        self._close_broken()
        self._broken, self._channel = self._channel, None
        self._awaited = 0
        self._wait_longer()

    def _wait_longer(self) -> None:
        self._retry_at = self._clock.boottime() + self._pause_seconds
        self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)


async def ship(shipper: Shipper, stop: asyncio.Event) -> None:
    """Run a shipper on asyncio's loop until `stop` is set. An error of the backlog ends it and is raised."""
    driver = _Driver(shipper)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        driver.tick()
        ends: set[asyncio.Future[Any]] = {stopping, driver.failed}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if driver.failed.done():
            driver.failed.result()
    finally:
        stopping.cancel()
        driver.forget()
        shipper.close()


class _Driver:
    """Ticks a shipper and watches its descriptor on asyncio's loop."""

    def __init__(self, shipper: Shipper) -> None:
        self._shipper = shipper
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._watched: int | None = None
        self._is_writing = False
        self.failed: asyncio.Future[None] = self._loop.create_future()
        shipper.on_change = self._look

    def tick(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._guarded(self._tick)

    def forget(self) -> None:
        self._shipper.on_change = lambda: None
        self._unwatch()
        if self._timer:
            self._timer.cancel()
        self.failed.cancel()

    def _tick(self) -> None:
        delay_seconds = self._shipper.tick()
        self._timer = self._loop.call_later(delay_seconds, self.tick)
        self._look()

    def _ready(self) -> None:
        self._guarded(self._shipper.on_ready)
        self._look()

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001  the edge of a callback: raised by `ship`
            if not self.failed.done():
                self.failed.set_exception(error)

    def _look(self) -> None:
        descriptor = self._shipper.fileno()
        if descriptor != self._watched:
            self._watch(descriptor)
        if descriptor is not None and self._shipper.is_waiting_to_write != self._is_writing:
            self._is_writing = not self._is_writing
            if self._is_writing:
                self._loop.add_writer(descriptor, self._ready)
            else:
                self._loop.remove_writer(descriptor)

    def _watch(self, descriptor: int | None) -> None:
        self._unwatch()
        self._watched = descriptor
        if descriptor is not None:
            self._loop.add_reader(descriptor, self._ready)
        else:
            self._loop.call_soon(self.tick)  # the connection is gone: learn when to try again

    def _unwatch(self) -> None:
        if self._watched is not None:
            self._loop.remove_reader(self._watched)
            self._loop.remove_writer(self._watched)
        self._watched, self._is_writing = None, False
