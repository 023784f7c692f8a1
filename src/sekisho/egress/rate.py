"""How fast a session may open connections: a bucket that delays what is a little too fast and refuses what is much too fast. Pure.

The bucket is kept as one time, that at which it would be full again (the generic cell rate algorithm).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OpenRate:
    per_second: float = 50.0
    burst: int = 200
    longest_wait_seconds: float = 2.0


class OpenBucket:
    def __init__(self, rate: OpenRate) -> None:
        self._rate = rate
        self._full_at = 0.0

    def take(self, now: float) -> float | None:
        """Seconds to wait before one more connection may open, 0 for now; None: refuse it. `now` in seconds of any steady clock."""
        full_at = max(self._full_at, now)
        wait = full_at - now - (self._rate.burst - 1) / self._rate.per_second
        if wait > self._rate.longest_wait_seconds:
            return None
        self._full_at = full_at + 1 / self._rate.per_second
        return max(0.0, wait)
