"""One WebSocket, from its first message to its last word: ticket, entry, a channel's bytes both ways, a question to control every minute, the end.

What is the same for every channel lives here and in `desk`; what a channel carries is its own (`terminal.relay`, `desktop.relay`).

Time limits here and in the doorway are `asyncio.timeout`, never `wait_for`: before Python 3.12 that one swallows a cancellation that meets an answer,
and the task of a connection that is over would go on for ever.
"""

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from typing import Any, ClassVar, Protocol, TypeVar

from starlette.websockets import WebSocket, WebSocketDisconnect

from sekisho.gateway import wire
from sekisho.gateway.connection import Connection, Ending, Pace
from sekisho.gateway.desk import Desk
from sekisho.gateway.doorway_client import Doorway
from sekisho.gateway.opener import OpenFailed
from sekisho.gateway.timings import Timings
from sekisho.model.reasons import Reason, sentence
from sekisho.runtime.protocol import OpenKind
from sekisho.sessions.doorway import Admitted, Allowed, Extended, Fact, Refused

_GOING_AWAY, _POLICY = 1000, 1008  # RFC 6455 §7.4.1
_log = logging.getLogger("sekisho.gateway")


class Hello(Protocol):
    """The first message of a client."""

    @property
    def unverified_ticket(self) -> str: ...


H = TypeVar("H", bound=Hello)


class Visit(Protocol):
    """What a channel does for one connection that is in. What it shows it gives to the connection."""

    def hear(self, received: str | bytes) -> Awaitable[object] | None:
        """A message of the client. Before what it gives is awaited, the next one is not heard. Raises MalformedMessage."""
        ...

    def close(self) -> None:
        """It is over."""
        ...


class Channel(Protocol[H]):
    """One way into rooms."""

    kind: ClassVar[OpenKind]
    pace: ClassVar[Pace]

    def parse_hello(self, unverified: str) -> H:
        """Raises MalformedMessage."""
        ...

    async def enter(self, admitted: Admitted, connection: Connection, hello: H) -> Visit:
        """Exchange the capability, join the session's stay and begin to show it. Raises OpenFailed."""
        ...


class Visits:
    def __init__(self, *, doorway: Doorway, desk: Desk, timings: Timings) -> None:
        self._doorway = doorway
        self._desk = desk
        self._timings = timings

    async def serve(self, socket: WebSocket, channel: Channel[H], *, address: str) -> None:
        """Until it is over. The socket's host and origin have been checked; `address` is the person's."""
        await socket.accept()
        try:
            async with asyncio.timeout(self._timings.first_message):
                hello = channel.parse_hello(await _receive_text(socket))
        except (TimeoutError, wire.MalformedMessage):
            await self._last_word(socket, None, code=_POLICY)
            return
        except WebSocketDisconnect:
            return
        answer = await self._doorway.redeem(ticket=hello.unverified_ticket, address=address, kind=channel.kind)
        if isinstance(answer, Refused):
            await self._last_word(socket, refusal(answer.reason, answer.facts))
            return
        await self._admitted(socket, channel, hello, answer, address)

    async def _admitted(self, socket: WebSocket, channel: Channel[H], hello: H, admitted: Admitted, address: str) -> None:
        connection = Connection(admitted, address=address, pace=channel.pace)
        self._desk.admit(connection)
        try:
            if not connection.ending:
                await self._visit(socket, connection, await channel.enter(admitted, connection, hello))
        except OpenFailed as failure:
            _log.warning("session %s was not opened: %s", admitted.session, failure.reference)
            connection.end(Ending("disconnected", _not_opened(failure)))
        finally:
            self._desk.release(connection)
        await self._last_word(socket, connection.ending.message if connection.ending else None)

    async def _visit(self, socket: WebSocket, connection: Connection, visit: Visit) -> None:
        """Everything at once, until the first of it is done."""
        try:
            await _first_of(
                _receive(socket, connection, visit, probe_seconds=self._timings.probe),
                _send(socket, connection),
                self._keep_asking(connection),
                _over(connection),
            )
        finally:
            visit.close()

    async def _keep_asking(self, connection: Connection) -> None:
        """May it go on, from where it comes? Control's silence is borne for a while, then it is a no."""
        loop = asyncio.get_running_loop()
        answered_at, pause = loop.time(), self._timings.recheck
        while True:
            await asyncio.sleep(pause)
            answer = await self._doorway.recheck(connection=connection.id, address=connection.address)
            match answer:
                case Allowed(ends_at=ends_at):
                    answered_at, pause = loop.time(), self._timings.recheck
                    self._desk.extended(Extended(connection.session, ends_at))
                case Refused(reason=reason, facts=facts):
                    connection.end(Ending(reason, refusal(reason, facts)))
                case None:
                    pause = min(self._timings.recheck_again, self._timings.recheck)
                    if loop.time() - answered_at >= self._timings.unanswered:
                        connection.end(Ending(Reason.CONTROL_UNAVAILABLE, refusal(Reason.CONTROL_UNAVAILABLE, ())))

    async def _last_word(self, socket: WebSocket, message: wire.Ended | wire.Refused | None, *, code: int = _GOING_AWAY) -> None:
        """Sent if the client still takes it; nobody waits long for one that does not."""
        try:
            async with asyncio.timeout(self._timings.last_word):
                if message:
                    await socket.send_text(wire.render_server(message))
                await socket.close(code)
        except (TimeoutError, WebSocketDisconnect, RuntimeError):  # Starlette raises RuntimeError when the client closed first
            return


def refusal(reason: Reason, facts: tuple[Fact, ...]) -> wire.Refused:
    """A refusal of control's, with its sentence for people."""
    named = {fact.name: fact.value for fact in facts}
    return wire.Refused(reason, sentence(reason, named), named)


async def _receive_text(socket: WebSocket) -> str:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    text = message.get("text")
    if not isinstance(text, str):
        raise wire.MalformedMessage("the first message is text")
    return text


async def _receive(socket: WebSocket, connection: Connection, visit: Visit, *, probe_seconds: float) -> None:
    while not connection.ending:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect" or connection.ending:
            return
        text = message.get("text")
        try:
            waiting = visit.hear(message["bytes"] if text is None else text)
        except wire.MalformedMessage:
            connection.end(Ending("disconnected"))
            return
        if waiting is not None:
            await _until_taken(waiting, socket, probe_seconds=probe_seconds)


async def _until_taken(waiting: Awaitable[object], socket: WebSocket, *, probe_seconds: float) -> None:
    """Until the room has taken the last message. Nothing is read meanwhile, so an empty frame must find out whether the client is still there."""
    working = asyncio.ensure_future(waiting)
    try:
        while not (await asyncio.wait((working,), timeout=probe_seconds))[0]:
            await _send_one(socket, b"")
        await working
    finally:
        working.cancel()


async def _send(socket: WebSocket, connection: Connection) -> None:
    while True:
        await _send_one(socket, await connection.take())


async def _send_one(socket: WebSocket, item: bytes | str) -> None:
    """Raises WebSocketDisconnect."""
    try:
        await (socket.send_bytes(item) if isinstance(item, bytes) else socket.send_text(item))
    except RuntimeError as error:  # uvicorn is closing it by itself, because no pong came
        raise WebSocketDisconnect(code=1006) from error


async def _over(connection: Connection) -> None:
    await connection.is_over.wait()


async def _first_of(*works: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception) and not isinstance(outcome, WebSocketDisconnect):
            _log.error("a connection's work failed", exc_info=outcome)


def _not_opened(failure: OpenFailed) -> wire.Refused | wire.Ended:
    """The agent's word for why a capability opened nothing, in the person's words."""
    match failure.reference:
        case "no-such-session":
            return wire.Ended("room-stopped")
        case "capability-refused":
            return refusal(Reason.TICKET_USED_OR_OLD, ())
        case "lease-lost":
            return refusal(Reason.CONTROL_UNAVAILABLE, ())
        case _:
            return refusal(Reason.SESSION_NOT_READY, (Fact("state", "not reachable"),))
