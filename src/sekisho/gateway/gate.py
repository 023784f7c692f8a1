"""What every request to the rooms' host must pass, and what every answer carries. A plain ASGI layer, so that pages and WebSockets meet the same checks."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A page sets its own policy; everything else is data that no browser may interpret.
_NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_FEATURES = (
    "camera=(), clipboard-read=(), clipboard-write=(), display-capture=(), geolocation=(), hid=(), microphone=(), midi=(), payment=(), serial=(), usb=()"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": _FEATURES,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Gate:
    """`host` is the only value of the Host header that is served (DNS rebinding, another name on this address); `origin` the only Origin of a WebSocket, if
    it has one."""

    def __init__(self, app: ASGIApp, *, host: str, origin: str) -> None:
        self._app = app
        self._host = host.lower()
        self._origin = origin.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if [value.lower() for value in headers.getlist("host")] != [self._host]:
            return PlainTextResponse("This address serves the rooms' host name only.\n", status_code=421)
        origins = [value.lower() for value in headers.getlist("origin")]
        if scope["type"] == "websocket" and origins not in ([], [self._origin]):
            return PlainTextResponse("A room is entered from its own page only.\n", status_code=403)
        return None


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            headers = MutableHeaders(raw=message["headers"])
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("Content-Security-Policy", _NOTHING)
        await send(message)

    return sending
