"""Serving the portal over TLS: uvicorn with its bounds drawn tight. A head that does not come in time closes its connection; bodies are `guard`'s concern."""

import asyncio
import socket
import ssl
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from sekisho.portal.guard import HEAD_LIMIT_BYTES

HEAD_LIMIT_SECONDS = 10.0
CONNECTIONS_LIMIT = 1_000
_SHUTDOWN_SECONDS = 3


class PatientH11(H11Protocol):
    """HTTP/1.1 that waits for a whole request head only so long, whether it is the first of a connection or a later one."""

    _waiting: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._watch()

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def _watch(self) -> None:
        is_serving = bool(self.cycle) and not self.cycle.response_complete  # uvicorn starts with None, whatever its annotation says
        if is_serving or self.transport.is_closing():
            self._unwatch()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(HEAD_LIMIT_SECONDS, self.transport.close)

    def _unwatch(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 and above, by the library's own choice of ciphers, which leaves out all that is weak."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.load_cert_chain(certificate, key)
    return context


def server(app: ASGIApp, *, certificate: Path, key: Path) -> uvicorn.Server:
    """A server that is ready to serve; `should_exit = True` ends it within a few seconds."""
    config = uvicorn.Config(
        app,
        http=PatientH11,
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS_LIMIT,
        timeout_keep_alive=int(HEAD_LIMIT_SECONDS),
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        h11_max_incomplete_event_size=HEAD_LIMIT_BYTES,
        ssl_context_factory=lambda _config, _default: tls_context(certificate, key),
    )
    return uvicorn.Server(config)


async def serve(app: ASGIApp, *, listener: socket.socket, certificate: Path, key: Path) -> None:
    """Serve on a bound `listener` until SIGTERM or SIGINT. `certificate` is a PEM chain, the server's first; `key` its private key."""
    await server(app, certificate=certificate, key=key).serve(sockets=[listener])
