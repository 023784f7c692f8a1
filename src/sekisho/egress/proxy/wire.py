"""The head of a proxy request (RFC 9110 §9.3.6, RFC 9112 §2, §3.2.2, §3.2.3), read strictly. Sans-I/O.

Strict where others differ, since every difference is a way to be understood twice: CRLF only, no folding, no space before a colon, no control character, one
Host at most, exactly `host:port` for CONNECT and `http://host[:port]/…` for the rest. Whether the host may be reached is for `policy.egress`; here it is text.
"""

import re
from dataclasses import dataclass

from sekisho.model.hostname import HostName

LIMIT_BYTES = 16_384
_LONGEST_BODY_DIGITS = 15

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  RFC 9110's word for it
_REQUEST_LINE = re.compile(rf"({_TOKEN}) ([!-~]+) HTTP/1\.([01])")
_FIELD = re.compile(rf"({_TOKEN}):(.*)")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HOST = r"(?:\[[0-9A-Za-z:.%]+\]|[^\[\]:/?#@\\]+)"
_AUTHORITY = re.compile(rf"({_HOST}):([0-9]{{1,5}})")
_ABSOLUTE = re.compile(rf"http://({_HOST})(?::([0-9]{{1,5}}))?(/[^#]*|\?[^#]*)?", re.IGNORECASE)

# Of this hop only (RFC 9110 §7.6.1), or claims of a proxy that no client of ours is (Forwarded and its elders).
_NOT_FORWARDED = frozenset(
    (
        "connection",
        "proxy-connection",
        "keep-alive",
        "proxy-authorization",
        "proxy-authenticate",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "forwarded",
        "via",
    )
)


class MalformedHead(ValueError):
    """The bytes are not the head of a proxy request. The text says which part, and holds nothing of theirs."""


@dataclass(frozen=True, slots=True)
class ConnectHead:
    unverified_host: str
    port: int


@dataclass(frozen=True, slots=True)
class ForwardHead:
    """A request in absolute form. `target` is what the origin gets as its request target."""

    method: str
    unverified_host: str
    port: int
    target: str
    fields: tuple[tuple[str, str], ...]
    body_bytes: int


Head = ConnectHead | ForwardHead


def take_head(buffer: bytearray) -> Head | None:
    """The head, taken out of `buffer`, where what follows it stays; None if it is not whole yet. Raises MalformedHead."""
    end = buffer.find(b"\r\n\r\n", 0, LIMIT_BYTES)
    if end < 0:
        _check_so_far(buffer)
        return None
    text = buffer[:end].decode("latin-1")
    del buffer[: end + 4]
    request_line, *lines = text.split("\r\n")
    fields = tuple(_field(line) for line in lines)
    return _head(request_line, fields)


def render_forwarded(head: ForwardHead, name: HostName) -> bytes:
    """The head for the origin: origin form, the decided name as Host, one request to a connection."""
    nominated = {option.strip().lower() for key, value in head.fields if key.lower() == "connection" for option in value.split(",")} - {"content-length"}
    kept = (f"{key}: {value}" for key, value in head.fields if _is_forwarded(key.lower(), nominated))
    host = name if head.port == 80 else f"{name}:{head.port}"
    lines = (f"{head.method} {head.target} HTTP/1.1", f"Host: {host}", *kept, "Connection: close", "", "")
    return "\r\n".join(lines).encode("latin-1")


def _check_so_far(buffer: bytearray) -> None:
    if len(buffer) >= LIMIT_BYTES:
        raise MalformedHead("longer than 16 KiB")
    if buffer.count(b"\n") != buffer.count(b"\r\n"):
        raise MalformedHead("a line that does not end in CRLF")
    request_line, ended, _ = buffer.partition(b"\r\n")
    if ended and not _REQUEST_LINE.fullmatch(request_line.decode("latin-1")):
        raise MalformedHead("request line")


def _head(request_line: str, fields: tuple[tuple[str, str], ...]) -> Head:
    parts = _REQUEST_LINE.fullmatch(request_line)
    if parts is None:
        raise MalformedHead("request line")
    if sum(key.lower() == "host" for key, _ in fields) > 1:
        raise MalformedHead("two Host fields")
    method, target = parts[1], parts[2]
    if method == "CONNECT":
        return _connect(target)
    return _forward(method, target, fields)


def _connect(target: str) -> ConnectHead:
    authority = _AUTHORITY.fullmatch(target)
    if authority is None:
        raise MalformedHead("CONNECT needs exactly host:port")
    return ConnectHead(authority[1], _port(authority[2]))


def _forward(method: str, target: str, fields: tuple[tuple[str, str], ...]) -> ForwardHead:
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or method.upper() == "CONNECT":
        raise MalformedHead("the target must be http://host/…, or the method CONNECT")
    path = absolute[3] or "/"
    path = path if path.startswith("/") else "/" + path
    port = _port(absolute[2]) if absolute[2] else 80
    return ForwardHead(method=method, unverified_host=absolute[1], port=port, target=path, fields=fields, body_bytes=_body_bytes(fields))


def _field(line: str) -> tuple[str, str]:
    parts = _FIELD.fullmatch(line)
    if parts is None or _CONTROL.search(line):
        raise MalformedHead("header field")
    return parts[1], parts[2].strip(" \t")


def _port(digits: str) -> int:
    port = int(digits)
    if not 1 <= port <= 65_535:
        raise MalformedHead("port")
    return port


def _body_bytes(fields: tuple[tuple[str, str], ...]) -> int:
    """How long the request's body is. One framing only: a second length, or any transfer coding, could be read in two ways."""
    if any(key.lower() == "transfer-encoding" for key, _ in fields):
        raise MalformedHead("Transfer-Encoding; a body needs a Content-Length here")
    lengths = [value for key, value in fields if key.lower() == "content-length"]
    if not lengths:
        return 0
    (length,) = lengths if len(lengths) == 1 else ("",)
    if not (length.isascii() and length.isdecimal() and len(length) <= _LONGEST_BODY_DIGITS):
        raise MalformedHead("Content-Length")
    return int(length)


def _is_forwarded(key: str, nominated: set[str]) -> bool:
    return key not in _NOT_FORWARDED and key not in nominated and not key.startswith("x-forwarded-")
