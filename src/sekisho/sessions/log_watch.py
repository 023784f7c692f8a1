"""How the audit log does, as control sees it through the outbox that it ships: who waits for an event to be accepted, and for how long nothing was."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from sekisho.sessions.plan import LogHealth
from sekisho.system.clock import Clock

_LOOK_SECONDS = 0.5  # an acceptance is told at once; this only covers one that another process recorded


class Shipped(Protocol):
    """`store.outbox.Outbox`."""

    producer: str

    def waiting(self, limit_bytes: int) -> list[tuple[int, bytes]]: ...

    def accepted(self, through: int) -> None: ...

    def oldest_waiting_seconds(self, now: datetime) -> float: ...


class LogWatch:
    """A backlog for the shipper that passes everything on to the outbox and takes note of what audit accepts."""

    def __init__(self, outbox: Shipped, clock: Clock) -> None:
        self.producer = outbox.producer
        self._outbox = outbox
        self._clock = clock
        self._moved_at = clock.boottime()
        self._waiters: set[asyncio.Event] = set()

    def waiting(self, limit_bytes: int) -> list[tuple[int, bytes]]:
        return self._outbox.waiting(limit_bytes)

    def accepted(self, through: int) -> None:
        self._outbox.accepted(through)
        self._moved_at = self._clock.boottime()
        for waiter in self._waiters:
            waiter.set()

    def health(self) -> LogHealth:
        """As it is now. Nothing waiting counts as moving."""
        waiting = self._outbox.oldest_waiting_seconds(self._clock.now())
        if waiting == 0.0:
            self._moved_at = self._clock.boottime()
        return LogHealth(waiting, min(waiting, self._clock.boottime() - self._moved_at))

    async def until(self, is_accepted: Callable[[], bool], *, seconds: float) -> bool:
        """Wait until the log has what `is_accepted` asks for. False if it has not in time."""
        waiter = asyncio.Event()
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(seconds):
                while not is_accepted():
                    await _a_while(waiter)
        except TimeoutError:
            return is_accepted()
        finally:
            self._waiters.discard(waiter)
        return True


async def _a_while(waiter: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            await waiter.wait()
    except TimeoutError:
        return
    waiter.clear()
