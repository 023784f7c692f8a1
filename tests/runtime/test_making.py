"""How long a room may take to come up: not until its grant is over."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from sekisho.model.session import EndReason
from sekisho.runtime.shim import Shim


class Clock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def boottime(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)


def shim(clock: Clock, kinds: tuple[str, ...]) -> Shim:
    spec = SimpleNamespace(session="s-one", ends_at=clock.now().timestamp() + 3_600, kinds=kinds)
    facts = SimpleNamespace(spec=spec, paths=SimpleNamespace(cgroup="/sekisho-test/s-one"), boot_deadline=3_600.0, clock=clock, buckets={})
    return Shim(facts, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kinds", "has_room", "why"),
    [
        (("desktop",), True, "the screen did not start within 60 s"),
        (("desktop",), False, "the room did not start within 60 s"),
        (("terminal",), False, "the room did not start within 60 s"),
        (("terminal",), True, None),
    ],
)
def test_a_room_or_screen_that_does_not_come_ends_its_session(kinds, has_room, why):
    clock = Clock()
    made = shim(clock, kinds)
    made._master = 0 if has_room else None
    made._renewed_at = 61.0
    clock.seconds = 59.0
    made._look_at_clocks()
    assert made._ended is None
    clock.seconds = 61.0
    made._look_at_clocks()
    assert made._ended == (None if why is None else (EndReason.OPEN_FAILED, why))
