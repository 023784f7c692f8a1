"""Heads of proxy requests, read strictly."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.egress.proxy.wire import LIMIT_BYTES, ConnectHead, ForwardHead, MalformedHead, render_forwarded, take_head
from sekisho.model.hostname import parse_host_name

CONNECT = b"CONNECT allowed.test:443 HTTP/1.1\r\nHost: evil.test\r\n\r\n"
GET = b"GET http://allowed.test/a?b=c HTTP/1.1\r\nHost: evil.test\r\nAccept: */*\r\n\r\n"


@pytest.mark.parametrize(
    ("target", "host", "port"),
    [
        ("allowed.test:443", "allowed.test", 443),
        ("ALLOWED.test.:443", "ALLOWED.test.", 443),
        ("[::1]:443", "[::1]", 443),
        ("[::1%25lo]:443", "[::1%25lo]", 443),
        ("127.1:65535", "127.1", 65535),
        ("evil.test%00.allowed.test:1", "evil.test%00.allowed.test", 1),
    ],
)
def test_connect_names_exactly_one_host_and_port(target: str, host: str, port: int):
    buffer = bytearray(f"CONNECT {target} HTTP/1.1\r\n\r\nearly".encode())
    assert take_head(buffer) == ConnectHead(host, port)
    assert buffer == b"early"


@pytest.mark.parametrize(
    "head",
    [
        b"CONNECT allowed.test HTTP/1.1\r\n\r\n",
        b"CONNECT allowed.test: HTTP/1.1\r\n\r\n",
        b"CONNECT allowed.test:0 HTTP/1.1\r\n\r\n",
        b"CONNECT allowed.test:65536 HTTP/1.1\r\n\r\n",
        b"CONNECT allowed.test:65558 HTTP/1.1\r\n\r\n",
        b"CONNECT allowed.test:-65514 HTTP/1.1\r\n\r\n",
        b"CONNECT allowed.test:+443 HTTP/1.1\r\n\r\n",
        b"CONNECT allowed.test:443junk HTTP/1.1\r\n\r\n",
        b"CONNECT allowed.test:443:22 HTTP/1.1\r\n\r\n",
        "CONNECT allowed.test:\u0664\u0664\u0663 HTTP/1.1\r\n\r\n".encode(),
        b"CONNECT allowed.test@evil.test:443 HTTP/1.1\r\n\r\n",
        b"CONNECT allowed.test:443@evil.test:443 HTTP/1.1\r\n\r\n",
        b"CONNECT evil.test#.allowed.test:443 HTTP/1.1\r\n\r\n",
        b"CONNECT evil.test?.allowed.test:443 HTTP/1.1\r\n\r\n",
        b"CONNECT evil.test/.allowed.test:443 HTTP/1.1\r\n\r\n",
        b"CONNECT evil.test\\.allowed.test:443 HTTP/1.1\r\n\r\n",
        b"CONNECT evil.test .allowed.test:443 HTTP/1.1\r\n\r\n",
        b"CONNECT evil.test\t.allowed.test:443 HTTP/1.1\r\n\r\n",
        b"CONNECT evil.test\0.allowed.test:443 HTTP/1.1\r\n\r\n",
        "CONNECT evil.test\uff0eallowed.test:443 HTTP/1.1\r\n\r\n".encode(),
        b"CONNECT ::1:443 HTTP/1.1\r\n\r\n",
        b"CONNECT http://allowed.test:443/ HTTP/1.1\r\n\r\n",
        b"connect allowed.test:443 HTTP/1.1\r\n\r\n",
        b"CONNECT  allowed.test:443 HTTP/1.1\r\n\r\n",
        b"CONNECT allowed.test:443 HTTP/2.0\r\n\r\n",
        b"CONNECT allowed.test:443 HTTP/1.1 \r\n\r\n",
        b"CONNECT allowed.test:443\r\n\r\n",
        b"\r\nCONNECT allowed.test:443 HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
        b"GET https://allowed.test/ HTTP/1.1\r\n\r\n",
        b"GET ftp://allowed.test/ HTTP/1.1\r\n\r\n",
        b"GET http://allowed.test@evil.test/ HTTP/1.1\r\n\r\n",
        b"GET http://evil.test\\@allowed.test/ HTTP/1.1\r\n\r\n",
        b"GET http://allowed.test:80:22/ HTTP/1.1\r\n\r\n",
        b"GET http://allowed.test/#a HTTP/1.1\r\n\r\n",
        b"GET http:/// HTTP/1.1\r\n\r\n",
        b"GET http://evil.test/\r\n\r\n",
        b"GET http://a.test/ HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
        b"GET http://a.test/ HTTP/1.1\r\nHost : evil.test\r\n\r\n",
        b"GET http://a.test/ HTTP/1.1\r\nHost: a\r\n evil.test\r\n\r\n",
        b"GET http://a.test/ HTTP/1.1\r\n Host: a\r\n\r\n",
        b"GET http://a.test/ HTTP/1.1\r\nX: a\rb\r\n\r\n",
        b"GET http://a.test/ HTTP/1.1\r\nX: a\0b\r\n\r\n",
        b"GET http://a.test/ HTTP/1.1\r\nX: a\x7fb\r\n\r\n",
        b"GET http://a.test/ HTTP/1.1\r\nnonsense\r\n\r\n",
        b"GET http://a.test/ HTTP/1.1\r\n: a\r\n\r\n",
        b"POST http://a.test/ HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
        b"POST http://a.test/ HTTP/1.1\r\nContent-Length: 4, 4\r\n\r\n",
        b"POST http://a.test/ HTTP/1.1\r\nContent-Length: +4\r\n\r\n",
        b"POST http://a.test/ HTTP/1.1\r\nContent-Length: 0x4\r\n\r\n",
        b"POST http://a.test/ HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n",
        b"POST http://a.test/ HTTP/1.1\r\nContent-Length: 9999999999999999\r\n\r\n",
        b"POST http://a.test/ HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST http://a.test/ HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
        b"CONNECT allowed.test:443 HTTP/1.1\n\n",
        b"CONNECT allowed.test:443 HTTP/1.1\r\nHost: a\n\r\n",
        b"CONNECT allowed.test:443 HTTP/1.1\nHost",
        b"X" * LIMIT_BYTES,
        CONNECT[:-2] + b"X: " + b"a" * LIMIT_BYTES + b"\r\n\r\n",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(head: bytes):
    with pytest.raises(MalformedHead):
        take_head(bytearray(head))


@pytest.mark.parametrize("head", [CONNECT, GET])
def test_a_head_cut_anywhere_is_not_yet(head: bytes):
    for length in range(len(head)):
        assert take_head(bytearray(head[:length])) is None
    assert take_head(bytearray(head)) is not None


def test_a_request_goes_on_in_origin_form_with_the_decided_name_and_nothing_of_this_hop():
    head = take_head(
        bytearray(
            b"POST http://ALLOWED.test:8080?q HTTP/1.1\r\nHost: evil.test\r\nConnection: X-Mine, Host, content-length\r\nX-Mine: 1\r\n"
            b"X-Forwarded-Host: evil.test\r\nForwarded: host=evil.test\r\n"
            b"Upgrade: websocket\r\nProxy-Authorization: secret\r\nContent-Length: 3\r\nAccept: \xe9 \r\n\r\nabc"
        )
    )
    assert isinstance(head, ForwardHead)
    assert (head.unverified_host, head.port, head.body_bytes) == ("ALLOWED.test", 8080, 3)
    name = parse_host_name("allowed.test")
    assert name
    assert render_forwarded(head, name) == (b"POST /?q HTTP/1.1\r\nHost: allowed.test:8080\r\nContent-Length: 3\r\nAccept: \xe9\r\nConnection: close\r\n\r\n")


@settings(deadline=None)
@given(
    st.binary(max_size=300)
    | st.binary(max_size=100).map(lambda tail: GET[:-2] + tail)
    | st.builds(lambda at, byte: GET[:at] + bytes([byte]) + GET[at:], st.integers(0, len(GET)), st.integers(0, 255))
)
def test_any_bytes_are_a_head_not_yet_or_refused_by_name(sent: bytes):
    try:
        head = take_head(bytearray(sent))
    except MalformedHead:
        return
    if isinstance(head, ForwardHead):
        name = parse_host_name("allowed.test")
        assert name
        forwarded = render_forwarded(head, name)
        assert forwarded.count(b"\r\n\r\n") == 1
        assert forwarded.count(b"\n") == forwarded.count(b"\r\n") == forwarded.count(b"\r")
        assert forwarded.lower().count(b"\r\nhost:") == 1
