"""The published files of a log, read back: from the audit process's own directory or from a copy. What is read is as trustworthy as the directory."""

import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from sekisho.audit.note import LIMIT_BYTES
from sekisho.audit.tiles import ENTRIES, Place, parse_path, parse_tile, width_at
from sekisho.audit.tree import HASH_BYTES, TILE_WIDTH, Node, root_of_full
from sekisho.model.errors import Trouble
from sekisho.model.event import ENTRY_LIMIT_BYTES

CHECKPOINT = "checkpoint"
VKEY = "log.vkey"
_LARGEST_BUNDLE = TILE_WIDTH * (2 + ENTRY_LIMIT_BYTES)
_LARGEST_TILE = TILE_WIDTH * HASH_BYTES


class LogUnreadable(Trouble):
    """A published file is missing or is not what it should be."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__("log-unreadable", f"{path}: {what}", hint="run `sekisho verify`")


class PublishedLog:
    """`directory` holds `checkpoint` and `tile/`. `held` are files already read, by path, that are taken instead of those on disk."""

    def __init__(self, directory: Path, *, held: Mapping[str, bytes] | None = None) -> None:
        self._directory = directory
        self._held = held or {}

    def checkpoint(self) -> bytes | None:
        return self._read(CHECKPOINT, LIMIT_BYTES)

    def vkey(self) -> bytes | None:
        return self._read(VKEY, LIMIT_BYTES)

    def file(self, place: Place) -> bytes | None:
        """The bytes of exactly this file, or None if it is not there. More than a file of its kind may have is cut one byte above."""
        return self._read(place.path, _LARGEST_BUNDLE if place.level == ENTRIES else _LARGEST_TILE)

    def node(self, size: int) -> Node:
        """Gives the complete subtrees of the tree of `size` from its tiles. Raises LogUnreadable."""

        @lru_cache(maxsize=64)
        def tile(level: int, index: int) -> list[bytes]:
            place = Place(level, index)
            return self._tile(Place(level, index, width_at(place, size)))

        def found(level: int, index: int) -> bytes:
            tile_level, depth = divmod(level, 8)
            first = index << depth
            start = first % TILE_WIDTH
            return root_of_full(tile(tile_level, first // TILE_WIDTH)[start : start + (1 << depth)])

        return found

    def _tile(self, place: Place) -> list[bytes]:
        content = self.file(place)
        if content is None and (full := self.file(place.full)) is not None:
            content = full[: place.width * HASH_BYTES]  # a partial tile may go once the full one is there (C2SP tlog-tiles)
        if content is None or len(content) != place.width * HASH_BYTES:
            raise LogUnreadable(place.path, "missing or of a wrong length")
        return parse_tile(content, place.width)

    def _read(self, path: str, limit_bytes: int) -> bytes | None:
        if path in self._held:
            return self._held[path]
        try:
            with (self._directory / path).open("rb") as file:
                return file.read(limit_bytes + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None


def published_files(directory: Path) -> Iterator[tuple[str, Place | None]]:
    """Every file below `tile/` with its path, and its place if the path is one of a log's. One may be gone when it is read: the log may grow meanwhile."""
    for folder, folders, files in os.walk(directory / "tile"):
        folders.sort()
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in sorted([*files, *links]):
            path = Path(folder, name).relative_to(directory).as_posix()
            yield path, parse_path(path)
