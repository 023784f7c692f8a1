"""What the tests of the audit log share: a clock that stands, sample events and entries, a log on disk, and the real process."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sekisho.audit import service
from sekisho.audit.entry import digest, entry_bytes
from sekisho.audit.sequencing import Drop, Take, TakeAfterGap
from sekisho.audit.service import open_log
from sekisho.audit.shipper import Shipper
from sekisho.audit.spool import FileSpool
from sekisho.model.event import Event, EventKind
from sekisho.system.clock import SystemClock

ORIGIN = "sekisho.test/log"
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


class StandingClock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def boottime(self) -> float:
        return 1000.0 + self.seconds


def event(number: int = 1, *, by: str = "hanako", room: str = "campaign", padding: int = 0) -> Event:
    details = {"n": number, **({"padding": "x" * padding} if padding else {})}
    return Event(EventKind.REQUEST_MADE, START + timedelta(seconds=number), by=by, room=room, details=details)


def chain(count: int, *, producer: str = "store", padding: int = 0) -> list[bytes]:
    """The first entries of a producer."""
    entries: list[bytes] = []
    for number in range(1, count + 1):
        prev = digest(entries[-1]) if entries else ""
        entries.append(entry_bytes(event(number, padding=padding), producer=producer, number=number, prev=prev))
    return entries


class LogOnDisk:
    """A log written by the real store, publisher and signer, without the process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "log"
        self.directory.mkdir(exist_ok=True)
        self.key_path = directory / "audit.key"

    def append(self, entries: Sequence[bytes], *, producer: str = "store", first: int = 1, steps: Sequence[int] = ()) -> None:
        """Offer entries, and publish after each of the counts in `steps` and at the end."""
        store, published, _ = open_log(self.directory, key_path=self.key_path, origin=ORIGIN)
        try:
            for at, entry in enumerate(entries):
                judgement = store.offer(entry, producer=producer, number=first + at, now=START)
                assert isinstance(judgement, (Take, TakeAfterGap, Drop)), judgement
                if at + 1 in steps:
                    published.take(store.commit())
                    published.publish()
            published.take(store.commit())
            published.publish()
        finally:
            store.close()

    @property
    def vkey(self) -> str:
        return (self.directory / "log.vkey").read_text().removesuffix("\n")

    def files(self) -> list[Path]:
        return sorted(
            path for path in self.directory.rglob("*") if path.is_file() and path.parts[len(self.directory.parts)] in ("tile", "checkpoint", "log.vkey")
        )


def wait_until(is_so: Callable[[], bool], *, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be in time"
        time.sleep(0.002)


class AuditProcess:
    """The real audit process, forked, under its own pid. `producers` maps user ids to names; ours is `agent`."""

    def __init__(self, directory: Path, *, before: Callable[[], None] = lambda: None) -> None:
        self.directory = directory / "log"
        self.directory.mkdir(exist_ok=True)
        self.key_path = directory / "audit.key"
        self.socket_path = directory / "audit.sock"
        self.socket_path.unlink(missing_ok=True)
        self.pid = self._fork(before)

    def _fork(self, before: Callable[[], None]) -> int:
        pid = os.fork()
        if pid:
            return pid
        try:
            before()
            producers = {os.getuid(): "agent"}
            service.run(directory=self.directory, key_path=self.key_path, origin=ORIGIN, socket_path=self.socket_path, producers=producers, clock=SystemClock())
        except BaseException:  # noqa: BLE001  a forked child must never return into the tests
            traceback.print_exc(file=sys.stderr)
        os._exit(3)

    def wait_until_served(self) -> None:
        wait_until(self.socket_path.exists)

    def kill(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def wait(self) -> int:
        """Its exit code, negative for a signal."""
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def is_dead(self) -> bool:
        if self.pid and os.waitpid(self.pid, os.WNOHANG)[0]:
            self.pid = 0
        return not self.pid


@contextmanager
def audit_process(directory: Path, *, before: Callable[[], None] = lambda: None) -> Iterator[AuditProcess]:
    process = AuditProcess(directory, before=before)
    try:
        yield process
    finally:
        process.kill()


def open_spool(directory: Path, *, limit_bytes: int = 1_000_000, limit_seconds: float = 30.0) -> FileSpool:
    return FileSpool(directory / "spool", producer="agent", limit_bytes=limit_bytes, limit_seconds=limit_seconds, clock=SystemClock())


def ship_all(spool: FileSpool, shipper: Shipper, *, seconds: float = 10.0) -> None:
    """Drive a shipper by hand until audit has everything."""

    def is_shipped() -> bool:
        shipper.tick()
        shipper.on_ready()
        return spool.accepted_through == spool.next_number - 1

    wait_until(is_shipped, seconds=seconds)


def is_published(directory: Path, size: int) -> Callable[[], bool]:
    from sekisho.audit.reading import log_size

    return lambda: (directory / "checkpoint").exists() and log_size(directory) >= size
