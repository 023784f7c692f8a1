"""When a session ends, by the wall clock or by the clock that nobody can set, whichever comes first."""

from sekisho.system.clock import Clock


class Deadline:
    """`ends_at` is in UNIX seconds. A wall clock that is set back gives nobody more time: what was left when the deadline was learned has run on since."""

    def __init__(self, ends_at: float, *, clock: Clock) -> None:
        self.ends_at = ends_at
        self._clock = clock
        self._boottime = clock.boottime() + (ends_at - clock.now().timestamp())

    def left_seconds(self) -> float:
        return min(self.ends_at - self._clock.now().timestamp(), self._boottime - self._clock.boottime())
