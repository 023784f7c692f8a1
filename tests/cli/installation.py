"""An installation for the command line's tests: the portal's API as its contract has it, and the real rooms' host beside it, over real TLS.

Both run in a thread of their own, so that commands may block.
"""

import asyncio
import contextlib
import json
import secrets
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tests.gateway.rooms_host import RoomsHost, rooms_host, until

from sekisho.gateway.timings import Timings

SESSION = "s-aaaaaaaaaa"


def moment(**ahead: float) -> str:
    return (datetime.now(UTC) + timedelta(**ahead)).isoformat()


@dataclass
class Api:
    """What the portal would know. Tests put things in and look at what was asked."""

    people: dict[str, str] = field(default_factory=lambda: {"hanako": "correct horse battery", "sato": "another long secret"})
    tokens: dict[str, str] = field(default_factory=dict)
    rooms: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)
    log: Path | None = None
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    refusal: dict[str, Any] | None = None
    host: RoomsHost | None = None

    def app(self) -> Starlette:
        routes = [
            Route("/api/sign-in", self.sign_in, methods=["POST"]),
            Route("/api/sign-out", self.sign_out, methods=["POST"]),
            Route("/api/me", self.me),
            Route("/api/rooms", self.listing("rooms")),
            Route("/api/requests", self.make, methods=["POST"]),
            Route("/api/requests", self.listing("requests")),
            Route("/api/requests/{id}/{act}", self.decide, methods=["POST"]),
            Route("/api/sessions", self.listing("sessions")),
            Route("/api/sessions/{id}/enter", self.enter, methods=["POST"]),
            Route("/api/log", self.read_log),
            Route("/api/log/files/{path:path}", self.log_file),
        ]
        return Starlette(routes=routes)

    def person(self, request: Request) -> str | None:
        return self.tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))

    def refused(self, request: Request) -> Response | None:
        if self.person(request) is None:
            return JSONResponse({"reason": "not-signed-in", "sentence": "You are not signed in. Sign in and try again.", "facts": {}}, 401)
        return JSONResponse(self.refusal, 403) if self.refusal else None

    async def body(self, request: Request) -> dict[str, Any]:
        body = json.loads(await request.body())
        self.asked.append((request.method, request.url.path, body))
        return body

    async def sign_in(self, request: Request) -> Response:
        body = await self.body(request)
        if self.people.get(body["name"]) != body["password"]:
            return JSONResponse({"reason": "wrong-password", "sentence": "The name or the password is wrong.", "facts": {}}, 403)
        token = secrets.token_urlsafe(24)
        self.tokens[token] = body["name"]
        return JSONResponse({"token": token, "expires_at": moment(hours=12), "person": {"name": body["name"], "display": "", "groups": [], "language": "en"}})

    async def sign_out(self, request: Request) -> Response:
        self.tokens.pop(request.headers["authorization"].removeprefix("Bearer "), None)
        return JSONResponse({})

    async def me(self, request: Request) -> Response:
        if refused := self.refused(request):
            return refused
        factor = {"enrolled": True, "proven_at": None, "recovery_codes": 10}
        person = {"name": self.person(request), "display": "Hanako Sato", "groups": ["marketing"], "language": "ja"}
        return JSONResponse({"person": person, "address": request.client.host, "expires_at": moment(hours=12), "form_token": None, "second_factor": factor})

    def listing(self, name: str):
        async def answer(request: Request) -> Response:
            self.asked.append((request.method, request.url.path, dict(request.query_params)))
            return self.refused(request) or JSONResponse({name: getattr(self, name)})

        return answer

    async def make(self, request: Request) -> Response:
        if refused := self.refused(request):
            return refused
        body = await self.body(request)
        made = a_request(state="pending", room=body["room"], reason=body["reason"], ticket=body["ticket"])
        self.requests.append(made)
        return JSONResponse(made, 201)

    async def decide(self, request: Request) -> Response:
        if refused := self.refused(request):
            return refused
        await self.body(request)
        found = next((each for each in self.requests if each["id"] == request.path_params["id"]), None)
        if found is None:
            return JSONResponse({"status": 404}, 404)
        found["state"] = {"approve": "approved", "deny": "denied", "withdraw": "withdrawn", "extend": "approved", "end": "ended"}[request.path_params["act"]]
        return JSONResponse(found)

    async def enter(self, request: Request) -> Response:
        if refused := self.refused(request):
            return refused
        kind = (await self.body(request))["kind"]
        found = next(each for each in self.sessions if each["id"] == request.path_params["id"])
        if kind not in found["kinds"]:
            offered = ", ".join(found["kinds"])
            return JSONResponse({"reason": "kind-not-offered", "sentence": f"campaign offers {offered}, not {kind}.", "facts": {}}, 403)
        ticket = self.host.control.issue(request.path_params["id"])
        origin = self.host.origin
        return JSONResponse({"page": f"{origin}/{kind}#{ticket}", "websocket": f"{origin.replace('https', 'wss')}/{kind}/ws", "ticket": ticket})

    async def read_log(self, request: Request) -> Response:
        if refused := self.refused(request):
            return refused
        query = request.query_params
        self.asked.append((request.method, request.url.path, dict(query)))
        found = [each for each in self.entries if each["index"] > int(query["after"]) and each.get("room", "") == query.get("room", each.get("room", ""))]
        return JSONResponse({"entries": found[: int(query["limit"])], "size": len(self.entries)})

    async def log_file(self, request: Request) -> Response:
        path = self.log / request.path_params["path"]
        return self.refused(request) or (Response(path.read_bytes()) if path.is_file() else JSONResponse({"status": 404}, 404))


REQUEST = {
    "id": "r-aaaaaaaaaa",
    "room": "campaign",
    "room_title": "Campaign data",
    "person": "hanako",
    "reason": "last week's export",
    "ticket": "MKT-42",
    "address": "127.0.0.1",
    "state": "approved",
    "approvals": [],
    "needed": 1,
    "decided_by": "",
    "note": "",
    "end_reason": "",
    "may_decide": False,
    "is_mine": True,
}
RUNNING = {
    "id": SESSION,
    "request": "r-aaaaaaaaaa",
    "room": "campaign",
    "person": "hanako",
    "kinds": ["terminal"],
    "state": "ready",
    "staged_bytes": 0,
    "staged_total_bytes": 0,
    "staged_files": 0,
    "why": "",
    "connections": 0,
    "is_mine": True,
    "may_end": True,
}


def a_request(**changes: Any) -> dict[str, Any]:
    return {**REQUEST, "asked_at": moment(), "starts_at": moment(minutes=-1), "ends_at": moment(hours=1), **changes}


def a_session(**changes: Any) -> dict[str, Any]:
    return {**RUNNING, "starts_at": moment(minutes=-1), "ends_at": moment(hours=1), **changes}


@dataclass
class Installation:
    api: Api
    url: str
    authority: Path
    loop: asyncio.AbstractEventLoop
    host: RoomsHost


@contextlib.contextmanager
def installation(folder: Path) -> Iterator[Installation]:
    """The portal and the rooms in a thread, so that commands may block in this one."""
    started: list[Installation] = []
    is_up, is_over = threading.Event(), threading.Event()

    async def run() -> None:
        async with rooms_host(folder, timings=Timings(answer=3.0, reason=0.05)) as host:
            api = Api(host=host)
            listener = socket.create_server(("127.0.0.1", 0))
            config = uvicorn.Config(api.app(), ssl_certfile=folder / "rooms.pem", ssl_keyfile=folder / "rooms.key", log_level="warning", access_log=False)
            server = uvicorn.Server(config)
            server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            await until(lambda: server.started, "portal")
            url = f"https://sekisho.localhost:{listener.getsockname()[1]}"
            started.append(Installation(api, url, folder / "rooms.pem", asyncio.get_running_loop(), host))
            is_up.set()
            await asyncio.to_thread(is_over.wait)
            server.should_exit = True
            await serving
            listener.close()

    thread = threading.Thread(target=lambda: uvloop.run(run()))
    thread.start()
    try:
        assert is_up.wait(20)
        yield started[0]
    finally:
        is_over.set()
        thread.join(20)
        shutil.rmtree(folder / "log", ignore_errors=True)
