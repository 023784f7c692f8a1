"""Where a log was altered: the first entry at fault, as precisely as what is left of the tree allows.

From the signed root downwards: the hashes of a tile are authentic if they lead to an authentic hash above, be they the stored ones or those that the
entries below give. Where a tile is authentic its first wrong child is followed, down to the entry. Where somebody rewrote an entry together with its
tile, all that is known is a range; in it older partial tiles, the stored hashes and the producers' chains tell which entry it was.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from sekisho.audit.chains import Chains
from sekisho.audit.fault import Fault
from sekisho.audit.published import PublishedLog, published_files
from sekisho.audit.tiles import MalformedTile, Place, bundle_of, parse_tile, split_bundle, width_at
from sekisho.audit.tree import HASH_BYTES, TILE_WIDTH, leaf_hash, root_of_full, root_of_tails


def locate(directory: Path, log: PublishedLog, *, size: int, root: bytes) -> Fault:
    """The fault of a log whose entries do not give the signed `root`."""
    altered = _Altered(log, size)
    suspect = altered.search(root) or _Suspect(0, size)
    if suspect.is_exact:
        return _entry_fault(log, suspect.first, size)
    hints = [*_hints_of_tiles(directory, log, altered, suspect), *_hints_of_chains(altered, suspect)]
    if hints:
        hint = min(hints, key=lambda fault: fault.index or 0)
        return replace(hint, what=f"{hint.what}; others from {suspect.first} on may be too")
    what = f"or another one up to {suspect.end - 1} was changed, with the hashes above it"
    return Fault(suspect.first, bundle_of(suspect.first, size).path, what)


@dataclass(frozen=True, slots=True)
class _Suspect:
    """Entries `first` to `end - 1`: one of them at least was changed."""

    first: int
    end: int

    @property
    def is_exact(self) -> bool:
        return self.end - self.first == 1

    def __contains__(self, index: object) -> bool:
        return isinstance(index, int) and self.first <= index < self.end


class _Altered:
    """The hashes that the entries give now, to hold against those that are stored."""

    def __init__(self, log: PublishedLog, size: int) -> None:
        self._log = log
        self.size = size
        self._made = self._make()

    def _make(self) -> list[list[bytes | None]]:
        """`_made[L][i]` is the hash of full tile i of level L-1, or None where entries below it cannot be read. Level 0 is read when it is asked for."""
        made: list[list[bytes | None]] = [[], [self._made_block(index) for index in range(self.size // TILE_WIDTH)]]
        while len(made[-1]) >= TILE_WIDTH:
            below = made[-1]
            made.append([_root_or_none(below[at : at + TILE_WIDTH]) for at in range(0, len(below) - TILE_WIDTH + 1, TILE_WIDTH)])
        return made

    def _made_block(self, index: int) -> bytes | None:
        leaves = self.leaves(index)
        return root_of_full(leaves) if len(leaves) == TILE_WIDTH else None

    def entries(self, bundle: int) -> list[bytes]:
        """As many as can be read."""
        place = bundle_of(bundle * TILE_WIDTH, self.size)
        return split_bundle(self._log.file(place) or b"", place.width)[0]

    def leaves(self, bundle: int) -> list[bytes]:
        return [leaf_hash(entry) for entry in self.entries(bundle)]

    def stored(self, level: int, index: int) -> list[bytes] | None:
        """A tile as it is stored, if it has the right length."""
        place = Place(level, index, width_at(Place(level, index), self.size))
        try:
            return parse_tile(self._log.file(place) or b"", place.width)
        except MalformedTile:
            return None

    def search(self, root: bytes) -> _Suspect | None:
        """From the root down. None if not even the right edge is authentic."""
        tails = self._authentic_tails(root)
        if tails is None:
            return None
        for level in range(len(tails) - 1, -1, -1):
            first = self.size >> 8 * (level + 1) << 8
            for at, authentic in enumerate(tails[level] if level else []):
                if suspect := self._below(level - 1, first + at, authentic):
                    return suspect
        return self._first_wrong(self.size // TILE_WIDTH, tails[0])

    def _authentic_tails(self, root: bytes) -> list[list[bytes]] | None:
        """At each level the stored hashes or those made from below: whichever together give the root."""
        levels = range(max(1, len(self._made)))
        choices = [self._tail_choices(level) for level in levels]
        return next((list(tails) for tails in product(*choices) if root_of_tails(tails) == root), None)

    def _tail_choices(self, level: int) -> list[list[bytes]]:
        index, width = divmod(self.size >> 8 * level, TILE_WIDTH)
        if not width:
            return [[]]
        made = self.leaves(index) if level == 0 else [found for found in self._made[level][index * TILE_WIDTH :] if found]
        stored = self.stored(level, index)
        return [choice for choice in (stored, made) if choice and len(choice) == width]

    def _below(self, level: int, index: int, authentic: bytes) -> _Suspect | None:
        """The first wrong entry below a full tile whose hash is known."""
        if self._made[level + 1][index] == authentic:
            return None
        stored = self.stored(level, index)
        if stored is None or root_of_full(stored) != authentic:
            first = Place(level, index).first_entry
            return _Suspect(first, Place(level, index + 1).first_entry)
        if level == 0:
            return self._first_wrong(index, stored)
        below = (self._below(level - 1, index * TILE_WIDTH + at, child) for at, child in enumerate(stored))
        return next((suspect for suspect in below if suspect), None)

    def _first_wrong(self, bundle: int, authentic: Sequence[bytes]) -> _Suspect | None:
        wrong = first_difference(authentic, self.leaves(bundle))
        index = bundle * TILE_WIDTH + wrong
        return _Suspect(index, index + 1) if wrong < len(authentic) else None


def first_difference(wanted: Sequence[bytes], found: Sequence[bytes]) -> int:
    """The first position at which `found` lacks or differs, or the length of `wanted`."""
    return next((at for at, item in enumerate(wanted) if at >= len(found) or found[at] != item), len(wanted))


def _root_or_none(hashes: Sequence[bytes | None]) -> bytes | None:
    known = [found for found in hashes if found is not None]
    return root_of_full(known) if len(known) == len(hashes) else None


def _entry_fault(log: PublishedLog, index: int, size: int) -> Fault:
    place = bundle_of(index, size)
    content = log.file(place)
    if content is None:
        return Fault(index, place.path, "and those after it are missing with their file")
    entries, _ = split_bundle(content, place.width)
    is_readable = index - place.first_entry < len(entries)
    return Fault(index, place.path, "is not the one that was signed" if is_readable else "cannot be read: its file ends too early")


def _hints_of_tiles(directory: Path, log: PublishedLog, altered: _Altered, suspect: _Suspect) -> Iterator[Fault]:
    """Stored hashes, of older partial tiles too, that differ from the entries."""
    for path, place in published_files(directory):
        if place is None or place.level != 0 or place.first_entry >= suspect.end or place.first_entry + TILE_WIDTH <= suspect.first:
            continue
        content = log.file(place) or b""
        stored = [content[at : at + HASH_BYTES] for at in range(0, len(content), HASH_BYTES)][: width_at(place, altered.size)]
        index = place.first_entry + first_difference(stored, altered.leaves(place.index))
        if index in suspect and index < place.first_entry + len(stored):
            yield Fault(index, bundle_of(index, altered.size).path, f"was changed: {path} has another hash for it")


def _hints_of_chains(altered: _Altered, suspect: _Suspect) -> Iterator[Fault]:
    chains = Chains()
    for bundle in range((altered.size + TILE_WIDTH - 1) // TILE_WIDTH):
        for at, entry in enumerate(altered.entries(bundle)):
            found = chains.follow(bundle * TILE_WIDTH + at, entry)
            if found is None:
                continue
            if found.before is not None and found.before in suspect:
                yield Fault(found.before, bundle_of(found.before, altered.size).path, f"was changed: entry {found.index} names another hash for it")
            elif found.index in suspect:
                yield Fault(found.index, bundle_of(found.index, altered.size).path, found.what)
