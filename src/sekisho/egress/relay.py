"""Bytes both ways between two sockets, until both sides have said all: half-close is passed on, memory is bounded, an idle tunnel costs nothing.

Small traffic goes through one buffer that all share; a direction that has carried 512 KiB borrows a 1 MiB pipe and is spliced in the kernel, and gives it
back when its reads become small (measured: 1.3 to 1.8 times Squid's throughput at half its CPU). A non-root process gets some 64 such pipes
(fs.pipe-user-pages-soft), so they come from a pool, and a direction that gets none goes on with the buffer.
"""

import fcntl
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from sekisho.egress.loop import BROKEN, ERROR, READ, WRITE, Loop

BUFFER_BYTES = 65_536
PIPE_BYTES = 1 << 20
SPLICE_AFTER_BYTES = 512 * 1024
SMALL_READ_BYTES = 32_768
SMALL_READS_BEFORE_GIVING_BACK = 8
STEPS_PER_TURN = 4  # reads of one direction before others get their turn
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK

Over = Callable[["RelayResult"], None]


@dataclass(frozen=True, slots=True)
class RelayResult:
    sent_bytes: int  # from the room
    received_bytes: int
    was_reset: bool


class Pipes:
    """Pipes of 1 MiB to borrow. `borrow` gives None when there is none to be had."""

    def __init__(self, most: int = 60) -> None:
        self._idle: list[tuple[int, int]] = []
        self._left = most

    def borrow(self) -> tuple[int, int] | None:
        if self._idle:
            return self._idle.pop()
        return self._make() if self._left > 0 else None

    def give_back(self, pipe: tuple[int, int], *, is_empty: bool) -> None:
        """One with bytes left in it must never meet another connection."""
        if is_empty:
            self._idle.append(pipe)
        else:
            self._left += 1
            _close_pipe(pipe)

    def close(self) -> None:
        while self._idle:
            _close_pipe(self._idle.pop())

    def _make(self) -> tuple[int, int] | None:
        try:
            pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except OSError:
            _close_pipe(pipe)
            self._left = 0  # the user's share of pipe memory is used up: those there are will do
            return None
        self._left -= 1
        return pipe


def _close_pipe(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    os.close(pipe[1])


class Direction:
    """From `source` to `sink`. `step` moves what can be moved now; afterwards `wants_read` and `wants_write` say what to wait for.

    With `limit_bytes` no more than that is read, and the sink is not told that it was all: a request whose end its own head has announced.
    """

    __slots__ = ("_buffer", "_left", "_pipe", "_pipes", "_rest", "_sink", "_small_reads", "_source", "_waiting", "carried_bytes", "has_ended", "is_over")

    def __init__(
        self, source: socket.socket, sink: socket.socket, *, buffer: memoryview, pipes: Pipes, first: bytes = b"", limit_bytes: int | None = None
    ) -> None:
        self._source = source
        self._sink = sink
        self._buffer = buffer
        self._pipes = pipes
        self._pipe: tuple[int, int] | None = None
        self._rest = first  # read, not yet written, while not in the pipe
        self._waiting = 0  # bytes in the pipe
        self._small_reads = 0
        self._left = limit_bytes
        self.carried_bytes = 0
        self.has_ended = limit_bytes == 0  # the source said all
        self.is_over = False  # and the sink was told

    @property
    def wants_read(self) -> bool:
        return not self.has_ended and not self.wants_write

    @property
    def wants_write(self) -> bool:
        return bool(self._rest) or self._waiting > 0

    def step(self) -> None:
        """Raises OSError when either end is broken."""
        for _ in range(STEPS_PER_TURN):
            if not self._flush() or self.has_ended or not (self._splice() if self._pipe else self._copy()):
                break
        if self.has_ended and not self.wants_write and not self.is_over:
            self._finish()

    def release(self) -> None:
        if self._pipe is not None:
            self._pipes.give_back(self._pipe, is_empty=self._waiting == 0)
            self._pipe, self._waiting = None, 0

    def _flush(self) -> bool:
        """Write what was read before. False: the sink takes no more now."""
        try:
            if self._rest:
                sent = self._sink.send(self._rest)
                self.carried_bytes += sent
                self._rest = self._rest[sent:]
            while self._waiting and self._pipe:
                sent = os.splice(self._pipe[0], self._sink.fileno(), self._waiting, flags=_FLAGS)
                self._waiting -= sent
                self.carried_bytes += sent
        except BlockingIOError:
            return False
        return not self.wants_write

    def _copy(self) -> bool:
        """False: there is nothing to read now, or the sink takes no more."""
        try:
            count = self._source.recv_into(self._buffer, self._most(len(self._buffer)))
        except BlockingIOError:
            return False
        if count == 0:
            self.has_ended = True
            return False
        self._count(count)
        try:
            sent = self._sink.send(self._buffer[:count])
        except BlockingIOError:
            sent = 0
        self.carried_bytes += sent
        if sent < count:
            self._rest = bytes(self._buffer[sent:count])
        if self.carried_bytes >= SPLICE_AFTER_BYTES and count >= SMALL_READ_BYTES and not self._rest:
            self._pipe = self._pipes.borrow()
            self._small_reads = 0
        return count == len(self._buffer)

    def _splice(self) -> bool:
        assert self._pipe is not None
        try:
            count = os.splice(self._source.fileno(), self._pipe[1], self._most(PIPE_BYTES), flags=_FLAGS)
        except BlockingIOError:
            return False
        if count == 0:
            self.has_ended = True
            return False
        self._count(count)
        self._waiting = count
        self._small_reads = self._small_reads + 1 if count < SMALL_READ_BYTES else 0
        has_room = self._flush()
        if has_room and self._small_reads >= SMALL_READS_BEFORE_GIVING_BACK:
            self.release()
        return has_room

    def _most(self, wanted: int) -> int:
        return wanted if self._left is None else min(wanted, self._left)

    def _count(self, count: int) -> None:
        if self._left is not None:
            self._left -= count
            self.has_ended = self._left == 0

    def _finish(self) -> None:
        self.release()
        self.is_over = True
        if self._left is None:
            self._sink.shutdown(socket.SHUT_WR)


@dataclass(frozen=True, slots=True)
class Carriage:
    """What a relay works with: the shared buffer and pipes, and for the way up what was read already and how much more may be read."""

    buffer: memoryview
    pipes: Pipes
    first: bytes = b""
    limit_bytes: int | None = None


class Relay:
    """Owns neither socket: `over` is called once, and its caller closes both. `first` was read from the client before and goes ahead of the rest."""

    __slots__ = ("_down", "_ends", "_is_stopped", "_loop", "_masks", "_over", "_unwatched", "_up")

    def __init__(self, loop: Loop, *, client: socket.socket, upstream: socket.socket, carriage: Carriage, over: Over) -> None:
        self._loop = loop
        self._ends = (client, upstream)
        self._up = Direction(client, upstream, buffer=carriage.buffer, pipes=carriage.pipes, first=carriage.first, limit_bytes=carriage.limit_bytes)
        self._down = Direction(upstream, client, buffer=carriage.buffer, pipes=carriage.pipes)
        self._over = over
        self._masks = [0, 0]
        self._unwatched = [False, False]
        self._is_stopped = False

    def start(self) -> None:
        for side in (0, 1):
            self._watch_side(side, 0)
        self._step(self._up)

    def stop(self, *, was_reset: bool) -> RelayResult:
        """Move no more bytes, and let go of the sockets."""
        self._is_stopped = True
        for end in self._ends:
            self._loop.forget(end.fileno())
        self._up.release()
        self._down.release()
        return RelayResult(self._up.carried_bytes, self._down.carried_bytes, was_reset)

    def _watch_side(self, side: int, mask: int) -> None:
        self._loop.watch(self._ends[side].fileno(), mask, self._on_upstream_ready if side else self._on_client_ready)

    def _on_client_ready(self, events: int) -> None:
        self._on_ready(events, 0)

    def _on_upstream_ready(self, events: int) -> None:
        self._on_ready(events, 1)

    def _on_ready(self, events: int, side: int) -> None:
        """`reading` has this side for its source, `writing` for its sink."""
        reading, writing = (self._up, self._down) if side == 0 else (self._down, self._up)
        if events & WRITE or (events & BROKEN and writing.wants_write):
            self._step(writing)
        if not self._is_stopped and (events & READ or (events & BROKEN and reading.wants_read)):
            self._step(reading)
        if not self._is_stopped and events & BROKEN and not self._masks[side]:
            self._on_hang_up(events, side)

    def _on_hang_up(self, events: int, side: int) -> None:
        """A side that nobody waits for hung up: reset, or both have said all and what it said last is still to be read when the other side has taken what
        is on its way. It would be reported for ever, so it is not watched until then."""
        if events & ERROR:
            self._end(was_reset=True)
        else:
            self._loop.forget(self._ends[side].fileno())
            self._unwatched[side] = True

    def _step(self, direction: Direction) -> None:
        try:
            direction.step()
        except OSError:
            self._end(was_reset=True)
            return
        if self._up.is_over and self._down.is_over:
            self._end(was_reset=False)
        else:
            self._watch()

    def _watch(self) -> None:
        up, down = self._up, self._down
        wanted = (READ * up.wants_read | WRITE * down.wants_write, READ * down.wants_read | WRITE * up.wants_write)
        for side, mask in enumerate(wanted):
            if mask == self._masks[side]:
                continue
            self._masks[side] = mask
            if self._unwatched[side]:
                self._unwatched[side] = False
                self._watch_side(side, mask)
            else:
                self._loop.change(self._ends[side].fileno(), mask)

    def _end(self, *, was_reset: bool) -> None:
        self._over(self.stop(was_reset=was_reset))
