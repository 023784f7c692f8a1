"""A rooms' host for tests of the desktop's page: the real gateway, and behind it a real Xvnc that a painter fills with one colour.

What the room met is told by the painter; what was pasted is asked for by a program in the room, as at Ctrl+V.
"""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.gateway.rooms_host import PATIENCE_SECONDS, Control, Desktop, RoomsHost, rooms_host, until
from tests.gateway.x_program import XProgram
from tests.gateway.xvnc import Screen, start_screen

from sekisho.gateway.timings import Timings

COLOUR = (12, 134, 56)
SESSION = "s-aaaaaaaaaa"


@dataclass
class Room:
    """What is on the screen, and what it met."""

    screen: Screen
    met: list[dict] = field(default_factory=list)

    @property
    def size(self) -> list[int]:
        return next((each["size"] for each in reversed(self.met) if "size" in each), [])

    def pressed(self) -> list[str]:
        return [each["key"] for each in self.met if each.get("is_down")]

    def held(self) -> set[str]:
        down: set[str] = set()
        for each in self.met:
            if "key" in each:
                (down.add if each["is_down"] else down.discard)(each["key"])
        return down

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        self.screen.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.screen.process.send_signal(signal.SIGCONT)

    async def pasted(self) -> str | None:
        return await asyncio.to_thread(self._paste)

    def _paste(self) -> str | None:
        with contextlib.closing(XProgram(self.screen.display)) as program:
            return program.paste()


@dataclass
class DesktopHost:
    rooms: RoomsHost
    room: Room

    @property
    def control(self) -> Control:
        return self.rooms.control

    @property
    def origin(self) -> str:
        return self.rooms.origin


@contextlib.asynccontextmanager
async def desktop_host(folder: Path, *, more: tuple[str, ...] = ()) -> AsyncIterator[DesktopHost]:
    """`more`: for Xvnc."""
    async with rooms_host(folder, timings=Timings(answer=3.0, reason=0.05)) as rooms:
        screen = await asyncio.to_thread(start_screen, folder, size="640x480", more=("-SendCutText=0", "-AllowOverride=", *more))
        rooms.agent.desktops[SESSION] = Desktop(screen.connect, screen=screen)
        async with painted(Room(screen)) as room:
            yield DesktopHost(rooms, room)


@contextlib.asynccontextmanager
async def painted(room: Room) -> AsyncIterator[Room]:
    program = str(Path(__file__).parent / "x_painter.py")
    colour = "{:02x}{:02x}{:02x}".format(*COLOUR)
    painter = await asyncio.create_subprocess_exec(sys.executable, program, f":{room.screen.display}", colour, stdout=subprocess.PIPE)
    listening = asyncio.create_task(_listen(painter, room))
    try:
        await until(lambda: room.size, "painted")
        yield room
    finally:
        painter.terminate()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await painter.wait()
        await listening


async def _listen(painter: asyncio.subprocess.Process, room: Room) -> None:
    assert painter.stdout
    async for line in painter.stdout:
        room.met.append(json.loads(line))
