"""C2SP tlog-tiles: which files a log of a given size has, what they are called, and how entries lie in a bundle. No I/O.

`tile/<L>/<N>[.p/<W>]` holds up to 256 hashes of tile level L, `tile/entries/<N>[.p/<W>]` the entries themselves, each after its length as
16 bits, big-endian. N is written in groups of three digits, all but the last after an `x`; W is the width of a tile that is not full yet. https://c2sp.org/tlog-tiles
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sekisho.audit.tree import HASH_BYTES, TILE_WIDTH
from sekisho.model.event import ENTRY_LIMIT_BYTES

ENTRIES = -1  # the level, here, of bundles of entries
DEEPEST = 7  # 256**8 entries are more than a size can say
_PATH = re.compile(r"tile/(entries|[0-7])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)


class MalformedTile(ValueError):
    """The bytes are no tile, or no bundle, of the wanted width."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """One file of the log. `width` is 256 for a full one."""

    level: int  # ENTRIES, or 0 to 7
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        kind = "entries" if self.level == ENTRIES else str(self.level)
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{kind}/{_groups(self.index)}{partial}"

    @property
    def first_entry(self) -> int:
        """The index of the first entry that this file says anything about."""
        return self.index << 8 * (max(self.level, 0) + 1)

    @property
    def full(self) -> "Place":
        return Place(self.level, self.index)


def parse_path(unverified: str) -> Place | None:
    """The place of a canonical path, or None."""
    found = _PATH.fullmatch(unverified)
    if found is None:
        return None
    kind, groups, width = found.groups()
    level = ENTRIES if kind == "entries" else int(kind)
    place = Place(level, int(groups.replace("x", "").replace("/", "")), int(width or TILE_WIDTH))
    return place if place.path == unverified else None


def _groups(index: int) -> str:
    low = f"{index % 1000:03}"
    while index := index // 1000:
        low = f"x{index % 1000:03}/{low}"
    return low


def width_at(place: Place, size: int) -> int:
    """How many hashes or entries a log of `size` has at the place's tile: 0 (no such file yet) to 256 (full)."""
    below = size >> 8 * max(place.level, 0)
    return max(0, min(TILE_WIDTH, below - place.index * TILE_WIDTH))


def bundle_of(index: int, size: int) -> Place:
    """The bundle that holds entry `index` in a log of `size`."""
    full = Place(ENTRIES, index // TILE_WIDTH)
    return Place(ENTRIES, full.index, width_at(full, size))


def edge_places(size: int) -> list[Place]:
    """The files that are not full in a log of `size`: its right edge, lowest level first."""
    levels = [ENTRIES, *range(DEEPEST + 1)]
    return [place for level in levels if (place := _edge_place(level, size)) is not None]


def _edge_place(level: int, size: int) -> Place | None:
    index, width = divmod(size >> 8 * max(level, 0), TILE_WIDTH)
    return Place(level, index, width) if width else None


def full_places(size: int) -> Iterator[Place]:
    """Every full tile and bundle of a log of `size`."""
    for level in [ENTRIES, *range(DEEPEST + 1)]:
        yield from (Place(level, index) for index in range(size >> 8 * (max(level, 0) + 1)))


def render_tile(hashes: Sequence[bytes]) -> bytes:
    return b"".join(hashes)


def parse_tile(unverified: bytes, width: int) -> list[bytes]:
    """Raises MalformedTile."""
    if len(unverified) != width * HASH_BYTES:
        raise MalformedTile(f"{len(unverified)} bytes, not {width * HASH_BYTES}")
    return [unverified[at : at + HASH_BYTES] for at in range(0, len(unverified), HASH_BYTES)]


def render_bundle(entries: Sequence[bytes]) -> bytes:
    assert all(len(entry) <= ENTRY_LIMIT_BYTES for entry in entries)
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def parse_bundle(unverified: bytes, width: int) -> list[bytes]:
    """Raises MalformedTile."""
    entries, rest = split_bundle(unverified, width)
    if len(entries) < width:
        raise MalformedTile(f"it ends inside entry {len(entries)} of {width}")
    if rest:
        raise MalformedTile(f"{rest} bytes after its {width} entries")
    return entries


def split_bundle(unverified: bytes, width: int) -> tuple[list[bytes], int]:
    """As many of `width` entries as can be read, and how many bytes are left."""
    entries: list[bytes] = []
    at = 0
    while len(entries) < width and at + 2 <= len(unverified):
        end = at + 2 + int.from_bytes(unverified[at : at + 2], "big")
        if end > len(unverified):
            break
        entries.append(unverified[at + 2 : end])
        at = end
    return entries, len(unverified) - at


def is_beginning(partial: bytes, place: Place, longer: bytes) -> bool:
    """Whether the content of a partial file is the first `place.width` hashes or entries of the same tile at a later size."""
    if place.level != ENTRIES:
        return partial == longer[: place.width * HASH_BYTES]
    entries, rest = split_bundle(partial, place.width)
    return len(entries) == place.width and not rest and longer.startswith(partial)
