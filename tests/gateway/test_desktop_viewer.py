"""TigerVNC's own viewer, shown on a screen of its own, looks into a room through the gateway: a second client that nobody here wrote."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.gateway.rooms_host import RoomsHost, with_rooms_host
from tests.gateway.x_program import XProgram
from tests.gateway.xvnc import start_screen

from sekisho.gateway.desktop import wire

OWN_FORMAT = struct.pack(">B3x4B3H3B3x", 0, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)  # the viewer asks for red where the gateway has blue
GREY, WHITE = 0x808080, 0xFFFFFF  # which look alike in both


@contextlib.asynccontextmanager
async def bridge(host: RoomsHost) -> AsyncIterator[int]:
    """A TCP port that leads to the desktop's WebSocket. The viewer's pixel format is replaced by the one that the gateway insists on."""
    served: list[asyncio.Task] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        client = await host.hello(host.control.issue(), channel="desktop", is_reading=False)

        async def show() -> None:
            async for message in client.socket:
                if isinstance(message, bytes):
                    writer.write(message)
                    await writer.drain()

        showing = asyncio.create_task(show())
        try:
            while typed := await reader.read(65_536):
                await client.socket.send(typed.replace(OWN_FORMAT, wire.render_set_pixel_format()))
        finally:
            for transport in (client.socket.transport, writer.transport):
                transport.abort()  # nobody reads any more, so nobody would hear the answer to a goodbye
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in served:
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)
        await server.wait_closed()


@contextlib.asynccontextmanager
async def viewer(tmp_path: Path, port: int, encoding: str) -> AsyncIterator[XProgram]:
    """What is seen on the screen that it is shown on."""
    shown_on = start_screen(tmp_path, size="900x700")
    environment = {"DISPLAY": f":{shown_on.display}", "HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    command = [
        "xtigervncviewer",
        "-SecurityTypes=None",
        "-AutoSelect=0",
        "-FullColor=1",
        f"-PreferredEncoding={encoding}",
        "-RemoteResize=0",
        f"127.0.0.1::{port}",
    ]
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL)
    try:
        yield XProgram(shown_on.display, has_window=False)
    finally:
        process.terminate()
        await process.wait()
        shown_on.stop()


def seen(eyes: XProgram, colour: int) -> int:
    """At how many places of a grid."""
    return sum(eyes.pixel(x, y) == colour for x in range(20, 640, 100) for y in range(60, 480, 60))


@pytest.mark.parametrize("encoding", ["Tight", "ZRLE", "Hextile", "Raw"])
def test_the_room_is_seen_in_tigervncs_viewer_as_it_changes(tmp_path: Path, encoding: str) -> None:
    async def story(host: RoomsHost) -> None:
        program = host.agent.desktop().screen.program()
        program.fill(0, 0, 640, 480, GREY)
        program.sync()
        async with bridge(host) as port, viewer(tmp_path, port, encoding) as eyes:
            with contextlib.closing(eyes):
                await see(eyes, GREY)
                program.fill(0, 0, 640, 480, WHITE)
                program.sync()
                await see(eyes, WHITE)
                for _ in range(20):  # what is on its way stays understood
                    program.draw(0, 0, 200, 100, bytes(range(250)) * 320)
                    program.copy(0, 0, 200, 100, (300, 200))
                    program.sync()
                program.fill(0, 0, 640, 480, GREY)
                program.sync()
                await see(eyes, GREY)
                assert not host.control.closed, "it is still connected"

    with_rooms_host(tmp_path, story)


async def see(eyes: XProgram, colour: int) -> None:
    async with asyncio.timeout(20):
        while await asyncio.to_thread(seen, eyes, colour) < 35:  # noqa: ASYNC110  pixels have no event
            await asyncio.sleep(0.05)
