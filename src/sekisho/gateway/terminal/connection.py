"""One admitted connection of one person: what waits to be sent to them, and why it ends.

`end` takes effect before it returns: from then on nothing is queued, shown or counted, whatever the network does. The relay then sends the last word
and closes.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sekisho.gateway import wire
from sekisho.sessions.doorway import Admitted, Closed

FRAME_BYTES = 16_384  # of one frame to the client
FULL_BYTES = 262_144  # the room waits when every connection has so much waiting
LIMIT_BYTES = 1_048_576  # a connection so far behind the others is closed


@dataclass(frozen=True, slots=True)
class Ending:
    """`why` is control's word (`sessions.doorway.Closed.why`); `message` the last one to the client, none when it is the client that is gone or slow."""

    why: str
    message: wire.Ended | wire.Refused | None = None
    left: bool = False


class Connection:
    def __init__(self, admitted: Admitted, *, address: str) -> None:
        self.id = admitted.connection
        self.session = admitted.session
        self.address = address
        self.bytes_in = 0
        self.bytes_out = 0
        self.ending: Ending | None = None
        self.is_over = asyncio.Event()
        self.on_taken: Callable[[], None] = lambda: None
        self._waiting: deque[bytes | wire.FromServer] = deque()
        self._waiting_bytes = 0
        self._has_some = asyncio.Event()

    @property
    def is_full(self) -> bool:
        return self._waiting_bytes >= FULL_BYTES

    def show(self, output: bytes) -> None:
        """Queue terminal output. A connection that is too far behind ends here, so that what it holds stays bounded."""
        if self.ending or not output:
            return
        if self._waiting_bytes + len(output) > LIMIT_BYTES:
            self.end(Ending("disconnected"))
            return
        self._waiting.extend(output[at : at + FRAME_BYTES] for at in range(0, len(output), FRAME_BYTES))
        self._waiting_bytes += len(output)
        self._has_some.set()

    def say(self, message: wire.FromServer) -> None:
        if self.ending:
            return
        self._waiting.append(message)
        self._has_some.set()

    def end(self, ending: Ending) -> None:
        """The first ending stands."""
        if self.ending:
            return
        self.ending = ending
        self._waiting.clear()
        self._waiting_bytes = 0
        self.is_over.set()

    async def take(self) -> bytes | wire.FromServer:
        """What to send next."""
        while not self._waiting:
            self._has_some.clear()
            await self._has_some.wait()
        item = self._waiting.popleft()
        if isinstance(item, bytes):
            self._waiting_bytes -= len(item)
            self.bytes_out += len(item)
        self.on_taken()
        return item

    def closed(self) -> Closed:
        ending = self.ending or Ending("disconnected")
        return Closed(self.id, ending.why, bytes_in=self.bytes_in, bytes_out=self.bytes_out, left=ending.left)
