"""The gateway's end of control's doorway (`sessions.doorway`): redeem, recheck, ask before a paste, say what closed; hear cuts and extensions. It reconnects
for ever.

Nobody is let in by silence: a question that is not answered in time is answered here, with a refusal or with None. What was closed while control was
away is said when it is back, before `Alive`; that somebody asked to *leave* is said again after every reconnect for a while, because control may have
died with it unread, and hearing it twice is harmless.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from sekisho.model import messages
from sekisho.model.reasons import Reason
from sekisho.sessions.doorway import Admitted, Alive, Allowed, Closed, Cut, Extended, Paste, Pasted, Recheck, Redeem, Refused, ToGateway
from sekisho.system.packets import Channel, ChannelClosed, connect

_RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)
_WAITING_LIMIT = 10_000  # closings kept while control is away
_LEAVING_LIMIT = 256
_LEAVING_SECONDS = 600.0

Question = Redeem | Recheck | Paste
Answer = Admitted | Refused | Allowed | Pasted


class Held(Protocol):
    """What the doorway tells, and asks of, whoever holds the connections."""

    def connections(self) -> tuple[str, ...]: ...

    def cut(self, order: Cut) -> None:
        """Close now, before this returns."""
        ...

    def extended(self, news: Extended) -> None: ...


class Doorway(Protocol):
    def attach(self, held: Held) -> None: ...

    async def redeem(self, *, ticket: str, address: str, kind: str) -> Admitted | Refused: ...

    async def recheck(self, *, connection: str, address: str) -> Allowed | Refused | None:
        """None: control did not answer."""
        ...

    async def paste(self, *, connection: str, address: str, characters: int, size_bytes: int) -> Pasted | Refused:
        """May so much text come in? Silence is a refusal."""
        ...

    def closed(self, news: Closed) -> None: ...

    async def run(self) -> None:
        """Connects, and connects again, until cancelled."""
        ...


class DoorwayClient(Doorway):
    """Over control's SOCK_SEQPACKET socket, inside one asyncio loop."""

    def __init__(self, path: Path, *, answer_seconds: float) -> None:
        self._path = path
        self._answer_seconds = answer_seconds
        self._held: Held | None = None
        self._channel: Channel | None = None
        self._lost = asyncio.Event()
        self._number = 0
        self._asked: dict[int, asyncio.Future[Answer | None]] = {}
        self._unsaid: deque[Closed] = deque(maxlen=_WAITING_LIMIT)
        self._leaving: deque[tuple[float, Closed]] = deque(maxlen=_LEAVING_LIMIT)

    def attach(self, held: Held) -> None:
        self._held = held

    async def redeem(self, *, ticket: str, address: str, kind: str) -> Admitted | Refused:
        answer = await self._ask(lambda number: Redeem(number, ticket, address, kind))
        return answer if isinstance(answer, Admitted | Refused) else Refused(to=0, reason=Reason.CONTROL_UNAVAILABLE)

    async def recheck(self, *, connection: str, address: str) -> Allowed | Refused | None:
        answer = await self._ask(lambda number: Recheck(number, connection, address))
        return answer if isinstance(answer, Allowed | Refused) else None

    async def paste(self, *, connection: str, address: str, characters: int, size_bytes: int) -> Pasted | Refused:
        answer = await self._ask(lambda number: Paste(number, connection, address, characters=characters, size_bytes=size_bytes))
        return answer if isinstance(answer, Pasted | Refused) else Refused(to=0, reason=Reason.CONTROL_UNAVAILABLE)

    def closed(self, news: Closed) -> None:
        if news.left:
            self._leaving.append((asyncio.get_running_loop().time(), news))
        if not self._say(news):
            self._unsaid.append(news)

    async def run(self) -> None:
        failures = 0
        try:
            while True:
                failures = 0 if await self._serve_once() else failures + 1
                await asyncio.sleep(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)])
        finally:
            self._drop()

    async def _serve_once(self) -> bool:
        """One connection, to its end. False if nobody listens."""
        try:
            self._channel = connect(self._path)
        except ChannelClosed:
            return False
        self._lost.clear()
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._on_readable)
        self._greet()
        await self._lost.wait()
        return True

    def _greet(self) -> None:
        now = asyncio.get_running_loop().time()
        repeated = [news for at, news in self._leaving if now - at < _LEAVING_SECONDS]
        unsaid = [news for news in self._unsaid if news not in repeated]
        self._unsaid.clear()
        for news in (*unsaid, *repeated):
            self._say(news)
        self._say(Alive(self._held.connections() if self._held else ()))

    async def _ask(self, question: Callable[[int], Question]) -> Answer | None:
        self._number += 1
        number = self._number
        answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            if not self._say(question(number)):
                return None
            async with asyncio.timeout(self._answer_seconds):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._asked[number]

    def _say(self, message: Question | Closed | Alive) -> bool:
        if self._channel is None:
            return False
        try:
            self._channel.send(messages.render(message))
        except ChannelClosed:
            self._drop()
            return False
        self._watch_for_writing()
        return True

    def _watch_for_writing(self) -> None:
        assert self._channel, "only while connected"
        loop = asyncio.get_running_loop()
        if self._channel.is_waiting_to_write:
            loop.add_writer(self._channel.fileno(), self._on_writable)
        else:
            loop.remove_writer(self._channel.fileno())

    def _on_writable(self) -> None:
        assert self._channel, "only while connected"
        try:
            self._channel.flush()
        except ChannelClosed:
            self._drop()
            return
        self._watch_for_writing()

    def _on_readable(self) -> None:
        try:
            while self._channel and (received := self._channel.receive()):
                self._hear(messages.parse(received[0], ToGateway))
        except (ChannelClosed, messages.MalformedMessage):
            self._drop()

    def _hear(self, message: object) -> None:
        if isinstance(message, Answer):
            self._answered(message)
        elif self._held and isinstance(message, Cut):
            self._held.cut(message)
        elif self._held and isinstance(message, Extended):
            self._held.extended(message)

    def _answered(self, message: Answer) -> None:
        answer = self._asked.get(message.to)
        if answer and not answer.done():
            answer.set_result(message)
        elif isinstance(message, Admitted):  # too late: nobody is there to be let in any more
            self.closed(Closed(message.connection, "disconnected", bytes_in=0, bytes_out=0))

    def _drop(self) -> None:
        if self._channel is None:
            return
        with contextlib.suppress(ValueError):
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            asyncio.get_running_loop().remove_writer(self._channel.fileno())
        self._channel.close()
        self._channel = None
        for answer in self._asked.values():
            if not answer.done():
                answer.set_result(None)
        self._lost.set()
