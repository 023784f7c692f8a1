"""What an RFB server says, measured message by message and rectangle by rectangle. Sans-I/O; the server is a hostile room's.

Bytes go on as soon as it is decided what they are: a rectangle's header once it lies inside the frame and its data's length is known, its data as it
comes. So one full-screen rectangle neither waits for its last byte nor fills the gateway's memory, and what the browser has is at every moment the
beginning of a well-formed stream. At most a few kilobytes are held back.
"""

import struct
from dataclasses import dataclass

from sekisho.gateway.desktop import wire
from sekisho.gateway.desktop.rectangles import NOT_YET, Hextile, copy_end, cursor_end, raw_end, tight_end, zrle_end
from sekisho.gateway.desktop.wire import FRAME_LIMIT, Frame
from sekisho.gateway.wire import MalformedMessage

_RECTANGLE = struct.Struct(">4Hi")
_OPEN_ENDED = 65_535  # rectangles: as many as there are before a LastRect
_SCREENS_LIMIT = 16
_UPDATE_ALLOWANCE_BYTES = 1_048_576
_NOTHING = _RECTANGLE.pack(0, 0, 0, 0, wire.RAW)  # a rectangle of no pixels: stands where one was taken out of a count that is said already
_RARE = frozenset({wire.HEXTILE, wire.DESKTOP_SIZE, wire.LAST_RECT, wire.CURSOR, wire.QEMU_KEY, wire.LED_STATE, wire.DESKTOP_NAME, wire.EXTENDED_DESKTOP_SIZE})


@dataclass(frozen=True, slots=True)
class ClipboardWord:
    """The server said something on the extended clipboard. What it said of it is dropped; `flags` are its formats and the act."""

    flags: int


Item = bytes | ClipboardWord


class FromServer:
    """After the handshake. One per connection; unusable after it raised."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self._buffer = b""
        self._at = 0  # decided up to here
        self._kept = 0  # goes on from here
        self._items: list[Item] = []
        self._passing = 0  # bytes that go on as they come
        self._dropping = 0  # bytes that do not
        self.rectangles_left = 0  # still to come in this update
        self._hextile: Hextile | None = None
        self._update_bytes_left = 0

    @property
    def is_between_messages(self) -> bool:
        """Nothing of a message is left to come: what goes on so far is whole."""
        return not (self._buffer or self._passing or self._dropping or self.rectangles_left or self._hextile)

    def feed(self, received: bytes) -> list[Item]:
        """What goes on to the browser, and what the clipboard hears. Raises MalformedMessage."""
        self._buffer = self._buffer + received if self._buffer else received
        self._at, self._kept, self._items = 0, 0, []
        while self._step():
            pass
        self._flush()
        self._buffer = self._buffer[self._at :]
        return self._items

    def _step(self) -> bool:
        """One step on, or False: not yet."""
        if self._passing:
            return self._pass_on()
        if self._dropping:
            return self._drop_on()
        if self._hextile:
            return self._walk(self._hextile)
        if self.rectangles_left:
            return self._data()
        return self._at < len(self._buffer) and self._message(self._buffer[self._at])

    def _pass_on(self) -> bool:
        taken = min(self._passing, len(self._buffer) - self._at)
        self._at += taken
        self._passing -= taken
        return taken > 0

    def _drop_on(self) -> bool:
        self._flush()
        taken = min(self._dropping, len(self._buffer) - self._at)
        self._at += taken
        self._kept = self._at
        self._dropping -= taken
        return taken > 0

    def _flush(self) -> None:
        if self._at > self._kept:
            self._items.append(self._buffer[self._kept : self._at])
        self._kept = self._at

    def _message(self, kind: int) -> bool:
        match kind:
            case wire.FRAMEBUFFER_UPDATE:
                return self._update()
            case wire.BELL | wire.CONTINUOUS_UPDATES:
                self._passing = 1
            case wire.FENCE:
                return self._fence()
            case wire.SERVER_CUT_TEXT:
                return self._cut_text()
            case wire.XVP:
                self._dropping = 4
            case wire.QEMU:
                return self._audio()
            case _:
                raise MalformedMessage(f"message {kind} of a server")
        return True

    def _has(self, count: int) -> bool:
        return len(self._buffer) - self._at >= count

    def _u32(self, offset: int) -> int:
        return int.from_bytes(self._buffer[self._at + offset : self._at + offset + 4], "big")

    def _fence(self) -> bool:
        if not self._has(9):
            return False
        length = self._buffer[self._at + 8]
        if length > wire.FENCE_LIMIT_BYTES:
            raise MalformedMessage("a fence that is too long")
        self._passing = 9 + length
        return True

    def _cut_text(self) -> bool:
        if not self._has(8):
            return False
        length = self._u32(4)
        is_extended = length >= 1 << 31  # minus the length of flags and what they say
        if is_extended:
            length = (1 << 32) - length
            if length < 4:
                raise MalformedMessage("an extended cut text without flags")
            if not self._has(12):
                return False
            self._flush()
            self._items.append(ClipboardWord(self._u32(8)))
        if length > wire.CUT_TEXT_LIMIT_BYTES:
            raise MalformedMessage("a cut text that is too long")
        self._dropping = 8 + length
        return True

    def _audio(self) -> bool:
        """Never asked for. Its beginning and its end are four bytes, its sound has a length."""
        if not self._has(4):
            return False
        kind, operation = self._buffer[self._at + 1], self._buffer[self._at + 3] | self._buffer[self._at + 2] << 8
        if kind != 1 or operation > 2:
            raise MalformedMessage("an unknown QEMU message of a server")
        if operation < 2:
            self._dropping = 4
        elif not self._has(8):
            return False
        elif (length := self._u32(4)) > wire.CUT_TEXT_LIMIT_BYTES:
            raise MalformedMessage("a sound that is too long")
        else:
            self._dropping = 8 + length
        return True

    def _update(self) -> bool:
        if not self._has(4):
            return False
        count = self._buffer[self._at + 2] << 8 | self._buffer[self._at + 3]
        self.rectangles_left = 1 << 62 if count == _OPEN_ENDED else count
        self._update_bytes_left = 2 * raw_end(0, self.frame.width, self.frame.height) + _UPDATE_ALLOWANCE_BYTES
        self._at += 4
        return True

    def _data(self) -> bool:
        """As many rectangles of the usual encodings as are there. Nearly every byte goes this way, so it is written in one piece."""
        buffer, size, at = self._buffer, len(self._buffer), self._at
        width, height, left = self.frame.width, self.frame.height, self.rectangles_left
        x = y = across = down = encoding = 0
        is_rare = False
        while left and size - at >= 12:
            x, y, across, down, encoding = _RECTANGLE.unpack_from(buffer, at)
            is_rare = encoding in _RARE
            if is_rare:
                break
            if x + across > width or y + down > height or not (across and down):
                raise MalformedMessage("a rectangle that does not lie in the frame")
            end = tight_end(buffer, at + 12, across, down) if encoding == wire.TIGHT else self._data_end(encoding, at + 12, across, down)
            if end == NOT_YET:
                break
            left -= 1
            at = end
        is_on = at > self._at
        self.rectangles_left = left
        self._go_to(at)
        return self._rare(encoding, x, y, across, down) if is_rare else is_on

    def _data_end(self, encoding: int, at: int, across: int, down: int) -> int:
        match encoding:
            case wire.ZRLE:
                return zrle_end(self._buffer, at)
            case wire.RAW:
                return raw_end(at, across, down)
            case wire.COPY_RECT:
                return copy_end(self._buffer, at, Frame(across, down), self.frame)
            case _:
                raise MalformedMessage(f"encoding {encoding}")

    def _go_to(self, end: int) -> None:
        """Everything up to `end` goes on, what is not there yet as it comes."""
        self._update_bytes_left -= end - self._at
        if self._update_bytes_left < 0:
            raise MalformedMessage("an update without end")
        self._at = min(end, len(self._buffer))
        self._passing = end - self._at

    def _rare(self, encoding: int, x: int, y: int, across: int, down: int) -> bool:
        """A rectangle whose header is there, and which is no rectangle of pixels, or has to be walked through."""
        data = self._at + 12
        match encoding:
            case wire.HEXTILE:
                if x + across > self.frame.width or y + down > self.frame.height or not (across and down):
                    raise MalformedMessage("a rectangle that does not lie in the frame")
                self._hextile = Hextile(across, down)
                self._go_to(data)
            case wire.CURSOR:
                self._go_to(cursor_end(data, across, down))
            case wire.LED_STATE:
                self._go_to(data + 1)
            case wire.EXTENDED_DESKTOP_SIZE:
                return self._extended_desktop_size(by_client=x == 1, failed=y != 0, frame=Frame(across, down))
            case wire.DESKTOP_NAME:
                return self._desktop_name()
            case wire.DESKTOP_SIZE:
                self._resize(Frame(across, down))
                self._go_to(data)
            case _:  # QEMU_KEY or LAST_RECT: nothing but a header
                self._go_to(data)
        self.rectangles_left = 0 if encoding == wire.LAST_RECT else self.rectangles_left - 1
        return True

    def _walk(self, hextile: Hextile) -> bool:
        self._go_to(hextile.advance(self._buffer, self._at))
        if hextile.is_done:
            self._hextile = None
        return hextile.is_done

    def _extended_desktop_size(self, *, by_client: bool, failed: bool, frame: Frame) -> bool:
        if not self._has(16):
            return False
        screens = self._buffer[self._at + 12]
        if screens > _SCREENS_LIMIT:
            raise MalformedMessage("too many screens")
        if not (by_client and failed):
            self._resize(frame)
        self._go_to(self._at + 16 + 16 * screens)
        self.rectangles_left -= 1
        return True

    def _resize(self, frame: Frame) -> None:
        if not (1 <= frame.width <= FRAME_LIMIT and 1 <= frame.height <= FRAME_LIMIT):
            raise MalformedMessage("a frame out of bounds")
        self.frame = frame

    def _desktop_name(self) -> bool:
        """A text that a program in the room sets. It was not asked for; it does not leave."""
        if not self._has(16):
            return False
        if (length := self._u32(12)) > wire.NAME_LIMIT_BYTES:
            raise MalformedMessage("a name that is too long")
        self._flush()
        self._items.append(_NOTHING)
        self._dropping = 16 + length
        self.rectangles_left -= 1
        return True
