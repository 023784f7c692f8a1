"""The producers' own chains through the log: each entry's number and `prev` against the one before it of the same producer. No I/O.

A producer's numbers may skip only where the entry just before is the audit process's own `producer.gap` that says so.
"""

from dataclasses import dataclass

from sekisho.audit.entry import OWN_PRODUCER, Entry, MalformedEntry, digest, read_entry
from sekisho.model.event import EventKind


@dataclass(frozen=True, slots=True)
class Break:
    """Entry `index` is malformed or does not follow. `before` is the index of its producer's preceding entry, which may be the changed one."""

    index: int
    before: int | None
    what: str


@dataclass(frozen=True, slots=True)
class _Link:
    index: int
    number: int
    digest: str


class Chains:
    """Follow every entry in the log's order."""

    def __init__(self) -> None:
        self._links: dict[str, _Link] = {}
        self._gap: tuple[object, ...] = ()

    def follow(self, index: int, unverified: bytes) -> Break | None:
        """None if the entry continues its producer's chain. The chain goes on from it either way."""
        try:
            entry = read_entry(unverified)
        except MalformedEntry as error:
            return Break(index, None, f"is malformed: {error}")
        link = self._links.get(entry.producer)
        found = self._break(index, entry, link)
        self._links[entry.producer] = _Link(index, entry.number, digest(unverified))
        self._gap = _gap_said_by(entry)
        return found

    def _break(self, index: int, entry: Entry, link: _Link | None) -> Break | None:
        number, prev = (link.number, link.digest) if link else (0, "")
        before = link.index if link else None
        if entry.number != number + 1:
            if entry.number > number and self._gap == (entry.producer, str(number), str(entry.number)):
                return None
            return Break(index, before, f"is number {entry.number} of {entry.producer} after number {number}")
        if entry.prev != prev:
            follows = f"entry {before}" if link else "nothing"
            return Break(index, before, f"does not name the hash of {follows}, which it follows in {entry.producer}'s chain")
        return None


def _gap_said_by(entry: Entry) -> tuple[object, ...]:
    if entry.producer != OWN_PRODUCER or entry.fields["kind"] != EventKind.PRODUCER_GAP:
        return ()
    details = entry.fields.get("details", {})
    return (details.get("producer"), details.get("after"), details.get("next"))
