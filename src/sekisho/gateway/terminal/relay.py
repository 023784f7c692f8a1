"""One WebSocket, from its first message to its last word: ticket, entry, bytes both ways, a question to control every minute, the end.

Time limits here and in the doorway are `asyncio.timeout`, never `wait_for`: before Python 3.12 that one swallows a cancellation that meets an answer,
and the task of a connection that is over would go on for ever.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from sekisho.gateway import wire
from sekisho.gateway.doorway_client import Doorway
from sekisho.gateway.opener import OpenFailed
from sekisho.gateway.terminal.connection import Connection, Ending
from sekisho.gateway.terminal.desk import Desk
from sekisho.gateway.terminal.pasting import PasteRefuser
from sekisho.gateway.terminal.wire import INPUT_LIMIT_BYTES, Resize, Size, parse_client, parse_hello
from sekisho.gateway.timings import Timings
from sekisho.model.reasons import Reason, sentence
from sekisho.sessions.doorway import Admitted, Allowed, Extended, Fact, Refused

KIND = "terminal"
_GOING_AWAY, _POLICY = 1000, 1008  # RFC 6455 §7.4.1
_log = logging.getLogger("sekisho.gateway")


class Relay:
    def __init__(self, *, doorway: Doorway, desk: Desk, timings: Timings) -> None:
        self._doorway = doorway
        self._desk = desk
        self._timings = timings

    async def serve(self, socket: WebSocket, *, address: str) -> None:
        """Until it is over. The socket's host and origin have been checked; `address` is the person's."""
        await socket.accept()
        try:
            async with asyncio.timeout(self._timings.first_message):
                hello = parse_hello(await _receive_text(socket))
        except (TimeoutError, wire.MalformedMessage):
            await self._last_word(socket, None, code=_POLICY)
            return
        except WebSocketDisconnect:
            return
        answer = await self._doorway.redeem(ticket=hello.unverified_ticket, address=address, kind=KIND)
        if isinstance(answer, Refused):
            await self._last_word(socket, _refusal(answer.reason, answer.facts))
            return
        await self._admitted(socket, answer, hello.size, address)

    async def _admitted(self, socket: WebSocket, admitted: Admitted, size: Size, address: str) -> None:
        connection = Connection(admitted, address=address)
        self._desk.admit(connection)
        try:
            if not connection.ending:
                await self._desk.enter(admitted, connection, size)
        except OpenFailed as failure:
            _log.warning("session %s was not opened: %s", admitted.session, failure.reference)
            connection.end(Ending("disconnected", _not_opened(failure)))
        else:
            await self._carry(socket, connection, PasteRefuser() if not admitted.paste_in else None)
        finally:
            self._desk.release(connection)
        await self._last_word(socket, connection.ending.message if connection.ending else None)

    async def _carry(self, socket: WebSocket, connection: Connection, refuser: PasteRefuser | None) -> None:
        """Everything at once, until the first of it is done."""
        await _first_of(
            self._receive(socket, connection, refuser),
            self._send(socket, connection),
            self._keep_asking(connection),
            _over(connection),
        )

    async def _receive(self, socket: WebSocket, connection: Connection, refuser: PasteRefuser | None) -> None:
        while not connection.ending:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect" or connection.ending:
                return
            if (text := message.get("text")) is not None:
                self._obey(connection, text)
            else:
                await self._type(connection, message["bytes"], refuser)

    async def _type(self, connection: Connection, typed: bytes, refuser: PasteRefuser | None) -> None:
        if len(typed) > INPUT_LIMIT_BYTES:
            connection.end(Ending("disconnected"))
            return
        connection.bytes_in += len(typed)
        await self._desk.type(connection, refuser.feed(typed) if refuser else typed)

    def _obey(self, connection: Connection, text: str) -> None:
        try:
            message = parse_client(text)
        except wire.MalformedMessage:
            connection.end(Ending("disconnected"))
            return
        match message:
            case Resize(size):
                self._desk.resize(connection, size)
            case wire.Leave():
                connection.end(Ending("left", wire.Ended("left"), left=True))

    async def _send(self, socket: WebSocket, connection: Connection) -> None:
        while True:
            item = await connection.take()
            if isinstance(item, bytes):
                await socket.send_bytes(item)
            else:
                await socket.send_text(wire.render_server(item))

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
                    connection.end(Ending("cut", _refusal(reason, facts)))
                case None:
                    pause = min(self._timings.recheck_again, self._timings.recheck)
                    if loop.time() - answered_at >= self._timings.unanswered:
                        connection.end(Ending("cut", _refusal(Reason.CONTROL_UNAVAILABLE, ())))

    async def _last_word(self, socket: WebSocket, message: wire.Ended | wire.Refused | None, *, code: int = _GOING_AWAY) -> None:
        """Sent if the client still takes it; nobody waits long for one that does not."""
        try:
            async with asyncio.timeout(self._timings.last_word):
                if message:
                    await socket.send_text(wire.render_server(message))
                await socket.close(code)
        except (TimeoutError, WebSocketDisconnect, RuntimeError):  # Starlette raises RuntimeError when the client closed first
            return


async def _receive_text(socket: WebSocket) -> str:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    text = message.get("text")
    if not isinstance(text, str):
        raise wire.MalformedMessage("the first message is text")
    return text


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


def _refusal(reason: Reason, facts: tuple[Fact, ...]) -> wire.Refused:
    named = {fact.name: fact.value for fact in facts}
    return wire.Refused(reason, sentence(reason, named), named)


def _not_opened(failure: OpenFailed) -> wire.Refused | wire.Ended:
    """The agent's word for why a capability opened nothing, in the person's words."""
    match failure.reference:
        case "no-such-session":
            return wire.Ended("room-stopped")
        case "capability-refused":
            return _refusal(Reason.TICKET_USED_OR_OLD, ())
        case "lease-lost":
            return _refusal(Reason.CONTROL_UNAVAILABLE, ())
        case _:
            return _refusal(Reason.SESSION_NOT_READY, (Fact("state", "not reachable"),))
