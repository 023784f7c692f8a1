"""How an RFB connection begins, on both sides of the gateway (RFC 6143 §7.1-7.3). Sans-I/O.

Each side is a dialogue written down as it goes: it yields bytes to say, or how many bytes to wait for. Only security type None is taken and offered:
the browser was admitted over TLS by its ticket, and the server's socket was handed over by the agent. Both sides must speak 3.8: 3.3 has the server
choose, 3.7 says nothing about success.
"""

import struct
from collections.abc import Generator
from typing import Generic, TypeVar

from sekisho.gateway.desktop.wire import FRAME_LIMIT, NAME_LIMIT_BYTES, Frame, render_server_init, render_set_pixel_format
from sekisho.gateway.wire import MalformedMessage

T = TypeVar("T")
Dialogue = Generator[bytes | int, bytes, T]

_VERSION = b"RFB 003.008\n"
_NONE = b"\x01"
_SHARED = b"\x01"  # TigerVNC throws everybody else out for one that does not share


class Handshake(Generic[T]):
    """One side's beginning. `result` is there when it is done; `rest` is what came after it."""

    def __init__(self, dialogue: Dialogue[T]) -> None:
        self._dialogue = dialogue
        self._needed = 0
        self.result: T | None = None
        self.rest = b""

    def feed(self, received: bytes) -> bytes:
        """What to say now. Raises MalformedMessage."""
        self.rest += received
        said = []
        while self.result is None and len(self.rest) >= self._needed:
            given, self.rest = self.rest[: self._needed], self.rest[self._needed :]
            step = self._next(given)
            self._needed = step if isinstance(step, int) else 0
            if isinstance(step, bytes):
                said.append(step)
        return b"".join(said)

    def _next(self, given: bytes) -> bytes | int:
        try:
            return self._dialogue.send(given) if self._needed else next(self._dialogue)
        except StopIteration as end:
            self.result = end.value
            return 0


def with_server() -> Handshake[Frame]:
    """The client's side. It ends with the pixel format pinned, and what the server called itself dropped."""
    return Handshake(_with_server())


def with_browser(frame: Frame, *, name: str) -> Handshake[Frame]:
    """The server's side: it speaks first, so feed it b"" to begin."""
    return Handshake(_with_browser(frame, name))


def _with_server() -> Dialogue[Frame]:
    yield from _expected(_VERSION)
    yield _VERSION
    (count,) = yield from _given(1)
    if _NONE[0] not in (yield from _given(count)):
        raise MalformedMessage("the server does not offer security type None")
    yield _NONE
    yield from _expected(b"\0\0\0\0")
    yield _SHARED
    width, height, name_bytes = struct.unpack(">HH16xI", (yield from _given(24)))
    if not (1 <= width <= FRAME_LIMIT and 1 <= height <= FRAME_LIMIT) or name_bytes > NAME_LIMIT_BYTES:
        raise MalformedMessage("a frame or a name out of bounds")
    yield from _given(name_bytes)
    yield render_set_pixel_format()
    return Frame(width, height)


def _with_browser(frame: Frame, name: str) -> Dialogue[Frame]:
    yield _VERSION
    yield from _expected(_VERSION)
    yield b"\x01" + _NONE
    yield from _expected(_NONE)
    yield b"\0\0\0\0"
    yield from _given(1)  # whether it would share; it does
    yield render_server_init(frame, name)
    return frame


def _given(count: int) -> Generator[bytes | int, bytes, bytes]:
    return (yield count) if count else b""


def _expected(wanted: bytes) -> Generator[bytes | int, bytes, None]:
    if (yield len(wanted)) != wanted:
        raise MalformedMessage("not the beginning that RFB 3.8 has with security type None")
