"""Refusals of those whom nobody knows yet go to the audit log, each for itself up to a rate, beyond it counted into the next one.

Design §4: only refusals may be counted together. Without this, anybody who can reach a port could fill the log.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

WINDOW = timedelta(minutes=1)
EACH = 10
_CALLERS_LIMIT = 4_096


@dataclass(slots=True)
class _Seen:
    since: datetime
    written: int = 0
    unwritten: int = 0


class Tally:
    """May be used from many threads. Forgets the callers that were silent longest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: OrderedDict[tuple[str, str], _Seen] = OrderedDict()

    def to_write(self, who: str, reason: str, *, now: datetime) -> int | None:
        """None: only count this one. Else write it, and say that so many before it were counted only."""
        with self._lock:
            seen = self._seen.setdefault((who, reason), _Seen(since=now))
            self._seen.move_to_end((who, reason))
            while len(self._seen) > _CALLERS_LIMIT:
                self._seen.popitem(last=False)
            if now - seen.since >= WINDOW:
                seen.since, seen.written = now, 0
            if seen.written >= EACH:
                seen.unwritten += 1
                return None
            seen.written += 1
            more, seen.unwritten = seen.unwritten, 0
            return more
