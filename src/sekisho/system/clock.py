"""Time. Wall-clock time is aware and UTC; `boottime` counts on through suspend and can't be set, so a deadline is whichever comes first."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime: ...

    def boottime(self) -> float:
        """Seconds since boot, suspend included (CLOCK_BOOTTIME)."""
        ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def boottime(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
