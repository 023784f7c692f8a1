"""The room's name server, asked from inside the room."""

import socket
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.egress.world import OPT, World, query, rule, until

from sekisho.egress.names import book as book_module
from sekisho.egress.names.answer import reply_to
from sekisho.egress.names.book import NameBook
from sekisho.egress.names.wire import framed
from sekisho.model.event import EventKind
from sekisho.model.hostname import HostName, parse_host_name
from sekisho.model.room import EgressRule
from sekisho.policy.egress import compile_rules

A, NS, PTR, MX, TXT, AAAA, SRV, SVCB, HTTPS, AXFR, ANY = 1, 2, 12, 15, 16, 28, 33, 64, 65, 252, 255


def name(text: str) -> HostName:
    parsed = parse_host_name(text)
    assert parsed
    return parsed


@pytest.mark.root
def test_listed_names_have_one_address_each_and_all_others_do_not_exist(world: World):
    world.serve(rule("allowed.test", 443), rule("*.wild.test", 443), rule("db.test", 5432, tls=False))
    first = world.room.address_of("allowed.test")
    assert first == "198.18.1.0"
    assert world.room.address_of("ALLOWED.test") == first
    assert len({first, world.room.address_of("db.test"), world.room.address_of("a.wild.test"), world.room.address_of("b.wild.test")}) == 4
    for unlisted in ("evil.test", "wild.test", "a.allowed.test", "allowed.test.evil.test", "localhost", "allowed.test.lan", "4.3.2.1.in-addr.arpa"):
        answer = world.room.ask(query(unlisted))
        assert (answer[3] & 0xF, answer[7]) == (3, 0), unlisted
    assert world.asked == []  # nothing is ever forwarded


@pytest.mark.root
@pytest.mark.parametrize("qtype", [NS, PTR, MX, TXT, AAAA, SRV, SVCB, HTTPS, AXFR, ANY])
def test_a_listed_name_has_nothing_but_an_address(world: World, qtype: int):
    world.serve(rule("allowed.test", 443))
    answer = world.room.ask(query("allowed.test", qtype))
    assert (answer[3] & 0xF, answer[6:12]) == (0, bytes(6))


@pytest.mark.root
@pytest.mark.parametrize(
    ("asked", "code"),
    [(query("allowed.test", qclass=255), 5), (query("version.bind", 16, 3), 5), (query("allowed.test", flags=0x2900), 4), (query(b"\xc0\x0c"), 1)],
)
def test_other_classes_and_orders_are_refused(world: World, asked: bytes, code: int):
    world.serve(rule("allowed.test", 443))
    assert world.room.ask(asked)[3] & 0xF == code


@pytest.mark.root
def test_tcp_answers_as_udp_does_whatever_the_segments(world: World):
    world.serve(rule("allowed.test", 443))
    queries = [query("allowed.test"), query("EviL.test", edns=OPT), query("allowed.test", AXFR)]
    expected = b"".join(framed(world.room.ask(each)) for each in queries)
    with world.room.connect("127.0.0.53", 53) as end:
        stream = b"".join(framed(each) for each in queries)
        for at in range(0, len(stream), 7):
            end.sendall(stream[at : at + 7])
        received = b""
        while len(received) < len(expected):
            received += end.recv(4096)
        assert received == expected


@pytest.mark.root
def test_a_tcp_connection_that_says_nothing_whole_is_hung_up_on(world: World):
    world.serve(rule("allowed.test", 443))
    with world.room.connect("127.0.0.53", 53) as slow, world.room.connect("127.0.0.53", 53) as wrong:
        slow.sendall(b"\0")
        wrong.sendall(b"\xff\xff")
        assert wrong.recv(1) == b""
        world.clock.added += 11
        assert slow.recv(1) == b""


@pytest.mark.root
def test_the_system_resolver_understands_the_answers(world: World):
    """As a program in a room has it: glibc, with the room's resolv.conf over the machine's.

    `ahostsv4` asks for IPv4 alone, and for addresses of a kind that the room has: glibc found none for it while 127.0.0.1 was the room's only address, and
    Firefox, which asks like that, no site at all.
    """
    world.serve(rule("allowed.test", 443))
    configuration = world.folder / "resolv.conf"
    configuration.write_text("nameserver 127.0.0.53\n")
    mounts = f"mount --make-rprivate / && mount --bind {configuration} /etc/resolv.conf"
    command = f"{mounts} && getent -s dns ahosts allowed.test; getent -s dns ahostsv4 allowed.test; getent -s dns ahosts evil.test; echo $?"

    def ask() -> str:
        return subprocess.run(["unshare", "--mount", "sh", "-c", command], capture_output=True, text=True, check=True, timeout=20).stdout

    *found, code = world.room.run(ask).split("\n")[:-1]
    assert [line.split()[0] for line in found] == ["198.18.1.0"] * 6
    assert code == "2"  # no such name


@pytest.mark.root
def test_a_restart_leaves_every_address_as_it_was(world: World):
    world.serve(rule("*.wild.test", 443))
    before = {each: world.room.address_of(f"{each}.wild.test") for each in "abc"}
    world.stop()
    world.start()
    world.serve(rule("*.wild.test", 443), rule("allowed.test", 443))
    assert world.room.address_of("allowed.test") not in before.values()
    assert {each: world.room.address_of(f"{each}.wild.test") for each in "cba"} == before


@pytest.mark.root
def test_refused_names_are_in_the_log_and_shown_harmlessly(world: World):
    world.serve(rule("allowed.test", 443))
    world.room.ask(query(b"\x04evil\x04test\0"))
    world.room.ask(query(b"\x05\x1b[31m\x04test\0"))
    until(lambda: len(world.refused()) == 2)
    assert world.refused() == [("name-not-listed", "evil.test", None), ("name-not-canonical", "\\027\\09131m.test", None)]
    assert world.sink.of(EventKind.NAME_REFUSED)[0].details["way"] == "names"


def test_names_of_the_rooms_choosing_are_limited_and_listed_ones_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(book_module, "MOST_CHOSEN", 3)
    rules = compile_rules([EgressRule(name("wild.test"), 443, wildcard=True), EgressRule(name("allowed.test"), 443)])
    book = NameBook(tmp_path / "book")
    replies = [reply_to(query(f"n{at}.wild.test"), rules=rules, book=book) for at in range(4)]
    assert [reply.message[3] & 0xF for reply in replies] == [0, 0, 0, 5]
    assert replies[3].denied is not None
    assert replies[3].denied.reason == "too-many-names"
    assert reply_to(query("allowed.test"), rules=rules, book=book).message[7] == 1
    assert reply_to(query("n0.wild.test"), rules=rules, book=book).message[7] == 1
    book.close()


@pytest.mark.parametrize("torn", [b"", b"=half.te", b"*"])
def test_a_book_cut_off_by_a_kill_goes_on_where_it_was(tmp_path: Path, torn: bytes):
    path = tmp_path / "book"
    book = NameBook(path)
    addresses = [book.address_of(name(each), is_chosen=each == "b.test") for each in ("a.test", "b.test")]
    book.close()
    path.write_bytes(path.read_bytes() + torn)
    again = NameBook(path)
    assert [again.address_of(name(each), is_chosen=False) for each in ("a.test", "b.test")] == addresses
    third = again.address_of(name("c.test"), is_chosen=False)
    assert third is not None
    assert third not in addresses
    assert again.name_at(third) == "c.test"
    assert again.name_at(third + 1) is None
    again.close()


def test_a_damaged_book_is_refused(tmp_path: Path):
    path = tmp_path / "book"
    path.write_text("=a.test\n=a.test\n")
    with pytest.raises(ValueError, match="line 2"):
        NameBook(path)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=80), max_size=5))
def test_any_datagram_gets_an_answer_or_none(tmp_path: Path, datagrams: list[bytes]):
    rules = compile_rules([EgressRule(name("wild.test"), 443, wildcard=True)])
    book = NameBook(tmp_path / "book")
    try:
        for datagram in datagrams:
            for unverified in (datagram, query("a.wild.test")[:12] + datagram):
                reply = reply_to(unverified, rules=rules, book=book)
                assert not reply.message or reply.message[:2] == unverified[:2]
    finally:
        book.close()
        (tmp_path / "book").unlink()


@pytest.mark.root
@pytest.mark.parametrize("option", [None, socket.SO_REUSEADDR, socket.SO_REUSEPORT])
def test_no_process_of_the_room_takes_a_port_over_while_its_shim_lives(world: World, option: int | None):
    world.serve(rule("allowed.test", 443))
    address = world.room.address_of("allowed.test")
    world.stop()  # not even while egress is away

    def take() -> None:
        for kind, place in (
            (socket.SOCK_STREAM, (address, 443)),
            (socket.SOCK_STREAM, ("127.0.0.1", 3128)),
            (socket.SOCK_STREAM, ("127.0.0.53", 53)),
            (socket.SOCK_DGRAM, ("127.0.0.53", 53)),
        ):
            with socket.socket(socket.AF_INET, kind) as thief:
                if option is not None:
                    thief.setsockopt(socket.SOL_SOCKET, option, 1)
                with pytest.raises(OSError, match="in use"):
                    thief.bind(place)

    world.room.run(take)
