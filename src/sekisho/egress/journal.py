"""Writing down: an open is durable before its first byte flows; a close or refusal never waits and is never lost.

The spool is synced by a thread, so that a slow disk holds up no relay. It belongs to one of the two at a time: what comes while the thread syncs waits here
and becomes the next group, and the shipper rests too. So opens of many connections share one sync, and none of this needs a lock.
"""

import contextlib
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from sekisho.audit.spool import SpoolFull
from sekisho.egress.loop import READ, WRITE, Loop, Timer
from sekisho.model.event import Event, EventKind

STALE_SECONDS = 30.0  # of the oldest entry that audit has not accepted: nothing opens beyond
NOTE_SYNC_SECONDS = 0.05  # closes and refusals alone start no sync at once: an open that comes would have to wait for it

_log = logging.getLogger(__name__)

Then = Callable[[bool], None]


class EventSink(Protocol):
    """`audit.spool.FileSpool`, as far as it is used here."""

    def append(self, event: Event, *, closes: bool = False) -> int:
        """Written, not yet durable. Raises SpoolFull; an event that `closes` what another opened has a reserve of its own."""
        ...

    def sync(self) -> None: ...

    def oldest_waiting_seconds(self) -> float: ...


class EventShipper(Protocol):
    """`audit.shipper.Shipper`, as far as it is used here."""

    @property
    def is_waiting_to_write(self) -> bool: ...

    def fileno(self) -> int | None: ...

    def on_ready(self) -> None: ...

    def tick(self) -> float: ...

    def kick(self) -> None: ...


class SpoolBroken(SystemExit):
    """The spool cannot be synced: what it holds is unknown until it is read again, so this process ends and is started anew."""


class Journal:
    def __init__(self, loop: Loop, sink: EventSink, shipper: EventShipper) -> None:
        self._loop = loop
        self._sink = sink
        self._shipper = shipper
        self._incoming: deque[tuple[Event, Then | None]] = deque()
        self._held: deque[Event] = deque()  # closes and refusals that a full spool did not take
        self._opening: list[Then] = []  # appended, being synced
        self._is_syncing = False
        self._is_flush_due = False
        self._is_sync_due = False
        self._watched: int | None = None
        self._timer: Timer | None = None
        self._work: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()
        self._tend(self._shipper.kick)

    @property
    def is_holding(self) -> bool:
        """The spool is full, and what was to be noted waits for it."""
        return bool(self._held)

    def open(self, event: Event, then: Then) -> None:
        """Write the event, and call `then(True)` once it is durable; `then(False)` if the spool is full or audit has been away too long."""
        self._incoming.append((event, then))
        self._flush_at_end_of_turn()

    def note(self, event: Event) -> None:
        """Write the event as soon as can be. Waits for nothing."""
        self._incoming.append((event, None))
        self._flush_at_end_of_turn()

    def close(self) -> None:
        """Write what is left, and stop. For an orderly end; a kill at any point loses no more than what nobody was told."""
        self._work.put(False)
        self._thread.join()
        self._is_syncing = False
        self._append_all()
        with contextlib.suppress(OSError):
            self._sink.sync()

    def _flush_at_end_of_turn(self) -> None:
        if not self._is_flush_due and not self._is_syncing:
            self._is_flush_due = True
            self._loop.at_end_of_turn(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        if self._is_syncing:
            return
        if not self._append_all():
            return
        if self._opening:
            self._sync()
        elif not self._is_sync_due:
            self._is_sync_due = True
            self._loop.after(NOTE_SYNC_SECONDS, self._sync_notes)

    def _sync_notes(self) -> None:
        if self._is_sync_due and not self._is_syncing:
            self._sync()

    def _sync(self) -> None:
        self._is_sync_due = False
        self._is_syncing = True
        self._rest()
        self._work.put(True)

    def _append_all(self) -> bool:
        """Append what waits, in order; opens that cannot be are refused. True if anything is to be synced."""
        appended = self._retry_held()
        may_open = self._sink.oldest_waiting_seconds() <= STALE_SECONDS
        refused: list[Then] = []
        while self._incoming:
            event, then = self._incoming.popleft()
            if then is None:
                appended |= self._append_or_hold(event)
            elif may_open and not self._held and self._append(event):
                self._opening.append(then)
                appended = True
            else:
                refused.append(then)
        for then in refused:
            then(False)
        return appended

    def _retry_held(self) -> bool:
        appended = False
        while self._held and self._append(self._held[0]):
            self._held.popleft()
            appended = True
        return appended

    def _append_or_hold(self, event: Event) -> bool:
        if not self._held and self._append(event):
            return True
        self._held.append(event)
        return False

    def _append(self, event: Event) -> bool:
        try:
            self._sink.append(event, closes=event.kind is EventKind.NAME_CLOSED)
        except SpoolFull:
            return False
        return True

    def _run(self) -> None:
        while self._work.get():
            failed: OSError | None = None
            try:
                self._sink.sync()
            except OSError as error:
                failed = error
            self._loop.from_thread(lambda failed=failed: self._on_synced(failed))  # type: ignore[misc]

    def _on_synced(self, failed: OSError | None) -> None:
        if failed is not None:
            raise SpoolBroken(f"the spool cannot be synced: {failed.strerror}")
        self._is_syncing = False
        durable, self._opening = self._opening, []
        self._tend(self._shipper.kick)
        for then in durable:
            then(True)
        if self._incoming:
            self._flush_at_end_of_turn()

    def _rest(self) -> None:
        """Leave the shipper alone while the thread has the spool."""
        if self._watched is not None:
            self._loop.forget(self._watched)
            self._watched = None
        if self._timer is not None:
            self._timer.cancel()

    def _tend(self, act: Callable[[], None]) -> None:
        """Let the shipper do something, and find out what it waits for now: it may have closed or changed its descriptor."""
        self._rest()
        wait = 1.0  # should it fail: log that, and try again
        try:
            act()
            wait = self._shipper.tick()
        finally:
            self._await_shipper(wait)

    def _await_shipper(self, wait: float) -> None:
        self._timer = self._loop.after(wait, lambda: self._tend(_nothing))
        descriptor = self._shipper.fileno()
        if descriptor is not None:
            self._loop.watch(descriptor, READ | (WRITE if self._shipper.is_waiting_to_write else 0), lambda _events: self._tend(self._shipper.on_ready))
            self._watched = descriptor
        if self._held:
            self._flush_at_end_of_turn()


def _nothing() -> None:
    pass
