"""Verification of a log from its published files and its verifier key alone: no database, no server, a copy will do.

Checked are the checkpoint's signature, every entry against the signed root, every tile and bundle against the entries, every producer's chain, and
that no file is missing or too much. A log may be verified while it grows: what is verified is the tree of the checkpoint that was found first.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sekisho.audit.chains import Break, Chains
from sekisho.audit.checkpoint import Checkpoint, open_checkpoint
from sekisho.audit.fault import Fault
from sekisho.audit.growth import Growth, PlacedFile
from sekisho.audit.locate import locate
from sekisho.audit.note import MalformedNote, UnverifiedNote, Verifier, parse_vkey
from sekisho.audit.published import CHECKPOINT, VKEY, PublishedLog, published_files
from sekisho.audit.tiles import ENTRIES, Place, bundle_of, edge_places, is_beginning, split_bundle, width_at
from sekisho.audit.tree import TILE_WIDTH

_SNAPSHOT_TRIES = 10
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Verified:
    """The log is whole: `size` entries under `root`, signed for `origin`."""

    origin: str
    size: int
    root: bytes


def verify_log(directory: Path, *, vkey: str, patience_seconds: float = 1.0) -> Verified | Fault:
    """`vkey` is the C2SP verifier key that the verifier trusts. A file that no checkpoint covers is waited for `patience_seconds`, as a log that is being
    written to has one for some milliseconds."""
    try:
        verifier = parse_vkey(vkey)
    except MalformedNote as error:
        return Fault(None, VKEY, f"is no verifier key: {error}")
    if (published := PublishedLog(directory).vkey()) is not None and published != f"{vkey}\n".encode():
        return Fault(None, VKEY, "is not the verifier key that was given")
    snapshot = _snapshot(directory, verifier)
    if isinstance(snapshot, Fault):
        return snapshot
    return _check(directory, snapshot, verifier, patience_seconds)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    checkpoint: Checkpoint
    log: PublishedLog  # holds the right edge, which may be replaced while the rest is read


def _snapshot(directory: Path, verifier: Verifier, tries: int = _SNAPSHOT_TRIES) -> _Snapshot | Fault:
    """The checkpoint and the right edge that belongs to it. A partial tile goes when it is full: then there is a newer checkpoint to take."""
    log = PublishedLog(directory)
    note = log.checkpoint()
    checkpoint = _opened(note, verifier)
    if isinstance(checkpoint, Fault):
        return checkpoint
    edge = {place.path: log.file(place) for place in edge_places(checkpoint.size)}
    if None in edge.values() and tries > 1 and log.checkpoint() != note:
        return _snapshot(directory, verifier, tries - 1)
    held = {path: content for path, content in edge.items() if content is not None}
    return _Snapshot(checkpoint, PublishedLog(directory, held=held))


def _opened(note: bytes | None, verifier: Verifier) -> Checkpoint | Fault:
    if note is None:
        return Fault(None, CHECKPOINT, "is missing")
    try:
        return open_checkpoint(note, verifier)
    except (MalformedNote, UnverifiedNote) as error:
        return Fault(None, CHECKPOINT, f"is not signed by this log: {error}")


def _check(directory: Path, snapshot: _Snapshot, verifier: Verifier, patience_seconds: float) -> Verified | Fault:
    log, checkpoint = snapshot.log, snapshot.checkpoint
    replay = _Replay(log)
    replay.run(checkpoint.size)
    if replay.growth.size != checkpoint.size or replay.growth.root() != checkpoint.root:
        return locate(directory, log, size=checkpoint.size, root=checkpoint.root)
    if replay.odd_file:
        return replay.odd_file
    if replay.first_break:
        return Fault(replay.first_break.index, bundle_of(replay.first_break.index, checkpoint.size).path, replay.first_break.what)
    for fault in _odd_files(directory, log, checkpoint.size):
        if not _is_covered_soon(fault, log, verifier, patience_seconds):
            return fault
    return Verified(checkpoint.origin, checkpoint.size, checkpoint.root)


class _Replay:
    """Build the tree again from the bundles, and compare every tile on the way."""

    def __init__(self, log: PublishedLog) -> None:
        self._log = log
        self._chains = Chains()
        self.growth = Growth()
        self.odd_file: Fault | None = None  # the first file that is not what the entries give
        self.first_break: Break | None = None

    def run(self, size: int) -> None:
        """Stops at the first bundle from which not all entries can be read."""
        for index in range((size + TILE_WIDTH - 1) // TILE_WIDTH):
            place = bundle_of(index * TILE_WIDTH, size)
            entries, rest = split_bundle(self._log.file(place) or b"", place.width)
            if len(entries) < place.width:
                return
            if rest:
                self._note_odd(place, f"has {rest} bytes after its {place.width} entries")
            for entry in entries:
                self._take(entry)
        for file in self.growth.edge_files():
            self._compare(file)

    def _take(self, entry: bytes) -> None:
        if self.first_break is None:
            self.first_break = self._chains.follow(self.growth.size, entry)
        for file in self.growth.append(entry):
            self._compare(file)

    def _compare(self, file: PlacedFile) -> None:
        if file.place.level == ENTRIES:
            return
        found = self._log.file(file.place)
        if found is None:
            self._note_odd(file.place, "is missing")
        elif found != file.content:
            self._note_odd(file.place, "does not hold the hashes that the entries give")

    def _note_odd(self, place: Place, what: str) -> None:
        self.odd_file = self.odd_file or Fault(None, place.path, what)


@dataclass(frozen=True, slots=True)
class _Beyond(Fault):
    place: Place


def _odd_files(directory: Path, log: PublishedLog, size: int) -> Iterator[Fault]:
    """Files that do not belong to a log of `size`, and older partial tiles that are not the beginning of their tile."""
    for path, place in published_files(directory):
        if place is None:
            yield Fault(None, path, "is no file of a log")
        elif place.width > width_at(place, size):
            yield _Beyond(None, path, f"is not covered by the checkpoint of size {size}", place)
        elif place.width < TILE_WIDTH and not _is_older_partial(log, place, size):
            yield Fault(None, path, "is not the beginning of its tile")


def _is_older_partial(log: PublishedLog, place: Place, size: int) -> bool:
    content = log.file(place)
    longer = log.file(Place(place.level, place.index, width_at(place, size)))
    return content is None or (longer is not None and is_beginning(content, place, longer))


def _is_covered_soon(fault: Fault, log: PublishedLog, verifier: Verifier, patience_seconds: float) -> bool:
    if not isinstance(fault, _Beyond):
        return False
    deadline = time.monotonic() + patience_seconds
    while True:
        newer = _opened(log.checkpoint(), verifier)
        if isinstance(newer, Checkpoint) and fault.place.width <= width_at(fault.place, newer.size):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
