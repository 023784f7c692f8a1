"""How fast bytes leave a room, and how many connections a second: our egress, with its log on a real spool, against Squid if it is installed, and against none.

Everything on loopback; three processes: server, proxy, client. Rounds are interleaved, so that a busy machine hurts all alike; medians are printed as JSON.
CPU is the proxy's own. Run it alone: two cores are all three processes have.

    .venv/bin/python benchmarks/egress_relay.py [--rounds 5] [--megabytes 512] [--seconds 1.0]
"""

import argparse
import json
import os
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).parents[1]))

from sekisho.audit.spool import FileSpool
from sekisho.egress.rate import OpenRate
from sekisho.egress.service import Outside, run
from sekisho.model.messages import parse, render
from sekisho.runtime.egress_orders import RuleOrder, Serve
from sekisho.runtime.protocol import Open, Opened, OpenKind
from sekisho.system.clock import SystemClock
from sekisho.system.packets import Channel, Listener, connect

NAME = "server.bench.test"
STREAMS = 8
CLIENTS = 8
BLOCK = bytes(1 << 18)


class Accepting:
    """An audit that has everything at once, in place of the shipper: what is measured is egress and its disk."""

    is_waiting_to_write = False

    def __init__(self, spool: FileSpool) -> None:
        self._spool = spool

    def fileno(self) -> int | None:
        return None

    def on_ready(self) -> None: ...

    def tick(self) -> float:
        return 60.0

    def kick(self) -> None:
        if waiting := self._spool.waiting(1 << 28):
            self._spool.accepted(waiting[-1][0])


@dataclass(frozen=True)
class Way:
    """How to connect, and whose CPU counts."""

    name: str
    proxy: tuple[str, int] | None
    process: int | None


def child(act: Callable[[], None]) -> int:
    process = os.fork()
    if process:
        return process
    try:
        act()
    except BaseException:  # noqa: BLE001  a child must not go on as its parent
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


@contextmanager
def running(process: int) -> Iterator[int]:
    try:
        yield process
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def serve(listener: socket.socket) -> None:
    """`e` is answered with `e`; `d` and a length with as many bytes; `u` and a length are taken and answered. A bulk connection gets a process."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    ends: dict[int, socket.socket] = {}
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == listener.fileno():
                end, _ = listener.accept()
                ends[end.fileno()] = end
                poll.register(end, select.EPOLLIN)
            else:
                poll.unregister(descriptor)
                _serve_one(ends.pop(descriptor))


def _serve_one(end: socket.socket) -> None:
    with end, suppress(OSError):
        order = end.recv(16)
        if order == b"e":
            end.sendall(b"e")
        elif order:
            child(lambda: _bulk(end, order[:1], int(order[1:])))


def _bulk(end: socket.socket, kind: bytes, left: int) -> None:
    if kind == b"d":
        while left > 0:
            left -= end.send(BLOCK[: min(left, len(BLOCK))])
        return
    while left > 0:
        left -= len(end.recv(1 << 20, socket.MSG_TRUNC)) or left
    end.sendall(b"k")


def egress(folder: Path) -> None:
    clock = SystemClock()
    spool = FileSpool(folder / "spool", producer="egress", limit_bytes=1 << 28, limit_seconds=60, clock=clock)
    run(
        orders_path=folder / "egress.sock",
        open_path=folder / "open.sock",
        books=folder / "names",
        control_uid=os.getuid(),
        sink=spool,
        shipper=Accepting(spool),
        hosts={NAME: ("127.0.0.1",)},
        clock=clock,
        outside=Outside(rate=OpenRate(per_second=1e6, burst=10_000)),
    )


def order_to_serve(folder: Path, listener: Listener, sockets: list[socket.socket], port: int) -> tuple[Channel, Channel]:
    """As control and the agent do. What it gives is to be kept open."""
    while not (folder / "egress.sock").exists():
        time.sleep(0.01)
    control = connect(folder / "egress.sock")
    rules = (RuleOrder(NAME, port, wildcard=False, tls=False, target="server"),)
    ends_at = SystemClock().now().timestamp() + 3600
    control.send(render(Serve(1, session="s-bench", room="bench", person="bench", ends_at=ends_at, rules=rules, capability="ab" * 32)))
    select.select([listener], [], [], 10)
    agent = listener.accept()
    assert agent
    select.select([agent], [], [], 10)
    received = agent.receive()
    assert received
    lifeline, _ = os.pipe()  # its other end stays open until this process ends
    agent.send(render(Opened(parse(received[0], (Open,)).number, "s-bench", OpenKind.EGRESS)), (lifeline, *(each.fileno() for each in sockets)))
    select.select([control], [], [], 10)
    assert control.receive()
    return control, agent


@contextmanager
def our_egress(folder: Path, port: int) -> Iterator[Way]:
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.1", 0))
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=512) for _ in range(2)]
    listener = Listener(folder / "open.sock", mode=0o600)
    with running(child(lambda: egress(folder))) as process:
        kept = order_to_serve(folder, listener, [names, *listeners], port)
        yield Way("sekisho", listeners[1].getsockname(), process)
        for channel in kept:
            channel.close()


@contextmanager
def squid(folder: Path, program: str) -> Iterator[Way]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        own = probe.getsockname()[1]
    folder.chmod(0o755)
    folder = folder / "squid"
    folder.mkdir()
    folder.chmod(0o777)  # it changes to a user of its own
    (folder / "hosts").write_text(f"127.0.0.1 {NAME}\n")
    (folder / "squid.conf").write_text(
        f"http_port 127.0.0.1:{own}\nacl listed dstdomain -n {NAME}\nhttp_access allow listed\nhttp_access deny all\n"
        f"hosts_file {folder}/hosts\ncache deny all\n"
        f"cache_log {folder}/cache.log\naccess_log stdio:{folder}/access.log\npid_filename none\ncoredump_dir {folder}\nshutdown_lifetime 0 seconds\n"
        "pinger_enable off\n"
    )
    started = subprocess.Popen([program, "-N", "-f", str(folder / "squid.conf")], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and started.poll() is None:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", own)).close()
                break
            time.sleep(0.05)
        assert started.poll() is None, "squid did not start"
        yield Way("squid", ("127.0.0.1", own), started.pid)
    finally:
        started.kill()
        started.wait()


def opened(way: Way, port: int) -> socket.socket:
    if way.proxy is None:
        return socket.create_connection(("127.0.0.1", port))
    end = socket.create_connection(way.proxy)
    end.sendall(f"CONNECT {NAME}:{port} HTTP/1.1\r\nHost: {NAME}:{port}\r\n\r\n".encode())
    answer = end.recv(4096)
    assert answer.startswith(b"HTTP/1.1 200 "), answer[:200]
    return end


def cpu_seconds(way: Way) -> float:
    if way.process is None:
        return 0.0
    fields = Path(f"/proc/{way.process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(way: Way) -> int:
    return int(Path(f"/proc/{way.process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if way.process else 0


def bulk(way: Way, port: int, kind: bytes, total: int, streams: int) -> dict[str, float]:
    each = total // streams
    ends = [opened(way, port) for _ in range(streams)]
    spent, started = cpu_seconds(way), time.perf_counter()
    for end in ends:
        end.sendall(kind + str(each).encode().ljust(15))
    workers = [child(lambda end=end: _upload(end, each)) for end in ends] if kind == b"u" else []
    _read_all(ends)
    seconds = time.perf_counter() - started
    for worker in workers:
        os.waitpid(worker, 0)
    for end in ends:
        end.close()
    return {"gigabytes_per_second": total / seconds / 1e9, "cpu_seconds_per_gigabyte": (cpu_seconds(way) - spent) / (total / 1e9)}


def _upload(end: socket.socket, left: int) -> None:
    while left > 0:
        left -= end.send(BLOCK[: min(left, len(BLOCK))])


def _read_all(ends: list[socket.socket]) -> None:
    poll = select.poll()
    waiting = {end.fileno(): end for end in ends}
    for descriptor in waiting:
        poll.register(descriptor, select.POLLIN)
    while waiting:
        for descriptor, _ in poll.poll():
            if len(waiting[descriptor].recv(1 << 20, socket.MSG_TRUNC)) <= 1:
                poll.unregister(descriptor)
                del waiting[descriptor]


def connects(way: Way, port: int, seconds: float) -> dict[str, float]:
    """CONNECT, one byte there and back, close; eight clients at once, each one after another."""
    read, write = os.pipe()
    spent = cpu_seconds(way)
    workers = [child(lambda: os.write(write, _connects(way, port, seconds).to_bytes(8))) for _ in range(CLIENTS)]
    for worker in workers:
        os.waitpid(worker, 0)
    count = sum(int.from_bytes(os.read(read, 8)) for _ in workers)
    os.close(read)
    os.close(write)
    return {"per_second": count / seconds, "cpu_microseconds_each": (cpu_seconds(way) - spent) / count * 1e6}


def _connects(way: Way, port: int, seconds: float) -> int:
    count, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        with opened(way, port) as end:
            end.sendall(b"e")
            assert end.recv(1) == b"e"
        count += 1
    return count


def idle(way: Way, port: int, count: int) -> dict[str, float]:
    before = resident_bytes(way)
    ends = [opened(way, port) for _ in range(count)]
    kilobytes = (resident_bytes(way) - before) / count / 1024
    for end in ends:
        end.close()
    return {"kilobytes_per_idle_tunnel": kilobytes}


def measure(ways: list[Way], port: int, *, rounds: int, total: int, seconds: float) -> dict[str, object]:
    found: dict[str, dict[str, list[float]]] = {way.name: {} for way in ways}
    tasks = {
        "one stream down": lambda way: bulk(way, port, b"d", total, 1),
        "eight streams down": lambda way: bulk(way, port, b"d", total, STREAMS),
        "eight streams up": lambda way: bulk(way, port, b"u", total, STREAMS),
        "connect": lambda way: connects(way, port, seconds),
    }
    for way in ways:
        if way.process:
            found[way.name] |= {f"idle: {key}": [value] for key, value in idle(way, port, 400).items()}
    for _ in range(rounds):
        for name, task in tasks.items():
            for way in ways:
                for key, value in task(way).items():
                    found[way.name].setdefault(f"{name}: {key}", []).append(value)
    return {way: {key: round(statistics.median(values), 3) for key, values in measured.items()} for way, measured in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=1.0)
    chosen = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512))
        port = listener.getsockname()[1]
        stack.enter_context(running(child(lambda: serve(listener))))
        ways = [Way("direct", None, None), stack.enter_context(our_egress(folder, port))]
        program = shutil.which("squid")
        if program:
            ways.append(stack.enter_context(squid(folder, program)))
        medians = measure(ways, port, rounds=chosen.rounds, total=chosen.megabytes << 20, seconds=chosen.seconds)
    absent = [] if program else ["squid is not installed: scripts/install-system.sh --bench"]
    print(json.dumps({"command": " ".join(sys.argv), "rounds": chosen.rounds, "medians": medians, "absent": absent}, indent=2))


if __name__ == "__main__":
    main()
