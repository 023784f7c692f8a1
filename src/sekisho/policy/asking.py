"""The facts of a request, and the checks that a request and an extension share."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sekisho.model.reasons import Reason
from sekisho.model.room import Room
from sekisho.model.session import Request
from sekisho.policy.hours import is_within, render_hours
from sekisho.policy.texts import render_duration, render_time
from sekisho.policy.verdict import Deny

LEAST_DURATION = timedelta(minutes=1)


def check_duration(duration: timedelta) -> Deny | None:
    if duration >= LEAST_DURATION:
        return None
    return Deny(Reason.DURATION_MALFORMED, {"least": render_duration(LEAST_DURATION), "found": render_duration(duration)})


def check_longest(room: Room, total: timedelta) -> Deny | None:
    if total <= room.access.longest:
        return None
    return Deny(Reason.TOO_LONG, {"room": room.name, "longest": render_duration(room.access.longest), "found": render_duration(total)})


def check_hours(room: Room, starts_at: datetime, ends_at: datetime) -> Deny | None:
    """The whole time must lie inside the hours."""
    if is_within(room.access.hours, starts_at, ends_at):
        return None
    found = f"{render_time(starts_at)} to {render_time(ends_at)}"
    return Deny(Reason.OUTSIDE_HOURS, {"room": room.name, "hours": render_hours(room.access.hours), "found": found})


def check_overlap(room: str, starts_at: datetime, ends_at: datetime, others: Iterable[Request]) -> Deny | None:
    """`others` are the same person's, for the same room, pending or approved: one session per person and room."""
    clash = next((other for other in others if other.starts_at < ends_at and starts_at < other.ends_at), None)
    return Deny(Reason.OVERLAPPING, {"request": clash.id, "room": room}) if clash else None
