"""Hours by the wall clock of their zone: whole, over midnight, through changes of daylight-saving time."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.model.room import Hours
from sekisho.policy.hours import WEEKDAYS, is_open_at, is_within, render_hours
from sekisho.sessions.roomfile.fields import parse_hours

EVERY_DAY = frozenset(range(7))
ZONES = ["Asia/Tokyo", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC", "Africa/Casablanca"]


def hours(text: str) -> Hours:
    return parse_hours(text)


def berlin(day: int, hour: int, minute: int = 0, *, month: int = 3, fold: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=ZoneInfo("Europe/Berlin"), fold=fold)


# 2026-03-29 02:00 -> 03:00 and 2026-10-25 03:00 -> 02:00 in Berlin, both Sundays
_ROWS = [
    ("inside", "Mon-Fri 09:00-19:00 Europe/Berlin", berlin(4, 9), berlin(4, 19), True),
    ("a minute early", "Mon-Fri 09:00-19:00 Europe/Berlin", berlin(4, 8, 59), berlin(4, 10), False),
    ("a second late", "Mon-Fri 09:00-19:00 Europe/Berlin", berlin(4, 18), berlin(4, 19) + timedelta(seconds=1), False),
    ("on Sunday", "Mon-Fri 09:00-19:00 Europe/Berlin", berlin(8, 10), berlin(8, 11), False),
    ("through a night that is not listed", "Mon-Fri 09:00-19:00 Europe/Berlin", berlin(4, 18), berlin(5, 10), False),
    ("over midnight", "Mon-Fri 22:00-05:00 Europe/Berlin", berlin(4, 23), berlin(5, 2), True),
    ("Friday's night ends on Saturday", "Mon-Fri 22:00-05:00 Europe/Berlin", berlin(7, 4), berlin(7, 5), True),
    ("Saturday's night is not listed", "Mon-Fri 22:00-05:00 Europe/Berlin", berlin(7, 23), berlin(7, 23, 30), False),
    ("Monday morning belongs to Sunday", "Mon-Fri 22:00-05:00 Europe/Berlin", berlin(9, 4), berlin(9, 5), False),
    ("whole days join", "Mon-Fri 00:00-24:00 Europe/Berlin", berlin(4, 20), berlin(5, 4), True),
    ("to the end of the last day", "Mon-Fri 00:00-24:00 Europe/Berlin", berlin(6, 20), berlin(7, 0), True),
    ("and not beyond", "Mon-Fri 00:00-24:00 Europe/Berlin", berlin(6, 20), berlin(7, 0, 1), False),
    ("up to midnight", "Mon-Sun 18:00-24:00 Europe/Berlin", berlin(4, 18), berlin(5, 0), True),
    ("spring: the night is an hour shorter", "Sat 22:00-04:00 Europe/Berlin", berlin(28, 22), berlin(29, 4), True),
    ("spring: five hours", "Sat 22:00-04:00 Europe/Berlin", berlin(28, 22), berlin(28, 22).astimezone(UTC) + timedelta(hours=5), True),
    ("spring: six are too many", "Sat 22:00-04:00 Europe/Berlin", berlin(28, 22), berlin(28, 22).astimezone(UTC) + timedelta(hours=6), False),
    ("spring: what the clock leaps over is not open", "Sun 02:00-03:00 Europe/Berlin", berlin(29, 1, 59), berlin(29, 3), False),
    ("autumn: both hours of two o'clock", "Sun 02:00-03:00 Europe/Berlin", berlin(25, 2, month=10), berlin(25, 3, month=10), True),
    ("autumn: open twice, not through", "Sun 02:00-02:30 Europe/Berlin", berlin(25, 2, month=10), berlin(25, 2, 30, month=10, fold=1), False),
    ("autumn: and its second time", "Sun 02:00-02:30 Europe/Berlin", berlin(25, 2, month=10, fold=1), berlin(25, 2, 30, month=10, fold=1), True),
    ("nothing at all", "Mon-Sun 00:00-24:00 UTC", berlin(4, 9), berlin(4, 9), False),
    ("backwards", "Mon-Sun 00:00-24:00 UTC", berlin(4, 9), berlin(4, 8), False),
]  # fmt: skip


@pytest.mark.parametrize(("text", "starts", "ends", "is_inside"), [row[1:] for row in _ROWS], ids=[row[0] for row in _ROWS])
def test_a_time_lies_inside_the_hours_as_a_whole_or_not_at_all(text: str, starts: datetime, ends: datetime, is_inside: bool):  # noqa: FBT001  a column of the table
    assert is_within(hours(text), starts.astimezone(UTC), ends.astimezone(UTC)) is is_inside


def test_a_room_without_hours_is_always_open_but_for_no_endless_time():
    assert is_within(None, berlin(4, 9), berlin(4, 10))
    assert not is_within(None, berlin(4, 9), berlin(4, 9) + timedelta(days=400))


_MOMENT = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  the zone is beside it
_ANY_HOURS = st.builds(
    Hours,
    weekdays=st.frozensets(st.integers(0, 6), min_size=1),
    starts=st.builds(time, st.integers(0, 23), st.integers(0, 59)),
    ends=st.builds(time, st.integers(0, 23), st.integers(0, 59)),
    zone=st.sampled_from(ZONES),
)


@settings(max_examples=100, deadline=None)
@given(when=_ANY_HOURS, starts=_MOMENT, seconds=st.integers(1, 2 * 3600), inside=st.floats(0, 1, exclude_max=True))
def test_inside_means_open_at_every_instant(when: Hours, starts: datetime, seconds: int, inside: float):
    """Checked at an instant of any second and microsecond, though the code goes by minutes: edges and offsets are whole minutes."""
    ends = starts + timedelta(seconds=seconds)
    if is_within(when, starts, ends):
        instant = starts + inside * (ends - starts)
        local = instant.astimezone(ZoneInfo(when.zone))
        assert is_open_at(when, instant)
        assert local.weekday() in when.weekdays or (local.weekday() - 1) % 7 in when.weekdays
        if when.starts < when.ends:
            assert when.starts <= local.time() < when.ends
    else:
        assert not all(is_open_at(when, starts + timedelta(seconds=second)) for second in range(seconds))


@settings(max_examples=100, deadline=None)
@given(when=_ANY_HOURS, starts=_MOMENT, minutes=st.integers(2, 600))
def test_what_lies_inside_lies_inside_in_every_part(when: Hours, starts: datetime, minutes: int):
    middle, ends = starts + timedelta(minutes=minutes // 2), starts + timedelta(minutes=minutes)
    whole = is_within(when, starts, ends)
    assert whole == (is_within(when, starts, middle) and is_within(when, middle, ends))


@settings(max_examples=200)
@given(when=_ANY_HOURS)
def test_hours_read_back_as_they_were_written(when: Hours):
    if when.starts != when.ends or when.starts == time(0):
        assert parse_hours(render_hours(when)) == when


def test_weekdays_are_written_short():
    assert render_hours(Hours(frozenset({0, 1, 2, 4, 6}), time(9), time(0), "UTC")) == "Mon-Wed,Fri,Sun 09:00-24:00 UTC"
    assert len(WEEKDAYS) == 7
