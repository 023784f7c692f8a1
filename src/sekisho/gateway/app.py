"""The rooms' host: its pages, their assets, and a WebSocket for each channel. No cookie is read or set here, and nothing may be cached.

What opens a room is the one-time ticket in the first WebSocket message alone; a browser's Origin must be the rooms' own, so that no other site can use one.
"""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from sekisho.gateway.desk import Desk
from sekisho.gateway.desktop.messages import CLIENT_TEXT_LIMIT_BYTES
from sekisho.gateway.desktop.relay import DesktopChannel
from sekisho.gateway.doorway_client import Doorway, DoorwayClient
from sekisho.gateway.gate import Gate
from sekisho.gateway.page import render_desktop_page, render_terminal_page
from sekisho.gateway.terminal.relay import TerminalChannel
from sekisho.gateway.timings import Timings
from sekisho.gateway.visits import Visits
from sekisho.policy.caller_address import Networks, caller_address, parse_networks
from sekisho.system.clock import Clock

STATIC = Path(__file__).parent / "static"
CONNECTIONS_LIMIT = 1_000
_PING_SECONDS = 20.0
_UNSENT_BYTES = 131_072  # what was shown before a cut and waits here for a slow client stays little, and an interrupt is soon seen; what is in flight is TCP's


def create_app(
    *, doorway: Doorway, open_path: Path, rooms_origin: str, portal_origin: str, trusted_proxies: Iterable[str], clock: Clock, timings: Timings | None = None
) -> Starlette:
    """`rooms_origin` and `portal_origin` are `https://name[:port]`; `open_path` is the agent's socket; `trusted_proxies` are addresses or networks."""
    times = timings or Timings()
    desk = Desk(doorway=doorway, clock=clock, timings=times)
    visits = Visits(doorway=doorway, desk=desk, timings=times)
    terminal = TerminalChannel(desk=desk, open_path=open_path, timings=times)
    desktop = DesktopChannel(doorway=doorway, desk=desk, open_path=open_path, timings=times)
    doorway.attach(desk)
    trusted = parse_networks(trusted_proxies)

    async def home(_: Request) -> Response:
        return RedirectResponse(portal_origin, status_code=303)

    async def terminal_page(_: Request) -> Response:
        return render_terminal_page(nonce=secrets.token_urlsafe(16), rooms_origin=rooms_origin, portal_origin=portal_origin)

    async def desktop_page(_: Request) -> Response:
        return render_desktop_page(rooms_origin=rooms_origin, portal_origin=portal_origin)

    async def terminal_socket(websocket: WebSocket) -> None:
        await visits.serve(websocket, terminal, address=_address(websocket, trusted))

    async def desktop_socket(websocket: WebSocket) -> None:
        await visits.serve(websocket, desktop, address=_address(websocket, trusted))

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(doorway.run()), asyncio.create_task(desk.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    routes = [
        Route("/", home),
        Route("/terminal", terminal_page),
        Route("/desktop", desktop_page),
        WebSocketRoute("/terminal/ws", terminal_socket),
        WebSocketRoute("/desktop/ws", desktop_socket),
        Mount("/static", GZipMiddleware(StaticFiles(directory=STATIC))),  # the same for everybody: there is no secret beside which compression tells
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.add_middleware(Gate, host=urlsplit(rooms_origin).netloc, origin=rooms_origin)
    return app


async def serve(
    *,
    listener: socket.socket,
    certificate: Path,
    key: Path,
    control_path: Path,
    open_path: Path,
    rooms_origin: str,
    portal_origin: str,
    trusted_proxies: Iterable[str],
    clock: Clock,
    timings: Timings | None = None,
) -> None:
    """TLS on a bound `listener`, until SIGTERM or SIGINT. `certificate` is a PEM chain, the server's first; `key` its private key."""
    times = timings or Timings()
    doorway = DoorwayClient(control_path, answer_seconds=times.answer)
    app = create_app(
        doorway=doorway,
        open_path=open_path,
        rooms_origin=rooms_origin,
        portal_origin=portal_origin,
        trusted_proxies=trusted_proxies,
        clock=clock,
        timings=times,
    )
    await run_server(uvicorn.Server(server_config(app, certificate=certificate, key=key)), listener)


async def run_server(server: uvicorn.Server, listener: socket.socket) -> None:
    """Until the server is told to exit. No connection outlives it: one whose client takes nothing would keep the loop, and so the process, for ever."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
    await server.serve(sockets=[listener])
    for connection in list(server.server_state.connections):
        connection.transport.abort()


def server_config(app: Starlette, *, certificate: Path, key: Path) -> uvicorn.Config:
    """Addresses are ours to read (`policy.caller_address`), not uvicorn's; frames are bounded; nothing is compressed beside secrets (CRIME)."""
    return uvicorn.Config(
        app,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        ws="websockets-sansio",
        ws_max_size=CLIENT_TEXT_LIMIT_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=_PING_SECONDS,
        ws_ping_timeout=_PING_SECONDS,
        limit_concurrency=CONNECTIONS_LIMIT,
        timeout_graceful_shutdown=2,
    )


def _address(connection: HTTPConnection, trusted: Networks) -> str:
    peer = connection.client.host if connection.client else ""
    return caller_address(peer=peer, forwarded=connection.headers.getlist("x-forwarded-for"), trusted=trusted)
