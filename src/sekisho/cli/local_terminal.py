"""The person's own terminal while it shows a room: raw, and put back as it was whatever happens.

The room's output is screened here as it is in the gateway (`gateway.terminal.screening`): a person's own terminal takes nobody's word for what is harmless.
"""

import os
import select
import shutil
import termios
import time
import tty
from types import TracebackType
from typing import Self

from sekisho.gateway.terminal.replay import render_reset
from sekisho.gateway.terminal.screening import Screener
from sekisho.gateway.terminal.wire import Size, clamp

# What a room may have left behind besides private modes: insert mode, keypad, the cursor's shape, character sets, colours, margins.
_PUT_BACK = b"\x1b[4l\x1b>\x1b[0 q\x1b(B\x0f\x1b[0m\x1b7\x1b[r\x1b8\r\n"
_ANSWERS_SECONDS = 0.15  # a terminal's late answer to a room's query must not be typed into the person's shell


class LocalTerminal:
    """A context manager over two descriptors of a terminal. Raises termios.error if they are none."""

    def __init__(self, *, read_from: int, write_to: int) -> None:
        self.read_from = read_from
        self._write_to = write_to
        self._before = termios.tcgetattr(read_from)
        self._shown = False
        self._screener = Screener()

    def __enter__(self) -> Self:
        tty.setraw(self.read_from)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._shown:
            self.write(render_reset(self._screener.modes) + _PUT_BACK)
            self._swallow_answers()
        termios.tcsetattr(self.read_from, termios.TCSAFLUSH, self._before)

    def size(self) -> Size:
        found = shutil.get_terminal_size()
        return clamp(found.columns, found.lines)

    def show(self, output: bytes) -> None:
        """What comes from the room."""
        self._shown = True
        self.write(b"".join(piece.content for piece in self._screener.feed(output)))

    def write(self, output: bytes) -> None:
        rest = memoryview(output)
        while rest:
            rest = rest[os.write(self._write_to, rest) :]

    def read(self) -> bytes:
        """What was typed; b"" when the terminal is gone."""
        try:
            return os.read(self.read_from, 16_384)
        except OSError:
            return b""

    def _swallow_answers(self) -> None:
        until = time.monotonic() + _ANSWERS_SECONDS
        while (left := until - time.monotonic()) > 0:
            if not select.select([self.read_from], [], [], left)[0] or not self.read():
                return
