"""The files that a growing log gives, in memory: entries in, tiles and bundles out. No I/O; `publisher` writes them, `verify` compares them."""

from dataclasses import dataclass

from sekisho.audit.tiles import ENTRIES, Place, render_bundle, render_tile
from sekisho.audit.tree import TILE_WIDTH, Edge, leaf_hash


@dataclass(frozen=True, slots=True)
class PlacedFile:
    place: Place
    content: bytes


class Growth:
    """Append entries in order. Holds only the right edge: at most 255 entries, and 255 hashes a tile level."""

    def __init__(self) -> None:
        self._edge = Edge()
        self._entries: list[bytes] = []

    @property
    def size(self) -> int:
        return self._edge.size

    def append(self, entry: bytes) -> list[PlacedFile]:
        """Take one entry. Gives the files that it made full."""
        tiles = self._edge.append(leaf_hash(entry))
        self._entries.append(entry)
        filled = [PlacedFile(Place(tile.level, tile.index), render_tile(tile.hashes)) for tile in tiles]
        if len(self._entries) == TILE_WIDTH:
            filled.append(PlacedFile(Place(ENTRIES, self.size // TILE_WIDTH - 1), render_bundle(self._entries)))
            self._entries = []
        return filled

    def edge_files(self) -> list[PlacedFile]:
        """The files of the right edge, as they are at this size."""
        files = [self._tail_file(level) for level, tail in enumerate(self._edge.tails) if tail]
        if self._entries:
            place = Place(ENTRIES, self.size // TILE_WIDTH, len(self._entries))
            files.append(PlacedFile(place, render_bundle(self._entries)))
        return files

    def _tail_file(self, level: int) -> PlacedFile:
        tail = self._edge.tails[level]
        place = Place(level, (self.size >> 8 * level) // TILE_WIDTH, len(tail))
        return PlacedFile(place, render_tile(tail))

    def root(self) -> bytes:
        return self._edge.root()
