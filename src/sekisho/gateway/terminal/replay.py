"""The last part of what a terminal showed, for a connection that comes late. Pure.

It is kept in whole pieces (`screening.Piece`), so that it always starts between characters and sequences; the private modes that were set before its
first piece are set again, so that a full-screen program's alternate screen, hidden cursor and mouse are right.
"""

from collections import deque

from sekisho.gateway.terminal.screening import DEFAULT_MODES, Piece

LIMIT_BYTES = 262_144
ALTERNATE_SCREENS = frozenset({47, 1047, 1049})


class Replay:
    def __init__(self, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._pieces: deque[Piece] = deque()
        self._bytes = 0
        self._limit_bytes = limit_bytes
        self.is_cut = False  # something older was dropped

    def add(self, piece: Piece) -> None:
        """Queries are not kept: a replay must not make a terminal answer what nobody asked now."""
        if piece.asks:
            return
        self._pieces.append(piece)
        self._bytes += len(piece.content)
        while self._bytes > self._limit_bytes and len(self._pieces) > 1:
            self._bytes -= len(self._pieces.popleft().content)
            self.is_cut = True

    def render(self) -> bytes:
        if not self._pieces:
            return b""
        modes = self._pieces[0].modes
        content = b"".join(piece.content for piece in self._pieces)
        if self.is_cut and not modes & ALTERNATE_SCREENS:
            content = _from_line_start(content)
        return _render_modes(modes) + content


def _from_line_start(content: bytes) -> bytes:
    """Without the torn first line, if that is nothing but text."""
    line, newline, rest = content.partition(b"\n")
    return rest if newline and b"\x1b" not in line else content


def render_reset(modes: frozenset[int]) -> bytes:
    """What brings a terminal with `modes` set back to the modes that it began with."""
    shown = [f"\x1b[?{number}h" for number in sorted(DEFAULT_MODES - modes)]
    hidden = [f"\x1b[?{number}l" for number in sorted(modes - DEFAULT_MODES)]
    return "".join(hidden + shown).encode()


def _render_modes(modes: frozenset[int]) -> bytes:
    shown = [f"\x1b[?{number}h" for number in sorted(modes - DEFAULT_MODES)]
    hidden = [f"\x1b[?{number}l" for number in sorted(DEFAULT_MODES - modes)]
    return "".join(shown + hidden).encode()
