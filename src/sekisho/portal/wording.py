"""How values are said to people, in either language: times with their offset, durations, sizes, reasons, states. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from sekisho.model.room import Hours, Room
from sekisho.policy.hours import WEEKDAYS, render_hours
from sekisho.policy.verdict import Deny
from sekisho.portal.language import Catalogue

_DURATION = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,4})h)?(?:(\d{1,4})m)?(?:(\d{1,5})s)?", re.ASCII)
_INSTANT_FORM = r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})"
_INSTANT = re.compile(_INSTANT_FORM)
_SPAN = re.compile(f"({_INSTANT_FORM}) to ({_INSTANT_FORM})")
_HOURS = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[A-Za-z,-]* ")
_WEEKDAY = re.compile("|".join(WEEKDAYS))
_WEEKDAYS_JA = "月火水木金土日"
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, slots=True)
class Shown:
    """A moment for a <time> element: what people read, and the machine's form (RFC 3339, UTC)."""

    text: str
    machine: str


def zone_of(room: Room | None) -> tzinfo:
    """The zone a room's times are shown and typed in: that of its hours, else UTC."""
    return ZoneInfo(room.access.hours.zone) if room is not None and room.access.hours is not None else UTC


def zone_name(zone: tzinfo) -> str:
    return zone.key if isinstance(zone, ZoneInfo) else "UTC"


def show_time(moment: datetime, *, zone: tzinfo, language: str) -> Shown:
    local = moment.astimezone(zone)
    if language == "ja":
        day = f"{local.year}年{local.month}月{local.day}日({_WEEKDAYS_JA[local.weekday()]})"
    else:
        day = f"{local:%a} {local.day} {local:%b} {local.year}"
    return Shown(text=f"{day} {local:%H:%M} {_offset(local)}", machine=machine_time(moment))


def show_span(starts: datetime, ends: datetime, *, zone: tzinfo, language: str) -> tuple[Shown, Shown]:
    """Both ends of a span; the second without its day when it is the same, and the offset only once."""
    first, last = show_time(starts, zone=zone, language=language), show_time(ends, zone=zone, language=language)
    if starts.astimezone(zone).date() == ends.astimezone(zone).date() and _offset(starts.astimezone(zone)) == _offset(ends.astimezone(zone)):
        first = Shown(text=first.text.removesuffix(f" {_offset(starts.astimezone(zone))}"), machine=first.machine)
        last = Shown(text=f"{ends.astimezone(zone):%H:%M} {_offset(ends.astimezone(zone))}", machine=last.machine)
    return first, last


def machine_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def show_duration(span: timedelta, *, language: str) -> str:
    seconds = max(0, round(span.total_seconds()))
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, 60)
    parts = tuple(zip((days, hours, minutes, seconds), ("日", "時間", "分", "秒") if language == "ja" else (" d", " h", " min", " s"), strict=True))
    said = [f"{number}{unit}" for number, unit in parts if number] or [f"0{parts[-1][1]}"]
    return ("" if language == "ja" else " ").join(said)


def show_hours(hours: Hours | None, *, language: str) -> str:
    """`Mon-Fri 09:00-19:00 Asia/Tokyo`, the weekdays in the language; "" for always."""
    return _localised_hours(render_hours(hours), language) if hours is not None else ""


def typed_duration(span: timedelta) -> str:
    """The form that people type: 30m, 1h, 1h30m."""
    minutes = int(span.total_seconds()) // 60
    hours, rest = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{rest}m" if rest or not hours else "")


def show_size(count: int) -> str:
    size, unit = float(count), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{count} B" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"


def show_refusal(refusal: Deny, *, words: Catalogue, zone: tzinfo = UTC) -> str:
    """The sentence of a refusal, its facts said in the same language."""
    return words.say(f"reason.{refusal.reason}", **_localised(refusal.facts, words=words, zone=zone))


def show_ending(reason: str, *, words: Catalogue) -> str:
    """An EndReason or a Reason that something ended with."""
    key = f"end-reason.{reason}"
    return words.say(key) if words.knows(key) else reason


def show_hint(reason: str, *, words: Catalogue) -> str:
    """What to try after something ended for this reason; "" where there is nothing to try."""
    key = f"end-hint.{reason}"
    return words.say(key) if words.knows(key) else ""


def _localised(facts: Mapping[str, str], *, words: Catalogue, zone: tzinfo) -> dict[str, str]:
    return {name: _fact(name, value, words=words, zone=zone) for name, value in facts.items()}


def _fact(name: str, value: str, *, words: Catalogue, zone: tzinfo) -> str:
    known = next((key for key in (f"{name}.{value}", f"fact.{value}") if words.knows(key)), None)
    if known is not None:
        return words.say(known)
    if name == "offered":
        return ", ".join(words.say(f"kind.{each}") if words.knows(f"kind.{each}") else each for each in value.split(", "))
    if name == "hours" and _HOURS.match(value):
        return _localised_hours(value, words.language)
    return _time_fact(value, language=words.language, zone=zone)


def _time_fact(value: str, *, language: str, zone: tzinfo) -> str:
    """A moment, a span or a length of time, said in the language; whatever else it is, as it is."""
    if found := _SPAN.fullmatch(value):
        first, last = show_span(datetime.fromisoformat(found[1]), datetime.fromisoformat(found[2]), zone=zone, language=language)
        return f"{first.text} \N{EN DASH} {last.text}"
    if _INSTANT.fullmatch(value):
        return show_time(datetime.fromisoformat(value), zone=zone, language=language).text
    if value and (match := _DURATION.fullmatch(value)):
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return show_duration(timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds), language=language)
    return value


def _localised_hours(rendered: str, language: str) -> str:
    if language != "ja":
        return rendered
    days, rest = rendered.split(" ", 1)
    return f"{_WEEKDAY.sub(lambda found: _WEEKDAYS_JA[WEEKDAYS.index(found[0])], days).replace('-', '〜')} {rest}"


def _offset(local: datetime) -> str:
    shift = local.utcoffset() or timedelta()
    if not shift:
        return "UTC"
    sign, minutes = ("-", -shift) if shift < timedelta() else ("+", shift)
    total = int(minutes.total_seconds()) // 60
    return f"UTC{sign}{total // 60:02}:{total % 60:02}"
