"""The gateway as the server's peer on the extended clipboard (rfbproto, "Extended Clipboard Pseudo-Encoding"). Sans-I/O.

Text goes in, never out. The gateway says that it takes no text (a size of 0); whatever the server tells of its own clipboard is dropped before it
comes here. An allowed paste is announced; only when a program in the room asks for it is it handed over. Without this extension text is Latin-1, and
Japanese would arrive as question marks.
"""

import re
import struct
import zlib

from sekisho.gateway.desktop.wire import CLIENT_CUT_TEXT

_TEXT = 1
_CAPS, _REQUEST, _PEEK, _NOTIFY, _PROVIDE = (1 << bit for bit in range(24, 29))
_LINE_END = re.compile(r"\r\n|\r|\n")


class ClipboardPeer:
    """One per connection. It holds the last text that was allowed, as long as the connection lasts: a program may ask more than once."""

    def __init__(self) -> None:
        self._is_understood = False  # the server knows the extension
        self._text: str | None = None
        self._given = b""  # the text as it is handed over, made once: a server may ask thousands of times in one breath

    def paste(self, text: str) -> bytes:
        """What to say to the server so that its programs can paste a text that was allowed."""
        self._text = text
        self._given = b""
        return self._notify() if self._is_understood else b""

    def hear(self, flags: int) -> bytes:
        """What to answer. Caps are looked for first: they carry the bits of the acts that the server knows."""
        if flags & _CAPS:
            self._is_understood = True
            answer = _render(_CAPS | _REQUEST | _PEEK | _NOTIFY | _PROVIDE | _TEXT, struct.pack(">I", 0))
            return answer + self._notify() if self._text is not None else answer
        if flags & _REQUEST and flags & _TEXT and self._text is not None:
            self._given = self._given or _render(_PROVIDE | _TEXT, _packed(self._text))
            return self._given
        if flags & _PEEK:
            return self._notify()
        return b""

    def _notify(self) -> bytes:
        return _render(_NOTIFY | (_TEXT if self._text is not None else 0), b"")


def _packed(text: str) -> bytes:
    content = _LINE_END.sub("\r\n", text).encode() + b"\0"
    return zlib.compress(struct.pack(">I", len(content)) + content)


def _render(flags: int, body: bytes) -> bytes:
    return struct.pack(">B3xiI", CLIENT_CUT_TEXT, -(4 + len(body)), flags) + body
