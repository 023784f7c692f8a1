"""The bypass probes of our egress study against the real server, through the proxy. Listed are `allowed.test` and `*.allowed.test`, 443 by TLS, 80 in clear.
Nothing but the allowed server may ever be reached, and it never with a foreign server name, none, or no TLS at all."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from tests.egress.world import ALLOWED, EVIL, LOCAL, METADATA, PRIVATE, World, client_hello, read_all, read_head, rule, until

from sekisho.egress.rate import OpenRate
from sekisho.model.event import EventKind

pytestmark = pytest.mark.root

HELLO = client_hello("allowed.test")


@pytest.fixture(scope="module")
def matrix(tmp_path_factory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("matrix"), rate=OpenRate(per_second=10_000))
    try:
        world.zone |= {
            "rebind.allowed.test": (METADATA,),
            "priv.allowed.test": (PRIVATE,),
            "loop.allowed.test": (LOCAL,),
            "nat64.allowed.test": ("64:ff9b::a9fe:a9fe",),
            "zero.allowed.test": ("0.0.0.0",),  # noqa: S104
            "own.allowed.test": ("93.184.216.99",),
            "mixed.allowed.test": (PRIVATE, ALLOWED, METADATA),
            "many.allowed.test": (*(f"10.0.0.{at}" for at in range(200)), ALLOWED),
            "nowhere.allowed.test": (),
            "allowed.test": (ALLOWED,),
            "*.allowed.test": (ALLOWED,),
            "*": (EVIL,),
        }
        world.own = frozenset({"93.184.216.99"})
        world.stop()
        world.start()
        rules = [rule(name, port, tls=port == 443) for name in ("allowed.test", "*.allowed.test") for port in (443, 80)]
        assert world.serve(*rules).failed == ""
        yield world
    finally:
        world.close()


def connect_to(authority: str, *fields: str) -> bytes:
    return "\r\n".join((f"CONNECT {authority} HTTP/1.1", *fields, "", "")).encode()


def get(target: str, *fields: str) -> bytes:
    return "\r\n".join((f"GET {target} HTTP/1.1", *fields, "", "")).encode()


TUNNELS = [
    ("connect with its own server name", connect_to("allowed.test:443"), HELLO, "reached"),
    ("upper case", connect_to("ALLOWED.test:443"), HELLO, "reached"),
    ("trailing dot", connect_to("allowed.test.:443"), HELLO, "reached"),
    ("a subdomain", connect_to("a.allowed.test:443"), client_hello("a.allowed.test"), "reached"),
    ("a foreign Host field", connect_to("allowed.test:443", "Host: evil.test"), HELLO, "reached"),
    ("one good address among bad ones", connect_to("mixed.allowed.test:443"), client_hello("mixed.allowed.test"), "reached"),
    ("one good address behind two hundred bad ones", connect_to("many.allowed.test:443"), client_hello("many.allowed.test"), "reached"),
    ("clear text where the rule says so", connect_to("allowed.test:80"), b"GET / HTTP/1.1\r\n\r\n", "reached"),
    ("a foreign server name", connect_to("allowed.test:443"), client_hello("evil.test"), "sni-mismatch"),
    ("a sister's server name", connect_to("allowed.test:443"), client_hello("a.allowed.test"), "sni-mismatch"),
    ("no server name", connect_to("allowed.test:443"), client_hello(None), "sni-mismatch"),
    ("server name with trailing dot", connect_to("allowed.test:443"), HELLO.replace(b"allowed.test", b"llowed.test."), "sni-mismatch"),
    ("an ssh banner", connect_to("allowed.test:443"), b"SSH-2.0-OpenSSH_9.2\r\n", "not-tls"),
    ("plain http", connect_to("allowed.test:443"), b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", "not-tls"),
]


@pytest.mark.parametrize(("authority", "inside", "outcome"), [probe[1:] for probe in TUNNELS], ids=[probe[0] for probe in TUNNELS])
@pytest.mark.parametrize("way", ["after the answer", "early", "in three segments"])
def test_a_tunnel_carries_its_own_name_only(matrix: World, authority: bytes, inside: bytes, outcome: str, way: str):
    until(lambda: matrix.all_closed() and matrix.servers.is_quiet())
    before, closed = len(matrix.servers.seen), len(matrix.sink.of(EventKind.NAME_CLOSED))
    with matrix.room.proxy() as end:
        end.sendall(authority + (inside if way == "early" else b""))
        assert read_head(end).startswith(b"HTTP/1.1 200 ")
        if way == "after the answer":
            end.sendall(inside)
        elif way == "in three segments":
            with suppress(ConnectionResetError, BrokenPipeError):  # refused before it said all
                for piece in (inside[:3], inside[3:40], inside[40:]):
                    end.sendall(piece)
        if outcome == "reached":
            assert end.recv(100) == b"hello"
            until(lambda: len(matrix.servers.seen[before].received) == len(inside))
    assert matrix.servers.reached() <= {ALLOWED}
    seen = matrix.servers.seen[before:]
    if outcome == "reached":
        until(lambda: [bytes(each.received) for each in seen] == [inside])
    else:
        (event,) = until(lambda: matrix.sink.of(EventKind.NAME_CLOSED)[closed:])
        assert (event.reason, event.details["why"], event.details["sent_bytes"]) == (outcome, "refused", 0)
        assert [bytes(each.received) for each in seen] in ([], [b""])


HEADS = [
    ("evil by connect", connect_to("evil.test:443"), 403, "name-not-listed"),
    ("evil by get", get("http://evil.test/"), 403, "name-not-listed"),
    ("evil with trailing dot", connect_to("evil.test.:443"), 403, "name-not-listed"),
    ("suffix without dot", connect_to("xallowed.test:443"), 403, "name-not-listed"),
    ("listed name as prefix", connect_to("allowed.test.evil.test:443"), 403, "name-not-listed"),
    ("double dot", connect_to("evil.test..allowed.test:443"), 403, "name-not-canonical"),
    ("leading dot", connect_to(".allowed.test:443"), 403, "name-not-canonical"),
    ("NUL", connect_to("evil.test\0.allowed.test:443"), 400, "head-malformed"),
    ("%00", connect_to("evil.test%00.allowed.test:443"), 403, "name-not-canonical"),
    ("#", connect_to("evil.test#.allowed.test:443"), 400, "head-malformed"),
    ("/", connect_to("evil.test/.allowed.test:443"), 400, "head-malformed"),
    ("?", connect_to("evil.test?.allowed.test:443"), 400, "head-malformed"),
    ("backslash", connect_to("evil.test\\.allowed.test:443"), 400, "head-malformed"),
    ("space", connect_to("evil.test .allowed.test:443"), 400, "head-malformed"),
    ("tab", connect_to("evil.test\t.allowed.test:443"), 400, "head-malformed"),
    ("userinfo", connect_to("allowed.test@evil.test:443"), 400, "head-malformed"),
    ("userinfo with port", connect_to("allowed.test:443@evil.test:443"), 400, "head-malformed"),
    ("full-width dot", connect_to("evil.test\uff0eallowed.test:443"), 400, "head-malformed"),
    ("cyrillic a", connect_to("\u0430llowed.test:443"), 400, "head-malformed"),
    ("a label of 300", connect_to("a" * 300 + ".allowed.test:443"), 403, "name-not-canonical"),
    ("an address", connect_to("203.0.113.66:443"), 403, "address-literal"),
    ("the allowed server's address", connect_to(f"{ALLOWED}:443"), 403, "address-literal"),
    ("decimal", connect_to("3405803842:443"), 403, "address-literal"),
    ("hexadecimal", connect_to("0xcb007142:443"), 403, "address-literal"),
    ("octal", connect_to("0313.0.0161.0102:443"), 403, "address-literal"),
    ("short", connect_to("127.1:443"), 403, "address-literal"),
    ("zero", connect_to("0:443"), 403, "address-literal"),
    ("mapped", connect_to("[::ffff:203.0.113.66]:443"), 403, "address-literal"),
    ("mapped metadata", connect_to("[::ffff:a9fe:a9fe]:80"), 403, "address-literal"),
    ("zone", connect_to("[::1%25lo]:443"), 403, "address-literal"),
    ("bracketed evil", connect_to("[evil.test]:443"), 403, "name-not-canonical"),
    ("bracketed allowed", connect_to("[allowed.test]:443"), 403, "name-not-canonical"),
    ("metadata by get", get("http://169.254.169.254/"), 403, "address-literal"),
    ("metadata in decimal", get("http://2852039166/"), 403, "address-literal"),
    ("rebinding to metadata", connect_to("rebind.allowed.test:443"), 403, "address-refused"),
    ("rebinding to metadata by get", get("http://rebind.allowed.test/"), 403, "address-refused"),
    ("rebinding to private", connect_to("priv.allowed.test:443"), 403, "address-refused"),
    ("rebinding to loopback", connect_to("loop.allowed.test:443"), 403, "address-refused"),
    ("rebinding through NAT64", connect_to("nat64.allowed.test:443"), 403, "address-refused"),
    ("rebinding to zero", connect_to("zero.allowed.test:443"), 403, "address-refused"),
    ("rebinding to this machine", connect_to("own.allowed.test:443"), 403, "address-refused"),
    ("no address", connect_to("nowhere.allowed.test:443"), 502, "name-unresolved"),
    ("localhost", connect_to("localhost:443"), 403, "name-not-canonical"),
    ("another port", connect_to("allowed.test:22"), 403, "port-not-listed"),
    ("port over 65535", connect_to("allowed.test:65558"), 400, "head-malformed"),
    ("negative port", connect_to("allowed.test:-65514"), 400, "head-malformed"),
    ("no port", connect_to("allowed.test"), 400, "head-malformed"),
    ("port and junk", connect_to("allowed.test:443junk"), 400, "head-malformed"),
    ("signed port", connect_to("allowed.test:+443"), 400, "head-malformed"),
    ("two ports", connect_to("allowed.test:443:22"), 400, "head-malformed"),
    ("another port by get", get("http://allowed.test:22/"), 403, "port-not-listed"),
    ("evil, Host allowed", connect_to("evil.test:443", "Host: allowed.test"), 403, "name-not-listed"),
    ("evil by get, Host allowed", get("http://evil.test/", "Host: allowed.test"), 403, "name-not-listed"),
    ("two Host fields", get("http://allowed.test/", "Host: allowed.test", "Host: evil.test"), 400, "head-malformed"),
    ("origin form", get("/", "Host: allowed.test"), 400, "head-malformed"),
    ("userinfo by get", get("http://allowed.test@evil.test/"), 400, "head-malformed"),
    ("backslash userinfo", get("http://evil.test\\@allowed.test/"), 400, "head-malformed"),
    ("clear text where TLS is demanded", get("http://allowed.test:443/"), 403, "not-tls"),
    ("bare line feeds", b"CONNECT evil.test:443 HTTP/1.1\nHost: allowed.test\n\n", 400, "head-malformed"),
    ("folded Host", get("http://allowed.test/", "Host: allowed.test", " evil.test"), 400, "head-malformed"),
    ("space before colon", get("http://allowed.test/", "Host : evil.test"), 400, "head-malformed"),
    ("HTTP/0.9", b"GET http://evil.test/\r\n", 400, "head-malformed"),
    ("lower-case method", b"connect allowed.test:443 HTTP/1.1\r\n\r\n", 400, "head-malformed"),
    ("https scheme", get("https://evil.test/"), 400, "head-malformed"),
    ("ftp scheme", get("ftp://evil.test/"), 400, "head-malformed"),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "head-malformed"),
    ("length and coding", get("http://allowed.test/", "Content-Length: 4", "Transfer-Encoding: chunked"), 400, "head-malformed"),
    ("unknown coding", get("http://allowed.test/", "Transfer-Encoding: xchunked"), 400, "head-malformed"),
    ("two lengths", get("http://allowed.test/", "Content-Length: 4", "Content-Length: 5"), 400, "head-malformed"),
    ("a head of 64 KiB", get("http://allowed.test/", "X: " + "a" * 65536), 400, "head-malformed"),
    ("CR in a field", get("http://allowed.test/", "X: a\rHost: evil.test"), 400, "head-malformed"),
    ("the proxy itself", connect_to("127.0.0.1:3128"), 403, "address-literal"),
]


@pytest.mark.parametrize(("head", "status", "reason"), [probe[1:] for probe in HEADS], ids=[probe[0] for probe in HEADS])
def test_a_refused_head_reaches_nothing_and_is_told_why(matrix: World, head: bytes, status: int, reason: str):
    before = len(matrix.servers.seen)
    with matrix.room.proxy() as end:
        end.sendall(head)
        answer = read_all(end)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert f"\r\nSekisho-Reason: {reason}\r\n".encode() in answer
    assert "関所".encode() in answer
    assert matrix.servers.seen[before:] == []


FORWARDED = [
    ("plain", get("http://allowed.test/a"), b"GET /a HTTP/1.1\r\nHost: allowed.test\r\nConnection: close\r\n\r\n"),
    ("foreign Host", get("http://allowed.test/", "Host: evil.test"), b"GET / HTTP/1.1\r\nHost: allowed.test\r\nConnection: close\r\n\r\n"),
    ("X-Forwarded-Host", get("http://allowed.test/", "X-Forwarded-Host: evil.test"), b"GET / HTTP/1.1\r\nHost: allowed.test\r\nConnection: close\r\n\r\n"),
    ("Connection: Host", get("http://allowed.test/", "Connection: Host"), b"GET / HTTP/1.1\r\nHost: allowed.test\r\nConnection: close\r\n\r\n"),
    ("a second request behind", get("http://allowed.test/") + get("http://evil.test/"), b"GET / HTTP/1.1\r\nHost: allowed.test\r\nConnection: close\r\n\r\n"),
    (
        "Upgrade, then raw bytes",
        get("http://allowed.test/", "Connection: Upgrade", "Upgrade: websocket") + b"raw",
        b"GET / HTTP/1.1\r\nHost: allowed.test\r\nConnection: close\r\n\r\n",
    ),
    (
        "a body and no more",
        b"POST http://allowed.test/ HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET http://evil.test/ HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: allowed.test\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
    ),
]


@pytest.mark.parametrize(("sent", "forwarded"), [probe[1:] for probe in FORWARDED], ids=[probe[0] for probe in FORWARDED])
def test_a_plain_request_is_one_request_to_the_decided_name(matrix: World, sent: bytes, forwarded: bytes):
    before = len(matrix.servers.seen)
    with matrix.room.proxy() as end:
        end.sendall(sent)
        assert end.recv(100) == b"hello"
        (seen,) = matrix.servers.seen[before:]
        until(lambda: len(seen.received) >= len(forwarded))
        end.sendall(b"GET http://evil.test/ HTTP/1.1\r\n\r\n")
    assert bytes(seen.received) == forwarded
    assert matrix.servers.reached() <= {ALLOWED}
