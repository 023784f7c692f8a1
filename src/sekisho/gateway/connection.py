"""One admitted connection of one person: what waits to be sent to them, and why it ends.

`end` takes effect before it returns: from then on nothing is queued, shown or counted, whatever the network does. The last word is then sent, and the
WebSocket closed (`visits`).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sekisho.gateway import wire
from sekisho.sessions.doorway import Admitted, Closed

LIMIT_BYTES = 1_048_576  # a connection so far behind the others is closed


@dataclass(frozen=True, slots=True)
class Ending:
    """`why` is control's word (`sessions.doorway.Closed.why`); `message` the last one to the client, none when it is the client that is gone or slow."""

    why: str
    message: wire.Ended | wire.Refused | None = None
    left: bool = False


LEFT = Ending("left", wire.Ended("left"), left=True)


@dataclass(frozen=True, slots=True)
class Pace:
    """How a channel sends. `frame_bytes`: of one frame to the client; `full_bytes`: the room waits when so much is waiting."""

    frame_bytes: int
    full_bytes: int


class Connection:
    def __init__(self, admitted: Admitted, *, address: str, pace: Pace) -> None:
        self.id = admitted.connection
        self.session = admitted.session
        self.address = address
        self.bytes_in = 0
        self.bytes_out = 0
        self.ending: Ending | None = None
        self.is_over = asyncio.Event()
        self.on_taken: Callable[[], None] = lambda: None
        self._pace = pace
        self._waiting: deque[bytes | str] = deque()
        self._waiting_bytes = 0
        self._has_some = asyncio.Event()

    @property
    def is_full(self) -> bool:
        return self._waiting_bytes >= self._pace.full_bytes

    def show(self, output: bytes) -> None:
        """Queue the room's output."""
        frame_bytes = self._pace.frame_bytes
        if output and self._has_room(len(output)):
            self._queue(*(output[at : at + frame_bytes] for at in range(0, len(output), frame_bytes)))

    def say(self, message: str) -> None:
        """Queue a text message."""
        if self._has_room(len(message)):
            self._queue(message)

    def end(self, ending: Ending) -> None:
        """The first ending stands."""
        if self.ending:
            return
        self.ending = ending
        self._waiting.clear()
        self._waiting_bytes = 0
        self.is_over.set()

    async def take(self) -> bytes | str:
        """What to send next."""
        while not self._waiting:
            self._has_some.clear()
            await self._has_some.wait()
        item = self._waiting.popleft()
        self._waiting_bytes -= len(item)
        if isinstance(item, bytes):
            self.bytes_out += len(item)
        self.on_taken()
        return item

    def closed(self) -> Closed:
        ending = self.ending or Ending("disconnected")
        return Closed(self.id, ending.why, bytes_in=self.bytes_in, bytes_out=self.bytes_out, left=ending.left)

    def _has_room(self, count: int) -> bool:
        """A connection that is too far behind ends here, so that what it holds stays bounded."""
        if not self.ending and self._waiting_bytes + count > LIMIT_BYTES:
            self.end(Ending("disconnected"))
        return not self.ending

    def _queue(self, *items: bytes | str) -> None:
        self._waiting.extend(items)
        self._waiting_bytes += sum(map(len, items))
        self._has_some.set()
