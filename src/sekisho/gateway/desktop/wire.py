"""The part of RFB 3.8 that passes this gateway: its numbers, its limits, and the messages that the gateway itself writes (RFC 6143, rfbproto).

Three rules decide everything in this package. RFB has no length field, so a message or an encoding that is not known cannot be skipped: what is known
and not allowed is dropped, what is not known closes the connection, and the server is never asked for what cannot be measured. The pixel format is
pinned, so that no pixel changes its size while it is on its way. And text leaves in no direction: the clipboard's messages end here (`clipboard`).

Sans-I/O, like `handshake`, `from_server`, `rectangles`, `from_browser`, `clipboard` and `messages` beside it.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

# 32 bits of depth 24, little-endian, true colour, 255 of each, red at 0, green at 8, blue at 16: what noVNC asks for (RFC 6143 §7.4)
PIXEL_FORMAT = struct.pack(">4B3H3B3x", 32, 24, 0, 1, 255, 255, 255, 0, 8, 16)
PIXEL_BYTES = 4
TPIXEL_BYTES = 3  # of a pixel in Tight data

# client to server
SET_PIXEL_FORMAT = 0
SET_ENCODINGS = 2
FRAMEBUFFER_UPDATE_REQUEST = 3
KEY_EVENT = 4
POINTER_EVENT = 5
CLIENT_CUT_TEXT = 6
SET_DESKTOP_SIZE = 251
# server to client
FRAMEBUFFER_UPDATE = 0
BELL = 2
SERVER_CUT_TEXT = 3
# both
CONTINUOUS_UPDATES = 150  # enable them; they ended
FENCE = 248
XVP = 250
QEMU = 255

RAW, COPY_RECT, HEXTILE, TIGHT, ZRLE = 0, 1, 5, 7, 16
DESKTOP_SIZE, LAST_RECT, CURSOR, QEMU_KEY = -223, -224, -239, -258
LED_STATE, DESKTOP_NAME, EXTENDED_DESKTOP_SIZE = -261, -307, -308
FENCES, ENDS_OF_CONTINUOUS_UPDATES = -312, -313
EXTENDED_CLIPBOARD = 0xC0A1E5CE - (1 << 32)
_JPEG_QUALITIES, _COMPRESSIONS = range(-32, -22), range(-256, -246)

# What a server may be asked for: every one can be measured without being decoded.
ENCODINGS = frozenset(
    {
        *(TIGHT, ZRLE, HEXTILE, COPY_RECT, RAW),
        *(*_JPEG_QUALITIES, *_COMPRESSIONS),
        *(DESKTOP_SIZE, LAST_RECT, CURSOR, QEMU_KEY, LED_STATE, EXTENDED_DESKTOP_SIZE, FENCES, ENDS_OF_CONTINUOUS_UPDATES),
    }
)

FRAME_LIMIT = 16_384  # pixels along a side: no browser draws a larger canvas
NAME_LIMIT_BYTES = 4_096
CUT_TEXT_LIMIT_BYTES = 1_048_576  # what is dropped; it is never held
FENCE_LIMIT_BYTES = 64


@dataclass(frozen=True, slots=True)
class Frame:
    """The size of the framebuffer, in pixels: 1 to `FRAME_LIMIT` each."""

    width: int
    height: int


def render_set_pixel_format() -> bytes:
    return struct.pack(">B3x", SET_PIXEL_FORMAT) + PIXEL_FORMAT


def render_set_encodings(encodings: Iterable[int]) -> bytes:
    listed = tuple(encodings)
    return struct.pack(f">BxH{len(listed)}i", SET_ENCODINGS, len(listed), *listed)


def render_server_init(frame: Frame, name: str) -> bytes:
    content = name.encode()[:NAME_LIMIT_BYTES]
    return struct.pack(">HH", frame.width, frame.height) + PIXEL_FORMAT + struct.pack(">I", len(content)) + content
