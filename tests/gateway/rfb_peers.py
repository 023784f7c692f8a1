"""The two ends of a desktop that a test plays itself: a browser that speaks RFB through the rooms' host, and an RFB server of its own making."""

import asyncio
import contextlib
import fcntl
import socket
import struct
import sys
import termios
from collections.abc import AsyncIterator, Callable

from tests.gateway.rooms_host import Client, Desktop, RoomsHost, until

from sekisho.gateway.desktop import wire

VERSION = b"RFB 003.008\n"
TITLE = "Campaign data"
QUIET_LOOKS, LOOK_SECONDS = 40, 0.01


class Browser:
    """A person's browser with a desktop in it, as noVNC speaks."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.begun_at = 0  # what is shown from here on follows the handshake
        self.width = self.height = 0

    @classmethod
    async def enter(cls, host: RoomsHost, ticket: str | None = None, **more: object) -> "Browser":
        browser = cls(await host.enter(ticket, channel="desktop", **more))
        await browser.greet()
        return browser

    async def greet(self) -> None:
        await self.says(VERSION, 12)
        await self.says(b"\x01", 14)
        await self.says(b"\x01", 18)
        await until(lambda: len(self.client.shown) >= 18 + 24 + len(TITLE), "ServerInit")
        self.width, self.height = struct.unpack_from(">HH", self.client.shown, 18)
        self.begun_at = 18 + 24 + len(TITLE)

    async def says(self, content: bytes, after: int) -> None:
        """Once so much was shown."""
        await until(lambda: len(self.client.shown) >= after, f"{after} bytes")
        await self.client.type(content)

    @property
    def shown(self) -> bytes:
        return self.client.shown[self.begun_at :]

    async def ask(self, *encodings: int) -> None:
        await self.client.type(wire.render_set_encodings(encodings))
        await self.request(is_incremental=False)

    async def request(self, *, is_incremental: bool = True, x: int = 0, y: int = 0, width: int = 0, height: int = 0) -> None:
        await self.client.type(struct.pack(">BB4H", 3, is_incremental, x, y, width or self.width, height or self.height))

    async def pixel(self, x: int, y: int) -> bytes:
        """Red, green, blue, nothing. Only after `ask(wire.RAW)`."""
        before = len(self.client.shown)
        await self.request(is_incremental=False, x=x, y=y, width=1, height=1)
        await until(lambda: len(self.client.shown) >= before + 20, "a pixel")
        return self.client.shown[-4:]

    async def key(self, symbol: int) -> None:
        for is_down in (1, 0):
            await self.client.type(struct.pack(">BBxxI", 4, is_down, symbol))

    async def point(self, x: int, y: int) -> None:
        await self.client.type(struct.pack(">BBHH", 5, 0, x, y))

    async def paste(self, number: int, text: str) -> None:
        import json

        await self.client.socket.send(json.dumps({"paste": {"number": number, "text": text}}))

    async def is_shut(self) -> None:
        await self.client.is_shut()


class Server:
    """Greets as Xvnc does, then says what the test wants, and keeps what it was told. Reads nothing while `is_deaf`."""

    def __init__(self) -> None:
        self.told = b""
        self.is_deaf = False
        self.end: socket.socket | None = None
        self.greeting: asyncio.Task | None = None
        self._reading: asyncio.Task | None = None

    def connect(self) -> socket.socket:
        mine, theirs = socket.socketpair()
        mine.setblocking(False)
        self.end = mine
        self.greeting = asyncio.create_task(self._greet(mine))
        return theirs

    async def _greet(self, end: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        init = struct.pack(">HH", 64, 48) + wire.PIXEL_FORMAT + struct.pack(">I", 4) + b"fake"
        for said, answered in ((VERSION, 12), (b"\x01\x01", 1), (bytes(4), 1), (init, 20)):
            await loop.sock_sendall(end, said)
            heard = b""
            while len(heard) < answered:
                heard += await loop.sock_recv(end, answered - len(heard))
        if not self.is_deaf:
            self.listen()

    def listen(self) -> None:
        assert self.end
        self._reading = asyncio.create_task(self._read(self.end))

    def waiting_bytes(self) -> int:
        """What lies in the kernel for it to read."""
        assert self.end
        return int.from_bytes(fcntl.ioctl(self.end, termios.FIONREAD, bytes(4)), sys.byteorder)

    async def _read(self, end: socket.socket) -> None:
        while part := await asyncio.get_running_loop().sock_recv(end, 65_536):
            self.told += part

    async def say(self, content: bytes) -> None:
        assert self.end
        await asyncio.get_running_loop().sock_sendall(self.end, content)

    async def say_what_is_taken(self, content: bytes) -> int:
        """How much of it the connection takes, until it has taken nothing for a while."""
        assert self.end
        sent = 0
        quiet = 0
        while quiet < QUIET_LOOKS:
            try:
                sent += self.end.send(content[sent : sent + 65_536])
                quiet = 0
            except BlockingIOError:
                quiet += 1
            await asyncio.sleep(LOOK_SECONDS)
        return sent

    def die(self) -> None:
        assert self.end
        self.end.shutdown(socket.SHUT_RDWR)

    async def clear(self) -> None:
        for task in (self.greeting, self._reading):
            if task:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError):
                    await task
        if self.end:
            self.end.close()


@contextlib.asynccontextmanager
async def fake_server(host: RoomsHost, session: str = "s-aaaaaaaaaa") -> AsyncIterator[Server]:
    server = Server()
    host.agent.desktops[session] = Desktop(server.connect)
    try:
        yield server
    finally:
        await server.clear()


async def settled(count: Callable[[], int]) -> int:
    """What it comes to when it has not changed for a while."""
    last, quiet = count(), 0
    while quiet < QUIET_LOOKS:
        await asyncio.sleep(LOOK_SECONDS)
        last, quiet = count(), quiet + 1 if count() == last else 0
    return last
