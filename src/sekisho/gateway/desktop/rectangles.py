"""How long a rectangle's data is, without decoding any of it (rfbproto, "Encodings"). Sans-I/O.

Each function looks at `buffer` from `at`, where a rectangle's data begins, and gives where it ends, which may lie beyond what is there: what is in
between is passed on as it comes. `NOT_YET`: its length cannot be told from what is there.
"""

import struct

from sekisho.gateway.desktop.wire import PIXEL_BYTES, TPIXEL_BYTES, Frame
from sekisho.gateway.wire import MalformedMessage

NOT_YET = -1
CURSOR_LIMIT = 256  # pixels along a side

_TIGHT_WIDTH_LIMIT = 2_048
_TIGHT_FILL, _TIGHT_JPEG = 8, 9
_TIGHT_SMALL = 12  # bytes that are not worth compressing
_PALETTE = 1
_FILTERS = frozenset({0, 2})  # copy, gradient

_TILE = 16
_TILE_RAW, _TILE_BACKGROUND, _TILE_FOREGROUND, _TILE_SUBRECTS, _TILE_COLOURED = 1, 2, 4, 8, 16

_POINT = struct.Struct(">HH").unpack_from
_U32 = struct.Struct(">I").unpack_from


def tight_end(buffer: bytes, at: int, width: int, height: int) -> int:
    try:
        control = buffer[at] >> 4
        if control < _TIGHT_FILL:
            return _tight_basic_end(buffer, at + 1, width, height, has_filter=control & 4 != 0)
        if control == _TIGHT_FILL:
            return at + 1 + TPIXEL_BYTES
        if control == _TIGHT_JPEG:
            return _compact_end(buffer, at + 1)
    except IndexError:
        return NOT_YET
    raise MalformedMessage("an unknown kind of Tight rectangle")


def _tight_basic_end(buffer: bytes, at: int, width: int, height: int, *, has_filter: bool) -> int:
    if width > _TIGHT_WIDTH_LIMIT:
        raise MalformedMessage("a Tight rectangle that is too wide")
    data_bytes = width * height * TPIXEL_BYTES
    if has_filter:
        chosen = buffer[at]
        at += 1
        if chosen == _PALETTE:
            colours = buffer[at] + 1
            at += 1 + colours * TPIXEL_BYTES
            data_bytes = _indexes_bytes(colours, width, height)
        elif chosen not in _FILTERS:
            raise MalformedMessage("an unknown Tight filter")
    return at + data_bytes if data_bytes < _TIGHT_SMALL else _compact_end(buffer, at)


def _indexes_bytes(colours: int, width: int, height: int) -> int:
    if colours == 1:
        raise MalformedMessage("a Tight palette of one colour")
    return (width + 7) // 8 * height if colours == 2 else width * height


def _compact_end(buffer: bytes, at: int) -> int:
    """Of what follows a length in one to three bytes, seven bits first."""
    length = buffer[at]
    if length < 0x80:
        return at + 1 + length
    second = buffer[at + 1]
    if second < 0x80:
        return at + 2 + (length & 0x7F | second << 7)
    return at + 3 + (length & 0x7F | (second & 0x7F) << 7 | buffer[at + 2] << 14)


def zrle_end(buffer: bytes, at: int) -> int:
    if len(buffer) - at < 4:
        return NOT_YET
    return at + 4 + int(_U32(buffer, at)[0])


def copy_end(buffer: bytes, at: int, size: Frame, frame: Frame) -> int:
    """A place to copy from, which must lie in the frame as well."""
    if len(buffer) - at < 4:
        return NOT_YET
    x, y = _POINT(buffer, at)
    if x + size.width > frame.width or y + size.height > frame.height:
        raise MalformedMessage("a copy from outside the frame")
    return at + 4


def raw_end(at: int, width: int, height: int) -> int:
    return at + width * height * PIXEL_BYTES


def cursor_end(at: int, width: int, height: int) -> int:
    """Pixels, and a mask of bits; a side may be 0: no cursor is shown."""
    if width > CURSOR_LIMIT or height > CURSOR_LIMIT:
        raise MalformedMessage("a cursor that is too large")
    return at + width * height * PIXEL_BYTES + (width + 7) // 8 * height


class Hextile:
    """The one encoding that has to be walked through: a rectangle's tiles, left to right and top to bottom. One per rectangle."""

    def __init__(self, width: int, height: int) -> None:
        self._widths = [min(_TILE, width - x) for x in range(0, width, _TILE)]
        self._column = 0
        self._lines_left = height  # from the top of the current row of tiles
        self._has_background = False

    @property
    def is_done(self) -> bool:
        return self._lines_left <= 0

    def advance(self, buffer: bytes, at: int) -> int:
        """Where the last whole tile that is there ends."""
        size, widths = len(buffer), self._widths
        while self._lines_left > 0:
            down = min(_TILE, self._lines_left)
            for column in range(self._column, len(widths)):
                end = self._tile_end(buffer, at, widths[column] * down) if at < size else NOT_YET
                if end == NOT_YET or end > size:
                    self._column = column
                    return at
                self._has_background = not buffer[at] & _TILE_RAW
                at = end
            self._column = 0
            self._lines_left -= _TILE
        return at

    def _tile_end(self, buffer: bytes, at: int, area: int) -> int:
        mask = buffer[at]
        if mask & _TILE_RAW:
            return at + 1 + area * PIXEL_BYTES
        if mask > 31 or (mask & _TILE_FOREGROUND and mask & _TILE_COLOURED) or not (mask & _TILE_BACKGROUND or self._has_background):
            raise MalformedMessage("an illegal Hextile tile")
        end = at + 1 + (PIXEL_BYTES if mask & _TILE_BACKGROUND else 0) + (PIXEL_BYTES if mask & _TILE_FOREGROUND else 0)
        if not mask & _TILE_SUBRECTS:
            return end
        if end >= len(buffer):
            return NOT_YET
        return end + 1 + buffer[end] * (2 + PIXEL_BYTES if mask & _TILE_COLOURED else 2)
