"""A rooms' host for tests: the real gateway on real TLS, beside a control and an agent that speak their real protocols over real sockets.

The room is a real bash on a real pseudo-terminal, and a real Xvnc.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import pty
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.gateway.xvnc import Screen, start_screen
from websockets.asyncio.client import ClientConnection, connect

from sekisho.gateway.app import create_app, run_server, server_config
from sekisho.gateway.doorway_client import DoorwayClient
from sekisho.gateway.timings import Timings
from sekisho.model import messages
from sekisho.model.reasons import Reason
from sekisho.runtime.protocol import Failed, Open, Opened, OpenKind
from sekisho.sessions.doorway import Admitted, Alive, Allowed, Closed, Cut, Extended, FromGateway, Paste, Pasted, Recheck, Redeem, Refused
from sekisho.system.clock import SystemClock
from sekisho.system.packets import Channel, ChannelClosed, Listener

HOST = "rooms.localhost"
PORTAL = "https://sekisho.localhost:8443"
PATIENCE_SECONDS = 10.0


async def until(question: Callable[[], object], what: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not question():  # noqa: ASYNC110  what is asked about has no event of its own
            await asyncio.sleep(0.005)
    assert question(), what


class Server:
    """A SEQPACKET server in this loop; `hear` gets each packet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.channels: list[Channel] = []
        self._listener: Listener | None = None

    def open(self) -> None:
        self._listener = Listener(self.path, mode=0o600)
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def close(self) -> None:
        if self._listener:
            asyncio.get_running_loop().remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
        for channel in list(self.channels):
            self._drop(channel)
        self.path.unlink(missing_ok=True)

    def hear(self, channel: Channel, packet: bytes) -> None:
        raise NotImplementedError

    def _accept(self) -> None:
        assert self._listener
        if channel := self._listener.accept():
            self.channels.append(channel)
            asyncio.get_running_loop().add_reader(channel.fileno(), self._readable, channel)

    def _readable(self, channel: Channel) -> None:
        try:
            while channel in self.channels and (received := channel.receive()):
                self.hear(channel, received[0])
        except ChannelClosed:
            self._drop(channel)

    def _drop(self, channel: Channel) -> None:
        asyncio.get_running_loop().remove_reader(channel.fileno())
        channel.close()
        self.channels.remove(channel)


class Control(Server):
    """Knows tickets; answers as `sessions.doorway` says; remembers what it was told."""

    def __init__(self, path: Path, agent: "Agent") -> None:
        super().__init__(path)
        self.agent = agent
        self.tickets: dict[str, Admitted] = {}
        self.refusal: tuple[Reason, tuple] | None = None
        self.recheck_refusal: Reason | None = None
        self.paste_refusal: Reason | None = None
        self.holds_pastes = False
        self.is_silent = False
        self.cuts_at_once = False
        self.redeemed: list[Redeem] = []
        self.rechecked: list[Recheck] = []
        self.pastes: list[Paste] = []
        self.closed: list[Closed] = []
        self.alive: list[Alive] = []
        self.heard: list[str] = []
        self._count = 0

    def issue(self, session: str = "s-aaaaaaaaaa", **changes: object) -> str:
        self._count += 1
        ticket = f"ticket-{self._count}"
        admitted = Admitted(
            to=0, connection=f"c-{self._count}", session=session, room="campaign", title="Campaign data", person="hanako", language="ja",
            ends_at=datetime.now(UTC).timestamp() + 3600, idle_end_seconds=None, paste_in=True, capability="", again="",
        )  # fmt: skip
        self.tickets[ticket] = replace(admitted, **changes)
        return ticket

    def hear(self, channel: Channel, packet: bytes) -> None:
        message = messages.parse(packet, FromGateway)
        self.heard.append(message.VERB)
        match message:
            case Redeem():
                self.redeemed.append(message)
                self._redeem(channel, message)
            case Recheck(number=number):
                self.rechecked.append(message)
                self._recheck(channel, number)
            case Paste():
                self.pastes.append(message)
                if not (self.is_silent or self.holds_pastes):
                    self.answer_paste(message)
            case Closed():
                self.closed.append(message)
            case Alive():
                self.alive.append(message)

    def answer_paste(self, message: Paste) -> None:
        refused = Refused(message.number, self.paste_refusal) if self.paste_refusal else None
        self.channels[-1].send(messages.render(refused or Pasted(message.number)))

    def tell(self, message: Cut | Extended) -> None:
        self.channels[-1].send(messages.render(message))

    def _redeem(self, channel: Channel, message: Redeem) -> None:
        if self.is_silent:
            return
        admitted = self.tickets.pop(message.ticket, None)
        if admitted is None or self.refusal:
            reason, facts = self.refusal or (Reason.TICKET_USED_OR_OLD, ())
            channel.send(messages.render(Refused(message.number, reason, facts)))
            return
        again = self.issue(admitted.session, **{name: getattr(admitted, name) for name in ("ends_at", "idle_end_seconds", "paste_in")})
        capability = self.agent.register(admitted.session, OpenKind(message.kind))
        channel.send(messages.render(replace(admitted, to=message.number, capability=capability, again=again)))
        if self.cuts_at_once:
            self.tell(Cut(admitted.connection, "person-disabled"))

    def _recheck(self, channel: Channel, number: int) -> None:
        if self.is_silent:
            return
        answer = Refused(number, self.recheck_refusal) if self.recheck_refusal else Allowed(number, datetime.now(UTC).timestamp() + 3600)
        channel.send(messages.render(answer))


@dataclass
class Room:
    """A bash on a pseudo-terminal, and the lifeline that its shim would hold."""

    process: subprocess.Popen
    master: int
    lifeline: tuple[int, int]

    def stop(self) -> None:
        """What the shim's death looks like from outside: the lifeline ends."""
        if self.lifeline[1] >= 0:
            os.close(self.lifeline[1])
            self.lifeline = (self.lifeline[0], -1)

    def clear(self) -> None:
        self.stop()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.master)
        os.close(self.lifeline[0])


ENVIRONMENT = {"PATH": "/usr/bin:/bin", "TERM": "xterm-256color", "LANG": "C.UTF-8", "HOME": "/tmp", "PS1": "room$ ", "HISTFILE": ""}


def start_room(command: tuple[str, ...] = ("bash", "--norc", "--noprofile")) -> Room:
    master, slave = pty.openpty()
    process = subprocess.Popen(("setsid", "--ctty", *command), stdin=slave, stdout=slave, stderr=slave, env=ENVIRONMENT, cwd="/")
    os.close(slave)
    return Room(process, master, os.pipe())


class Desktop:
    """An RFB server, by default a real Xvnc, and the lifeline that its shim would hold. `connect` gives the connection that the agent hands over."""

    def __init__(self, connect_to: Callable[[], socket.socket], *, screen: Screen | None = None) -> None:
        self.connect = connect_to
        self.screen = screen
        self.lifeline = os.pipe()

    def stop(self) -> None:
        if self.lifeline[1] >= 0:
            os.close(self.lifeline[1])
            self.lifeline = (self.lifeline[0], -1)

    def clear(self) -> None:
        self.stop()
        if self.screen:
            self.screen.stop()
        os.close(self.lifeline[0])


class Agent(Server):
    """Exchanges registered capabilities, once, for the descriptors of real rooms."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.rooms: dict[str, Room] = {}
        self.desktops: dict[str, Desktop] = {}
        self.command: tuple[str, ...] = ("bash", "--norc", "--noprofile")
        self.capabilities: dict[str, tuple[str, OpenKind]] = {}
        self.opened: list[str] = []
        self.failure = ""

    def register(self, session: str, kind: OpenKind) -> str:
        capability = os.urandom(32).hex()
        self.capabilities[hashlib.sha256(bytes.fromhex(capability)).hexdigest()] = (session, kind)
        return capability

    def room(self, session: str = "s-aaaaaaaaaa") -> Room:
        if session not in self.rooms:
            self.rooms[session] = start_room(self.command)
        return self.rooms[session]

    def desktop(self, session: str = "s-aaaaaaaaaa") -> Desktop:
        if session not in self.desktops:
            screen = start_screen(self.path.parent, size="640x480")
            self.desktops[session] = Desktop(screen.connect, screen=screen)
        return self.desktops[session]

    def hear(self, channel: Channel, packet: bytes) -> None:
        message = messages.parse(packet, (Open,))
        session, kind = self.capabilities.pop(hashlib.sha256(bytes.fromhex(message.capability)).hexdigest(), ("", OpenKind.TERMINAL))
        if not session or self.failure:
            channel.send(messages.render(Failed(message.number, self.failure or "capability-refused")))
            return
        self.opened.append(session)
        if kind is OpenKind.DESKTOP:
            desktop = self.desktop(session)
            with desktop.connect() as end:
                channel.send(messages.render(Opened(message.number, session, kind)), (end.fileno(), desktop.lifeline[0]))
            return
        room = self.room(session)
        channel.send(messages.render(Opened(message.number, session, kind)), (room.master, room.lifeline[0]))

    def close(self) -> None:
        super().close()
        for room in (*self.rooms.values(), *self.desktops.values()):
            room.clear()


@dataclass
class Client:
    """A person's end, keeping what came."""

    socket: ClientConnection
    shown: bytes = b""
    told: list[dict] = field(default_factory=list)
    is_closed: bool = False
    frames: int = 0
    _reading: asyncio.Task | None = None

    def read_on(self) -> None:
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.socket:
            if isinstance(message, bytes):
                self.shown += message
                self.frames += 1
            else:
                self.told.append(json.loads(message))
        self.is_closed = True

    async def type(self, text: str | bytes) -> None:
        await self.socket.send(text.encode() if isinstance(text, str) else text)

    async def sees(self, text: str | bytes) -> None:
        wanted = text.encode() if isinstance(text, str) else text
        try:
            await until(lambda: wanted in self.shown, f"{text!r}")
        except TimeoutError:
            raise AssertionError(f"{text!r} not in {self.shown[-2000:]!r}; told {self.told}") from None

    async def hears(self, name: str) -> dict:
        await until(lambda: any(name in message for message in self.told), name)
        return next(message[name] for message in self.told if name in message)

    async def is_shut(self) -> None:
        await until(lambda: self.is_closed, "closed")

    async def close(self) -> None:
        await self.socket.close()
        if self._reading:
            await self._reading


@dataclass
class RoomsHost:
    control: Control
    agent: Agent
    port: int
    trust: ssl.SSLContext
    server: uvicorn.Server
    clients: list[Client] = field(default_factory=list)

    def lose_network(self) -> None:
        """Every connection breaks, as if a cable were pulled."""
        for connection in list(self.server.server_state.connections):
            connection.transport.abort()

    @property
    def origin(self) -> str:
        return f"https://{HOST}:{self.port}"

    async def dial(self, *, channel: str = "terminal", origin: str | None = None, host: str = "", **more: object) -> ClientConnection:
        end = socket.socket()
        for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            end.setsockopt(socket.SOL_SOCKET, buffer, 65_536)  # what a slow side leaves unread is soon the other's
        end.connect(("127.0.0.1", self.port))
        uri = f"wss://{host or f'{HOST}:{self.port}'}/{channel}/ws"
        return await connect(uri, sock=end, ssl=self.trust, server_hostname=HOST, origin=origin, compression=None, max_size=None, **more)

    async def hello(self, ticket: str, *, channel: str = "terminal", columns: int = 100, rows: int = 30, is_reading: bool = True, **more: object) -> Client:
        client = Client(await self.dial(channel=channel, **more))
        self.clients.append(client)
        size = {"columns": columns, "rows": rows} if channel == "terminal" else {}
        await client.socket.send(json.dumps({"ticket": ticket, **size}))
        if is_reading:
            client.read_on()
        return client

    async def enter(self, ticket: str | None = None, **more: object) -> Client:
        client = await self.hello(ticket or self.control.issue(), **more)
        await client.hears("admitted")
        return client

    async def at_prompt(self, **more: object) -> Client:
        client = await self.enter(**more)
        await client.sees("room$ ")
        return client


@contextlib.asynccontextmanager
async def rooms_host(tmp_path: Path, timings: Timings | None = None, trusted: tuple[str, ...] = ()) -> AsyncIterator[RoomsHost]:
    certificate, key = make_certificate(tmp_path)
    agent = Agent(tmp_path / "open.sock")
    control = Control(tmp_path / "control.sock", agent)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)  # the same for what the gateway leaves unread
    port = listener.getsockname()[1]
    times = timings or Timings(answer=3.0, reason=0.05)
    app = create_app(
        doorway=DoorwayClient(control.path, answer_seconds=times.answer),
        open_path=agent.path,
        rooms_origin=f"https://{HOST}:{port}",
        portal_origin=PORTAL,
        trusted_proxies=trusted,
        clock=SystemClock(),
        timings=times,
    )
    server = uvicorn.Server(server_config(app, certificate=certificate, key=key))
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]  # signals are pytest's
    control.open()
    agent.open()
    running = asyncio.create_task(run_server(server, listener))
    host = RoomsHost(control, agent, port, ssl.create_default_context(cafile=certificate), server)
    try:
        await until(lambda: server.started and control.alive, "started")
        yield host
    finally:
        for client in host.clients:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(client.close(), 2)
        server.should_exit = True
        await running
        control.close()
        agent.close()
        listener.close()


def with_rooms_host(tmp_path: Path, story: Callable[[RoomsHost], Awaitable[None]], **more: object) -> None:
    async def told() -> None:
        async with rooms_host(tmp_path, **more) as host:
            await story(host)

    uvloop.run(told())  # the loop that the gateway process has


def make_certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST), x509.DNSName("sekisho.localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "rooms.pem", folder / "rooms.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return paths
