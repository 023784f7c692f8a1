"""`localhost` names lead to this machine (RFC 6761 §6.3), whatever the resolver knows of them; TLS and the Host header keep the name that was asked for."""

import socket

import httpx

LOOPBACK = "127.0.0.1"
_CONNECT_SECONDS = 10.0


def is_localhost(host: str) -> bool:
    name = host.lower().removesuffix(".")
    return name == "localhost" or name.endswith(".localhost")


def dial(host: str, port: int) -> socket.socket:
    """A connected TCP socket. Raises OSError."""
    return socket.create_connection((LOOPBACK if is_localhost(host) else host, port), timeout=_CONNECT_SECONDS)


class LoopbackTransport(httpx.HTTPTransport):
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if is_localhost(request.url.host):
            request.extensions = {**request.extensions, "sni_hostname": request.url.host}
            request.url = request.url.copy_with(host=LOOPBACK)  # the Host header was made before, from the name
        return super().handle_request(request)
