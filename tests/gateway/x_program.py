"""A program inside a room with a screen: it draws, and it owns and asks for the clipboard. Speaks X11 itself, so that no X client has to be installed.

Only what the tests need of the protocol (X11R7, "X Window System Protocol"); one window that fills the screen; blocking, with a time limit.
"""

import itertools
import select
import socket
import struct
from pathlib import Path

_CREATE_WINDOW, _MAP_WINDOW, _INTERN_ATOM, _CHANGE_PROPERTY, _GET_PROPERTY = 1, 8, 16, 18, 20
_SET_OWNER, _CONVERT, _SEND_EVENT = 22, 24, 25
_CREATE_GC, _CHANGE_GC, _COPY_AREA, _FILL, _PUT_IMAGE, _GET_IMAGE = 55, 56, 62, 70, 72, 73
_SELECTION_REQUEST, _SELECTION_NOTIFY = 30, 31
_ATOM, _PRIMARY = 4, 1
EVENTS = 0x1 | 0x2 | 0x4 | 0x8 | 0x40  # keys, buttons, motion


class XProgram:
    def __init__(self, display: int, *, has_window: bool = True, seconds: float = 10.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(seconds)
        self._socket.connect(str(Path("/tmp/.X11-unix") / f"X{display}"))
        self._socket.sendall(struct.pack("<BxHHHHxx", ord("l"), 11, 0, 0, 0))
        setup = self._begin()
        base, _, _, vendor = struct.unpack_from("<IIIH", setup, 12)
        screen = 40 + (vendor + 3) // 4 * 4 + 8 * setup[29]
        (self.root,) = struct.unpack_from("<I", setup, screen)
        self.width, self.height = struct.unpack_from("<HH", setup, screen + 20)
        self._ids = itertools.count(base)
        self.window, self._gc = next(self._ids), next(self._ids)
        self.events: list[bytes] = []
        self._text = ""
        self._request(_CREATE_WINDOW, struct.pack("<IIhhHHHHIIII", self.window, self.root, 0, 0, self.width, self.height, 0, 1, 0, 0x800 | 0x2, 0, EVENTS))
        if has_window:
            self._request(_MAP_WINDOW, struct.pack("<I", self.window))
        self._request(_CREATE_GC, struct.pack("<III", self._gc, self.window, 0))

    def close(self) -> None:
        self._socket.close()

    def fill(self, x: int, y: int, width: int, height: int, colour: int) -> None:
        self._request(_CHANGE_GC, struct.pack("<III", self._gc, 0x4, colour))
        self._request(_FILL, struct.pack("<IIhhHH", self.window, self._gc, x, y, width, height))

    def draw(self, x: int, y: int, width: int, height: int, pixels: bytes) -> None:
        """Pixels of four bytes: blue, green, red, nothing."""
        lines = 60_000 // (width * 4)
        for line in range(0, height, lines):
            there = min(lines, height - line)
            part = pixels[line * width * 4 : (line + there) * width * 4]
            self._request(_PUT_IMAGE, struct.pack("<IIHHhhBBxx", self.window, self._gc, width, there, x, y + line, 0, 24) + part, 2)

    def copy(self, x: int, y: int, width: int, height: int, to: tuple[int, int]) -> None:
        self._request(_COPY_AREA, struct.pack("<IIIhhhhHH", self.window, self.window, self._gc, x, y, *to, width, height))

    def pixel(self, x: int, y: int) -> int:
        """Of the whole screen, whoever drew it."""
        self._request(_GET_IMAGE, struct.pack("<IhhHHI", self.root, x, y, 1, 1, 0xFFFFFFFF), 2)
        return int(struct.unpack_from("<I", self._reply(), 32)[0]) & 0xFFFFFF

    def sync(self) -> None:
        """Until the server has done everything so far."""
        self.atom("CLIPBOARD")

    def atom(self, name: str) -> int:
        content = name.encode()
        self._request(_INTERN_ATOM, struct.pack("<Hxx", len(content)) + content + bytes(-len(content) % 4))
        return int(struct.unpack_from("<I", self._reply(), 8)[0])

    def own_clipboard(self, text: str) -> None:
        """As a program does that copied something.  Nobody gets it before `answer_clipboard`."""
        self._text = text
        for selection in (self.atom("CLIPBOARD"), _PRIMARY):
            self._request(_SET_OWNER, struct.pack("<III", self.window, selection, 0))
        self.sync()

    def answer_clipboard(self, *, quiet_seconds: float) -> int:
        """Give it to whoever asks, until nobody has for a while. How many asked for the text itself."""
        utf8, targets = self.atom("UTF8_STRING"), self.atom("TARGETS")
        given = 0
        while self.events or select.select([self._socket], [], [], quiet_seconds)[0]:
            time, _, requestor, selection, target, into = struct.unpack_from("<IIIIII", self._event(_SELECTION_REQUEST), 4)
            if target == targets:
                self._change_property(requestor, into, _ATOM, 32, struct.pack("<II", targets, utf8))
            else:
                self._change_property(requestor, into, utf8, 8, self._text.encode())
                given += 1
            notify = struct.pack("<BxHIIIII8x", _SELECTION_NOTIFY, 0, time, requestor, selection, target, into)
            self._request(_SEND_EVENT, struct.pack("<II", requestor, 0) + notify)
        return given

    def paste(self) -> str | None:
        """As a program does at Ctrl+V: ask whoever owns the clipboard for its text."""
        utf8, into = self.atom("UTF8_STRING"), self.atom("PASTED")
        self._request(_CONVERT, struct.pack("<IIIII", self.window, self.atom("CLIPBOARD"), utf8, into, 0))
        (given,) = struct.unpack_from("<I", self._event(_SELECTION_NOTIFY), 20)
        if not given:
            return None
        self._request(_GET_PROPERTY, struct.pack("<IIIII", self.window, into, 0, 0, 1 << 20), 1)
        reply = self._reply()
        (length,) = struct.unpack_from("<I", reply, 16)
        return reply[32 : 32 + length].decode()

    def event(self, kind: int) -> bytes:
        """The next of that kind: 2 and 3 are a key's, 4 and 5 a button's, 6 the pointer's motion."""
        return self._event(kind)

    def _change_property(self, window: int, name: int, kind: int, unit: int, content: bytes) -> None:
        head = struct.pack("<IIIBxxxI", window, name, kind, unit, len(content) * 8 // unit)
        self._request(_CHANGE_PROPERTY, head + content + bytes(-len(content) % 4))

    def _request(self, opcode: int, body: bytes, parameter: int = 0) -> None:
        self._socket.sendall(struct.pack("<BBH", opcode, parameter, 1 + len(body) // 4) + body)

    def _begin(self) -> bytes:
        head = self._read(8)
        assert head[0] == 1, "the X server let it in"
        return head + self._read(4 * int.from_bytes(head[6:8], "little"))

    def _reply(self) -> bytes:
        while (packet := self._packet())[0] != 1:
            self.events.append(packet)
        return packet

    def _event(self, kind: int) -> bytes:
        for at, packet in enumerate(self.events):
            if packet[0] & 0x7F == kind:
                return self.events.pop(at)
        while (packet := self._packet())[0] & 0x7F != kind:
            self.events.append(packet)
        return packet

    def _packet(self) -> bytes:
        packet = self._read(32)
        assert packet[0] != 0, f"X error {packet!r}"
        return packet + self._read(4 * int.from_bytes(packet[4:8], "little")) if packet[0] == 1 else packet

    def _read(self, count: int) -> bytes:
        content = b""
        while len(content) < count:
            part = self._socket.recv(count - len(content))
            assert part, "the X server is gone"
            content += part
        return content
