"""From keys to paths: a bucket knows no folders, and a key may be any text; a room's file has a name. Pure.

What would not lie below the prefix as a plain path is refused rather than bent: what the person finds must be what the bucket holds.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sekisho.staging.placing import DEPTH_LIMIT, FILES_LIMIT, StagingFailed

_NAME_LIMIT_BYTES = 255  # of one name, on Linux
_PAGE_BYTES = 4096  # what a folder in memory gives away at a time


@dataclass(frozen=True, slots=True)
class Listed:
    """An object, as the listing has it. `etag` with its quotes."""

    key: str
    size: int
    etag: str
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Survey:
    """What is to be fetched, sorted by path, and folders that are there in name alone."""

    files: tuple[tuple[str, Listed], ...]
    folders: tuple[str, ...]

    @property
    def total_bytes(self) -> int:
        return sum(listed.size for _, listed in self.files)

    @property
    def room_bytes(self) -> int:
        """What it takes up in memory, whole pages."""
        return sum(-(-listed.size // _PAGE_BYTES) * _PAGE_BYTES for _, listed in self.files)


def survey(listed: Iterable[Listed], prefix: str) -> Survey:
    """Raises StagingFailed for the first key that can't be a path."""
    files: dict[str, Listed] = {}
    folders: set[str] = set()
    for each in listed:
        if not each.key.startswith(prefix):
            raise StagingFailed(f"the bucket lists the key {each.key[:200]!r}, which is not below {prefix!r}")
        below = each.key.removeprefix(prefix)
        if below:  # else the prefix's own marker
            path = path_of(below.removesuffix("/"))
            _add_folders(folders, path)
            if below.endswith("/"):
                folders.add(path)
            else:
                files[path] = each
        if len(files) + len(folders) > FILES_LIMIT:
            raise StagingFailed(f"the bucket has more than {FILES_LIMIT} files and folders below {prefix!r}")
    if both := files.keys() & folders:
        raise StagingFailed(f"{min(both)!r} is a file in the bucket, and there are files below it too: a room can't hold both")
    return Survey(tuple(sorted(files.items())), tuple(sorted(folders)))


def path_of(below: str) -> str:
    """The path of what a key says after the prefix. Raises StagingFailed."""
    names = below.split("/")
    if len(names) > DEPTH_LIMIT:
        raise StagingFailed(f"the bucket is nested deeper than {DEPTH_LIMIT} folders at {below[:80]!r}")
    for name in names:
        if name in {"", ".", ".."} or "\0" in name:
            raise StagingFailed(f"the key {below[:200]!r} can't be a path: {_fault(name)}")
        if len(name.encode(errors="surrogatepass")) > _NAME_LIMIT_BYTES:
            raise StagingFailed(f"the key {below[:80]!r}… holds a name of more than {_NAME_LIMIT_BYTES} bytes")
    return below


def _fault(name: str) -> str:
    if "\0" in name:
        return "it holds a NUL"
    return f"one of its parts is {name!r}" if name else "one of its parts is empty"


def _add_folders(folders: set[str], path: str) -> None:
    parent = path.rpartition("/")[0]
    while parent and parent not in folders:
        folders.add(parent)
        parent = parent.rpartition("/")[0]
