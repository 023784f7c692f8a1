"""ClientHellos: real ones from OpenSSL, hostile ones by hand."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.egress.world import client_hello

from sekisho.egress.tls.wire import LIMIT_BYTES, ClientHello, NotTls, parse_client_hello

REAL = client_hello("allowed.test")


def extension(kind: int, content: bytes) -> bytes:
    return struct.pack("!HH", kind, len(content)) + content


def server_name(name: bytes, kind: int = 0) -> bytes:
    return extension(0, struct.pack("!HBH", len(name) + 3, kind, len(name)) + name)


def hello(*extensions: bytes, record_bytes: int = 16_384) -> bytes:
    block = b"".join(extensions)
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\x02\x13\x01" + b"\x01\0" + (struct.pack("!H", len(block)) + block if extensions else b"")
    message = b"\x01" + len(body).to_bytes(3) + body
    pieces = (message[at : at + record_bytes] for at in range(0, len(message), record_bytes))
    return b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2) + piece for piece in pieces)


ECH = extension(0xFE0D, b"\0\0\x01\0\x01\x05\0\x20" + bytes(32) + b"\0\x10" + bytes(16))


@pytest.mark.parametrize(
    ("bytes_sent", "name"),
    [
        (REAL, "allowed.test"),
        (client_hello(None), None),
        (hello(server_name(b"Allowed.TEST")), "allowed.test"),
        (hello(server_name(b"evil.test.")), "evil.test."),
        (hello(ECH, server_name(b"allowed.test")), "allowed.test"),
        (hello(ECH), None),
        (hello(), None),
        (hello(server_name(b"allowed.test"), record_bytes=1), "allowed.test"),
        (hello(server_name(b"allowed.test"), record_bytes=50), "allowed.test"),
        (hello(server_name(b"allowed.test")) + b"more", "allowed.test"),
    ],
)
def test_the_server_name_is_read(bytes_sent: bytes, name: str | None):
    assert parse_client_hello(bytes_sent) == ClientHello(name)


@pytest.mark.parametrize("sent", [REAL, hello(server_name(b"allowed.test"), record_bytes=3)])
def test_a_hello_cut_anywhere_is_not_yet(sent: bytes):
    for length in range(len(sent)):
        assert parse_client_hello(sent[:length]) is None
    assert parse_client_hello(sent) == ClientHello("allowed.test")


@pytest.mark.parametrize(
    "sent",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n",
        b"\x16\x02",
        b"\x80\x2e\x01\x03\x01",  # SSLv2
        b"\x17\x03\x03\0\x05hello",
        b"\x15\x03\x03\0\x02\x01\0",
        b"\x16\x03\x01\0\0",
        b"\x16\x03\x01\x40\x01",
        b"\x16\x03\x01\0\x04\x02\0\0\0",  # a ServerHello
        b"\x16\x03\x01\0\x04\x01\xff\xff\xff",
        b"\x16\x03\x01\0\x02\x01\0" + b"\x15\x03\x01\0\x02\x01\0",
        hello(server_name(b"allowed.test"), server_name(b"evil.test")),
        hello(extension(0, b"\0\x12\0\0\x06a.testx\0\x06b.test")),
        hello(server_name(b"allowed.test", kind=1)),
        hello(server_name(b"")),
        hello(extension(0, b"")),
        hello(server_name("\u0430llowed.test".encode())),
        hello(struct.pack("!HH", 0, 500)),
        hello(b"\0"),
    ],
)
def test_what_is_no_hello_is_refused_by_name(sent: bytes):
    with pytest.raises(NotTls):
        parse_client_hello(sent + bytes(64))


def test_a_hello_without_end_is_refused_at_the_limit():
    endless = b"\x16\x03\x01\x40\0\x01\0\x7f\xff" + bytes(16_380) + (b"\x16\x03\x01\0\x01\0" * LIMIT_BYTES)
    assert parse_client_hello(endless[:LIMIT_BYTES]) is None
    with pytest.raises(NotTls):
        parse_client_hello(endless[: LIMIT_BYTES + 1])


@settings(deadline=None)
@given(
    st.binary(max_size=200)
    | st.builds(lambda tail: REAL[:60] + tail, st.binary(max_size=300))
    | st.builds(lambda at, byte: REAL[:at] + bytes([byte]) + REAL[at + 1 :], st.integers(0, len(REAL) - 1), st.integers(0, 255))
)
def test_any_bytes_are_a_hello_not_yet_or_refused_by_name(sent: bytes):
    try:
        found = parse_client_hello(sent)
    except NotTls:
        return
    assert found is None or isinstance(found, ClientHello)


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_a_verdict_stands_whatever_follows(tail: bytes):
    assert parse_client_hello(REAL + tail) == ClientHello("allowed.test")
    with pytest.raises(NotTls):
        parse_client_hello(b"SSH" + tail)
