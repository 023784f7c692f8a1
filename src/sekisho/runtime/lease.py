"""The lease: how long sessions may go on without a word from control. Pure; times are seconds of CLOCK_BOOTTIME."""

RENEW_SECONDS = 10
OPEN_SECONDS = 60
FREEZE_SECONDS = 300


def may_open(*, renewed_at: float, now: float) -> bool:
    """Nothing new opens after a minute of silence."""
    return now - renewed_at < OPEN_SECONDS


def must_freeze(*, renewed_at: float, now: float) -> bool:
    """After five minutes of silence what is open stands still."""
    return now - renewed_at >= FREEZE_SECONDS


def seconds_to_deadline(*, ends_at: float, wall_now: float, boot_deadline: float, boot_now: float) -> float:
    """The deadline is absolute on two clocks and comes with the first: setting the wall clock back prolongs nothing, suspending the machine neither."""
    return min(ends_at - wall_now, boot_deadline - boot_now)
