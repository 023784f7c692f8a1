"""The small languages inside a room file: durations, sizes, hours, endpoints, people, ticket patterns. Pure.

Each parser gives a value or raises `Unfit`, which says what was expected and what to try; what was found is known to the caller.
"""

import re
from datetime import time, timedelta
from zoneinfo import ZoneInfo

from sekisho.model.hostname import HostName, parse_host_name
from sekisho.model.room import Hours
from sekisho.policy.hours import WEEKDAYS
from sekisho.policy.texts import is_name

DURATION_PATTERN = r"(?:([0-9]{1,3})d)?(?:([0-9]{1,4})h)?(?:([0-9]{1,5})m)?(?:([0-9]{1,6})s)?"
SIZE_PATTERN = r"([0-9]{1,9})(KiB|MiB|GiB|TiB)"
ENDPOINT_PATTERN = r"(\*\.)?([A-Za-z0-9.-]{1,254}):([0-9]{1,5})"
HOURS_PATTERN = r"([A-Za-z,-]{3,40}) ([0-9][0-9]:[0-9][0-9])-([0-9][0-9]:[0-9][0-9]) ([A-Za-z0-9_+/-]{1,64})"
SOURCE_PATTERN = r"(?:file:[a-z][a-z0-9-]{0,63}|s3://[a-z0-9][a-z0-9.-]{0,62})((?:/[^/\x00-\x1f]{1,255})*)/?"
TICKET_MOST_CHARACTERS = 200

_DURATION = re.compile(DURATION_PATTERN)
_SIZE = re.compile(SIZE_PATTERN)
_ENDPOINT = re.compile(ENDPOINT_PATTERN)
_HOURS = re.compile(HOURS_PATTERN)
_SOURCE = re.compile(SOURCE_PATTERN)
_UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}


class Unfit(ValueError):
    """`expected` completes "expected …"; `hint` says what to try."""

    def __init__(self, expected: str, hint: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.hint = hint


def parse_duration(unverified: str, *, least: timedelta, most: timedelta) -> timedelta:
    match = _DURATION.fullmatch(unverified)
    if not unverified or match is None:
        raise Unfit("a duration such as 30m, 2h or 1h30m", "units are d, h, m and s, each once, in this order")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not least <= duration <= most:
        raise Unfit(f"a duration from {_span(least)} to {_span(most)}")
    return duration


def parse_size(unverified: str, *, least: int, most: int) -> int:
    """In bytes."""
    match = _SIZE.fullmatch(unverified)
    if match is None:
        raise Unfit("a size such as 512MiB or 2GiB", "units are KiB, MiB, GiB and TiB; write no space")
    size = int(match[1]) * _UNITS[match[2]]
    if not least <= size <= most:
        raise Unfit(f"a size from {least // _UNITS['MiB']}MiB to {most // _UNITS['GiB']}GiB")
    return size


def parse_hours(unverified: str) -> Hours:
    match = _HOURS.fullmatch(unverified)
    if match is None:
        raise Unfit('hours such as "Mon-Fri 09:00-19:00 Asia/Tokyo"', "days, times from and to, and an IANA time zone, with one space between them")
    starts, ends = _time(match[2]), _time(match[3], is_end=True)
    if starts == ends and match[3] != "24:00":
        raise Unfit("two different times", "the whole day is 00:00-24:00")
    if starts == ends != time(0):
        raise Unfit("two different times")
    return Hours(_weekdays(match[1]), starts, ends, _zone(match[4]))


def parse_endpoint(unverified: str) -> tuple[bool, HostName, int]:
    """`host:port` or `*.host:port`: (is_wildcard, host, port)."""
    match = _ENDPOINT.fullmatch(unverified)
    if match is None:
        raise Unfit('a name and a port such as "www.example.com:443" or "*.example.com:443"')
    return match[1] is not None, parse_name(match[2]), parse_port(int(match[3]))


def parse_target(unverified: str) -> tuple[HostName, int]:
    """One endpoint by its exact name."""
    is_wildcard, name, port = parse_endpoint(unverified)
    if is_wildcard:
        raise Unfit('one exact name and a port, such as "orders.prod.internal:5432"', "names with a wildcard belong to [egress] allow")
    return name, port


def parse_name(unverified: str) -> HostName:
    name = parse_host_name(unverified)
    if name is None:
        raise Unfit("a host name of at least two labels, such as www.example.com", "addresses are not listed, names are")
    return name


def parse_port(unverified: int) -> int:
    if not 1 <= unverified <= 65535:
        raise Unfit("a port from 1 to 65535")
    return unverified


def parse_source(unverified: str) -> str:
    """`file:NAME/folder` or `s3://NAME/prefix`, without a trailing slash."""
    match = _SOURCE.fullmatch(unverified)
    if match is None or len(unverified) > 1024:
        expected = '"file:NAME/folder" or "s3://NAME/prefix", where NAME is one of the sources or buckets of the settings'
        raise Unfit(expected, "other kinds of sources are not known yet")
    segments = match[1].split("/")[1:]
    if any(segment in (".", "..") for segment in segments):
        raise Unfit("a folder inside the source", "leave out . and ..")
    return unverified.rstrip("/")


def parse_entry(unverified: str) -> str:
    """One of the people of a list: `group:NAME` or `person:NAME`."""
    kind, _, name = unverified.partition(":")
    if kind not in ("group", "person") or not is_name(name):
        raise Unfit('"group:NAME" or "person:NAME"', "" if ":" in unverified else f'write "group:{unverified}" for a group')
    return unverified


def parse_ticket(unverified: str) -> str:
    """A regular expression for the whole ticket. Those that can take exponential time are refused: a repeated group may not itself hold a repeat."""
    if not 0 < len(unverified) <= TICKET_MOST_CHARACTERS:
        raise Unfit(f"a regular expression of 1 to {TICKET_MOST_CHARACTERS} characters")
    try:
        re.compile(unverified, re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise Unfit("a regular expression, such as 'MKT-\\d+'", str(error)) from error
    if _is_costly(unverified):
        raise Unfit("a simple regular expression", "leave out back references, look-arounds, and repeats inside a repeated group")
    return unverified


def _is_costly(pattern: str) -> bool:
    """Back references and look-arounds; a group that is repeated and holds a repeat, an alternative or an option."""
    plain = re.sub(r"\\[^\d]|\[\^?\]?(?:\\.|[^\]\\])*\]", "x", pattern)  # escapes and classes are one character each
    if re.search(r"\\\d|\(\?[=!<P(]", plain):
        return True
    while match := re.search(r"\((?:\?:)?([^()]*)\)([*+{]?)", plain):
        is_repeat = re.search(r"[*+{?|]|R", match[1]) is not None
        if is_repeat and match[2]:
            return True
        plain = plain[: match.start()] + ("R" if is_repeat else "x") + plain[match.end() - len(match[2]) :]
    return False


def _time(unverified: str, *, is_end: bool = False) -> time:
    if is_end and unverified == "24:00":
        return time(0)
    try:
        return time.fromisoformat(unverified)
    except ValueError as error:
        raise Unfit("times from 00:00 to 24:00") from error


def _zone(unverified: str) -> str:
    try:
        ZoneInfo(unverified)
    except (ValueError, OSError, KeyError) as error:
        raise Unfit("an IANA time zone, such as Asia/Tokyo or UTC") from error
    return unverified


def _weekdays(unverified: str) -> frozenset[int]:
    found: set[int] = set()
    for part in unverified.split(","):
        first, _, last = part.partition("-")
        if first not in WEEKDAYS or (last or first) not in WEEKDAYS:
            raise Unfit("days such as Mon-Fri or Mon,Wed,Sat", f"days are {', '.join(WEEKDAYS)}")
        start, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
        found.update(day % 7 for day in range(start, end + 1 if end >= start else end + 8))
    return frozenset(found)


def _span(duration: timedelta) -> str:
    seconds = int(duration.total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
