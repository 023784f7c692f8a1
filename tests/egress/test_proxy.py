"""Connections to the proxy, beyond what the matrix probes: time, halves, and what a person reads."""

import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from tests.egress.world import ALLOWED, World, client_hello, query, read_all, read_head, rule, until

from sekisho.egress.proxy.page import JAPANESE, render_refusal
from sekisho.egress.resolver import Found
from sekisho.model.event import EventKind
from sekisho.model.reasons import Reason
from sekisho.policy.verdict import Deny

HELLO = client_hello("allowed.test")
CONNECT = b"CONNECT allowed.test:443 HTTP/1.1\r\n\r\n"


@pytest.mark.root
def test_a_tunnel_lets_each_side_finish_in_its_own_time(world: World):
    world.zone["allowed.test"] = (ALLOWED,)
    world.servers.farewell = b"after all"
    world.serve(rule("allowed.test", 443))
    with world.room.proxy() as end:
        end.sendall(CONNECT)
        assert read_head(end).startswith(b"HTTP/1.1 200 ")
        end.sendall(HELLO)
        assert end.recv(100) == b"hello"
        end.shutdown(socket.SHUT_WR)
        assert read_all(end) == b"after all"
    until(world.all_closed)
    assert world.details(EventKind.NAME_REACHED)[0]["way"] == "proxy"


@pytest.mark.root
@pytest.mark.parametrize("sent", [b"C", CONNECT[:-1]])
def test_a_head_that_does_not_come_in_time_is_refused(world: World, sent: bytes):
    world.serve(rule("allowed.test", 443))
    with world.room.proxy() as end:
        end.sendall(sent)
        world.room.ask(query("a.test"))  # the server has had its turn, so the connection is known to it
        for _ in range(3):  # a byte now and then buys no time
            world.clock.added += 4
            world.room.ask(query("a.test"))
            with suppress(OSError):
                end.sendall(b"X")
        answer = read_all(end)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Sekisho-Reason: head-malformed\r\n" in answer


@pytest.mark.root
def test_a_spare_connection_that_is_never_used_is_closed_without_a_word_in_the_log(world: World):
    world.serve(rule("allowed.test", 443))
    with world.room.proxy() as end:
        world.room.ask(query("allowed.test"))
        world.clock.added += 11
        assert read_all(end) == b""
    assert world.sink.events == []


@pytest.mark.root
def test_a_server_that_is_away_is_told_apart_from_a_refusal(world: World):
    world.zone["allowed.test"] = ("93.184.216.34",)
    world.serve(rule("allowed.test", 8000))
    with world.room.proxy() as end:
        end.sendall(b"CONNECT allowed.test:8000 HTTP/1.1\r\n\r\n")
        answer = read_all(end)
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"Sekisho-Reason: upstream-unreachable" in answer
    until(world.all_closed)
    closed = world.sink.of(EventKind.NAME_CLOSED)[0]
    assert (closed.reason, closed.details["why"]) == ("upstream-unreachable", "failed")
    assert world.sink.of(EventKind.NAME_REFUSED) == []


@pytest.mark.root
def test_a_name_server_that_does_not_answer_is_given_up(tmp_path: Path):
    asked, answered = threading.Event(), threading.Event()

    def slow(_name: str) -> Found:
        asked.set()
        answered.wait(20)
        return Found((ALLOWED,))

    made = World(tmp_path, look_up=slow)
    try:
        made.serve(rule("allowed.test", 443))
        with made.room.proxy() as end:
            end.sendall(CONNECT)
            assert asked.wait(10)
            made.clock.added += 11
            answer = read_all(end)
        assert answer.startswith(b"HTTP/1.1 504 ")
        assert b"Sekisho-Reason: name-unresolved" in answer
        assert made.servers.seen == []
    finally:
        answered.set()
        made.close()


@pytest.mark.root
def test_the_page_names_the_name_in_both_languages(world: World):
    world.serve(rule("allowed.test", 443))
    with world.room.proxy() as end:
        end.sendall(b"GET http://evil.test/<script> HTTP/1.1\r\n\r\n")
        head, _, page = read_all(end).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(page)}".encode() in head
    text = page.decode()
    assert "evil.test is not among the names this room may reach." in text
    assert "evil.test は、この部屋から接続できる名前の一覧にありません。" in text
    assert "<script>" not in text


@pytest.mark.parametrize("reason", JAPANESE)
def test_every_refusal_has_a_page_whatever_its_facts_hold(reason: Reason):
    page = render_refusal(Deny(reason, {"name": "<b>&", "found": "\x1b<i>"}), shown_name="<u>")
    assert b"<b>" not in page
    assert b"<i>" not in page
    assert b"<u>" not in page


@pytest.mark.root
def test_a_plain_upload_arrives_whole(world: World):
    world.zone["allowed.test"] = (ALLOWED,)
    world.serve(rule("allowed.test", 80, tls=False))
    body = bytes(range(256)) * 8192
    with world.room.proxy() as end:
        end.sendall(b"PUT http://allowed.test/up HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert end.recv(100) == b"hello"
        (seen,) = world.servers.seen
        until(lambda: len(seen.received) >= len(body))
        until(lambda: bytes(seen.received).endswith(body))
