"""Processes of this machine: telling one from a later one with the same number, ending it, collecting the dead, and what a forked child keeps."""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def started_at(pid: int) -> str:
    """When a process began, in clock ticks since boot (proc(5), stat field 22): tells it from a later one with the same number. Empty if it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
    return ""


def end(pid: int, started: str) -> None:
    """Make sure that this very process is gone, and collect it if it is our child."""
    if not pid or not started or started_at(pid) != started:
        return
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def largest(pids: Iterable[int]) -> int | None:
    """The one that the kernel would kill first for its memory (proc(5), oom_score); None if all are gone."""
    scores = {}
    for pid in pids:
        with suppress(OSError, ValueError):
            scores[pid] = int(Path(f"/proc/{pid}/oom_score").read_text(encoding="ascii"))
    return max(scores, key=lambda pid: scores[pid], default=None)


def reap() -> None:
    """Collect every child that is dead: a zombie still counts as a process of its cgroup."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def keep_descriptors(kept: set[int]) -> None:
    """In a freshly forked child: close what is the parent's, but the standard three. Objects that hold a closed number must stay referenced by frames
    that are never returned to, so that none of them closes the number again."""
    for number in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if number > 2 and number not in kept:
            with suppress(OSError):
                os.close(number)
