"""Copying a folder source into a room: a walk that follows no link and leaves no folder, a copy that hashes as it goes. Run by the stager."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import FileIO

from sekisho.staging.placing import DEPTH_LIMIT, FILES_LIMIT, StagingFailed, create_below, descend, finish, manifest_line, over, worded

CHUNK_BYTES = 1 << 20
_PROGRESS_BYTES = 4 << 20


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
                raise StagingFailed(over(done, limit_bytes))
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
        raise StagingFailed(over(total, limit_bytes))
    return wanted


def _copy(file: Found, *, source: int, target: int, record: Callable[[str], None]) -> Iterator[int]:
    """Yields byte counts as they are written, and records the file when it is whole."""
    digest = hashlib.sha256()
    size = 0
    with _open_below(source, file.path) as reader, os.fdopen(create_below(target, file.path), "wb", buffering=0) as writer:
        while chunk := reader.read(CHUNK_BYTES):
            digest.update(chunk)
            _write(writer.fileno(), chunk, file.path)
            size += len(chunk)
            yield len(chunk)
        found = os.fstat(reader.fileno())
        finish(writer.fileno(), modified_ns=found.st_mtime_ns, is_program=bool(found.st_mode & 0o111))
    record(manifest_line(file.path, size, digest.hexdigest()))


def _write(descriptor: int, chunk: bytes, path: str) -> None:
    view = memoryview(chunk)
    with worded(path):
        while view:
            view = view[os.write(descriptor, view) :]


def _open_below(folder: int, path: str) -> FileIO:
    *parents, name = path.split("/")
    descriptor = descend(folder, parents, make=False)
    try:
        return os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=descriptor), "rb", buffering=0)
    except FileNotFoundError as error:
        raise StagingFailed(f"{path!r} vanished from the source while it was read") from error
    finally:
        os.close(descriptor)
