"""Somebody who looks at a desktop from outside: a small RFB client (RFC 6143; the extensions as in the community's rfbproto), which keeps all that the screen
says besides pixels. It is strict: a message that it does not know, or a rectangle outside of the screen, is an error."""

import os
import socket
import struct
import time
from collections.abc import Callable

RAW, DESKTOP_SIZE, LAST_RECT, CURSOR, LED, DESKTOP_NAME, EXTENDED_SIZE, CURSOR_WITH_ALPHA, CLIPBOARD = 0, -223, -224, -239, -261, -307, -308, -314, -0x3F5E1A32
ASKED_FOR = (RAW, DESKTOP_SIZE, EXTENDED_SIZE, LAST_RECT, CURSOR, CURSOR_WITH_ALPHA, LED, DESKTOP_NAME, CLIPBOARD)
CAPS, REQUEST, PEEK, NOTIFY, PROVIDE, TEXT = 1 << 24, 1 << 25, 1 << 26, 1 << 27, 1 << 28, 1
_FORMATS = 0xFFFF
_BGRX = struct.pack(">BBBBHHHBBB3x", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)


class View:
    """Made of the stream that a desktop capability opens. It says what a browser would, and asks for the clipboard with everything that asks."""

    def __init__(self, stream: int, *, seconds: float = 15.0) -> None:
        self._end = socket.socket(fileno=os.dup(stream))
        self._end.setblocking(True)
        self._end.settimeout(seconds)
        self._unread = b""
        self.cut_texts: list[bytes] = []
        self.clipboard_actions: list[int] = []
        self.bells = 0
        self.cursors: list[tuple[int, int]] = []
        self.frame: bytes = b""
        try:
            self._greet()
        except BaseException:
            self._end.close()
            raise

    def _greet(self) -> None:
        assert self._take(12) == b"RFB 003.008\n"
        self._end.sendall(b"RFB 003.008\n")
        assert 1 in self._take(self._take(1)[0])
        self._end.sendall(b"\1")
        assert self._take(4) == bytes(4)
        self._end.sendall(b"\1")
        self.width, self.height, _, length = struct.unpack(">HH16sI", self._take(24))
        self.name = self._take(length)
        self._end.sendall(struct.pack(">B3x16s", 0, _BGRX) + struct.pack(f">BxH{len(ASKED_FOR)}i", 2, len(ASKED_FOR), *ASKED_FOR))
        self._ask_for_update(incremental=False)

    def close(self) -> None:
        self._end.close()

    # saying

    def resize(self, width: int, height: int) -> None:
        self._end.sendall(struct.pack(">BxHHBxIHHHHI", 251, width, height, 1, 0, 0, 0, width, height, 0))
        self.until("the size asked for", lambda: (self.width, self.height) == (width, height))

    def press(self, keysym: int) -> None:
        for down in (1, 0):
            self._end.sendall(struct.pack(">BBxxI", 4, down, keysym))

    def move(self, x: int, y: int) -> None:
        self._end.sendall(struct.pack(">BBHH", 5, 0, x, y))

    def clipboard(self, flags: int, body: bytes = b"") -> None:
        self._end.sendall(struct.pack(">B3xiI", 6, -(4 + len(body)), flags) + body)

    def ask_for_the_clipboard(self) -> None:
        """By caps that take everything, by peek, and by a request that nothing was announced for."""
        self.clipboard(CAPS | REQUEST | PEEK | NOTIFY | PROVIDE | TEXT, struct.pack(">I", 1 << 20))
        self.clipboard(PEEK)
        self.clipboard(REQUEST | TEXT)

    # hearing

    @property
    def leaked(self) -> list[object]:
        """What the clipboard of the room has come out as: a text, or the word that there is one. That there is none may be said."""
        return [*self.cut_texts, *(hex(flags) for flags in self.clipboard_actions if flags & _FORMATS and not flags & CAPS)]

    def pixel(self, x: int, y: int) -> int:
        """0xRRGGBB."""
        return struct.unpack_from("<I", self.frame, 4 * (y * self.width + x))[0] & 0xFFFFFF

    def shows(self, colour: int, x: int = 5, y: int = 5) -> bool:
        return bool(self.frame) and self.pixel(x, y) == colour

    def until(self, what: str, condition: Callable[[], object], seconds: float = 15.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds} s: {what}"
            self._hear()

    def _ask_for_update(self, *, incremental: bool) -> None:
        self._end.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    def _take(self, count: int) -> bytes:
        parts, missing = [self._unread], count - len(self._unread)
        while missing > 0:
            parts.append(self._end.recv(1 << 18))
            assert parts[-1], "the screen closed the connection"
            missing -= len(parts[-1])
        whole = b"".join(parts)
        self._unread = whole[count:]
        return whole[:count]

    def _hear(self) -> None:
        match self._take(1)[0]:
            case 0:
                self._hear_update()
                self._ask_for_update(incremental=True)
            case 2:
                self.bells += 1
            case 3:
                (length,) = struct.unpack(">3xi", self._take(7))
                text = self._take(abs(length))
                if length < 0:
                    self.clipboard_actions.append(struct.unpack_from(">I", text)[0])
                else:
                    self.cut_texts.append(text)
            case other:
                raise AssertionError(f"message {other}")

    def _hear_update(self) -> None:
        (count,) = struct.unpack(">xH", self._take(3))
        for _ in range(count):
            x, y, width, height, encoding = struct.unpack(">HHHHi", self._take(12))
            match encoding:
                case 0:
                    self._draw(x, y, width, height)
                case -223:
                    self._become(width, height)
                case -308:
                    self._take(16 * self._take(4)[0])
                    self._become(width, height)
                case -224:
                    return
                case -239:
                    self._take(4 * width * height + (width + 7) // 8 * height)
                    self.cursors.append((width, height))
                case -314:
                    assert self._take(4) == bytes(4), "a cursor in an encoding that nobody asked for"
                    self._take(4 * width * height)
                    self.cursors.append((width, height))
                case -261:
                    self._take(1)
                case -307:
                    self.name = self._take(struct.unpack(">I", self._take(4))[0])
                case other:
                    raise AssertionError(f"encoding {other}")

    def _become(self, width: int, height: int) -> None:
        if (self.width, self.height) != (width, height):
            self.width, self.height, self.frame = width, height, b""
            self._ask_for_update(incremental=False)

    def _draw(self, x: int, y: int, width: int, height: int) -> None:
        assert x + width <= self.width
        assert y + height <= self.height
        content = self._take(4 * width * height)
        if (width, height) == (self.width, self.height):
            self.frame = content
            return
        frame = bytearray(self.frame or 4 * self.width * self.height)
        for row in range(height):
            start = 4 * ((y + row) * self.width + x)
            frame[start : start + 4 * width] = content[4 * row * width : 4 * (row + 1) * width]
        self.frame = bytes(frame)
