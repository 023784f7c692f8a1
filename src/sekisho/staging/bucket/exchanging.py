"""Many requests to one endpoint over many connections, in one thread: what is sent, what comes back, what is tried again, and how long anything may take.

Tried again are what the service itself calls its own fault (5xx) and connections that broke, each a bounded number of times and after a pause that doubles.
All else is the first and the last word.
"""

import heapq
import selectors
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from sekisho.staging.bucket.answers import ERROR_LIMIT_BYTES, Refusal, parse_refusal
from sekisho.staging.bucket.connection import Broken, Connection, Unreachable
from sekisho.staging.bucket.endpoint import Endpoint
from sekisho.staging.bucket.wire import End, Event, Head
from sekisho.staging.placing import StagingFailed

CONNECTIONS = 32  # at most, and no more than there is to ask
ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.2  # and 0.4, 0.8, 1.6, 3.2
SILENCE_SECONDS = 30.0
OPEN_SECONDS = 10.0
_LOOK_SECONDS = 1.0
_BUFFER_BYTES = 256 << 10


class Exchange(Protocol):
    """One request and what becomes of its answer. After a broken connection `request` is asked for again, and may ask for the rest only."""

    def request(self) -> bytes: ...

    def on_head(self, head: Head) -> None:
        """Of a success (2xx)."""
        ...

    def on_body(self, chunk: bytes) -> None: ...

    def on_end(self) -> None: ...

    def on_refusal(self, refusal: Refusal) -> StagingFailed:
        """The words for what will not get better by asking again."""
        ...


@dataclass(slots=True)
class Asked:
    exchange: Exchange
    attempts: int = 0
    refused_with: Head | None = None
    refusal: bytes = b""


class Exchanger:
    """Connections to one endpoint, kept from one `perform` to the next."""

    def __init__(self, endpoint: Endpoint, *, now: Callable[[], float] = time.monotonic) -> None:
        self._endpoint = endpoint
        self._now = now
        self._selector = selectors.EpollSelector()
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._connections: set[Connection] = set()
        self._idle: list[Connection] = []
        self._busy: dict[Connection, Asked] = {}
        self._waiting: deque[Asked] = deque()
        self._later: list[tuple[float, int, Asked]] = []
        self._count = 0
        self._address = 0
        self._looked_at = now()

    def perform(self, exchanges: Iterable[Exchange]) -> None:
        """All of them, begun in this order. Raises StagingFailed at the first that can't be had."""
        self._waiting.extend(Asked(exchange) for exchange in exchanges)
        while self._waiting or self._later or self._busy:
            self._begin_more()
            for key, _events in self._selector.select(self._patience()):
                self._serve(key.data)
            if self._now() - self._looked_at >= _LOOK_SECONDS:
                self._look_at_clock()

    def close(self) -> None:
        for connection in list(self._connections):
            self._drop(connection)
        self._selector.close()

    # beginning

    def _begin_more(self) -> None:
        while self._later and self._later[0][0] <= self._now():
            self._waiting.appendleft(heapq.heappop(self._later)[2])
        while self._waiting and (connection := self._free()) is not None:
            asked = self._waiting.popleft()
            asked.refused_with, asked.refusal = None, b""
            self._busy[connection] = asked
            self._attempt(connection, self._ask, asked)

    def _free(self) -> Connection | None:
        if self._idle:
            return self._idle.pop()
        if len(self._connections) >= CONNECTIONS:
            return None
        connection = Connection(self._endpoint, self._address, self._selector, self._now)
        self._connections.add(connection)
        return connection

    def _patience(self) -> float:
        return min(_LOOK_SECONDS, max(0.0, self._later[0][0] - self._now())) if self._later else _LOOK_SECONDS

    # serving

    def _serve(self, connection: Connection) -> None:
        if connection in self._connections:  # else dropped in this very round
            self._attempt(connection, self._hear)

    def _attempt(self, connection: Connection, act: Callable[..., None], *arguments: object) -> None:
        try:
            act(connection, *arguments)
        except Unreachable as error:
            self._next_address(connection, error)
        except Broken as error:
            self._again(connection, str(error))

    def _ask(self, connection: Connection, asked: Asked) -> None:
        connection.ask(asked.exchange.request())

    def _hear(self, connection: Connection) -> None:
        for event in connection.on_ready(self._buffer):
            self._weigh(connection, event)

    def _weigh(self, connection: Connection, event: Event) -> None:
        asked = self._busy[connection]
        match event:
            case bytes():
                if asked.refused_with is None:
                    asked.exchange.on_body(event)
                else:
                    asked.refusal = (asked.refusal + event)[:ERROR_LIMIT_BYTES]
            case Head():
                if 200 <= event.status < 300:
                    asked.exchange.on_head(event)
                else:
                    asked.refused_with = event
            case End():
                self._conclude(connection, asked, keeps_alive=event.keeps_alive)

    def _conclude(self, connection: Connection, asked: Asked, *, keeps_alive: bool) -> None:
        if asked.refused_with is None:
            asked.exchange.on_end()
        else:
            head = asked.refused_with
            refusal = parse_refusal(head.status, asked.refusal, region=head.headers.get("x-amz-bucket-region", ""))
            if head.status < 500:
                raise asked.exchange.on_refusal(refusal)
            self._later_again(asked, f"{self._endpoint.shown} failed with {head.status} {refusal.code}".rstrip())
        del self._busy[connection]
        if keeps_alive:
            self._idle.append(connection)
        else:
            self._drop(connection)

    # failing

    def _again(self, connection: Connection, why: str) -> None:
        asked = self._busy.pop(connection, None)
        self._drop(connection)
        if asked is not None:
            self._later_again(asked, f"{self._endpoint.shown} {why}")

    def _later_again(self, asked: Asked, why: str) -> None:
        asked.attempts += 1
        if asked.attempts >= ATTEMPTS:
            raise StagingFailed(f"{why}, {ATTEMPTS} times")
        self._count += 1
        heapq.heappush(self._later, (self._now() + FIRST_PAUSE_SECONDS * 2 ** (asked.attempts - 1), self._count, asked))

    def _next_address(self, connection: Connection, error: Unreachable) -> None:
        """A name may have addresses that this machine has no way to. One that did not answer is not tried again."""
        asked = self._busy.pop(connection, None)
        self._drop(connection)
        self._address = max(self._address, connection.address + 1)
        if self._address >= len(self._endpoint.addresses):
            raise StagingFailed(f"{self._endpoint.shown} can't be reached: {error}")
        if asked is not None:
            self._waiting.appendleft(asked)

    def _drop(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        connection.close()

    def _look_at_clock(self) -> None:
        now = self._looked_at = self._now()
        for connection in list(self._busy):
            silent_seconds = now - connection.heard_at
            if connection.is_open and silent_seconds >= SILENCE_SECONDS:
                raise StagingFailed(f"{self._endpoint.shown} was silent for {SILENCE_SECONDS:.0f} s")
            if not connection.is_open and silent_seconds >= OPEN_SECONDS:
                self._next_address(connection, Unreachable(f"no answer within {OPEN_SECONDS:.0f} s"))
