"""What holds for every request before anything reads it: the host name, sizes, deadlines, and the headers of every answer. Plain ASGI middleware.

The whole body is read here, bounded in bytes and in seconds, so that nobody who is slow or endless ever holds a worker.
"""

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEAD_LIMIT_BYTES = 16_384
BODY_LIMIT_BYTES = 65_536
BODY_LIMIT_SECONDS = 20.0
TARGET_LIMIT_BYTES = 4_096


def answer_headers(rooms_origin: str) -> Mapping[str, str]:
    """The headers of every answer. `form-action` names the rooms' origin because the answer to *enter* leads there (CSP 3 §6.4.1: redirects count)."""
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        f"form-action 'self' {rooms_origin}; frame-ancestors 'none'; base-uri 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "Strict-Transport-Security": "max-age=31536000",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), usb=(), serial=(), hid=(), payment=()",
    }


class Guard:
    def __init__(self, app: ASGIApp, *, portal_origin: str, headers: Mapping[str, str], body_limit_seconds: float = BODY_LIMIT_SECONDS) -> None:
        self._app = app
        self._host = urlsplit(portal_origin).netloc.encode()
        self._headers = headers
        self._body_limit_seconds = body_limit_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._app(scope, receive, send)
            return
        sending = self._with_headers(send)
        refused = self._refused_head(scope)
        if refused is not None:
            await _answer(sending, *refused)
            return
        try:
            body = await asyncio.wait_for(_read(receive, limit_bytes=BODY_LIMIT_BYTES), self._body_limit_seconds)
        except TimeoutError:
            await _answer(sending, 408, "The request came too slowly.")
            return
        if body is None:
            await _answer(sending, 413, f"The body may have at most {BODY_LIMIT_BYTES} bytes.")
            return
        await self._app(scope, _replay(body, receive), sending)

    def _refused_head(self, scope: Scope) -> tuple[int, str] | None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        if [value for name, value in headers if name == b"host"] != [self._host]:
            return 421, "This is not the name of the portal."
        if sum(len(name) + len(value) for name, value in headers) > HEAD_LIMIT_BYTES:
            return 431, "The request's head is too long."
        if len(scope["raw_path"]) + len(scope["query_string"]) > TARGET_LIMIT_BYTES:
            return 414, "The address is too long."
        declared = next((value for name, value in headers if name == b"content-length"), b"0")
        if not declared.isdigit() or int(declared[:20]) > BODY_LIMIT_BYTES:
            return 413, f"The body may have at most {BODY_LIMIT_BYTES} bytes."
        return None

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        return sending


async def _read(receive: Receive, *, limit_bytes: int) -> bytes | None:
    """The whole body, or None if it is longer than the limit or the peer went away."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > limit_bytes:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replaying() -> Message:
        return waiting.pop() if waiting else await receive()

    return replaying


async def _answer(send: Send, status: int, what: str) -> None:
    """A refusal before any page exists: one plain sentence, and the connection is not used again."""
    body = what.encode() + b"\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
