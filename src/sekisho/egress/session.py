"""A session as egress serves it: its rules, its names, the sockets inside its room, and the connections through them. It ends all at once."""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from sekisho.egress.connection import Conduct, Connection, close
from sekisho.egress.direct import DirectConduct
from sekisho.egress.facts import SessionFacts
from sekisho.egress.loop import READ
from sekisho.egress.names.book import NameBook
from sekisho.egress.names.serving import Datagrams, Stream
from sekisho.egress.parts import Parts
from sekisho.egress.proxy.conduct import ProxyConduct
from sekisho.egress.rate import OpenBucket
from sekisho.policy.egress import Rules

MOST_CONNECTIONS = 1024  # of one session; more wait in the listeners' backlogs
ACCEPTS_PER_TURN = 16
PAUSE_SECONDS = 0.1  # when this process has no descriptor left


@dataclass(frozen=True, slots=True)
class Sockets:
    """The descriptors of `runtime.protocol.OpenKind.EGRESS`, in their order. The lifeline may be a pipe or a socket."""

    lifeline: int
    names_udp: socket.socket
    names_tcp: socket.socket
    proxy: socket.socket
    direct: tuple[socket.socket, ...]

    @classmethod
    def take(cls, descriptors: tuple[int, ...]) -> "Sockets":
        """Owns them all from here on. Raises ValueError, and has closed them, if they are not what they should be."""
        if len(descriptors) < 4:
            close_all(descriptors)
            raise ValueError("fewer descriptors than a room has")
        lifeline, *others = descriptors
        try:
            ends = [socket.socket(fileno=descriptor) for descriptor in others]
        except OSError as error:
            close_all(descriptors)
            raise ValueError("a descriptor that is no socket") from error
        os.set_blocking(lifeline, False)
        return cls(lifeline, ends[0], ends[1], ends[2], tuple(ends[3:]))

    def all(self) -> tuple[socket.socket, ...]:
        return (self.names_udp, self.names_tcp, self.proxy, *self.direct)


def close_all(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


class Cuttable(Protocol):
    def start(self) -> None: ...

    def cut(self, why: str) -> None: ...


class Session:
    """`on_lifeline` is called when the room or its shim is gone."""

    def __init__(self, parts: Parts, *, facts: SessionFacts, rules: Rules, book: NameBook, sockets: Sockets, on_lifeline: Callable[[], None]) -> None:
        self.facts = facts
        self.rules = rules
        self.book = book
        self.bucket = OpenBucket(parts.rate)
        self._parts = parts
        self._sockets = sockets
        self._connections: set[Cuttable] = set()
        self._is_paused = False
        self._accepting = (sockets.names_tcp, sockets.proxy, *sockets.direct)
        parts.loop.watch(sockets.lifeline, READ, lambda _events: self._on_lifeline(on_lifeline))
        Datagrams(parts.loop, parts.refusals, self, sockets.names_udp)
        for listener in self._accepting:
            listener.setblocking(False)
            parts.loop.watch(listener.fileno(), READ, partial(self._on_accept, listener, self._kind(listener)))

    def on_over(self, connection: Cuttable) -> None:
        self._connections.discard(connection)
        if self._is_paused and len(self._connections) < MOST_CONNECTIONS:
            self._resume()

    def close(self, why: str) -> None:
        """Cut every connection, with a reset, and let go of the room's sockets. The book is the caller's."""
        self._parts.loop.forget(self._sockets.lifeline)
        os.close(self._sockets.lifeline)
        for end in self._sockets.all():
            self._parts.loop.forget(end.fileno())
            end.close()
        self._is_paused = False
        for connection in tuple(self._connections):
            connection.cut(why)

    def _on_lifeline(self, is_over: Callable[[], None]) -> None:
        with suppress(BlockingIOError):
            if not os.read(self._sockets.lifeline, 64):
                is_over()

    def _kind(self, listener: socket.socket) -> Callable[[socket.socket], Cuttable]:
        if listener is self._sockets.names_tcp:
            return lambda end: Stream(self._parts.loop, self._parts.refusals, self, end, self.on_over)
        conduct: type[Conduct] = ProxyConduct if listener is self._sockets.proxy else DirectConduct
        return lambda end: Connection(self._parts, self, end, conduct())

    def _on_accept(self, listener: socket.socket, connection_of: Callable[[socket.socket], Cuttable], _events: int) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            if len(self._connections) >= MOST_CONNECTIONS:
                self._pause()
                return
            try:
                end, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # no descriptor or memory left: to try again at once would spin
                self._pause()
                self._parts.loop.after(PAUSE_SECONDS, self._resume)
                return
            self._begin(connection_of(end), end)

    def _begin(self, connection: Cuttable, end: socket.socket) -> None:
        self._connections.add(connection)
        try:
            connection.start()
        except OSError:  # reset while it waited to be accepted
            self._connections.discard(connection)
            self._parts.loop.forget(end.fileno())
            close(end, reset=True)

    def _pause(self) -> None:
        self._is_paused = True
        for listener in self._accepting:
            self._parts.loop.change(listener.fileno(), 0)

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            for listener in self._accepting:
                self._parts.loop.change(listener.fileno(), READ)
