"""What people write, made fit for the log and the database: reasons, tickets, notes, names. And how lengths of time are written for people."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta

from sekisho.model.reasons import Reason
from sekisho.policy.verdict import Deny

_NAME = re.compile(r"[a-z][a-z0-9._-]{0,31}")
SHOWN_LIMIT_CHARACTERS = 80


def is_name(unverified: str) -> bool:
    """A person's or group's name: 1 to 32 of a-z, 0-9, dot, hyphen and underscore, a letter first."""
    return _NAME.fullmatch(unverified) is not None


def one_line(unverified: str) -> str:
    """What a text area sends, as one line: breaks and tabs become a space, the ends are trimmed."""
    return re.sub(r"[\r\n\t]+", " ", unverified).strip()


def is_showable(unverified: str) -> bool:
    """No control or format characters (which could reorder a line of the log), no half surrogate pairs. The ideographic space is as good as a space."""
    return all(character.isprintable() or unicodedata.category(character) == "Zs" for character in unverified)


def check_text(unverified: str, *, field: str, most: int) -> Deny | None:
    """One line of at most `most` characters that can all be shown."""
    if len(unverified) <= most and is_showable(unverified):
        return None
    return Deny(Reason.TEXT_MALFORMED, {"field": field, "most": str(most)})


def shown(unverified: str, *, limit: int = SHOWN_LIMIT_CHARACTERS) -> str:
    """What somebody wrote, cut to `limit` characters, in a form that is safe to show and to log."""
    cut = unverified[:limit]
    clean = "".join(character if is_showable(character) else "\N{REPLACEMENT CHARACTER}" for character in cut)
    return clean + ("…" if len(unverified) > limit else "")


def render_duration(duration: timedelta) -> str:
    """`1h30m`, the form that room files and the command line take. Seconds are shown only if there are any."""
    seconds = max(0, round(duration.total_seconds()))
    parts = ((seconds // 3600, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0m"


def render_time(at: datetime) -> str:
    """RFC 3339 in UTC, to the second; the page shows it in the reader's zone."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
