"""An RFB viewer that does as little as it can, for benchmarks: it asks for Raw, keeps what is shown and when, and presses keys.

It speaks over a WebSocket, as the desktop's page does, or over a Unix socket, straight to an Xvnc. Blocking, so that nothing of its own stands between what
comes and the clock.
"""

import operator
import select
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sekisho.gateway.desktop import wire

PATIENCE_SECONDS = 60.0
BYTES_A_PIXEL = 4
_READ_BYTES = 1 << 20
TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10  # opcodes, RFC 6455 §5.2

_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # made once, as a browser has it, and without the machine's authorities
_TLS.check_hostname, _TLS.verify_mode = False, ssl.CERT_NONE


class Line(Protocol):
    def say(self, content: bytes) -> None: ...

    def read(self) -> bytes:
        """What has come, at least a byte."""
        ...

    def is_readable(self, seconds: float) -> bool: ...

    def close(self) -> None: ...


class Plain:
    """A Unix socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE_SECONDS)
        self._socket.connect(str(path))

    def say(self, content: bytes) -> None:
        self._socket.sendall(content)

    def read(self) -> bytes:
        received = self._socket.recv(_READ_BYTES)
        assert received, "the server goes on"
        return received

    def is_readable(self, seconds: float) -> bool:
        return bool(select.select([self._socket], [], [], seconds)[0])

    def close(self) -> None:
        self._socket.close()


class WebSocket:
    """TLS and RFC 6455 as a client, on a port of this machine. What it reads is the content of binary frames, one after the other. Pings are answered."""

    def __init__(self, port: int, path: str) -> None:
        plain = socket.create_connection(("127.0.0.1", port))
        plain.settimeout(PATIENCE_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = _TLS.wrap_socket(plain, server_hostname="rooms.localhost")
        self._content = b""  # that nobody has read yet
        self._rest = b""
        self._frame_left = 0
        self._opcode = 0
        self._other = b""  # the content of a frame that is not binary
        self._upgrade(port, path)

    def say(self, content: bytes, *, opcode: int = _BINARY) -> None:
        length = bytes((0x80 | len(content),)) if len(content) < 126 else struct.pack(">BH", 0x80 | 126, len(content))
        self._socket.sendall(bytes((0x80 | opcode,)) + length + bytes(4) + content)  # under a mask of nothing

    def read(self) -> bytes:
        assert self.is_readable(PATIENCE_SECONDS), "the relay goes on"
        content, self._content = self._content, b""
        return content

    def is_readable(self, seconds: float) -> bool:
        """A ping is answered, and is nothing to read."""
        end = time.perf_counter() + seconds
        while not self._content:
            left = max(0.0, end - time.perf_counter())
            if not self._socket.pending() and not select.select([self._socket], [], [], left)[0]:
                return False
            received = self._socket.recv(_READ_BYTES)
            assert received, "the relay goes on"
            self._content = self._unframed(self._rest + received)
        return True

    def close(self) -> None:
        self._socket.close()

    def wait_end(self) -> None:
        """Until the other side says that it closes."""
        with suppress(ConnectionError, ssl.SSLError):
            while self._opcode != _CLOSE and (received := self._socket.recv(_READ_BYTES)):
                self._unframed(self._rest + received)

    def _unframed(self, received: bytes) -> bytes:
        at, found = 0, []
        while True:
            part = received[at : at + self._frame_left]
            at += len(part)
            self._frame_left -= len(part)
            if self._opcode == _BINARY:
                found.append(part)
            else:
                self._other += part
            if self._frame_left or not (header := self._next_frame(received, at)):
                self._rest = received[at:]
                return b"".join(found)
            at, self._frame_left = header

    def _next_frame(self, received: bytes, at: int) -> tuple[int, int] | None:
        """The last one is whole: answer it if it was a ping, and learn what comes."""
        if self._opcode == _PING:
            self.say(self._other, opcode=_PONG)
            self._opcode = 0
        if header := header_of(received, at):
            self._opcode, self._other = received[at] & 0xF, b""
        return header

    def _upgrade(self, port: int, path: str) -> None:
        head = f"GET {path} HTTP/1.1\r\nHost: rooms.localhost:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self._socket.sendall(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._socket.recv(1)
        assert answer.startswith(b"HTTP/1.1 101 "), answer


def header_of(received: bytes, at: int) -> tuple[int, int] | None:
    """Where a frame's content begins, and how long it is."""
    there = len(received) - at
    if there < 2 or there < 2 + {126: 2, 127: 8}.get(received[at + 1], 0):
        return None
    match received[at + 1]:
        case 126:
            return at + 4, int.from_bytes(received[at + 2 : at + 4], "big")
        case 127:
            return at + 10, int.from_bytes(received[at + 2 : at + 10], "big")
        case length:
            return at + 2, length


@dataclass(frozen=True, slots=True)
class Rectangle:
    x: int
    y: int
    width: int
    height: int
    pixels: bytes


@dataclass(frozen=True, slots=True)
class Update:
    """A whole FramebufferUpdate, and when its last byte was there."""

    at: float
    rectangles: tuple[Rectangle, ...]

    @property
    def pixel_count(self) -> int:
        return sum(each.width * each.height for each in self.rectangles)


@dataclass
class Viewer:
    line: Line
    width: int = 0
    height: int = 0
    _buffer: bytearray = field(default_factory=bytearray)

    def greet(self) -> "Viewer":
        """Everything up to the server's picture, which is then asked for whole."""
        for heard, said in ((12, b"RFB 003.008\n"), (2, b"\x01"), (4, b"\x01")):
            self._take(heard)
            self.line.say(said)
        self.width, self.height, *_, title_bytes = struct.unpack(">HH16sI", self._take(24))
        self._take(title_bytes)
        self.line.say(wire.render_set_pixel_format())
        self.line.say(wire.render_set_encodings([wire.RAW]))
        self.ask(is_incremental=False)
        return self

    def ask(self, *, is_incremental: bool = True) -> None:
        self.line.say(struct.pack(">BB4H", wire.FRAMEBUFFER_UPDATE_REQUEST, is_incremental, 0, 0, self.width, self.height))

    def press(self, symbol: int) -> None:
        for is_down in (1, 0):
            self.line.say(struct.pack(">BBxxI", wire.KEY_EVENT, is_down, symbol))

    def update(self) -> Update:
        """Wait for the next one, and ask for what changes after it."""
        while (kind := self._take(1)[0]) != wire.FRAMEBUFFER_UPDATE:
            assert kind in (wire.BELL, wire.SERVER_CUT_TEXT), kind
            if kind == wire.SERVER_CUT_TEXT:
                self._take(abs(struct.unpack(">3xi", self._take(7))[0]))
        rectangles = tuple(self._rectangle() for _ in range(struct.unpack(">xH", self._take(3))[0]))
        at = time.perf_counter()
        self.ask()
        return Update(at, rectangles)

    def updates(self, *, quiet_seconds: float) -> Iterator[Update]:
        """What comes, until nothing has come for a while."""
        end = time.perf_counter() + PATIENCE_SECONDS
        while self._buffer or self.line.is_readable(quiet_seconds):
            assert time.perf_counter() < end, "it is drawn to an end"
            yield self.update()

    def close(self) -> None:
        self.line.close()

    def _rectangle(self) -> Rectangle:
        x, y, width, height, encoding = struct.unpack(">4Hi", self._take(12))
        assert encoding == wire.RAW, encoding
        return Rectangle(x, y, width, height, self._take(width * height * BYTES_A_PIXEL))

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._buffer += self.line.read()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken


class Picture:
    """What is on a screen after some updates, and how much of it is as it will be."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.rows = [bytes(width * BYTES_A_PIXEL)] * height

    def draw(self, update: Update) -> set[int]:
        """Gives the rows that were touched."""
        touched: set[int] = set()
        for each in update.rectangles:
            left, length = each.x * BYTES_A_PIXEL, each.width * BYTES_A_PIXEL
            for number in range(each.height):
                row = self.rows[each.y + number]
                self.rows[each.y + number] = row[:left] + each.pixels[number * length : (number + 1) * length] + row[left + length :]
            touched.update(range(each.y, each.y + each.height))
        return touched

    def same(self, other: "Picture", row: int) -> int:
        """Pixels of a row that are equal."""
        mine, theirs = self.rows[row], other.rows[row]
        return self.width if mine == theirs else sum(map(operator.eq, memoryview(mine).cast("I"), memoryview(theirs).cast("I")))


def painted_at(viewer: Viewer, updates: list[Update], *, share: float) -> float:
    """When so much of the screen was for the first time as it was after the last update."""
    last, now = Picture(viewer.width, viewer.height), Picture(viewer.width, viewer.height)
    for update in updates:
        last.draw(update)
    same = [now.same(last, row) for row in range(viewer.height)]
    for update in updates:
        for row in now.draw(update):
            same[row] = now.same(last, row)
        if sum(same) >= share * viewer.width * viewer.height:
            return update.at
    raise AssertionError("the last picture is like itself")
