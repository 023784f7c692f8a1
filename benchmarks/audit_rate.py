"""How fast events become durable in the audit log, end to end: a producer's spool (fsync), its socket, the sequencer's commit (fsync), the answer.

Prints JSON: single events (each waits for its acceptance), batches, several producers at once, and how soon an event is under a signed checkpoint.

    .venv/bin/python benchmarks/audit_rate.py [--seconds 2] [--directory DIR]
"""

import argparse
import json
import os
import select
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from sekisho.audit.reading import log_size
from sekisho.audit.service import run
from sekisho.audit.shipper import Shipper
from sekisho.audit.spool import FileSpool
from sekisho.audit.verify import Verified, verify_log
from sekisho.model.event import Event, EventKind
from sekisho.system.clock import SystemClock

PRODUCERS = 4
EVENT_DETAILS = {"port": 443, "address": "198.51.100.7", "rule": "*.salesforce.com:443", "bytes": "1048576"}


class Producer:
    def __init__(self, directory: Path, name: str) -> None:
        self.spool = FileSpool(directory / "spool" / name, producer=name, limit_bytes=1 << 28, limit_seconds=60, clock=SystemClock())
        self.shipper = Shipper(self.spool, directory / "audit.sock", SystemClock())
        while self.shipper.fileno() is None:
            self.shipper.tick()

    def append(self, count: int) -> None:
        for _ in range(count):
            at = datetime.now(UTC)
            self.spool.append(Event(EventKind.NAME_REACHED, at, by="hanako", room="campaign", session="s-abcdefghij", details=EVENT_DETAILS))
        self.spool.sync()
        self.shipper.kick()

    def wait(self) -> None:
        """Until audit has everything."""
        while self.spool.accepted_through < self.spool.next_number - 1:
            select.select([self.shipper.fileno()], [self.shipper.fileno()] if self.shipper.is_waiting_to_write else [], [], 1)
            self.shipper.on_ready()


def start_audit(directory: Path, uid_of: dict[int, str]) -> int:
    pid = os.fork()
    if pid == 0:
        run(
            directory=directory / "log",
            key_path=directory / "audit.key",
            origin="benchmark.sekisho.test/log",
            socket_path=directory / "audit.sock",
            producers=uid_of,
            clock=SystemClock(),
        )
    while not (directory / "audit.sock").exists():
        time.sleep(0.005)
    return pid


def rate(producer: Producer, batch: int, seconds: float) -> dict[str, float]:
    """Append `batch`, wait for acceptance, again."""
    waits, count, start = [], 0, time.monotonic()
    while time.monotonic() - start < seconds:
        before = time.perf_counter()
        producer.append(batch)
        producer.wait()
        waits.append(time.perf_counter() - before)
        count += batch
    return summary(count, time.monotonic() - start, waits)


def summary(count: int, seconds: float, waits: list[float]) -> dict[str, float]:
    waits = sorted(waits)
    return {
        "events_per_second": round(count / seconds),
        "accepted_ms_median": round(statistics.median(waits) * 1000, 2),
        "accepted_ms_p99": round(waits[int(len(waits) * 0.99)] * 1000, 2),
    }


def idle_latency(producer: Producer, count: int = 40) -> dict[str, float]:
    """One event at a time, with the system at rest between them."""
    waits = []
    for _ in range(count):
        time.sleep(0.08)  # until the publication of the last one is over
        before = time.perf_counter()
        producer.append(1)
        producer.wait()
        waits.append(time.perf_counter() - before)
    return {"accepted_ms_median": round(statistics.median(waits) * 1000, 2), "accepted_ms_max": round(max(waits) * 1000, 2)}


def published_latency(directory: Path, producer: Producer, count: int = 20) -> dict[str, float]:
    """From append until a signed checkpoint covers the event."""
    waits = []
    for _ in range(count):
        size = log_size(directory / "log")
        before = time.perf_counter()
        producer.append(1)
        producer.wait()
        while log_size(directory / "log") <= size:
            time.sleep(0.001)
        waits.append(time.perf_counter() - before)
    return {"median_ms": round(statistics.median(waits) * 1000, 1), "max_ms": round(max(waits) * 1000, 1)}


def in_child(work: Callable[[], int]) -> tuple[int, int]:
    """Fork, do the work, give its number through a pipe: (pid, descriptor)."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, work().to_bytes(8, "big"))
        os._exit(0)
    os.close(writing)
    return pid, reading


def several(directory: Path, seconds: float) -> dict[str, float]:
    """Producers under user ids of their own, each appending 10 and waiting."""

    def work(number: int) -> int:
        os.setresuid(BASE_UID + number, BASE_UID + number, BASE_UID + number)
        producer = Producer(directory, f"p{number}")
        start, count = time.monotonic(), 0
        while time.monotonic() - start < seconds:
            producer.append(10)
            producer.wait()
            count += 10
        return count

    children = [in_child(lambda number=number: work(number)) for number in range(PRODUCERS)]
    total = 0
    for pid, reading in children:
        total += int.from_bytes(os.read(reading, 8), "big")
        os.close(reading)
        os.waitpid(pid, 0)
    return {"producers": PRODUCERS, "events_per_second": round(total / seconds)}


BASE_UID = 1_990_000_000


def measure(directory: Path, seconds: float) -> dict[str, object]:
    (directory / "log").mkdir(exist_ok=True)
    directory.chmod(0o711)
    (directory / "spool").mkdir(exist_ok=True)
    (directory / "spool").chmod(0o777)
    uid_of = {os.getuid(): "bench", **{BASE_UID + number: f"p{number}" for number in range(PRODUCERS)}}
    pid = start_audit(directory, uid_of)
    try:
        producer = Producer(directory, "bench")
        found: dict[str, object] = {
            "idle": idle_latency(producer),
            "single": rate(producer, 1, seconds),
            "batch_10": rate(producer, 10, seconds),
            "batch_100": rate(producer, 100, seconds),
            "published": published_latency(directory, producer),
        }
        if os.getuid() == 0:
            found["several"] = several(directory, seconds)
        time.sleep(0.3)  # the last publication
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    before = time.perf_counter()
    start_again(directory, uid_of)
    found["restart_seconds"] = round(time.perf_counter() - before, 2)
    before = time.perf_counter()
    verified = verify_log(directory / "log", vkey=(directory / "log/log.vkey").read_text().strip())
    assert isinstance(verified, Verified), verified
    found["entries"] = verified.size
    found["verified_per_second"] = round(verified.size / (time.perf_counter() - before))
    return found


def start_again(directory: Path, uid_of: dict[int, str]) -> None:
    (directory / "audit.sock").unlink()
    pid = start_audit(directory, uid_of)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--directory", type=Path, help="where the log is written, else a temporary folder")
    arguments = parser.parse_args()
    if arguments.directory:
        found = measure(arguments.directory, arguments.seconds)
    else:
        with tempfile.TemporaryDirectory() as directory:
            found = measure(Path(directory), arguments.seconds)
    print(json.dumps({"command": "benchmarks/audit_rate.py", "seconds_each": arguments.seconds, **found}, indent=2))


if __name__ == "__main__":
    main()
