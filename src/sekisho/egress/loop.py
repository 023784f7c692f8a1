"""The event loop: epoll, level-triggered, timers, and a hand-over from threads. One per process.

A callback that raises is a bug of its connection, not of the others: it is logged and the descriptor is watched no more. Callbacks do a bounded amount of
work and come again, so that no session starves another.
"""

import heapq
import itertools
import logging
import os
import select
from collections import deque
from collections.abc import Callable

from sekisho.system.clock import Clock

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
ERROR = select.EPOLLERR
BROKEN = select.EPOLLERR | select.EPOLLHUP

_SWEEP_AT_LEAST = 256

_log = logging.getLogger(__name__)

Act = Callable[[], None]
OnReady = Callable[[int], None]


class Timer:
    __slots__ = ("_act",)

    def __init__(self, act: Act) -> None:
        self._act: Act | None = act

    def cancel(self) -> None:
        self._act = None

    def fire(self) -> None:
        act, self._act = self._act, None
        if act is not None:
            act()

    @property
    def is_cancelled(self) -> bool:
        return self._act is None


class Loop:
    """`from_thread` may be called from any thread; all else from the loop's own."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._epoll = select.epoll()
        self._watched: dict[int, tuple[OnReady, int]] = {}
        self._turn = 0
        self._timers: list[tuple[float, int, Timer]] = []
        self._sweep_at = _SWEEP_AT_LEAST
        self._order = itertools.count()
        self._at_end: list[Act] = []
        self._handed_over: deque[Act] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.watch(self._bell, READ, self._on_bell)

    def watch(self, descriptor: int, events: int, on_ready: OnReady) -> None:
        """Call `on_ready` with the events that are there, as long as they are there. Errors and hang-ups always count, whatever `events`."""
        is_watched = descriptor in self._watched
        self._watched[descriptor] = (on_ready, self._turn)
        (self._epoll.modify if is_watched else self._epoll.register)(descriptor, events)

    def change(self, descriptor: int, events: int) -> None:
        self._epoll.modify(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Before a descriptor is closed. One that is not watched is no error."""
        if self._watched.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def after(self, seconds: float, act: Act) -> Timer:
        if len(self._timers) >= self._sweep_at:
            self._sweep()
        timer = Timer(act)
        heapq.heappush(self._timers, (self.clock.boottime() + seconds, next(self._order), timer))
        return timer

    def at_end_of_turn(self, act: Act) -> None:
        """Once, after all that is ready now was handled: where work of many connections is done together."""
        self._at_end.append(act)

    def from_thread(self, act: Act) -> None:
        self._handed_over.append(act)
        os.eventfd_write(self._bell, 1)

    def turn(self, limit_seconds: float = 1.0) -> None:
        """Wait for what comes first, events, a timer or the limit, and handle it."""
        ready = self._epoll.poll(self._wait(limit_seconds))
        self._turn += 1
        for descriptor, events in ready:
            on_ready, since = self._watched.get(descriptor, (None, 0))
            # One watched in this very turn has a number that was somebody else's when poll answered.
            if on_ready is not None and since < self._turn:
                self._call(descriptor, on_ready, events)
        self._fire_timers()
        while self._at_end:
            acts, self._at_end = self._at_end, []
            for act in acts:
                _guarded(act)

    def close(self) -> None:
        self._epoll.close()
        os.close(self._bell)

    def _wait(self, limit_seconds: float) -> float:
        while self._timers and self._timers[0][2].is_cancelled:
            heapq.heappop(self._timers)
        if not self._timers:
            return limit_seconds
        return min(limit_seconds, max(0.0, self._timers[0][0] - self.clock.boottime()))

    def _sweep(self) -> None:
        """Most timers are deadlines that were met: without this they would lie about until their time."""
        self._timers = [entry for entry in self._timers if not entry[2].is_cancelled]
        heapq.heapify(self._timers)
        self._sweep_at = max(_SWEEP_AT_LEAST, 2 * len(self._timers))

    def _call(self, descriptor: int, on_ready: OnReady, events: int) -> None:
        try:
            on_ready(events)
        except Exception:  # noqa: BLE001  the edge of a callback
            _log.exception("a callback failed; its descriptor is dropped")
            self.forget(descriptor)

    def _fire_timers(self) -> None:
        now = self.clock.boottime()
        while self._timers and self._timers[0][0] <= now:
            _guarded(heapq.heappop(self._timers)[2].fire)

    def _on_bell(self, _events: int) -> None:
        os.eventfd_read(self._bell)
        for _ in range(len(self._handed_over)):
            _guarded(self._handed_over.popleft())


def _guarded(act: Act) -> None:
    try:
        act()
    except Exception:  # noqa: BLE001  the edge of an act
        _log.exception("an act failed")
