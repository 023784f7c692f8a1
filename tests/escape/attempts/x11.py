"""A client of the room's X server that says what it likes, also what no library would: the X protocol, raw (X Window System Protocol, X11R7.7), little-endian.

A request that fails raises Refusal with the error's name; errors of requests that have no reply come out of `sync`.
"""

import array
import os
import select
import socket
import struct
import time
from pathlib import Path

ERRORS = (
    "none", "Request", "Value", "Window", "Pixmap", "Atom", "Cursor", "Font", "Match", "Drawable", "Access", "Alloc", "Color", "GContext", "IDChoice", "Name",
    "Length", "Implementation",
)  # fmt: skip
SECONDS = 15.0
_GET_INPUT_FOCUS, _QUERY_EXTENSION, _INTERN_ATOM = 43, 98, 16
_GENERIC_EVENT = 35


class Refusal(Exception):
    """What the server answered instead: an error, or that it takes nobody."""


class Gone(Refusal):
    """The server closed the connection."""


def padded(content):
    return content + bytes(-len(content) % 4)


def socket_path():
    """Of the one display that the room is told of."""
    return f"/tmp/.X11-unix/X{os.environ['DISPLAY'].removeprefix(':')}"


def cookie():
    """Name and cookie of the one entry in the room's authority file (Xau(3))."""
    content, fields, offset = Path(os.environ["XAUTHORITY"]).read_bytes(), [], 2
    for _ in range(4):
        length = int.from_bytes(content[offset : offset + 2], "big")
        fields.append(content[offset + 2 : offset + 2 + length])
        offset += 2 + length
    return fields[2], fields[3]


class Display:
    """One connection. `auth` is (name, cookie); without it, the room's own."""

    def __init__(self, auth=None):
        self._end = socket.socket(socket.AF_UNIX)
        self._end.settimeout(SECONDS)
        self._unread = b""
        self._sent = 0
        self._replies = {}
        self._errors = {}
        self._descriptors = []
        self.events = []
        self._opcodes = {}
        self._end.connect(socket_path())
        self._greet(*(cookie() if auth is None else auth))

    def _greet(self, name, content):
        self._end.sendall(b"l\0" + struct.pack("<HHHHH", 11, 0, len(name), len(content), 0) + padded(name) + padded(content))
        status, reason, length = struct.unpack("<BB4xH", self._take(8))
        body = self._take(4 * length)
        if status != 1:
            raise Refusal(body[:reason].decode(errors="replace").strip() or "refused")
        self.base, self._mask = struct.unpack_from("<II", body, 4)
        (vendor,) = struct.unpack_from("<H", body, 16)
        formats = body[21]
        screen = 32 + vendor + (-vendor % 4) + 8 * formats
        self.root, self.colormap = struct.unpack_from("<II", body, screen)
        self.width, self.height = struct.unpack_from("<HH", body, screen + 20)
        self.visual = struct.unpack_from("<I", body, screen + 32)[0]
        self.depth = body[screen + 38]
        self._last = 0

    def new(self):
        """A resource id."""
        self._last += 1
        return self.base | (self._last & self._mask)

    # saying

    def send(self, opcode, data=0, body=b"", descriptors=()):
        """One request, with its length in the place of BIG-REQUESTS if it is too long for the other. Gives its number."""
        body = padded(body)
        words = 1 + len(body) // 4
        head = struct.pack("<BBH", opcode, data, words) if words < 1 << 16 else struct.pack("<BBHI", opcode, data, 0, words + 1)
        self._sent += 1
        packet = head + body
        try:
            if descriptors:
                sent = self._end.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])
                packet = packet[sent:]
            self._write(packet)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Gone("the server closed the connection") from error
        return self._sent

    def _write(self, packet):
        """What the server says meanwhile is read, or both would wait for each other."""
        left = memoryview(packet)
        end = time.monotonic() + SECONDS
        while left:
            if time.monotonic() > end:
                raise Refusal("the server does not read")
            readable, writable, _ = select.select([self._end], [self._end], [], 1.0)
            if readable:
                self._pull()
            if writable:
                left = left[self._end.send(left[: 1 << 16]) :]

    def ask(self, opcode, data=0, body=b"", descriptors=()):
        """The reply, whole."""
        return self.answer(self.send(opcode, data, body, descriptors))

    def answer(self, number):
        self._until(lambda: number & 0xFFFF in self._replies or number & 0xFFFF in self._errors)
        if (code := self._errors.pop(number & 0xFFFF, None)) is not None:
            raise Refusal(code)
        return self._replies.pop(number & 0xFFFF)

    def do(self, opcode, data=0, body=b"", descriptors=()):
        """A request that has no reply, and the wait until it is done."""
        number = self.send(opcode, data, body, descriptors)
        self.ask(_GET_INPUT_FOCUS)
        if (code := self._errors.pop(number & 0xFFFF, None)) is not None:
            raise Refusal(code)

    def sync(self):
        """Wait until all is done, and give the errors of it."""
        self.ask(_GET_INPUT_FOCUS)
        errors, self._errors = list(self._errors.values()), {}
        return errors

    def opcode(self, extension):
        """The major opcode of an extension. Refusal if there is none."""
        if extension not in self._opcodes:
            reply = self.ask(_QUERY_EXTENSION, 0, struct.pack("<HH", len(extension), 0) + extension.encode())
            if not reply[8]:
                raise Refusal(f"no {extension}")
            self._opcodes[extension] = reply[9]
        return self._opcodes[extension]

    def atom(self, name):
        return struct.unpack_from("<I", self.ask(_INTERN_ATOM, 0, struct.pack("<HH", len(name), 0) + name.encode()), 8)[0]

    def descriptors(self):
        """Those that came with what was read."""
        found, self._descriptors = self._descriptors, []
        return found

    def event(self, seconds):
        """The next event, or None."""
        end = time.monotonic() + seconds
        while not self.events and (left := end - time.monotonic()) > 0:
            if select.select([self._end], [], [], left)[0]:
                self._pull()
        return self.events.pop(0) if self.events else None

    def fileno(self):
        return self._end.fileno()

    def close(self):
        self._end.close()

    # hearing

    def _take(self, count):
        while len(self._unread) < count:
            self._pull()
        taken, self._unread = self._unread[:count], self._unread[count:]
        return taken

    def _pull(self):
        try:
            chunk, ancillary, _, _ = self._end.recvmsg(1 << 18, socket.CMSG_SPACE(64))
        except TimeoutError as error:
            raise Refusal("the server does not answer") from error
        except ConnectionResetError as error:
            raise Gone("the server closed the connection") from error
        for _level, _kind, content in ancillary:
            self._descriptors += array.array("i", content)
        if not chunk:
            raise Gone("the server closed the connection")
        self._unread += chunk
        if hasattr(self, "_last"):  # greeted
            self._sort()

    def _until(self, condition):
        while not condition():
            self._pull()

    def _sort(self):
        while len(self._unread) >= 32:
            kind, detail, number, length = struct.unpack_from("<BBHI", self._unread)
            long = kind == 1 or kind & 0x7F == _GENERIC_EVENT
            whole = 32 + 4 * length if long else 32
            if len(self._unread) < whole:
                return
            packet, self._unread = self._unread[:whole], self._unread[whole:]
            if kind == 0:
                self._errors[number] = ERRORS[detail] if detail < len(ERRORS) else f"extension error {detail}"
            elif kind == 1:
                self._replies[number] = packet
            else:
                self.events.append(packet)
