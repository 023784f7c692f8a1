"""The log, told to people: each entry as one sentence in their language, with the entry itself beside it. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sekisho.audit.reading import LogEntry
from sekisho.model.reasons import Reason
from sekisho.policy.verdict import Deny
from sekisho.portal import wording
from sekisho.portal.language import Catalogue
from sekisho.portal.wording import Shown

_NOTHING = "\N{EN DASH}"
_FIELDS = ("room", "request", "session", "address")
_REASONS = frozenset(str(reason) for reason in Reason)


@dataclass(frozen=True, slots=True)
class Told:
    index: int
    at: Shown
    sentence: str
    is_refusal: bool
    raw: str


def tell(entry: LogEntry, words: Catalogue) -> Told:
    """What a kind has no sentence for (a newer producer's) is told by its name."""
    fields = entry.fields
    kind = str(fields.get("kind", ""))
    key = f"event.{kind}"
    return Told(
        index=entry.index,
        at=_time(fields),
        sentence=words.say(key, **_facts(fields, words)).strip() if words.knows(key) else kind,
        is_refusal=kind.endswith(".refused"),
        raw=json.dumps(fields, indent=2, ensure_ascii=False),
    )


def _facts(fields: Mapping[str, Any], words: Catalogue) -> dict[str, str]:
    details = fields.get("details")
    known = details if isinstance(details, Mapping) else {}
    facts = {name: str(fields.get(name) or known.get(name) or _NOTHING) for name in _FIELDS}
    reason = str(fields.get("reason", ""))
    return facts | {
        "by": str(fields.get("by") or words.say("log-by.system")),
        "person": str(known.get("person") or fields.get("by") or _NOTHING),
        "characters": str(known.get("characters", _NOTHING)),
        "name": str(known.get("name") or known.get("host") or _NOTHING),
        "refusal": _refusal(reason, known, words),
        "ending": wording.show_ending(reason, words=words) or _NOTHING,
    }


def _refusal(reason: str, details: Mapping[str, Any], words: Catalogue) -> str:
    if reason not in _REASONS:
        return reason
    nested = details.get("facts")
    facts = {**details, **(nested if isinstance(nested, Mapping) else {})}
    said = {str(name): str(value) for name, value in facts.items() if isinstance(value, str | int)}
    return wording.show_refusal(Deny(Reason(reason), said), words=words)


def _time(fields: Mapping[str, Any]) -> Shown:
    """To the second for people; as it was written for machines."""
    written = str(fields.get("at", ""))
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        return Shown(text=written, machine=written)
    return Shown(text=f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}", machine=written)
