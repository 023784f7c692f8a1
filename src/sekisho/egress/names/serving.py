"""The name server's sockets inside a room: UDP and TCP port 53. Both answer the same way."""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from sekisho.egress.facts import SessionFacts
from sekisho.egress.loop import READ, WRITE, Loop
from sekisho.egress.names.answer import reply_to
from sekisho.egress.names.book import NameBook
from sekisho.egress.names.wire import LIMIT_BYTES, MalformedQuery, framed, take_framed
from sekisho.egress.refusals import Refusals, refusal
from sekisho.policy.egress import Rules

QUERIES_PER_TURN = 32
STREAM_SECONDS = 10.0
_OWED_LIMIT_BYTES = 65_536


class Asked(Protocol):
    """The session, as its name server sees it."""

    facts: SessionFacts
    rules: Rules
    book: NameBook


def answer(unverified: bytes, asked: Asked, refusals: Refusals) -> bytes:
    """The answer to one query, its refusal noted."""
    reply = reply_to(unverified, rules=asked.rules, book=asked.book)
    if reply.denied is not None:
        refusals.add(asked.facts, refusal("names", reply.unverified_name, 0, reply.denied))
    return reply.message


class Datagrams:
    """Port 53 on UDP. A client that does not take its answer loses it, as with any UDP."""

    def __init__(self, loop: Loop, refusals: Refusals, asked: Asked, end: socket.socket) -> None:
        self._refusals = refusals
        self._asked = asked
        self._socket = end
        end.setblocking(False)
        loop.watch(end.fileno(), READ, lambda _events: self._on_ready())

    def _on_ready(self) -> None:
        for _ in range(QUERIES_PER_TURN):
            try:
                query, client = self._socket.recvfrom(LIMIT_BYTES + 1)
            except OSError:  # nothing more, or an ICMP error of an earlier answer
                return
            if message := answer(query, self._asked, self._refusals):
                with suppress(OSError):
                    self._socket.sendto(message, client)


class Stream:
    """One TCP connection to port 53: any number of queries for ten seconds."""

    def __init__(self, loop: Loop, refusals: Refusals, asked: Asked, end: socket.socket, on_over: Callable[["Stream"], None]) -> None:
        self._loop = loop
        self._refusals = refusals
        self._asked = asked
        self._socket = end
        self._on_over = on_over
        self._buffer = bytearray()
        self._owed = bytearray()
        self._is_over = False
        self._timer = loop.after(STREAM_SECONDS, lambda: self.cut("too-slow"))

    def start(self) -> None:
        self._socket.setblocking(False)
        self._loop.watch(self._socket.fileno(), READ, self._on_ready)

    def cut(self, why: str) -> None:
        del why  # a connection to the name server reaches nothing, so the log has nothing to close
        if self._is_over:
            return
        self._is_over = True
        self._timer.cancel()
        self._loop.forget(self._socket.fileno())
        self._socket.close()
        self._on_over(self)

    def _on_ready(self, _events: int) -> None:
        try:
            if not self._owed and not self._read():
                self.cut("left")
                return
            self._answer()
            self._write()
        except (OSError, MalformedQuery):
            self.cut("malformed")

    def _read(self) -> bool:
        with suppress(BlockingIOError):
            read = self._socket.recv(LIMIT_BYTES)
            self._buffer += read
            return bool(read)
        return True

    def _answer(self) -> None:
        while len(self._owed) < _OWED_LIMIT_BYTES and (query := take_framed(self._buffer)) is not None:
            if message := answer(query, self._asked, self._refusals):
                self._owed += framed(message)

    def _write(self) -> None:
        with suppress(BlockingIOError):
            while self._owed:
                del self._owed[: self._socket.send(self._owed)]
        self._loop.change(self._socket.fileno(), WRITE if self._owed else READ)
