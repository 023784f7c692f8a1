"""Connections to synthetic addresses: any program in the room, with no setting at all."""

import socket

import pytest
from tests.egress.world import ALLOWED, EVIL, LOCAL, METADATA, PRIVATE, Room, World, client_hello, is_reset, read_all, rule, until

from sekisho.egress.rate import OpenRate
from sekisho.model.event import EventKind

pytestmark = pytest.mark.root

HELLO = client_hello("allowed.test")


def test_a_listed_name_is_reached_and_both_ends_say_all_they_have_to(world: World):
    world.zone["allowed.test"] = (ALLOWED,)
    world.servers.farewell = b"-and this after you had said all"
    assert world.serve(rule("allowed.test", 443)).sessions == (World.session,)
    with world.room.reach("allowed.test", 443) as end:
        end.sendall(HELLO)
        assert end.recv(100) == b"hello"
        end.sendall(b"more")
        end.shutdown(socket.SHUT_WR)
        assert read_all(end) == b"-and this after you had said all"
    until(world.all_closed)
    (seen,) = world.servers.seen
    assert (seen.address, seen.port, bytes(seen.received)) == (ALLOWED, 443, HELLO + b"more")
    (reached,), (closed,) = world.sink.of(EventKind.NAME_REACHED), world.sink.of(EventKind.NAME_CLOSED)
    assert (reached.by, reached.room, reached.session, reached.request) == ("hanako", "campaign", World.session, "r-abcdefghij")
    assert {key: reached.details[key] for key in ("name", "port", "way", "rule")} == {
        "name": "allowed.test",
        "port": 443,
        "way": "direct",
        "rule": "allowed.test:443",
    }
    assert {key: closed.details[key] for key in ("why", "address", "sent_bytes", "received_bytes")} == {
        "why": "done",
        "address": ALLOWED,
        "sent_bytes": len(HELLO) + 4,
        "received_bytes": 37,
    }


def test_a_server_that_speaks_first_is_heard_where_the_rule_says_no_tls(world: World):
    world.zone["bastion.test"] = (ALLOWED,)
    world.servers.greeting = b"SSH-2.0-OpenSSH_9.2\r\n"
    world.serve(rule("bastion.test", 22, tls=False))
    with world.room.reach("bastion.test", 22) as end:
        assert end.recv(100) == b"SSH-2.0-OpenSSH_9.2\r\n"


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (client_hello("evil.test"), "sni-mismatch"),
        (client_hello(None), "sni-mismatch"),
        (b"SSH-2.0-x\r\n", "not-tls"),
        (b"GET / HTTP/1.1\r\n\r\n", "not-tls"),
    ],
)
def test_what_is_not_tls_for_the_name_is_cut_before_anything_is_resolved_or_reached(world: World, sent: bytes, reason: str):
    world.zone["allowed.test"] = (ALLOWED,)
    world.serve(rule("allowed.test", 443))
    with world.room.reach("allowed.test", 443) as end:
        end.sendall(sent)
        assert is_reset(end)
    until(world.refused)
    assert world.refused() == [(reason, "allowed.test", 443)]
    assert world.asked == []
    assert world.servers.seen == []
    assert world.sink.of(EventKind.NAME_REACHED) == []


@pytest.mark.parametrize("sent", [b"", HELLO[:40]])
def test_a_hello_that_does_not_come_in_time_is_cut(world: World, sent: bytes):
    world.serve(rule("allowed.test", 443))
    with world.room.reach("allowed.test", 443) as end:
        end.sendall(sent)
        world.clock.added += 9
        end.settimeout(0.05)
        with pytest.raises(TimeoutError):
            end.recv(1)
        end.settimeout(10)
        world.clock.added += 2
        assert is_reset(end)
    until(world.refused)
    assert world.refused() == [("not-tls", "allowed.test", 443)]


def test_a_hello_that_ends_early_is_refused_and_one_that_never_began_is_none(world: World):
    world.serve(rule("allowed.test", 443))
    with world.room.reach("allowed.test", 443) as half, world.room.reach("allowed.test", 443) as empty:
        empty.shutdown(socket.SHUT_WR)
        assert read_all(empty) == b""
        half.sendall(HELLO[:40])
        half.shutdown(socket.SHUT_WR)
        assert is_reset(half)
    assert [reason for reason, _, _ in until(world.refused)] == ["not-tls"]


@pytest.mark.parametrize(
    ("address", "port", "reason"),
    [
        ("198.18.200.200", 443, "address-literal"),  # never given out
        ("198.18.0.1", 443, "address-literal"),
        ("127.0.0.1", 443, "address-literal"),
        ("198.18.1.0", 22, "port-not-listed"),
    ],
)
def test_other_addresses_and_ports_are_reset(world: World, address: str, port: int, reason: str):
    world.serve(rule("allowed.test", 443))
    assert world.room.address_of("allowed.test") == "198.18.1.0"
    with world.room.connect(address, port) as end:
        assert is_reset(end)
    assert [found for found, _, _ in until(world.refused)] == [reason]


@pytest.mark.parametrize(("address", "port"), [("8.8.8.8", 53), ("8.8.8.8", 443), ("169.254.169.254", 80), ("10.0.0.1", 443)])
def test_there_is_no_way_to_an_address_outside(world: World, address: str, port: int):
    world.serve(rule("allowed.test", 443))
    with pytest.raises(OSError, match="unreachable"):
        world.room.connect(address, port)


@pytest.mark.parametrize("address", [METADATA, PRIVATE, LOCAL, "0.0.0.0", "64:ff9b::a9fe:a9fe", "::ffff:10.9.9.9", "fe80::1"])  # noqa: S104
def test_a_listed_name_that_leads_inside_is_refused(world: World, address: str):
    world.zone["allowed.test"] = (address,)
    world.serve(rule("allowed.test", 443))
    with world.room.reach("allowed.test", 443) as end:
        end.sendall(HELLO)
        assert is_reset(end)
    assert until(world.refused) == [("address-refused", "allowed.test", 443)]
    until(world.all_closed)
    assert world.sink.of(EventKind.NAME_CLOSED)[0].reason == "address-refused"
    assert world.servers.seen == []


def test_a_name_that_turns_to_another_address_is_checked_each_time(world: World):
    world.zone["allowed.test"] = (ALLOWED,)
    world.serve(rule("allowed.test", 443))
    with world.room.reach("allowed.test", 443) as end:
        end.sendall(HELLO)
        assert end.recv(100) == b"hello"
    world.zone["allowed.test"] = (METADATA,)
    with world.room.reach("allowed.test", 443) as end:
        end.sendall(HELLO)
        assert is_reset(end)
    assert world.servers.reached() == {ALLOWED}


def test_a_target_may_lead_to_a_private_address_and_to_loopback_only_when_pinned(world: World):
    world.zone |= {"db.test": (PRIVATE,), "loop.test": (LOCAL,)}
    world.hosts["pinned.test"] = (LOCAL,)
    world.stop()
    world.start()
    world.servers.greeting = b"ready"
    world.serve(*(rule(f"{name}.test", 5432, tls=False, target=name) for name in ("db", "loop", "pinned")))
    for name, address in (("db", PRIVATE), ("pinned", LOCAL)):
        with world.room.reach(f"{name}.test", 5432) as end:
            assert end.recv(100) == b"ready"
            assert world.servers.seen[-1].address == address
    with world.room.reach("loop.test", 5432) as end:
        assert is_reset(end)
    assert until(world.refused) == [("address-refused", "loop.test", 5432)]
    assert world.details(EventKind.NAME_REACHED)[0]["target"] == "db"


def test_an_address_that_does_not_answer_is_followed_by_the_next(world: World):
    world.zone["allowed.test"] = ("2606:4700::1", ALLOWED)  # no way there by IPv6
    world.serve(rule("allowed.test", 443))
    with world.room.reach("allowed.test", 443) as end:
        end.sendall(HELLO)
        assert end.recv(100) == b"hello"


def test_rules_may_change_while_a_session_runs(world: World):
    world.zone |= {"allowed.test": (ALLOWED,), "evil.test": (EVIL,)}
    world.serve(rule("allowed.test", 443))
    address = world.room.address_of("allowed.test")
    assert address
    assert world.serve(rule("evil.test", 443), capability="").failed == ""
    assert world.room.address_of("allowed.test") is None
    assert world.room.address_of("evil.test") not in (None, address)
    with world.room.connect(address, 443) as end:
        assert is_reset(end)
    assert ("name-not-listed", "allowed.test", 443) in until(world.refused)


def test_two_rooms_do_not_meet(world: World):
    world.zone |= {"a.test": (ALLOWED,), "b.test": (EVIL,)}
    other = Room.make()
    try:
        world.serve(rule("a.test", 443))
        world.serve(rule("b.test", 443), room=other, session="s-other")
        assert world.room.address_of("a.test") == other.address_of("b.test") == "198.18.1.0"
        for room, name, address in ((world.room, "a.test", ALLOWED), (other, "b.test", EVIL)):
            with room.reach(name, 443) as end:
                end.sendall(client_hello(name))
                assert end.recv(100) == b"hello"
            assert world.servers.seen[-1].address == address
            assert room.address_of({"a.test": "b.test", "b.test": "a.test"}[name]) is None
        assert [event.session for event in world.sink.of(EventKind.NAME_REACHED)] == [World.session, "s-other"]
    finally:
        world.stop()
        other.close()


def test_a_canonical_name_at_the_end_of_a_chain_is_in_the_log_and_decides_nothing(tmp_path):
    from sekisho.egress.resolver import Found

    made = World(tmp_path, look_up=lambda _name: Found((ALLOWED,), unverified_alias="cdn.evil.test\n"))
    try:
        made.serve(rule("allowed.test", 443))
        with made.room.reach("allowed.test", 443) as end:
            end.sendall(HELLO)
            assert end.recv(100) == b"hello"
        until(made.all_closed)
        assert made.details(EventKind.NAME_CLOSED)[0]["alias"] == "cdn.evil.test\\u{a}"
    finally:
        made.close()


def test_connections_beyond_the_rate_wait_and_beyond_that_are_refused(tmp_path):
    made = World(tmp_path, rate=OpenRate(per_second=1.0, burst=2, longest_wait_seconds=2.0))
    ends: list[socket.socket] = []
    try:
        made.zone["bastion.test"] = (ALLOWED,)
        made.servers.greeting = b"ready"
        made.serve(rule("bastion.test", 22, tls=False))
        ends += [made.room.reach("bastion.test", 22) for _ in range(5)]  # two at once, two that wait, one that is too much
        assert [end.recv(10) for end in ends[:2]] == [b"ready"] * 2
        assert is_reset(ends[4])
        assert len(made.servers.seen) == 2
        made.clock.added += 3
        assert [end.recv(10) for end in ends[2:4]] == [b"ready"] * 2
        assert until(made.refused) == [("too-many-opens", "bastion.test", 22)]
    finally:
        for end in ends:
            end.close()
        made.close()
