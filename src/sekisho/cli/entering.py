"""The terminal of a room on the person's own terminal: `sekisho enter` once it has a ticket."""

import asyncio
import signal
import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from sekisho.cli.escapes import Escapes, Wish
from sekisho.cli.local_terminal import LocalTerminal
from sekisho.cli.loopback import dial
from sekisho.cli.trust import HTTPS_PORT
from sekisho.gateway import wire
from sekisho.gateway.terminal.wire import Hello, Resize, render_client, render_hello
from sekisho.model.errors import Trouble

HELP = b"\r\n~.  disconnect; the room goes on\r\n~?  this\r\n~~  a ~\r\n(at the start of a line)\r\n"
_FRAME_LIMIT = 1_048_576


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The person typed `~.`, or this terminal went away. The room goes on."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The network, or the gateway, went away. The room goes on."""


Outcome = wire.Ended | wire.Refused | Disconnected | Lost


async def attach(url: str, *, ticket: str, trust: ssl.SSLContext, terminal: LocalTerminal) -> Outcome:
    """Show the room until it is over. `terminal` is raw already. Raises Trouble if the rooms' host can't be reached."""
    try:
        socket = await _connect(url, trust)
    except (OSError, InvalidHandshake, InvalidMessage) as error:
        raise Trouble("rooms-away", f"{url} does not answer: {error}", hint="is the rooms' port reachable from here?") from error
    try:
        return await _Entry(socket, terminal).run(ticket)
    finally:
        await socket.close()


async def _connect(url: str, trust: ssl.SSLContext) -> ClientConnection:
    parts = urlsplit(url)
    host = parts.hostname or ""
    plain = await asyncio.to_thread(dial, host, parts.port or HTTPS_PORT)
    return await connect(url, sock=plain, ssl=trust, server_hostname=host, compression=None, max_size=_FRAME_LIMIT, proxy=None)


@dataclass(slots=True)
class _Entry:
    socket: ClientConnection
    terminal: LocalTerminal
    _escapes: Escapes = field(default_factory=Escapes)
    _outgoing: asyncio.Queue[bytes | str] = field(default_factory=lambda: asyncio.Queue(maxsize=64))
    _gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, ticket: str) -> Outcome:
        loop = asyncio.get_running_loop()
        await self._outgoing.put(render_hello(Hello(ticket, self.terminal.size())))
        loop.add_reader(self.terminal.read_from, self._on_typed)
        loop.add_signal_handler(signal.SIGWINCH, self._on_resized)
        for ending in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(ending, self._gone.set)
        try:
            return await self._first(asyncio.create_task(self._receive()), asyncio.create_task(self._send()), asyncio.create_task(self._until_gone()))
        finally:
            loop.remove_reader(self.terminal.read_from)
            for handled in (signal.SIGWINCH, signal.SIGTERM, signal.SIGHUP):
                loop.remove_signal_handler(handled)

    async def _first(self, *works: asyncio.Task[Outcome]) -> Outcome:
        done, others = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
        for work in others:
            work.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        outcomes = [work.result() for work in works if work in done]
        return next((outcome for outcome in outcomes if not isinstance(outcome, Lost)), outcomes[0])

    async def _receive(self) -> Outcome:
        try:
            async for message in self.socket:
                if isinstance(message, bytes):
                    self.terminal.show(message)
                elif isinstance(told := wire.parse_server(message), wire.Ended | wire.Refused):
                    return told
        except (ConnectionClosed, wire.MalformedMessage):
            return Lost()
        return Lost()

    async def _send(self) -> Outcome:
        try:
            while True:
                await self.socket.send(await self._outgoing.get())
                self._listen_again()
        except ConnectionClosed:
            return Lost()

    async def _until_gone(self) -> Outcome:
        await self._gone.wait()
        return Disconnected()

    def _on_typed(self) -> None:
        typed = self.terminal.read()
        if not typed:
            self._gone.set()
            return
        found = self._escapes.feed(typed)
        if found.content:
            self._outgoing.put_nowait(found.content)
        if Wish.HELP in found.wishes:
            self.terminal.write(HELP)
        if Wish.DISCONNECT in found.wishes:
            self._gone.set()
        if self._outgoing.qsize() >= self._outgoing.maxsize - 1:  # one place is left for a resize; the keyboard waits in the kernel
            asyncio.get_running_loop().remove_reader(self.terminal.read_from)

    def _listen_again(self) -> None:
        if self._outgoing.qsize() < self._outgoing.maxsize // 2:
            asyncio.get_running_loop().add_reader(self.terminal.read_from, self._on_typed)

    def _on_resized(self) -> None:
        if not self._outgoing.full():
            self._outgoing.put_nowait(render_client(Resize(self.terminal.size())))
