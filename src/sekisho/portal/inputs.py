"""What people and programs send, bounded in shape before anything looks at it. What it means is judged by the policy, not here."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated

from fastapi import Path

RoomName = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
PersonName = Annotated[str, Path(pattern=r"^[a-z][a-z0-9._-]{0,31}$")]
RequestId = Annotated[str, Path(pattern=r"^r-[a-z2-7]{10}$")]
SessionId = Annotated[str, Path(pattern=r"^s-[a-z2-7]{10}$")]
LinkSecret = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{20,128}$")]

_DURATION = re.compile(r"(?:(\d{1,3})h)?(?:(\d{1,4})m)?", re.ASCII)
_YEARS = (2000, 9000)
_OWN_PATH = re.compile(r"/(?:[A-Za-z0-9_-]+(?:/[A-Za-z0-9._-]+)*)?", re.ASCII)


def own_path(unverified: str) -> str:
    """A path of ours to go back to, or `/`. Never a scheme, a host, a query or a fragment: whatever is not plainly ours is forgotten."""
    return unverified if len(unverified) <= 200 and _OWN_PATH.fullmatch(unverified) and "/." not in unverified else "/"


def parse_duration(typed: str) -> timedelta:
    """`30m`, `1h` or `1h30m`; nothing at all, which the policy refuses with how to write it, for anything else."""
    found = _DURATION.fullmatch(typed.strip().lower().replace(" ", ""))
    if found is None:
        return timedelta()
    hours, minutes = (int(part or 0) for part in found.groups())
    return timedelta(hours=hours, minutes=minutes)


def parse_moment(typed: str, zone: tzinfo) -> datetime | None:
    """What a datetime-local field gives (HTML, local date and time) in a zone, or RFC 3339; None for anything else."""
    try:
        found = datetime.fromisoformat(typed.strip())
    except ValueError:
        return None
    moment = found if found.tzinfo is not None else found.replace(tzinfo=zone)
    return moment.astimezone(UTC) if is_sane(moment) else None


def is_sane(moment: datetime) -> bool:
    """Far enough from both ends of the calendar that any zone and any duration can be reckoned with."""
    return _YEARS[0] <= moment.year <= _YEARS[1]
