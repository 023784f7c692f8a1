"""Placing files in the room's folder, whatever source they come from: each made new, never through a link, and recorded by its hash when it is whole."""

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

FILES_LIMIT = 200_000
DEPTH_LIMIT = 64


class StagingFailed(Exception):
    """Nothing may be entered: `str()` is one sentence for people, and holds no secret."""


def over(found: int, limit: int) -> str:
    return f"the source has {found} bytes and the room takes {limit} (limits.data in the room's file)"


def manifest_line(path: str, size: int, sha256: str) -> str:
    return json.dumps({**_named(path), "size": size, "sha256": sha256}, ensure_ascii=True) + "\n"


def _named(path: str) -> dict[str, str]:
    """A name that is not UTF-8 (Shift_JIS, say) can't be said in JSON: it is shown escaped, and its very bytes stand beside it in hex."""
    content = os.fsencode(path)
    shown = content.decode("utf-8", "backslashreplace")
    return {"path": path} if shown == path else {"path": shown, "path_bytes": content.hex()}


def create_below(folder: int, path: str) -> int:
    """A descriptor of a new and empty file, to be read and written by nobody else yet. Raises StagingFailed."""
    *parents, name = path.split("/")
    descriptor = descend(folder, parents, make=True)
    try:
        with worded(path):
            return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: int, path: str) -> None:
    """A folder below, and all on the way to it; those that are there stay. Raises StagingFailed."""
    os.close(descend(folder, path.split("/"), make=True))


def finish(descriptor: int, *, modified_ns: int, is_program: bool = False) -> None:
    """It is whole: dated as its source is, and from now on read-only."""
    os.utime(descriptor, ns=(modified_ns, modified_ns))
    os.fchmod(descriptor, 0o555 if is_program else 0o444)


def descend(folder: int, parents: list[str], *, make: bool) -> int:
    """A descriptor of the folder below, one step at a time, never through a link. Raises StagingFailed, if folders are to be made."""
    here = os.dup(folder)
    for name in parents:
        try:
            if make:
                _make(name, here)
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
        finally:
            os.close(here)
        here = below
    return here


def _make(name: str, folder: int) -> None:
    with worded(name):
        try:
            os.mkdir(name, 0o755, dir_fd=folder)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise


@contextmanager
def worded(path: str) -> Iterator[None]:
    """What the room's folder refuses, in words."""
    try:
        yield
    except FileExistsError as error:
        raise StagingFailed(f"two sources hold {path!r}") from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StagingFailed(f"the room is full at {path!r} (limits.data in the room's file)") from error
        raise
