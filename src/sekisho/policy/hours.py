"""When: does a length of time lie wholly inside a room's hours?

By the wall clock of the hours' zone, minute by minute: window edges and the offsets of today's zones are whole minutes, so this is exact through
every change of daylight-saving time, and over midnight, with no case of its own for either.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sekisho.model.room import Hours

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MINUTE = timedelta(minutes=1)
_LIMIT = timedelta(days=31)


def is_open_at(hours: Hours, at: datetime) -> bool:
    """Is the room open at this instant? A window over midnight belongs to the day it started on."""
    local = at.astimezone(ZoneInfo(hours.zone))
    clock, today = local.time(), local.weekday()
    if hours.starts < hours.ends:
        return today in hours.weekdays and hours.starts <= clock < hours.ends
    is_before_midnight = clock >= hours.starts and today in hours.weekdays
    is_after_midnight = clock < hours.ends and (today - 1) % 7 in hours.weekdays
    return is_before_midnight or is_after_midnight


def is_within(hours: Hours | None, starts_at: datetime, ends_at: datetime) -> bool:
    """Does all of [starts_at, ends_at) lie inside the hours? None is always open. A time that is empty or longer than 31 days does not."""
    if not timedelta(0) < ends_at - starts_at <= _LIMIT:
        return False
    return hours is None or all(is_open_at(hours, minute) for minute in _minutes(starts_at, ends_at))


def render_hours(hours: Hours | None) -> str:
    """`Mon-Fri 09:00-19:00 Asia/Tokyo`, as a room file writes it."""
    if hours is None:
        return "always"
    ends = "24:00" if hours.ends == time(0) else hours.ends.strftime("%H:%M")
    return f"{','.join(_runs(hours.weekdays))} {hours.starts:%H:%M}-{ends} {hours.zone}"


def _minutes(starts_at: datetime, ends_at: datetime) -> Iterator[datetime]:
    minute = starts_at.astimezone(UTC).replace(second=0, microsecond=0)
    while minute < ends_at:
        yield minute
        minute += _MINUTE


def _runs(weekdays: frozenset[int]) -> Iterator[str]:
    for first in sorted(day for day in weekdays if day - 1 not in weekdays):
        last = first
        while last + 1 in weekdays:
            last += 1
        yield WEEKDAYS[first] if last == first else f"{WEEKDAYS[first]}-{WEEKDAYS[last]}"
