"""How a process says that it began, and that it does not outlive whoever started it."""

import os
import signal
from datetime import datetime

from sekisho.model.event import Event, EventKind
from sekisho.system import kernel


def end_with(parent: int) -> None:
    """End when the parent does, also if it did so before this line."""
    kernel.die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit(0)


def system_started(process: str, now: datetime) -> Event:
    """Written first by each producer: what was open before and has no close was cut by a crash."""
    return Event(EventKind.SYSTEM_STARTED, now, details={"process": process})
