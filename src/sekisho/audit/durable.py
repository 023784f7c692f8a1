"""Files that appear whole or not at all: written beside, fsynced, renamed, their folder fsynced. Readable by the folder's group."""

import os
from pathlib import Path

_FILE_MODE = 0o640
_FOLDER_MODE = 0o750


class Folder:
    """Writes files below `directory`. They belong to the directory's group, so that its members may read them.

    `staging` is a folder in it, so on the same file system, that is not published."""

    def __init__(self, directory: Path, *, staging: str) -> None:
        self._directory = directory
        self._group = directory.stat().st_gid
        self._staging = directory / staging
        self._touched: set[Path] = set()
        self._clear_staging()

    def put(self, path: str, content: bytes) -> None:
        """Write a file, or replace it at once. It is durable after `settle`."""
        target = self._directory / path
        self._make_folder(target.parent)
        fresh = self._staging / "file"
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            fresh.chmod(_FILE_MODE)
            self._give_to_group(fresh)
            os.fsync(file.fileno())
        fresh.rename(target)
        self._touched.add(target.parent)

    def put_new(self, path: str, content: bytes) -> None:
        """Write a file that is never changed: if it is there it must be the same, byte for byte."""
        try:
            found = (self._directory / path).read_bytes()
        except FileNotFoundError:
            self.put(path, content)
        else:
            assert found == content, f"{path} is published with other bytes"

    def settle(self) -> None:
        """Make every name written since the last time durable."""
        for folder in sorted(self._touched):
            sync_folder(folder)
        self._touched.clear()

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(mode=_FOLDER_MODE)
        folder.chmod(_FOLDER_MODE)
        self._give_to_group(folder)
        self._touched.add(folder.parent)

    def _give_to_group(self, target: Path) -> None:
        if target.stat().st_gid != self._group:
            os.chown(target, -1, self._group)

    def _clear_staging(self) -> None:
        self._staging.mkdir(mode=0o700, exist_ok=True)
        for left in self._staging.iterdir():
            left.unlink()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
