"""Copying a folder source into a room: a walk that follows no link and leaves no folder, a copy that hashes as it goes.

The stager process runs `stage`: one request line to it, progress lines and at last one verdict line from it, all JSON on a pipe; the
manifest (one JSON line a file) on a
descriptor of its own. It has one uid of the session, lives in the session's cgroup, may read the source and write the room's folder, and nothing else.
"""

import errno
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import FileIO

CHUNK_BYTES = 1 << 20
FILES_LIMIT = 200_000
DEPTH_LIMIT = 64
_PROGRESS_BYTES = 4 << 20


class StagingFailed(Exception):
    """Nothing may be entered: `str()` is one sentence for people."""


@dataclass(frozen=True, slots=True)
class Found:
    path: str  # relative, `/` between parts
    size: int


def walk(folder: int, *, prefix: str = "", depth: int = 0) -> Iterator[Found]:
    """The regular files below a folder's descriptor, sorted. Links, devices and sockets are refused rather than skipped: what the person
    finds must be what the source holds."""
    if depth > DEPTH_LIMIT:
        raise StagingFailed(f"the source is nested deeper than {DEPTH_LIMIT} folders at {prefix!r}")
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        path = f"{prefix}{name}"
        if stat.S_ISDIR(found.st_mode):
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                yield from walk(inner, prefix=f"{path}/", depth=depth + 1)
            finally:
                os.close(inner)
        elif stat.S_ISREG(found.st_mode):
            yield Found(path, found.st_size)
        else:
            raise StagingFailed(f"{path!r} in the source is neither a file nor a folder")


def stage(*, source: int, target: int, limit_bytes: int, record: Callable[[str], None], progress: Callable[[int, int, int], None]) -> None:
    """Copy everything. `record` takes a manifest line, `progress` (bytes so far, bytes in all, files in all). Raises StagingFailed; what is
    left then goes with the session."""
    wanted = _survey(source, limit_bytes)
    total = sum(file.size for file in wanted)
    done = told = 0
    progress(0, total, len(wanted))
    for file in wanted:
        for count in _copy(file, source=source, target=target, record=record):
            done += count
            if done > limit_bytes:
                raise StagingFailed(_over(done, limit_bytes))
            if done - told >= _PROGRESS_BYTES:
                told = done
                progress(done, max(total, done), len(wanted))
    progress(done, done, len(wanted))


def _survey(source: int, limit_bytes: int) -> list[Found]:
    wanted: list[Found] = []
    total = 0
    for file in walk(source):
        wanted.append(file)
        total += file.size
        if len(wanted) > FILES_LIMIT:
            raise StagingFailed(f"the source has more than {FILES_LIMIT} files")
    if total > limit_bytes:
        raise StagingFailed(_over(total, limit_bytes))
    return wanted


def _over(found: int, limit: int) -> str:
    return f"the source has {found} bytes and the room takes {limit} (limits.data in the room's file)"


def _copy(file: Found, *, source: int, target: int, record: Callable[[str], None]) -> Iterator[int]:
    """Yields byte counts as they are written, and records the file when it is whole."""
    digest = hashlib.sha256()
    size = 0
    with _open_below(source, file.path) as reader, _create_below(target, file.path) as writer:
        while chunk := reader.read(CHUNK_BYTES):
            digest.update(chunk)
            _write(writer.fileno(), chunk, file.path)
            size += len(chunk)
            yield len(chunk)
        found = os.fstat(reader.fileno())
        os.utime(writer.fileno(), ns=(found.st_mtime_ns, found.st_mtime_ns))
        os.fchmod(writer.fileno(), 0o555 if found.st_mode & 0o111 else 0o444)
    record(json.dumps({**_named(file.path), "size": size, "sha256": digest.hexdigest()}, ensure_ascii=True) + "\n")


def _named(path: str) -> dict[str, str]:
    """A name that is not UTF-8 (Shift_JIS, say) can't be said in JSON: it is shown escaped, and its very bytes stand beside it in hex."""
    content = os.fsencode(path)
    shown = content.decode("utf-8", "backslashreplace")
    return {"path": path} if shown == path else {"path": shown, "path_bytes": content.hex()}


def _write(descriptor: int, chunk: bytes, path: str) -> None:
    view = memoryview(chunk)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StagingFailed(f"the room is full at {path!r} (limits.data in the room's file)") from error
        raise


def _open_below(folder: int, path: str) -> FileIO:
    *parents, name = path.split("/")
    descriptor = _descend(folder, parents, make=False)
    try:
        return os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=descriptor), "rb", buffering=0)
    except FileNotFoundError as error:
        raise StagingFailed(f"{path!r} vanished from the source while it was read") from error
    finally:
        os.close(descriptor)


def _create_below(folder: int, path: str) -> FileIO:
    *parents, name = path.split("/")
    descriptor = _descend(folder, parents, make=True)
    try:
        return os.fdopen(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=descriptor), "wb", buffering=0)
    except FileExistsError as error:
        raise StagingFailed(f"two sources hold {path!r}") from error
    finally:
        os.close(descriptor)


def _descend(folder: int, parents: list[str], *, make: bool) -> int:
    """A descriptor of the folder below, one step at a time, never through a link."""
    here = os.dup(folder)
    for name in parents:
        if make:
            _make(name, here)
        try:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
        finally:
            os.close(here)
        here = below
    return here


def _make(name: str, folder: int) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=folder)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StagingFailed("the room is full (limits.data in the room's file)") from error
        raise
