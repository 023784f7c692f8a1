"""When a room has used up its memory and stands still instead of losing a process. Pure.

At its limit a cgroup gives back what it can read again, the programs' own pages of the image, and the kernel kills nobody as long as there is something to give
back. A room whose files in memory or shared memory leave nothing else then reads its programs again and again, for minutes, and answers nothing. Refaults
tell that apart from a room that is merely full (Linux `mm/workingset.c`; counters in Documentation/admin-guide/cgroup-v2.rst, `memory.stat`).
"""

from dataclasses import dataclass

_AT_THE_LIMIT_BYTES = 2 << 20  # the kernel charges in batches, one a processor
_LITTLE = 32  # this part of the limit
_REFAULTS = 1_000  # pages between two looks: at 4 KiB no program that gets on reads its own pages so fast


@dataclass(frozen=True, slots=True)
class MemorySeen:
    """Of a session's whole cgroup. `file_bytes` are pages of files on disk, all that can be given back; `refaults` pages that were, and had to be read
    again, since it began."""

    used_bytes: int
    limit_bytes: int
    file_bytes: int
    refaults: int

    @property
    def is_at_the_limit(self) -> bool:
        return self.used_bytes >= self.limit_bytes - _AT_THE_LIMIT_BYTES


def is_thrashing(before: MemorySeen, now: MemorySeen) -> bool:
    """Between two looks about a second apart."""
    has_little_to_give = now.file_bytes <= now.limit_bytes // _LITTLE
    return before.is_at_the_limit and now.is_at_the_limit and has_little_to_give and now.refaults - before.refaults >= _REFAULTS
