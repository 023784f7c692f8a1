"""The file spool of a producer without a database: its events, numbered and chained, on its own disk until the audit process has them.

A folder of segments (`segment.py`), each named after its first number; one goes when audit has all of it and there is a newer one. `append` writes,
`sync` makes durable, so that a caller groups its commits. What is waiting is also held in memory and is bounded in bytes and in seconds; then opening
is refused.

After a crash the tail of the newest segment may be torn; it is dropped if it lies behind what was ever synced. Anything else that does not read back
is `SpoolDamaged`.
"""

import contextlib
import fcntl
import json
import logging
import os
import zlib
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sekisho.audit.durable import sync_folder
from sekisho.audit.entry import digest, entry_bytes, is_producer_name
from sekisho.audit.segment import (
    HEADER_BYTES,
    RECORD_EXTRA_BYTES,
    SYNCED_AT,
    Header,
    MalformedSegment,
    parse_header,
    records,
    render_header,
    render_record,
    render_synced,
)
from sekisho.audit.shipper import Backlog
from sekisho.model.errors import Trouble
from sekisho.model.event import Event
from sekisho.system.clock import Clock

SEGMENT_BYTES = 1_048_576
_logger = logging.getLogger(__name__)


class SpoolFull(Trouble):
    """What waits for audit is too much or too old, or the disk is full: nothing may be opened."""

    def __init__(self, what: str) -> None:
        super().__init__("spool-full", what, hint="see whether the audit process runs and its disk has room")


class SpoolDamaged(Trouble):
    """What was once durable does not read back."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__("spool-damaged", f"{path}: {what}", hint="keep the folder for an auditor; the log shows the gap when numbering goes on elsewhere")


@dataclass(frozen=True, slots=True)
class _Waiting:
    number: int
    entry: bytes
    since: float  # boottime


@dataclass(frozen=True, slots=True)
class _Segment:
    path: Path
    first: int


class FileSpool(Backlog):
    """`directory` belongs to this producer alone; a second process that opens it gets Trouble `spool-in-use`. Raises SpoolDamaged."""

    def __init__(self, directory: Path, *, producer: str, limit_bytes: int, limit_seconds: float, clock: Clock) -> None:
        assert is_producer_name(producer)
        self._producer = producer
        self._directory = directory
        self._limit_bytes = limit_bytes
        self._limit_seconds = limit_seconds
        self._clock = clock
        if not directory.is_dir():
            directory.mkdir(mode=0o700, parents=True)
            sync_folder(directory.parent)
        self._acceptance = _Acceptance(directory / "accepted")
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._segments: list[_Segment] = []
        self._last, self._prev = 0, ""
        self._load()
        self._synced = self._last

    @property
    def producer(self) -> str:
        return self._producer

    @property
    def next_number(self) -> int:
        return self._last + 1

    @property
    def accepted_through(self) -> int:
        return self._acceptance.through

    def oldest_waiting_seconds(self) -> float:
        return max(0.0, self._clock.boottime() - self._waiting[0].since) if self._waiting else 0.0

    def append(self, event: Event, *, closes: bool = False) -> int:
        """Write an event and give its number; it is durable after the next `sync`. Raises SpoolFull, EntryUnfit.

        `closes` marks an event that ends something which an earlier event opened: closing never waits, so it has no limit in seconds and a reserve of
        as many bytes again."""
        entry = entry_bytes(event, producer=self._producer, number=self.next_number, prev=self._prev)
        self._check_limits(len(entry), closes=closes)
        if self._end >= SEGMENT_BYTES:
            self._rotate()
        self._write(render_record(entry))
        self._last, self._prev = self._last + 1, digest(entry)
        self._hold(entry, self._clock.boottime())
        return self._last

    def sync(self) -> None:
        """Make everything that was appended durable."""
        if self._synced == self._last:
            return
        os.fdatasync(self._file)
        os.pwrite(self._file, render_synced(self._end), SYNCED_AT)  # durable with the next sync: until then the tail counts as never synced
        self._synced = self._last

    def waiting(self, limit_bytes: int) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        size = 0
        for item in self._waiting:
            size += len(item.entry)
            if item.number > self._synced or (found and size > limit_bytes):
                break
            found.append((item.number, item.entry))
        return found

    def accepted(self, through: int) -> None:
        if through > self._synced:
            _logger.error("audit accepted number %d of %s, which has synced only %d", through, self._producer, self._synced)
            return
        while self._waiting and self._waiting[0].number <= through:
            self._waiting_bytes -= len(self._waiting.popleft().entry) + RECORD_EXTRA_BYTES
        self._acceptance.advance(through)
        while len(self._segments) > 1 and self._segments[1].first <= through + 1:
            self._segments.pop(0).path.unlink()

    def close(self) -> None:
        """Let go of the folder. Nothing is lost without it."""
        os.close(self._file)
        self._acceptance.close()

    def _check_limits(self, entry_size: int, *, closes: bool) -> None:
        limit_bytes = self._limit_bytes * 2 if closes else self._limit_bytes
        if self._waiting_bytes + entry_size + RECORD_EXTRA_BYTES > limit_bytes:
            raise SpoolFull(f"{self._waiting_bytes} bytes of {self._producer} wait for audit; {limit_bytes} may")
        if not closes and self.oldest_waiting_seconds() > self._limit_seconds:
            raise SpoolFull(f"an event of {self._producer} has waited {self.oldest_waiting_seconds():.0f} s for audit; {self._limit_seconds:.0f} s may pass")

    def _hold(self, entry: bytes, since: float) -> None:
        self._waiting.append(_Waiting(self._last, entry, since))
        self._waiting_bytes += len(entry) + RECORD_EXTRA_BYTES

    def _write(self, record: bytes) -> None:
        """All of it or nothing: a disk that is full half way leaves no torn record in the middle."""
        try:
            written = os.pwrite(self._file, record, self._end)
        except OSError as error:
            os.ftruncate(self._file, self._end)
            raise SpoolFull(f"the disk of {self._directory} refused a write: {error.strerror}") from error
        if written < len(record):
            os.ftruncate(self._file, self._end)
            raise SpoolFull(f"the disk of {self._directory} is full")
        self._end += len(record)

    def _rotate(self) -> None:
        self.sync()
        full = self._file
        try:
            self._start_segment()
        except OSError as error:
            raise SpoolFull(f"{self._directory} takes no new segment: {error.strerror}") from error
        os.close(full)  # not before: a number that was closed twice may be somebody else's the second time

    def _start_segment(self) -> None:
        first = self._last + 1
        path = self._directory / f"{first:020}.spool"
        fresh = path.with_suffix(".new")
        header = render_header(Header(synced_end=HEADER_BYTES, first=first, prev=self._prev))
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(header)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
        sync_folder(self._directory)
        self._file, self._end = os.open(path, os.O_RDWR), HEADER_BYTES
        self._segments.append(_Segment(path, first))

    def _load(self) -> None:
        for left in self._directory.glob("*.new"):
            left.unlink()
        paths = sorted(self._directory.glob("*.spool"))
        for path in paths:
            self._load_segment(path, is_newest=path == paths[-1])
        self._acceptance.bound(lowest=self._segments[0].first - 1 if self._segments else 0, highest=self._last)
        while self._waiting and self._waiting[0].number <= self._acceptance.through:
            self._waiting_bytes -= len(self._waiting.popleft().entry) + RECORD_EXTRA_BYTES
        if paths:
            self._resume(paths[-1])
        else:
            self._start_segment()

    def _load_segment(self, path: Path, *, is_newest: bool) -> None:
        content = path.read_bytes()
        try:
            header = parse_header(content)
        except MalformedSegment as error:
            raise SpoolDamaged(path, str(error)) from error
        if self._segments and (header.first, header.prev) != (self._last + 1, self._prev):
            raise SpoolDamaged(path, f"does not continue number {self._last}")
        self._segments.append(_Segment(path, header.first))
        self._last, self._prev = header.first - 1, header.prev
        end = HEADER_BYTES
        for entry, end in records(content):  # noqa: B007  the last end is wanted
            self._last, self._prev = self._last + 1, digest(entry)
            self._hold(entry, self._since(entry))
        is_torn = end < len(content)
        if end < header.synced_end or (is_torn and not is_newest):
            raise SpoolDamaged(path, f"cannot be read after byte {end}, number {self._last}")
        self._end = end

    def _resume(self, path: Path) -> None:
        """Go on in the newest segment: without its torn tail, and with all that is left of it durable."""
        self._file = os.open(path, os.O_RDWR)
        os.ftruncate(self._file, self._end)
        os.fsync(self._file)
        os.pwrite(self._file, render_synced(self._end), SYNCED_AT)

    def _since(self, entry: bytes) -> float:
        """The boottime at which an entry of an earlier life was made, by its own wall-clock time."""
        try:
            at = datetime.fromisoformat(json.loads(entry)["at"])
        except (ValueError, KeyError, TypeError):
            return self._clock.boottime()
        return self._clock.boottime() - max(0.0, (self._clock.now() - at).total_seconds())


class _Acceptance:
    """Up to where audit has accepted: a hint on disk (16 bytes: the number and its CRC-32), never ahead of the truth. It is also the folder's lock."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of this process alone: a forked child does not hold it
        except OSError as error:
            os.close(self._file)
            raise Trouble("spool-in-use", f"another process uses the spool {path.parent}", hint="end the other process of this producer") from error
        self.through = self._read()

    def bound(self, *, lowest: int, highest: int) -> None:
        """What the segments say: everything before them was accepted, nothing after them can be."""
        self.through = max(self.through, lowest) if self.through <= highest else lowest

    def advance(self, through: int) -> None:
        if through > self.through:
            self.through = through
            number = through.to_bytes(8, "big")
            os.pwrite(self._file, number + zlib.crc32(number).to_bytes(4, "big"), 0)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._file)

    def _read(self) -> int:
        content = os.pread(self._file, 12, 0)
        number, check = content[:8], content[8:]
        return int.from_bytes(number, "big") if len(content) == 12 and zlib.crc32(number).to_bytes(4, "big") == check else 0
