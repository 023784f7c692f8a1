"""That a process does not outlive whoever started it."""

import os
import signal

from sekisho.system import kernel


def end_with(parent: int) -> None:
    """End when the parent does, also if it did so before this line."""
    kernel.die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit(0)
