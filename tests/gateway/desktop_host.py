"""A rooms' host for tests of the desktop's page: a real Xvnc, painted in one colour, behind `/desktop/ws`.

The relay here speaks the desktop's WebSocket contract with the fake control of `rooms_host`, and copies bytes.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from tests.gateway.rooms_host import PATIENCE_SECONDS, RoomsHost, rooms_host, until

from sekisho.gateway.doorway_client import DoorwayClient
from sekisho.gateway.timings import Timings
from sekisho.model.reasons import Reason, sentence
from sekisho.sessions.doorway import Admitted, Closed, Cut, Extended, Refused

COLOUR = (12, 134, 56)


@dataclass
class Screen:
    """An Xvnc and its painter."""

    socket: Path
    server: asyncio.subprocess.Process
    painter: asyncio.subprocess.Process
    met: list[dict] = field(default_factory=list)

    @property
    def size(self) -> list[int]:
        return next((each["size"] for each in reversed(self.met) if "size" in each), [])

    def pressed(self) -> list[str]:
        return [each["key"] for each in self.met if each.get("is_down")]

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        self.server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.server.send_signal(signal.SIGCONT)

    def held(self) -> set[str]:
        down: set[str] = set()
        for each in self.met:
            if "key" in each:
                (down.add if each["is_down"] else down.discard)(each["key"])
        return down


@contextlib.asynccontextmanager
async def screen(folder: Path, *, extra: tuple[str, ...] = ()) -> AsyncIterator[Screen]:
    path = folder / "rfb.sock"
    reading, writing = os.pipe()
    server = await asyncio.create_subprocess_exec(
        "Xvnc", "-displayfd", str(writing), "-rfbunixpath", str(path), "-rfbunixmode", "0600", "-rfbport", "-1", "-SecurityTypes", "None",
        "-nolisten", "tcp", "-SendCutText=0", "-AllowOverride=", "-depth", "24", "-geometry", "640x480", *extra,
        pass_fds=(writing,), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(writing)
    display = await asyncio.to_thread(_read_line, reading)
    painter = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).parent / "x_painter.py"), f":{display}", "{:02x}{:02x}{:02x}".format(*COLOUR), stdout=subprocess.PIPE
    )  # fmt: skip
    found = Screen(path, server, painter)
    listening = asyncio.create_task(_listen(found))
    try:
        await until(lambda: found.size, "painted")
        yield found
    finally:
        for process in (painter, server):
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await process.wait()
        await listening


def _read_line(descriptor: int) -> str:
    with os.fdopen(descriptor) as pipe:
        return pipe.readline().strip()


async def _listen(found: Screen) -> None:
    assert found.painter.stdout
    async for line in found.painter.stdout:
        found.met.append(json.loads(line))


class Relay:
    """`/desktop/ws`, one task a connection."""

    def __init__(self, doorway: DoorwayClient, screen: Screen) -> None:
        self._doorway = doorway
        self._screen = screen
        self._connections: dict[str, tuple[str, WebSocket]] = {}
        self._said: set[asyncio.Task] = set()
        self.pasted: list[str] = []
        self.refusal: Reason | None = None
        self.leaves_unanswered = False
        doorway.attach(self)

    def connections(self) -> tuple[str, ...]:
        return tuple(self._connections)

    def cut(self, order: Cut) -> None:
        _, socket = self._connections[order.connection]
        self._soon(_last(socket, {"ended": {"reason": order.reason}}))

    def extended(self, news: Extended) -> None:
        for session, socket in self._connections.values():
            if session == news.session:
                self._soon(socket.send_json({"extended": {"ends_at": news.ends_at}}))

    async def serve(self, socket: WebSocket) -> None:
        await socket.accept()
        hello = await socket.receive_json()
        assert hello.keys() == {"ticket"}
        answer = await self._doorway.redeem(ticket=hello["ticket"], address="127.0.0.1", kind="desktop")
        if isinstance(answer, Refused):
            facts = {fact.name: fact.value for fact in answer.facts}
            await _last(socket, {"refused": {"reason": answer.reason, "sentence": sentence(answer.reason, facts), "facts": facts}})
            return
        await socket.send_json({"admitted": _welcome(answer)})
        self._connections[answer.connection] = (answer.session, socket)
        left = False
        try:
            left = await self._carry(socket)
        finally:
            del self._connections[answer.connection]
            self._doorway.closed(Closed(answer.connection, "left" if left else "disconnected", bytes_in=0, bytes_out=0, left=left))

    async def _carry(self, socket: WebSocket) -> bool:
        reader, writer = await asyncio.open_unix_connection(self._screen.socket)
        showing = asyncio.create_task(self._show(reader, socket))
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    return False
                if (text := message.get("text")) is None:
                    writer.write(message["bytes"])
                elif await self._obey(json.loads(text), socket):
                    return True
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
            writer.close()

    async def _show(self, reader: asyncio.StreamReader, socket: WebSocket) -> None:
        while shown := await reader.read(65_536):
            await socket.send_bytes(shown)

    async def _obey(self, message: dict, socket: WebSocket) -> bool:
        if message == {"leave": True}:
            await _last(socket, {"ended": {"reason": "left"}})
            return True
        number, text = message["paste"]["number"], message["paste"]["text"]
        if self.leaves_unanswered:
            return False
        if self.refusal:
            await socket.send_json({"paste-refused": {"number": number, "reason": self.refusal, "sentence": sentence(self.refusal, {}), "facts": {}}})
        else:
            self.pasted.append(text)
            await socket.send_json({"pasted": {"number": number}})
        return False

    def _soon(self, work: object) -> None:
        task = asyncio.ensure_future(work)
        self._said.add(task)
        task.add_done_callback(self._said.discard)


async def _last(socket: WebSocket, message: dict) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        await socket.send_json(message)
        await socket.close()


def _welcome(admitted: Admitted) -> dict:
    names = ("session", "room", "title", "person", "language", "ends_at", "again", "paste_in")
    return {"now": datetime.now(UTC).timestamp(), **{name: getattr(admitted, name) for name in names}}


@dataclass
class DesktopHost:
    rooms: RoomsHost
    screen: Screen
    relay: Relay

    @property
    def control(self):
        return self.rooms.control

    @property
    def origin(self) -> str:
        return self.rooms.origin

    @property
    def pasted(self) -> list[str]:
        return self.relay.pasted

    def refuse_pastes(self, reason: Reason) -> None:
        self.relay.refusal = reason

    def leave_pastes_unanswered(self) -> None:
        self.relay.leaves_unanswered = True

    def allow_pastes(self) -> None:
        self.relay.refusal, self.relay.leaves_unanswered = None, False


@contextlib.asynccontextmanager
async def desktop_host(folder: Path, *, extra: tuple[str, ...] = ()) -> AsyncIterator[DesktopHost]:
    async with rooms_host(folder, timings=Timings(answer=3.0, reason=0.05)) as rooms, screen(folder, extra=extra) as shown:
        doorway = DoorwayClient(rooms.control.path, answer_seconds=3.0)
        relay = Relay(doorway, shown)
        rooms.server.config.app.router.routes.insert(0, WebSocketRoute("/desktop/ws", relay.serve))
        running = asyncio.create_task(doorway.run())
        try:
            await until(lambda: len(rooms.control.alive) == 2, "attached")
            yield DesktopHost(rooms, shown, relay)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
