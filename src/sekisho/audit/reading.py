"""Reading the log: entries by index, time, person, room, session, request or kind, and the proof that one is in it.

From the published files, which the reader's group may read. Reading verifies nothing; `verify` does.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sekisho.audit.checkpoint import parse_checkpoint_text
from sekisho.audit.note import MalformedNote, parse_note
from sekisho.audit.proof import render_proof
from sekisho.audit.published import CHECKPOINT, LogUnreadable, PublishedLog
from sekisho.audit.tiles import MalformedTile, bundle_of, parse_bundle, split_bundle
from sekisho.audit.tree import TILE_WIDTH, inclusion_proof


@dataclass(frozen=True, slots=True)
class LogEntry:
    index: int
    fields: Mapping[str, Any]


def log_size(directory: Path) -> int:
    """How many entries are published. Raises LogUnreadable."""
    return _size(PublishedLog(directory).checkpoint())


def read_entries(
    directory: Path,
    *,
    after: int = -1,
    limit: int = 500,
    since: datetime | None = None,
    person: str = "",
    room: str = "",
    session: str = "",
    request: str = "",
    kind: str = "",
) -> list[LogEntry]:
    """The first `limit` entries with an index above `after` that match all that is given, in order. `since` is aware; `person` is who acted or whom it was
    done to (`details.person`). Raises LogUnreadable."""
    wanted = {name: value for name, value in (("room", room), ("session", session), ("request", request), ("kind", kind)) if value}
    earliest = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if since else ""
    needles = [json.dumps(value, ensure_ascii=False).encode() for value in (*wanted.values(), person) if value]
    found: list[LogEntry] = []
    for index, entry in _entries(PublishedLog(directory), after + 1):
        if len(found) == limit:
            break
        if all(needle in entry for needle in needles):
            fields = json.loads(entry)
            if fields["at"] >= earliest and _matches(fields, wanted, person):
                found.append(LogEntry(index, fields))
    return found


def prove_entry(directory: Path, index: int) -> bytes:
    """The C2SP tlog-proof of a published entry, for `proof.verify_proof`. Raises LogUnreadable, and IndexError if there is no such entry."""
    log = PublishedLog(directory)
    checkpoint = log.checkpoint()
    size = _size(checkpoint)
    if not 0 <= index < size:
        raise IndexError(index)
    return render_proof(index=index, path=inclusion_proof(index, size, log.node(size)), checkpoint=checkpoint or b"")


def _size(note: bytes | None) -> int:
    if note is None:
        raise LogUnreadable(CHECKPOINT, "missing")
    try:
        return parse_checkpoint_text(parse_note(note).text).size
    except MalformedNote as error:
        raise LogUnreadable(CHECKPOINT, str(error)) from error


def _entries(log: PublishedLog, first: int) -> Iterator[tuple[int, bytes]]:
    size = _size(log.checkpoint())
    for bundle in range(max(0, first) // TILE_WIDTH, (size + TILE_WIDTH - 1) // TILE_WIDTH):
        start = bundle * TILE_WIDTH
        for at, entry in enumerate(_bundle(log, bundle, size)):
            if start + at >= first:
                yield start + at, entry


def _bundle(log: PublishedLog, index: int, size: int) -> list[bytes]:
    place = bundle_of(index * TILE_WIDTH, size)
    content = log.file(place)
    try:
        if content is not None:
            return parse_bundle(content, place.width)
        return split_bundle(log.file(place.full) or b"", place.width)[0]  # it became full since the checkpoint was read
    except MalformedTile as error:
        raise LogUnreadable(place.path, str(error)) from error


def _matches(fields: Mapping[str, Any], wanted: Mapping[str, str], person: str) -> bool:
    if any(fields.get(name) != value for name, value in wanted.items()):
        return False
    return not person or person in (fields.get("by"), fields.get("details", {}).get("person"))
