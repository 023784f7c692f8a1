"""Looking at a session's memory, and ending the largest program of a room that stands still at its limit (`thrashing`): what the kernel would have done, had
it found nothing to give back."""

import os
import signal
from contextlib import suppress

from sekisho.runtime.cgroups import Cgroup
from sekisho.runtime.thrashing import MemorySeen, is_thrashing
from sekisho.system import processes
from sekisho.system.clock import Clock

_SECONDS = 5.0
_CLOSELY_SECONDS = 1.0  # while the memory is used up


class MemoryWatch:
    """`look` as often as you like; it does so only when it is time."""

    def __init__(self, group: Cgroup, clock: Clock) -> None:
        self._group = group
        self._clock = clock
        self._before: MemorySeen | None = None  # as it was at the last look, if it was used up then
        self._looked_at = clock.boottime()
        self._thrashed = False

    @property
    def patience_seconds(self) -> float:
        return _CLOSELY_SECONDS if self._before else _SECONDS

    def look(self) -> None:
        """It must stand still at two looks in a row before somebody is killed."""
        now = self._clock.boottime()
        if now - self._looked_at < _CLOSELY_SECONDS:
            return
        memory, before = self._group.memory(), self._before
        self._before, self._looked_at = (memory if memory.is_at_the_limit else None), now
        thrashes = before is not None and is_thrashing(before, memory)
        if thrashes and self._thrashed and (largest := processes.largest(self._group.processes())) is not None:
            self._kill(largest)
        self._thrashed = thrashes

    def _kill(self, pid: int) -> None:
        """Held first, then looked for once more: its number may have become another's meanwhile, anybody's on the machine."""
        with suppress(ProcessLookupError):
            held = os.pidfd_open(pid)
            try:
                if pid in self._group.processes():
                    signal.pidfd_send_signal(held, signal.SIGKILL)
            finally:
                os.close(held)
