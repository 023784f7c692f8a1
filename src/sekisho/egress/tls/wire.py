"""The server name in a TLS ClientHello (RFC 8446 §4.1.2 and §5.1, RFC 6066 §3). Sans-I/O.

The hello may come in any number of segments and of handshake records. An encrypted-hello extension is let pass: browsers send it always as GREASE, and the
outer name is what is compared.
"""

import struct
from dataclasses import dataclass

LIMIT_BYTES = 32_768  # of a hello with its record headers; with post-quantum key shares it is under 3,000

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_RECORD_LIMIT_BYTES = 16_384
_SERVER_NAME, _HOST_NAME = 0, 0


class NotTls(ValueError):
    """The bytes are not, and with whatever follows will not be, a ClientHello."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """`unverified_server_name` is in lower case and otherwise as it came; None if the hello has none."""

    unverified_server_name: str | None


def parse_client_hello(unverified: bytes | bytearray) -> ClientHello | None:
    """The hello at the start of what a client has sent so far; None if it is not whole yet. Raises NotTls."""
    hello = _handshake(bytes(unverified[: LIMIT_BYTES + 1]))
    if hello is None:
        if len(unverified) > LIMIT_BYTES:
            raise NotTls("too long")
        return None
    try:
        return ClientHello(_server_name(_extensions(hello)))
    except (struct.error, IndexError) as error:
        raise NotTls("ends early") from error


def _handshake(stream: bytes) -> bytes | None:
    """The body of the first handshake message, joined from its records."""
    joined = bytearray()
    offset = 0
    while True:
        _check_prefix(stream[offset : offset + 5])
        if len(stream) < offset + 5:
            return None
        length = int.from_bytes(stream[offset + 3 : offset + 5])
        if not 1 <= length <= _RECORD_LIMIT_BYTES:
            raise NotTls("record length")
        joined += stream[offset + 5 : offset + 5 + length]
        if (hello := _message(joined)) is not None:
            return hello
        offset += 5 + length
        if len(stream) < offset:
            return None


def _check_prefix(header: bytes) -> None:
    if header[:1] not in (b"", bytes((_HANDSHAKE,))) or header[1:2] not in (b"", b"\x03"):
        raise NotTls("not a handshake record")


def _message(joined: bytearray) -> bytes | None:
    if joined and joined[0] != _CLIENT_HELLO:
        raise NotTls("not a ClientHello")
    if len(joined) < 4:
        return None
    length = int.from_bytes(joined[1:4])
    if length > LIMIT_BYTES:
        raise NotTls("too long")
    return bytes(joined[4 : 4 + length]) if len(joined) >= 4 + length else None


def _extensions(hello: bytes) -> bytes:
    """The extensions block. Raises struct.error or IndexError for a hello that ends early."""
    if hello[0] != 3:
        raise NotTls("version")
    offset = 34
    offset += 1 + hello[offset]  # session id
    offset += 2 + struct.unpack_from("!H", hello, offset)[0]  # cipher suites
    offset += 1 + hello[offset]  # compression methods
    if offset == len(hello):
        return b""
    (length,) = struct.unpack_from("!H", hello, offset)
    if offset + 2 + length != len(hello):
        raise NotTls("extensions length")
    return hello[offset + 2 :]


def _server_name(extensions: bytes) -> str | None:
    offset = 0
    found: str | None = None
    while offset < len(extensions):
        kind, length = struct.unpack_from("!HH", extensions, offset)
        offset += 4
        if offset + length > len(extensions):
            raise NotTls("extension length")
        if kind == _SERVER_NAME:
            if found is not None:
                raise NotTls("two server name extensions")
            found = _host_name(extensions[offset : offset + length])
        offset += length
    return found


def _host_name(extension: bytes) -> str:
    """The one entry of a server name list. Two entries, or another type, could be read in two ways."""
    listed, kind, length = struct.unpack_from("!HBH", extension)
    if listed != len(extension) - 2 or kind != _HOST_NAME or length != len(extension) - 5 or length == 0:
        raise NotTls("server name list")
    name = extension[5:]
    if not name.isascii():
        raise NotTls("server name is not ASCII")
    return name.decode("ascii").lower()
