"""Log entries: one event, as the RFC 8785 bytes that become a leaf of the tree. No I/O.

Besides the event's own fields an entry has its `producer`, its `number` in that producer's chain (from 1, a decimal string) and `prev`, the hex SHA-256
of the producer's preceding entry (empty for number 1). So a producer's entries can be neither dropped nor reordered unseen, even before they are in the tree.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from hashlib import sha256
from typing import Any

import rfc8785

from sekisho.model.event import ENTRY_LIMIT_BYTES, Event

LARGEST_NUMBER = 2**63 - 1
OWN_PRODUCER = "audit"  # what the audit process itself has to say
_PRODUCER = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
_NUMBER = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}|", re.ASCII)
_AT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z", re.ASCII)
_LARGEST_WHOLE = 2**53 - 1
_DEEPEST = 20
_SOME = re.compile(r".+", re.DOTALL)
_FORMS = {"producer": _PRODUCER, "number": _NUMBER, "prev": _DIGEST, "at": _AT}
_TEXTS = ("at", "kind", "by", "address", "channel", "room", "request", "session", "reason")
_NEEDED = frozenset({"at", "kind", "producer", "number", "prev"})
_KNOWN = frozenset({*_TEXTS, "details", "producer", "number", "prev"})


class EntryUnfit(ValueError):
    """The event holds what canonical JSON cannot say: a number above 2**53-1, NaN, half a surrogate pair, a value that is no JSON."""


class EntryTooLong(EntryUnfit):
    """The entry is longer than the 16-bit length of a bundle can say."""


class MalformedEntry(ValueError):
    """The bytes are no canonical log entry."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it was read: canonical, and with the fields an entry may have."""

    fields: Mapping[str, Any]
    producer: str
    number: int
    prev: str


def is_producer_name(unverified: str) -> bool:
    return _PRODUCER.fullmatch(unverified) is not None


def digest(entry: bytes) -> str:
    """What the producer's next entry says in `prev`."""
    return sha256(entry).hexdigest()


def entry_bytes(event: Event, *, producer: str, number: int, prev: str) -> bytes:
    """The RFC 8785 bytes of an event, `ENTRY_LIMIT_BYTES` at most. Empty fields are left out. Raises EntryUnfit, EntryTooLong."""
    assert is_producer_name(producer)
    assert 0 < number <= LARGEST_NUMBER
    assert event.at.tzinfo is not None, "a time without a zone"
    texts = {name: str(value) for name in _TEXTS[1:] if (value := getattr(event, name))}
    details = {"details": _plain(event.details)} if event.details else {}
    at = event.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return _canonical({"at": at, **texts, **details, "producer": producer, "number": str(number), "prev": prev})


def parse_entry(unverified: bytes) -> Entry:
    """Accepts exactly what `entry_bytes` may give. Raises MalformedEntry."""
    if len(unverified) > ENTRY_LIMIT_BYTES:
        raise MalformedEntry("longer than an entry may be")
    entry = read_entry(unverified)
    try:
        is_canonical = rfc8785.dumps(dict(entry.fields)) == unverified
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise MalformedEntry("what canonical JSON cannot say") from error
    if not is_canonical:
        raise MalformedEntry("not in RFC 8785 form")
    return entry


def read_entry(unverified: bytes) -> Entry:
    """As `parse_entry`, ten times faster: the form of the JSON is not checked. For entries whose bytes are proved otherwise. Raises MalformedEntry."""
    try:
        fields = json.loads(unverified)
    except (ValueError, RecursionError) as error:
        raise MalformedEntry("not JSON") from error
    if not isinstance(fields, dict):
        raise MalformedEntry("not an object")
    return _checked(fields)


def _checked(fields: dict[str, Any]) -> Entry:
    if missing := _NEEDED - fields.keys():
        raise MalformedEntry(f"without {min(missing)}")
    if not fields.keys() <= _KNOWN:
        raise MalformedEntry("a field that no entry has")  # its name is the sender's choice: never repeated
    for name, value in fields.items():
        if not _is_fit(name, value):
            raise MalformedEntry(f"the value of {name!r}")
    number = int(fields["number"])
    if number > LARGEST_NUMBER:
        raise MalformedEntry("a number above 2**63-1")
    return Entry(fields, fields["producer"], number, fields["prev"])


def _is_fit(name: str, value: Any) -> bool:
    if name == "details":
        return isinstance(value, dict) and value != {}
    return isinstance(value, str) and _FORMS.get(name, _SOME).fullmatch(value) is not None


def _canonical(fields: dict[str, Any]) -> bytes:
    try:
        found = rfc8785.dumps(fields)
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise EntryUnfit("an event that canonical JSON cannot say") from error
    if len(found) > ENTRY_LIMIT_BYTES:
        raise EntryTooLong(f"an entry of {len(found)} bytes; {ENTRY_LIMIT_BYTES} at most")
    return found


def _plain(value: Any, depth: int = 0) -> Any:
    """Mappings and sequences as rfc8785 takes them, and nothing that it writes but no reader reads back: whole floats above 2**53, endless nesting."""
    if depth > _DEEPEST:
        raise EntryUnfit("details are nested too deeply")
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise EntryUnfit("a name in the details is no text")
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, float) and abs(value) > _LARGEST_WHOLE:
        raise EntryUnfit("a number above 2**53-1")
    return value
