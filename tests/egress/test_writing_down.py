"""The log comes first: an open is durable before anything goes out, closing and refusing never wait, and nothing is lost."""

import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.egress.world import ALLOWED, FakeClock, FakeSink, IdleShipper, World, client_hello, query, read_all, rule, until

from sekisho.audit.spool import FileSpool
from sekisho.egress.facts import SessionFacts, shown
from sekisho.egress.journal import Journal, SpoolBroken
from sekisho.egress.loop import Loop
from sekisho.egress.refusals import TOLD_APART, Refusals, refusal
from sekisho.model.event import Event, EventKind
from sekisho.model.reasons import Reason
from sekisho.policy.verdict import Deny

FACTS = SessionFacts("s-a", "campaign", "hanako")


class Desk:
    """A journal on a loop that the test turns."""

    def __init__(self) -> None:
        self.clock, self.sink = FakeClock(), FakeSink()
        self.loop = Loop(self.clock)
        self.journal = Journal(self.loop, self.sink, IdleShipper())
        self.answers: list[bool] = []

    def event(self, kind: EventKind) -> Event:
        return FACTS.event(kind, at=self.clock.now(), details={})

    def open(self) -> None:
        self.journal.open(self.event(EventKind.NAME_REACHED), self.answers.append)

    def turn_until(self, count: int) -> None:
        def is_answered() -> bool:
            self.loop.turn(0.01)
            return len(self.answers) >= count

        until(is_answered)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.sink.may_sync.set()
    made.journal.close()
    made.loop.close()


def test_opens_that_come_together_share_one_sync_and_none_is_told_before_it(desk: Desk):
    desk.sink.may_sync.clear()
    for _ in range(5):
        desk.open()
    for _ in range(3):
        desk.loop.turn(0.01)
    assert desk.answers == []
    desk.open()  # while the others are being synced: the next group
    desk.loop.turn(0.01)
    assert len(desk.sink.events) == 5
    desk.sink.may_sync.set()
    desk.turn_until(6)
    assert desk.answers == [True] * 6
    assert desk.sink.synced == 6


def test_a_full_spool_refuses_opens_and_keeps_closes_in_order_until_it_has_room(desk: Desk):
    desk.sink.is_full = True
    desk.journal.note(desk.event(EventKind.NAME_CLOSED))
    desk.open()
    desk.journal.note(desk.event(EventKind.NAME_REFUSED))
    desk.turn_until(1)
    assert desk.answers == [False]
    assert desk.journal.is_holding
    desk.sink.is_full = False
    desk.journal.note(desk.event(EventKind.SESSION_ENDED))
    until(lambda: desk.loop.turn(0.01) or len(desk.sink.events) == 3)
    assert [event.kind for event in desk.sink.events] == [EventKind.NAME_CLOSED, EventKind.NAME_REFUSED, EventKind.SESSION_ENDED]
    assert not desk.journal.is_holding


def test_nothing_opens_while_audit_has_been_away_too_long(desk: Desk):
    desk.sink.oldest_seconds = 30.5
    desk.open()
    desk.turn_until(1)
    desk.sink.oldest_seconds = 29.5
    desk.open()
    desk.turn_until(2)
    assert desk.answers == [False, True]


def test_a_spool_that_cannot_be_synced_ends_the_process(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    def broken() -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(desk.sink, "sync", broken)
    desk.open()
    with pytest.raises(SpoolBroken):
        desk.turn_until(1)
    assert desk.answers == []
    monkeypatch.undo()


def test_a_shipper_that_fails_is_tried_again(desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    def fail() -> float:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(desk.journal._shipper, "tick", fail)
    desk.clock.added += 61
    desk.loop.turn(0.01)
    assert "No space left" in caplog.text
    monkeypatch.undo()
    ticks: list[int] = []
    monkeypatch.setattr(desk.journal._shipper, "tick", lambda: ticks.append(1) or 60.0)
    desk.clock.added += 1.1
    desk.loop.turn(0.01)
    assert ticks == [1]


def test_equal_refusals_are_counted_together_and_none_is_left_out(desk: Desk):
    refusals = Refusals(desk.loop, desk.journal)
    same = refusal("names", "evil.test", 0, Deny(Reason.NAME_NOT_LISTED))
    for _ in range(1000):
        refusals.add(FACTS, same)
    for at in range(500):
        refusals.add(FACTS, refusal("names", f"n{at}.evil.test", 0, Deny(Reason.NAME_NOT_LISTED)))
    desk.clock.added += 11
    until(lambda: desk.loop.turn(0.01) or any(event.details.get("others") for event in desk.sink.events))
    assert len(desk.sink.events) <= TOLD_APART + 2
    assert sum(int(str(event.details["count"])) for event in desk.sink.events) == 1500


def test_a_full_spool_makes_refusals_wait_as_counts_not_as_a_pile(desk: Desk):
    refusals = Refusals(desk.loop, desk.journal)
    desk.sink.is_full = True
    for _ in range(5):
        for at in range(200):
            refusals.add(FACTS, refusal("names", f"n{at}.evil.test", 0, Deny(Reason.NAME_NOT_LISTED)))
        desk.clock.added += 11
        desk.loop.turn(0.01)
    desk.sink.is_full = False
    refusals.add(FACTS, refusal("names", "last.test", 0, Deny(Reason.NAME_NOT_LISTED)))
    desk.journal.note(desk.event(EventKind.SESSION_ENDED))
    until(lambda: desk.loop.turn(0.01) or len(desk.sink.events) > TOLD_APART)
    refusals.flush()
    until(lambda: desk.loop.turn(0.01) or sum(int(str(event.details.get("count", 0))) for event in desk.sink.events) == 1001)
    assert len(desk.sink.events) < 5 * TOLD_APART


@pytest.mark.parametrize(("said", "found"), [("a.test", "a.test"), ("\x1b[2J\n", "\\u{1b}[2J\\u{a}"), ("é", "\\u{e9}"), ("a b", "a\\u{20}b")])
def test_what_a_room_says_is_shown_harmlessly(said: str, found: str):
    assert shown(said) == found
    assert len(shown(said * 1000)) <= 253


@pytest.mark.root
def test_not_a_byte_goes_out_nor_a_name_before_the_open_is_durable(world: World):
    world.zone["allowed.test"] = (ALLOWED,)
    world.serve(rule("allowed.test", 443), rule("*.wild.test", 443, tls=False))
    world.sink.may_sync.clear()
    with world.room.reach("allowed.test", 443) as end, world.room.reach("exfiltrated.wild.test", 443) as other:
        end.sendall(client_hello("allowed.test"))
        until(lambda: len(world.sink.of(EventKind.NAME_REACHED)) == 1)  # the other waits for the next group
        world.room.ask(query("allowed.test"))
        assert world.asked == []
        assert world.servers.seen == []
        world.sink.may_sync.set()
        assert end.recv(100) == b"hello"
        assert read_all(other) == b""


@pytest.mark.root
@pytest.mark.parametrize("fault", ["full", "stale"])
def test_no_record_no_connection(world: World, fault: str):
    world.zone["allowed.test"] = (ALLOWED,)
    world.serve(rule("allowed.test", 443))
    world.sink.is_full, world.sink.oldest_seconds = fault == "full", 31.0 if fault == "stale" else 0.0
    with world.room.proxy() as end:
        end.sendall(b"CONNECT allowed.test:443 HTTP/1.1\r\n\r\n")
        answer = read_all(end)
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"Sekisho-Reason: log-unavailable" in answer
    assert world.asked == []
    assert world.servers.seen == []
    world.sink.is_full, world.sink.oldest_seconds = False, 0.0
    with world.room.reach("allowed.test", 443) as end:
        end.sendall(client_hello("allowed.test"))
        assert end.recv(100) == b"hello"
    assert ("log-unavailable", "allowed.test", 443) in until(world.refused)


@pytest.mark.root
def test_closing_needs_no_log(world: World):
    world.zone["allowed.test"] = (ALLOWED,)
    world.serve(rule("allowed.test", 443))
    end = world.room.reach("allowed.test", 443)
    end.sendall(client_hello("allowed.test"))
    assert end.recv(100) == b"hello"
    world.sink.is_full = True
    world.room.end()
    assert read_all(end) == b""
    end.close()
    until(lambda: world.servers.seen[0].is_ended)
    assert not world.all_closed()
    world.sink.is_full = False
    world.stop()
    assert world.all_closed()
    assert world.details(EventKind.NAME_CLOSED)[0]["why"] == "session-over"


_PROCESS = """
    import os, sys
    from pathlib import Path
    from sekisho.audit.shipper import Shipper
    from sekisho.audit.spool import FileSpool
    from sekisho.egress.resolver import Found
    from sekisho.egress.service import Outside, run
    from sekisho.system.clock import SystemClock
    from tests.egress.world import ALLOWED

    folder, namespace = Path(sys.argv[1]), int(sys.argv[2])
    import ctypes
    assert ctypes.CDLL(None).setns(namespace, 0x40000000) == 0
    clock = SystemClock()
    spool = FileSpool(folder / "spool", producer="egress", limit_bytes=1 << 20, limit_seconds=600, clock=clock)
    run(orders_path=folder / "egress.sock", open_path=folder / "open.sock", books=folder / "names", control_uid=os.getuid(), sink=spool,
        shipper=Shipper(spool, folder / "audit.sock", clock), hosts={}, clock=clock, outside=Outside(look_up=lambda name: Found((ALLOWED,))))
"""


@contextmanager
def _process(world: World) -> Iterator[None]:
    """Egress as a process of its own, which ends by kill -9."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_PROCESS), str(world.folder), str(world.outside.descriptor)],
        pass_fds=[world.outside.descriptor],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        world.control_at_last()
        yield
    finally:
        process.kill()
        process.wait()
        world.hang_up()


def _say_hello(end: socket.socket) -> None:
    with end:
        end.sendall(client_hello("a.allowed.test"))
        assert end.recv(100) == b"hello"


@pytest.mark.root
def test_a_killed_process_comes_back_to_the_same_listeners_names_and_log(world: World):
    """The real spool and shipper, a real process: what was told as open is in the spool, addresses hold, and who connected meanwhile is served."""
    world.stop()
    with _process(world):
        assert world.serve(rule("*.allowed.test", 443)).failed == ""
        address = world.room.address_of("a.allowed.test")
        assert address
        _say_hello(world.room.connect(address, 443))
    waiting = world.room.connect(address, 443)  # nobody serves, the shim listens
    with _process(world):
        assert world.serve(rule("*.allowed.test", 443)).failed == ""
        assert world.room.address_of("a.allowed.test") == address
        _say_hello(waiting)
        _say_hello(world.room.connect(address, 443))
    spool = FileSpool(world.folder / "spool", producer="egress", limit_bytes=1 << 20, limit_seconds=600, clock=FakeClock())
    entries = b"\n".join(entry for _, entry in spool.waiting(1 << 20))
    spool.close()
    assert entries.count(b'"name.reached"') == 3
    assert len(world.servers.seen) == 3
