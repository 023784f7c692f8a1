"""How people write lengths and moments of time on the command line."""

import re
from datetime import datetime, timedelta

import typer

from sekisho.policy.texts import render_duration

_LENGTH = re.compile(r"(?:(\d{1,3})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?")
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


def parse_length(text: str) -> timedelta:
    """`30m`, `1h`, `1h30m`, `2d`. Raises typer.BadParameter."""
    found = _LENGTH.fullmatch(text.strip().lower())
    if not found or not any(found.groups()):
        raise typer.BadParameter(f"a length of time is written like 30m, 1h or 1h30m; found {text!r}")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def parse_moment(text: str, *, now: datetime) -> datetime:
    """`14:00` (today, here), `2025-12-01 14:00` (here) or RFC 3339 with a zone. Raises typer.BadParameter."""
    if clock := _CLOCK.fullmatch(text.strip()):
        return now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise typer.BadParameter(f"a moment is written like 14:00, '2025-12-01 14:00' or 2025-12-01T14:00:00+09:00; found {text!r}") from error
    return moment if moment.tzinfo else moment.astimezone()


def parse_since(text: str, *, now: datetime) -> datetime:
    """A moment, or how long ago: `2h`. Raises typer.BadParameter."""
    if (found := _LENGTH.fullmatch(text.strip().lower())) and any(found.groups()):
        return now - parse_length(text)
    return parse_moment(text, now=now)


def render_seconds(seconds: object) -> str:
    return render_duration(timedelta(seconds=seconds)) if isinstance(seconds, int | float) else ""
