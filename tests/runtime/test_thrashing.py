"""A room that stands still at its memory limit: told apart from one that is full, and from one that reads much."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.runtime.thrashing import MemorySeen, is_thrashing

MIB = 1 << 20
LIMIT = 352 * MIB


def seen(used=LIMIT, file=MIB, refaults=0):
    return MemorySeen(used_bytes=used, limit_bytes=LIMIT, file_bytes=file, refaults=refaults)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (seen(), seen(refaults=60_000), True),  # the programs' own pages, again and again
        (seen(refaults=60_000), seen(refaults=60_010), False),  # full, and quiet
        (seen(), seen(used=LIMIT // 2, refaults=60_000), False),  # somebody was killed meanwhile
        (seen(used=LIMIT // 2), seen(refaults=60_000), False),  # only just full
        (seen(), seen(file=100 * MIB, refaults=60_000), False),  # reads much of the image, and has room for it
        (seen(used=LIMIT - MIB), seen(used=LIMIT - MIB, refaults=60_000), True),  # the kernel charges in batches
    ],
)
def test_only_a_room_that_reads_its_own_programs_again_and_again_stands_still(before, now, expected):
    assert is_thrashing(before, now) is expected


@given(st.integers(0, LIMIT), st.integers(0, LIMIT), st.integers(0, 10**6), st.integers(0, 10**6))
def test_less_reading_again_never_looks_worse(used, file, refaults, less):
    before, now = seen(used=used), seen(used=used, file=file, refaults=refaults)
    better = seen(used=used, file=file, refaults=max(0, refaults - less))
    assert is_thrashing(before, now) or not is_thrashing(before, better)
