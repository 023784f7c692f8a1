"""The lease and the deadline: pure, and monotone in silence."""

from hypothesis import given
from hypothesis import strategies as st

from sekisho.runtime import lease

SECONDS = st.floats(min_value=0, max_value=1e7)


@given(renewed=SECONDS, silence=SECONDS, more=SECONDS)
def test_longer_silence_never_opens_or_thaws(renewed, silence, more):
    early, late = renewed + silence, renewed + silence + more
    assert lease.may_open(renewed_at=renewed, now=early) or not lease.may_open(renewed_at=renewed, now=late)
    assert not lease.must_freeze(renewed_at=renewed, now=early) or lease.must_freeze(renewed_at=renewed, now=late)


@given(silence=SECONDS)
def test_what_is_frozen_opens_nothing(silence):
    assert not (lease.must_freeze(renewed_at=0, now=silence) and lease.may_open(renewed_at=0, now=silence))


def test_before_control_ever_spoke_nothing_opens():
    assert not lease.may_open(renewed_at=float("-inf"), now=0)


@given(ends_at=SECONDS, wall=SECONDS, boot_deadline=SECONDS, boot=SECONDS, back=SECONDS)
def test_setting_one_clock_back_prolongs_nothing(ends_at, wall, boot_deadline, boot, back):
    left = lease.seconds_to_deadline(ends_at=ends_at, wall_now=wall, boot_deadline=boot_deadline, boot_now=boot)
    turned_back = lease.seconds_to_deadline(ends_at=ends_at, wall_now=wall - back, boot_deadline=boot_deadline, boot_now=boot)
    assert turned_back <= max(left, boot_deadline - boot)
    assert left <= boot_deadline - boot
    assert left <= ends_at - wall
