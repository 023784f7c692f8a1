"""One RFB connection to a room's screen: read no faster than the browser takes it, written no faster than the server does.

While the browser is full the server is not read, so that TCP and RFB slow it down; while the server is full the browser is not read. What is held in
between is bounded, whatever either side does.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

from sekisho.gateway.connection import Connection
from sekisho.gateway.desktop.clipboard import ClipboardPeer
from sekisho.gateway.desktop.from_server import FromServer
from sekisho.gateway.desktop.handshake import with_server
from sekisho.gateway.desktop.wire import Frame
from sekisho.gateway.wire import MalformedMessage

READ_BYTES = 262_144  # more than a Unix socket holds: fewer and larger frames are cheaper, and none waits to be filled
OUTGOING_LIMIT_BYTES = 65_536  # to the server: with more than this waiting, nobody's messages are read
_log = logging.getLogger("sekisho.gateway")


async def greet(end: socket.socket, *, answer_seconds: float) -> Frame:
    """Begin RFB on a connected, non-blocking socket. Raises MalformedMessage, OSError or TimeoutError."""
    loop, handshake = asyncio.get_running_loop(), with_server()
    async with asyncio.timeout(answer_seconds):
        while handshake.result is None:
            received = await loop.sock_recv(end, READ_BYTES)
            if not received:
                raise ConnectionAbortedError("the server closed")
            await loop.sock_sendall(end, handshake.feed(received))
    if handshake.rest:
        raise MalformedMessage("a server that speaks before it is asked")
    return handshake.result


class Screen:
    """Takes over `end` after its greeting, and closes it. `on_lost` is called once, when the server's side is gone or says what it may not."""

    def __init__(self, end: socket.socket, *, frame: Frame, connection: Connection, on_lost: Callable[[], None]) -> None:
        self._end = end
        self._connection = connection
        self._on_lost = on_lost
        self._stream = FromServer(frame)
        self._clipboard = ClipboardPeer()
        self._loop = asyncio.get_running_loop()
        self._outgoing = bytearray()
        self._is_writable = asyncio.Event()
        self._is_writable.set()
        self._is_waiting_to_write = False
        self._is_reading = False
        self._is_closed = False

    def start(self) -> None:
        """The browser is ready: show it what comes."""
        self._connection.on_taken = self._read_if_wanted
        self._read_if_wanted()

    def write(self, content: bytes) -> Awaitable[object] | None:
        """To the server. What it gives is to be awaited before more is written: that is the back pressure on the browser."""
        self._write(content)
        return self._is_writable.wait() if self._is_full else None

    def paste(self, text: str) -> None:
        """A text that was allowed."""
        self._write(self._clipboard.paste(text))

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._loop.remove_reader(self._end)
        self._loop.remove_writer(self._end)
        self._end.close()
        self._outgoing.clear()
        self._is_writable.set()

    def _lose(self) -> None:
        if not self._is_closed:
            self.close()
            self._on_lost()

    def _read_if_wanted(self) -> None:
        is_wanted = not (self._is_closed or self._connection.is_full or self._is_full)
        if is_wanted and not self._is_reading:
            self._loop.add_reader(self._end, self._on_readable)
        elif self._is_reading and not is_wanted and not self._is_closed:
            self._loop.remove_reader(self._end)
        self._is_reading = is_wanted

    @property
    def _is_full(self) -> bool:
        return len(self._outgoing) > OUTGOING_LIMIT_BYTES

    def _on_readable(self) -> None:
        try:
            received = self._end.recv(READ_BYTES)
            if received:
                self._take(received)
                self._read_if_wanted()
            else:
                self._lose()
        except BlockingIOError:
            return
        except MalformedMessage as error:
            _log.error("session %s: its screen said what it may not: %s", self._connection.session, error)
            self._lose()
        except OSError:
            self._lose()
        except Exception:  # noqa: BLE001  the edge of a task: a stream whose place is lost must not be read on
            _log.exception("session %s: its screen could not be read", self._connection.session)
            self._lose()

    def _take(self, received: bytes) -> None:
        """In one piece, whatever was taken out of it: frames without number would keep everybody else waiting. Each answer is given once, however often the
        server asked for it in one breath: else a few bytes of a question would hold whole texts here."""
        items = self._stream.feed(received)
        self._connection.show(b"".join(item for item in items if isinstance(item, bytes)))
        for answer in dict.fromkeys(self._clipboard.hear(item.flags) for item in items if not isinstance(item, bytes)):
            self._write(answer)

    def _write(self, content: bytes) -> None:
        if self._is_closed or not content:
            return
        self._outgoing += content
        if len(self._outgoing) == len(content):  # nothing else was waiting
            self._flush()
        elif self._is_full:
            self._is_writable.clear()

    def _flush(self) -> None:
        try:
            del self._outgoing[: self._end.send(self._outgoing)]
        except BlockingIOError:
            pass
        except OSError:
            self._lose()
            return
        if self._outgoing:
            self._loop.add_writer(self._end, self._on_writable)
        elif self._is_waiting_to_write:
            self._loop.remove_writer(self._end)
        self._is_waiting_to_write = bool(self._outgoing)
        if self._is_full:
            self._is_writable.clear()
        else:
            self._is_writable.set()

    def _on_writable(self) -> None:
        self._flush()
        self._read_if_wanted()
