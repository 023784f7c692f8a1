"""What an RFB client says, message by message. Sans-I/O; the browser may be anybody's program.

Only whole messages go on (TigerVNC 1.13 loses its place in a SetDesktopSize that comes in two parts). The pixel format is pinned already, so it is only
checked; encodings are cut down to what can be measured; a size is kept within bounds; texts end here, for pasting is an act of its own.
"""

import struct
from dataclasses import dataclass

from sekisho.gateway.desktop import wire
from sekisho.gateway.wire import MalformedMessage

ENCODINGS_LIMIT = 256
WIDTHS = (320, 3_840)  # of a desktop that a browser may ask for, in pixels
HEIGHTS = (200, 2_400)
_FIXED = {
    wire.SET_PIXEL_FORMAT: 20,
    wire.FRAMEBUFFER_UPDATE_REQUEST: 10,
    wire.KEY_EVENT: 8,
    wire.POINTER_EVENT: 6,
    wire.CONTINUOUS_UPDATES: 10,
    wire.XVP: 4,
}
_QEMU_KEY_BYTES = 12
_DROPPED = b""


@dataclass(frozen=True, slots=True)
class Typed:
    """`content` goes on to the server. `is_active`: a person did something, not only their browser."""

    content: bytes
    is_active: bool


class FromBrowser:
    """After the handshake. One per connection; unusable after it raised."""

    def __init__(self) -> None:
        self._rest = b""
        self._dropping = 0  # bytes of a cut text

    def feed(self, received: bytes) -> Typed:
        """Raises MalformedMessage. What is held back is at most one message, of a few kilobytes."""
        buffer, at = self._rest + received, 0
        content: list[bytes] = []
        is_active = False
        while at < len(buffer):
            if self._dropping:
                at += self._drop(len(buffer) - at)
                continue
            length = self._length(buffer, at)
            if length is None or at + length > len(buffer):
                break
            message = buffer[at : at + length]
            is_active = is_active or _is_act(message)
            content.append(self._judge(message))
            at += length
        self._rest = buffer[at:]
        return Typed(b"".join(content), is_active)

    def _drop(self, there: int) -> int:
        dropped = min(self._dropping, there)
        self._dropping -= dropped
        return dropped

    def _length(self, buffer: bytes, at: int) -> int | None:
        """Of the message that begins there: None if that cannot be told yet. Of a cut text, only of its beginning."""
        kind = buffer[at]
        there = len(buffer) - at
        match kind:
            case wire.SET_ENCODINGS:
                return None if there < 4 else 4 + 4 * _at_most(int.from_bytes(buffer[at + 2 : at + 4], "big"), ENCODINGS_LIMIT)
            case wire.CLIENT_CUT_TEXT:
                return 8
            case wire.FENCE:
                return None if there < 9 else 9 + _at_most(buffer[at + 8], wire.FENCE_LIMIT_BYTES)
            case wire.SET_DESKTOP_SIZE:
                return None if there < 8 else 8 + 16 * buffer[at + 6]
            case wire.QEMU:
                return None if there < 4 else _qemu_length(buffer[at + 1], int.from_bytes(buffer[at + 2 : at + 4], "big"))
            case _:
                if kind not in _FIXED:
                    raise MalformedMessage(f"message {kind} of a client")
                return _FIXED[kind]

    def _judge(self, message: bytes) -> bytes:
        """What goes on of a whole message."""
        match message[0]:
            case wire.SET_PIXEL_FORMAT:
                return _same_format(message)
            case wire.SET_ENCODINGS:
                return _measurable(message)
            case wire.CLIENT_CUT_TEXT:
                (length,) = struct.unpack_from(">i", message, 4)
                self._dropping = _at_most(abs(length), wire.CUT_TEXT_LIMIT_BYTES)
                return _DROPPED
            case wire.SET_DESKTOP_SIZE:
                return _within_bounds(message)
            case wire.XVP | wire.QEMU if not _is_act(message):  # shutting the machine down; sound
                return _DROPPED
            case _:
                return message


def _is_act(message: bytes) -> bool:
    return message[0] in (wire.KEY_EVENT, wire.POINTER_EVENT) or message[:2] == bytes((wire.QEMU, 0))


def _at_most(count: int, limit: int) -> int:
    if count > limit:
        raise MalformedMessage("a message that is too long")
    return count


def _qemu_length(kind: int, operation: int) -> int:
    match kind, operation:
        case 0, _:
            return _QEMU_KEY_BYTES
        case 1, 0 | 1:
            return 4
        case 1, 2:
            return 10
        case _:
            raise MalformedMessage("an unknown QEMU message of a client")


def _same_format(message: bytes) -> bytes:
    if message[4:17] != wire.PIXEL_FORMAT[:13]:  # the last three bytes are padding
        raise MalformedMessage("another pixel format")
    return _DROPPED


def _measurable(message: bytes) -> bytes:
    """The encodings that were asked for and can be measured, in their order, and the gateway's own."""
    asked = struct.unpack(f">{len(message) // 4 - 1}i", message[4:])
    kept = dict.fromkeys(encoding for encoding in asked if encoding in wire.ENCODINGS)
    return wire.render_set_encodings((*kept, wire.EXTENDED_CLIPBOARD))


def _within_bounds(message: bytes) -> bytes:
    """One screen of the nearest size that a desktop may have."""
    width, height, screens = struct.unpack_from(">HHB", message, 2)
    if not screens:
        raise MalformedMessage("a desktop without a screen")
    screen, flags = struct.unpack_from(">I8xI", message, 8)
    width, height = _clamped(width, WIDTHS), _clamped(height, HEIGHTS)
    return struct.pack(">BxHHBxI4HI", wire.SET_DESKTOP_SIZE, width, height, 1, screen, 0, 0, width, height, flags)


def _clamped(found: int, bounds: tuple[int, int]) -> int:
    return max(bounds[0], min(found, bounds[1]))
