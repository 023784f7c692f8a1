"""Who is killed in a room that stands still at its limit: a process of that room, and nobody else's."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from sekisho.runtime.memory_watch import MemoryWatch
from sekisho.runtime.thrashing import MemorySeen

LIMIT = 352 << 20


class Standing:
    """A cgroup that stands still at its limit; `found` is who is in it, one answer after the other."""

    def __init__(self, *found: set[int]) -> None:
        self._found = list(found)
        self._refaults = 0

    def processes(self) -> set[int]:
        return self._found.pop(0)

    def memory(self) -> MemorySeen:
        self._refaults += 60_000
        return MemorySeen(used_bytes=LIMIT, limit_bytes=LIMIT, file_bytes=0, refaults=self._refaults)


@pytest.fixture
def program():
    running = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield running
    running.stdin.close()
    running.wait(10)


def watch(group: Standing) -> None:
    """Three looks: used up, stands still, still stands still."""
    clock = SimpleNamespace(boottime=lambda: clock.now, now=0.0)
    watching = MemoryWatch(group, clock)  # type: ignore[arg-type]
    for clock.now in (10.0, 20.0, 30.0):
        watching.look()


def test_the_largest_program_of_a_room_that_stands_still_is_killed(program):
    watch(Standing({program.pid}, {program.pid}))
    assert program.wait(10) == -9


def test_a_process_that_is_not_of_the_room_any_more_when_it_is_held_lives_on(program):
    """Its number was of the room a moment ago: the kernel gave it to somebody else."""
    watch(Standing({program.pid}, set()))
    program.communicate(b"\n", timeout=10)
    assert program.returncode == 0
