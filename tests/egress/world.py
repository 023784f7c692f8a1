"""A world for egress: a room with nothing but loopback, an outside where every address is a recording server, the fake agent that hands sockets over,
and the real server between them, on a thread of its own. Root only."""

import ctypes
import errno
import os
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from sekisho.audit.spool import SpoolFull
from sekisho.egress.resolver import Found
from sekisho.egress.service import Egress, Outside
from sekisho.model.event import Event, EventKind
from sekisho.model.messages import parse, render
from sekisho.runtime import seal
from sekisho.runtime.egress_orders import Drop, FromEgress, Only, RuleOrder, Serve, Served
from sekisho.runtime.protocol import Failed, Open, Opened, OpenKind, ToOpener
from sekisho.system import kernel, netlink
from sekisho.system.packets import Channel, ChannelClosed, Listener, connect

T = TypeVar("T")
PATIENCE_SECONDS = 10.0
ALLOWED, EVIL, METADATA, PRIVATE, LOCAL = "93.184.216.34", "93.184.216.66", "169.254.169.254", "10.9.9.9", "127.0.0.1"
PORTS = (22, 80, 443, 5432, 8443)
_libc = ctypes.CDLL(None, use_errno=True)


def until(condition: Callable[[], T], what: str = "") -> T:
    """The condition's first true value. Fails after some seconds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what or condition}"
        time.sleep(0.005)
    return found


def in_thread(act: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(act).result(PATIENCE_SECONDS * 2)


class Namespace:
    """A network namespace of its own with loopback and `local` networks, held by a descriptor."""

    def __init__(self, *local: tuple[str, int]) -> None:
        self.descriptor = in_thread(lambda: self._make(local))

    def enter(self) -> None:
        """For the calling thread, which ends in it."""
        assert _libc.setns(self.descriptor, kernel.CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())

    def run(self, act: Callable[[], T]) -> T:
        def inside() -> T:
            self.enter()
            return act()

        return in_thread(inside)

    def close(self) -> None:
        os.close(self.descriptor)

    @staticmethod
    def _make(local: tuple[tuple[str, int], ...]) -> int:
        kernel.unshare(kernel.CLONE_NEWNET)
        netlink.raise_loopback()
        for network, prefix in local:
            netlink.make_local(network, prefix)
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class FakeClock:
    """Real time, and what a test adds to it."""

    def __init__(self) -> None:
        self.added = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.added)

    def boottime(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME) + self.added


class FakeSink:
    """A spool in memory. `on_sync` sees what a sync makes durable before it does."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.synced = 0
        self.is_full = False
        self.oldest_seconds = 0.0
        self.may_sync = threading.Event()
        self.may_sync.set()

    def append(self, event: Event, *, closes: bool = False) -> int:
        if self.is_full:
            raise SpoolFull("a test filled it")
        self.events.append(event)
        return len(self.events)

    def sync(self) -> None:
        length = len(self.events)
        assert self.may_sync.wait(PATIENCE_SECONDS)
        self.synced = length

    def oldest_waiting_seconds(self) -> float:
        return self.oldest_seconds

    def of(self, kind: EventKind) -> list[Event]:
        return [event for event in tuple(self.events) if event.kind is kind]


class IdleShipper:
    """Ships nowhere."""

    is_waiting_to_write = False

    def fileno(self) -> int | None:
        return None

    def on_ready(self) -> None: ...

    def tick(self) -> float:
        return 60.0

    def kick(self) -> None: ...


@dataclass
class Seen:
    """One connection at a server outside."""

    address: str
    port: int
    received: bytearray = field(default_factory=bytearray)
    is_ended: bool = False


class Servers:
    """On every address and some ports of the outside: record what comes, answer `answer` to the first bytes, close at end-of-file after `farewell`."""

    def __init__(self, outside: Namespace) -> None:
        self.seen: list[Seen] = []
        self.answer = b"hello"
        self.greeting = b""
        self.farewell = b"bye"
        self._poll = select.epoll()
        self._stop = os.eventfd(0)
        self._poll.register(self._stop, select.EPOLLIN)
        self._listeners = {end.fileno(): end for end in outside.run(lambda: [_listening(port) for port in PORTS])}
        self._open: dict[int, tuple[socket.socket, Seen]] = {}
        self._hearing = threading.Lock()
        for descriptor in self._listeners:
            self._poll.register(descriptor, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def reached(self) -> set[str]:
        return {seen.address for seen in tuple(self.seen)}

    def is_quiet(self) -> bool:
        """Everybody who connected was heard, and is gone: what is seen from here on is of whoever connects from here on."""
        with self._hearing:
            return not select.select([*self._listeners], [], [], 0)[0] and not self._open

    def close(self) -> None:
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        for end in (*self._listeners.values(), *(end for end, _ in self._open.values())):
            end.close()
        self._poll.close()
        os.close(self._stop)

    def _run(self) -> None:
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._stop:
                    return
                with self._hearing:
                    if descriptor in self._listeners:
                        self._accept(self._listeners[descriptor])
                    else:
                        self._read(descriptor)

    def _accept(self, listener: socket.socket) -> None:
        end, _ = listener.accept()
        address, port = end.getsockname()
        self.seen.append(Seen(address, port))
        self._open[end.fileno()] = (end, self.seen[-1])
        self._poll.register(end.fileno(), select.EPOLLIN)
        if self.greeting:
            end.sendall(self.greeting)

    def _read(self, descriptor: int) -> None:
        end, seen = self._open[descriptor]
        with suppress(OSError):
            if read := end.recv(65536):
                if not seen.received:
                    end.sendall(self.answer)
                seen.received += read
                return
            end.sendall(self.farewell)
        seen.is_ended = True
        self._poll.unregister(descriptor)
        del self._open[descriptor]
        end.close()


def _listening(port: int) -> socket.socket:
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    end.bind(("", port))
    end.listen(256)
    return end


class Agent:
    """The agent's `open.sock`, with a room's sockets behind each capability, as the shim keeps them: it outlives egress."""

    def __init__(self, path: Path) -> None:
        self._listener = Listener(path, mode=0o600)
        self.rooms: dict[str, tuple[str, tuple[int, ...]]] = {}
        self.channels: list[Channel] = []
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._is_stopped = True
        self._thread.join()
        for channel in self.channels:
            channel.close()
        self._listener.close()

    def _run(self) -> None:
        while not self._is_stopped:
            select.select([self._listener, *self.channels], [], [], 0.02)
            if channel := self._listener.accept():
                self.channels.append(channel)
            for channel in tuple(self.channels):
                self._serve(channel)

    def _serve(self, channel: Channel) -> None:
        try:
            while received := channel.receive():
                self._answer(channel, parse(received[0], ToOpener))
        except ChannelClosed:
            channel.close()
            self.channels.remove(channel)

    def _answer(self, channel: Channel, order: Open) -> None:
        found = self.rooms.pop(order.capability, None)  # once
        if found is None:
            channel.send(render(Failed(order.number, "capability-refused")))
        else:
            channel.send(render(Opened(order.number, found[0], OpenKind.EGRESS, PORTS)), found[1])


@dataclass
class Room:
    """A room's namespace, and the descriptors that its shim would keep."""

    namespace: Namespace
    sockets: list[socket.socket]
    lifeline: tuple[int, int]

    @classmethod
    def make(cls) -> "Room":
        namespace = Namespace(("198.18.0.0", 15))
        namespace.run(lambda: netlink.add_address(seal.OWN_ADDRESS))
        return cls(namespace, namespace.run(cls._sockets), os.pipe())

    @staticmethod
    def _sockets() -> list[socket.socket]:
        names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        names.bind(("127.0.0.53", 53))
        listeners = []
        for address in (("127.0.0.53", 53), ("127.0.0.1", 3128), *(("0.0.0.0", port) for port in PORTS)):  # noqa: S104
            listener = socket.socket()
            listener.bind(address)
            listener.listen(256)
            listeners.append(listener)
        return [names, *listeners]

    def descriptors(self) -> tuple[int, ...]:
        return (self.lifeline[0], *(end.fileno() for end in self.sockets))

    def end(self) -> None:
        """As when the shim dies."""
        if self.lifeline[1] >= 0:
            os.close(self.lifeline[1])
            self.lifeline = (self.lifeline[0], -1)

    def close(self) -> None:
        self.end()
        os.close(self.lifeline[0])
        for end in self.sockets:
            end.close()
        self.namespace.close()

    def run(self, act: Callable[[], T]) -> T:
        return self.namespace.run(act)

    def connect(self, address: str, port: int) -> socket.socket:
        """A reset that comes at once is found when the socket is used."""

        def inside() -> socket.socket:
            end = socket.socket()
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.setblocking(False)
            if (code := end.connect_ex((address, port))) not in (0, errno.EINPROGRESS):
                end.close()
                raise OSError(code, os.strerror(code))
            answered = select.poll()  # select cannot watch a number over 1023
            answered.register(end, select.POLLOUT)
            assert answered.poll(PATIENCE_SECONDS * 1000), f"{address}:{port} did not answer"
            end.settimeout(PATIENCE_SECONDS)
            return end

        return self.run(inside)

    def proxy(self) -> socket.socket:
        return self.connect("127.0.0.1", 3128)

    def ask(self, query: bytes) -> bytes:
        """One datagram to the name server and its answer."""

        def inside() -> bytes:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
                end.settimeout(PATIENCE_SECONDS)
                end.sendto(query, ("127.0.0.53", 53))
                return end.recv(4096)

        return self.run(inside)

    def address_of(self, name: str) -> str | None:
        answer = self.ask(query(name))
        return socket.inet_ntoa(answer[-4:]) if answer[7] else None

    def reach(self, name: str, port: int) -> socket.socket:
        """As a client without any proxy setting: ask for the name, connect to its address."""
        address = self.address_of(name)
        assert address is not None, name
        return self.connect(address, port)


class World:
    """All of it. `serve` orders a room to be served; names outside resolve by `zone`, and `hosts` are pinned."""

    session, person = "s-abcdefghij", "hanako"

    def __init__(self, folder: Path, **outside: Any) -> None:
        self._stack = ExitStack()
        self.folder = folder
        self.outside = self._stack.enter_context(_closing(Namespace(("0.0.0.0", 1), ("128.0.0.0", 1))))  # noqa: S104  every address
        self.servers = self._stack.enter_context(_closing(Servers(self.outside)))
        self.agent = self._stack.enter_context(_closing(Agent(folder / "open.sock")))
        self.clock = FakeClock()
        self.sink = FakeSink()
        self.zone: dict[str, tuple[str, ...]] = {}
        self.hosts: dict[str, tuple[str, ...]] = {}
        self.own: frozenset[str] = frozenset()
        self.asked: list[str] = []
        self._outside = outside
        self._capabilities = 0
        self._numbers = 0
        self._serving: Callable[[], None] | None = None
        self._control: Channel | None = None
        self.room = self._stack.enter_context(_closing(Room.make()))
        self.start()

    def close(self) -> None:
        self.stop()
        self._stack.close()

    def start(self) -> None:
        """Egress, with nothing of an earlier one but its folder."""
        stop, ready = threading.Event(), threading.Event()
        failed: list[BaseException] = []
        egresses: list[Egress] = []

        def serve() -> None:
            self.outside.enter()
            egress = self._egress()
            egresses.append(egress)
            ready.set()
            try:
                while not stop.is_set():
                    egress.turn(0.005)
            except BaseException as error:  # noqa: BLE001  told to the test
                failed.append(error)
            finally:
                egress.close()

        thread = threading.Thread(target=serve)
        thread.start()
        assert ready.wait(PATIENCE_SECONDS)
        self._control = connect(self.folder / "egress.sock")

        def finish() -> None:
            stop.set()
            thread.join()
            assert not failed, failed

        self._serving = finish

    def control_at_last(self) -> None:
        """Connect to an egress that is a process of its own and is only starting."""

        def connected() -> Channel | None:
            with suppress(ChannelClosed):
                return connect(self.folder / "egress.sock")
            return None

        self._control = until(connected)

    def hang_up(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None

    def stop(self) -> None:
        self.hang_up()
        if self._serving is not None:
            finish, self._serving = self._serving, None
            finish()

    def serve(self, *rules: RuleOrder, room: Room | None = None, session: str = session, seconds: float = 600.0, capability: str | None = None) -> Served:
        if capability is None:
            self._capabilities += 1
            capability = f"{self._capabilities:064x}"
            self.agent.rooms[capability] = (session, (room or self.room).descriptors())
        ends_at = self.clock.now().timestamp() + seconds
        return self.order(Serve(self.number(), session=session, room="campaign", person=self.person, ends_at=ends_at, rules=rules, capability=capability))

    def order(self, order: Serve | Drop | Only) -> Served:
        assert self._control is not None
        control = self._control
        control.send(render(order))
        packet, _ = until(control.receive, "an answer to an order")
        answer = parse(packet, FromEgress)
        assert answer.to == order.number
        return answer

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    def details(self, kind: EventKind) -> list[Mapping[str, object]]:
        return [event.details for event in self.sink.of(kind)]

    def all_closed(self) -> bool:
        """Every connection that the log shows as opened is shown as closed."""
        opened = [details["flow"] for details in self.details(EventKind.NAME_REACHED)]
        return sorted(map(str, opened)) == sorted(str(details["flow"]) for details in self.details(EventKind.NAME_CLOSED))

    def refused(self) -> list[tuple[str, object, object]]:
        return [(event.reason, event.details.get("name"), event.details.get("port")) for event in self.sink.of(EventKind.NAME_REFUSED)]

    def _egress(self) -> Egress:
        outside = {"look_up": self._look_up, "own_addresses": lambda: self.own, **self._outside}
        return Egress(
            orders_path=self.folder / "egress.sock",
            open_path=self.folder / "open.sock",
            books=self.folder / "names",
            control_uid=os.getuid(),
            sink=self.sink,
            shipper=IdleShipper(),
            hosts=self.hosts,
            clock=self.clock,
            outside=Outside(**outside),
        )

    def _look_up(self, name: str) -> Found:
        self.asked.append(name)
        for pattern, addresses in self.zone.items():
            if name == pattern or (pattern.startswith("*") and name.endswith(pattern[1:])):
                return Found(addresses)
        return Found(())


@contextmanager
def _closing(thing: T) -> Iterator[T]:
    try:
        yield thing
    finally:
        thing.close()  # type: ignore[attr-defined]


def rule(name: str, port: int, *, tls: bool = True, target: str = "") -> RuleOrder:
    return RuleOrder(name=name.removeprefix("*."), port=port, wildcard=name.startswith("*."), tls=tls, target=target)


def query(name: str | bytes, qtype: int = 1, qclass: int = 1, *, flags: int = 0x0100, edns: bytes = b"", number: int = 0x1234) -> bytes:
    labels = name if isinstance(name, bytes) else b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"
    return struct.pack("!HHHHHH", number, flags, 1, 0, 0, int(bool(edns))) + labels + struct.pack("!HH", qtype, qclass) + edns


OPT = b"\0" + struct.pack("!HHIH", 41, 4096, 0, 0)


def client_hello(name: str | None) -> bytes:
    """A real one, from OpenSSL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def open_descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def read_head(end: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received and (read := end.recv(1)):
        received += read
    return received


def read_all(end: socket.socket) -> bytes:
    """Until the end, or a reset."""
    received = b""
    with suppress(ConnectionResetError):
        while read := end.recv(65536):
            received += read
    return received


def is_reset(end: socket.socket) -> bool:
    try:
        while end.recv(65536):
            pass
    except ConnectionResetError:
        return True
    return False
