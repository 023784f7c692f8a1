"""One session's terminal: the only reader of its pseudo-terminal, shown to all of that person's connections.

It goes on reading when nobody is connected, so that jobs go on. It reads at a pace that a browser can draw; it waits, as a terminal does, while every
connection is full, but not for one that takes nothing at all, and one slow connection never holds up another. The window has the size of the
connection that was active last, and that one answers queries.
"""

import asyncio
import os
import termios
from collections.abc import Callable

from sekisho.gateway.connection import Connection, Ending
from sekisho.gateway.terminal.replay import ALTERNATE_SCREENS, Replay
from sekisho.gateway.terminal.screening import Screener
from sekisho.gateway.terminal.wire import Size

READ_BYTES = 65_536
PACE_BYTES_PER_SECOND = 4_194_304


class Console:
    """Takes over the pseudo-terminal's master and closes it. `on_stopped` is called once, when no process of the room has it open any more."""

    def __init__(self, pty: int, *, stalled_seconds: float, on_stopped: Callable[[], None]) -> None:
        self.connections: list[Connection] = []
        self.is_stopped = False
        self._pty = pty
        self._loop = asyncio.get_running_loop()
        self._stalled_seconds = stalled_seconds
        self._on_stopped = on_stopped
        self._screener = Screener()
        self._replay = Replay()
        self._active: Connection | None = None
        self._sizes: dict[str, Size] = {}
        self._waits_for: asyncio.TimerHandle | None = None  # every connection is full
        self._typing = asyncio.Lock()
        self._writable: asyncio.Future[None] | None = None
        os.set_blocking(pty, False)
        self._loop.add_reader(pty, self._on_output)

    def attach(self, connection: Connection, size: Size) -> None:
        connection.show(self._replay.render())
        connection.on_taken = self._on_taken
        self.connections.append(connection)
        self.resize(connection, size)
        if self._replay.is_cut and self._screener.modes & ALTERNATE_SCREENS:
            self._ask_for_redraw(size)

    def detach(self, connection: Connection) -> None:
        self.connections.remove(connection)
        self._sizes.pop(connection.id, None)
        if self._active is connection:
            self._active = None
            if self.connections:
                self._activate(self.connections[-1])
        self._on_taken()

    def resize(self, connection: Connection, size: Size) -> None:
        self._sizes[connection.id] = size
        self._active = None
        self._activate(connection)

    async def type(self, connection: Connection, typed: bytes) -> None:
        """Write all of it to the room. It waits while the room does not read: that is the back pressure on the connection."""
        async with self._typing:
            at = 0
            while at < len(typed) and not self.is_stopped and not connection.ending:
                self._activate(connection)
                try:
                    at += os.write(self._pty, typed[at:])
                except BlockingIOError:
                    await self._until_writable()
                except OSError:
                    self._stop()

    def close(self) -> None:
        """Nothing is read, written or held any more. The room is not told why."""
        if not self.is_stopped:
            self._let_go()

    def _activate(self, connection: Connection) -> None:
        if self._active is connection or self.is_stopped:
            return
        self._active = connection
        if size := self._sizes.get(connection.id):
            termios.tcsetwinsize(self._pty, (size.rows, size.columns))

    def _ask_for_redraw(self, size: Size) -> None:
        """A full-screen program whose beginning is no longer kept draws itself anew when its window changes."""
        termios.tcsetwinsize(self._pty, (max(1, size.rows - 1), size.columns))
        termios.tcsetwinsize(self._pty, (size.rows, size.columns))

    def _on_output(self) -> None:
        output = self._read()
        if output:
            self._show(output)
        if not self.is_stopped and len(output) >= 4096:
            self._loop.remove_reader(self._pty)
            self._loop.call_later(len(output) / PACE_BYTES_PER_SECOND, self._read_on)

    def _read(self) -> bytes:
        """What is there, up to `READ_BYTES`: the kernel gives at most 4 KiB a time."""
        parts: list[bytes] = []
        while sum(map(len, parts)) < READ_BYTES - 4096:
            try:
                part = os.read(self._pty, 4096)
            except BlockingIOError:
                break
            except OSError:  # EIO: no process of the room has the terminal open any more
                part = b""
            if not part:
                self._stop()
                break
            parts.append(part)
        return b"".join(parts)

    def _show(self, output: bytes) -> None:
        for piece in self._screener.feed(output):
            self._replay.add(piece)
            for connection in self.connections:
                if connection is self._active or not piece.asks:
                    connection.show(piece.content)

    def _read_on(self) -> None:
        """Read again, unless there are connections and all of them are full."""
        if self.is_stopped or self._waits_for:
            return
        open_ones = [connection for connection in self.connections if not connection.ending]
        if open_ones and all(connection.is_full for connection in open_ones):
            self._waits_for = self._loop.call_later(self._stalled_seconds, self._on_stalled, {each.id: each.bytes_out for each in open_ones})
            return
        self._loop.add_reader(self._pty, self._on_output)

    def _on_taken(self) -> None:
        if self._waits_for and not all(connection.is_full for connection in self.connections):
            self._waits_for.cancel()
            self._waits_for = None
            self._read_on()

    def _on_stalled(self, sent_before: dict[str, int]) -> None:
        self._waits_for = None
        for connection in self.connections:
            if connection.is_full and sent_before.get(connection.id) == connection.bytes_out:
                connection.end(Ending("disconnected"))
        self._read_on()

    async def _until_writable(self) -> None:
        self._writable = self._loop.create_future()
        self._loop.add_writer(self._pty, self._on_writable)
        try:
            await self._writable
        finally:
            self._writable = None
            if not self.is_stopped:
                self._loop.remove_writer(self._pty)

    def _on_writable(self) -> None:
        if self._writable and not self._writable.done():
            self._writable.set_result(None)

    def _stop(self) -> None:
        if self.is_stopped:
            return
        self._let_go()
        self._on_stopped()

    def _let_go(self) -> None:
        self.is_stopped = True
        self._loop.remove_reader(self._pty)
        self._loop.remove_writer(self._pty)
        if self._waits_for:
            self._waits_for.cancel()
            self._waits_for = None
        self._on_writable()
        os.close(self._pty)
