"""The small parts: rate, loop, resolver, the machine's own addresses."""

import os
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.egress.world import FakeClock, until

from sekisho.egress.loop import READ, Loop
from sekisho.egress.own_addresses import read_own_addresses
from sekisho.egress.rate import OpenBucket, OpenRate
from sekisho.egress.resolver import SESSION_SHARE, THREADS, Found, Resolver, look_up
from sekisho.model.hostname import HostName


@settings(deadline=None)
@given(st.lists(st.floats(0, 5), max_size=200), st.integers(1, 20), st.floats(0.5, 100))
def test_no_second_sees_more_opens_than_burst_and_rate_allow(gaps: list[float], burst: int, per_second: float):
    bucket, now, opened = OpenBucket(OpenRate(per_second, burst, 2.0)), 100.0, []
    for gap in gaps:
        now += gap
        wait = bucket.take(now)
        assert wait is None or 0 <= wait <= 2.0
        if wait is not None:
            opened.append(now + wait)
    for start in opened:
        assert sum(start <= at < start + 1 for at in opened) <= burst + per_second + 2


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop(FakeClock())
    yield made
    made.close()


def test_timers_fire_in_order_and_not_after_they_were_cancelled(loop: Loop):
    fired: list[str] = []
    loop.after(2, lambda: fired.append("second"))
    loop.after(1, lambda: fired.append("first"))
    loop.after(1.5, lambda: fired.append("never")).cancel()
    loop.turn(0)
    assert fired == []
    assert isinstance(loop.clock, FakeClock)
    loop.clock.added += 3
    loop.turn(0)
    assert fired == ["first", "second"]


def test_a_callback_that_fails_ends_itself_and_no_other(loop: Loop, caplog: pytest.LogCaptureFixture):
    ends = [socket.socketpair() for _ in range(2)]
    heard: list[bytes] = []

    def fail(_events: int) -> None:
        raise ZeroDivisionError

    loop.watch(ends[0][0].fileno(), READ, fail)
    loop.watch(ends[1][0].fileno(), READ, lambda _events: heard.append(ends[1][0].recv(10)))
    for _, far in ends:
        far.send(b"x")
    loop.turn(0)
    assert heard == [b"x"]
    assert "a callback failed" in caplog.text
    loop.turn(0)
    assert caplog.text.count("a callback failed") == 1
    for pair in ends:
        for end in pair:
            end.close()


def test_an_event_of_a_closed_descriptor_does_not_reach_the_next_owner_of_its_number(loop: Loop):
    first, second = socket.socketpair(), socket.socketpair()
    heard: list[str] = []
    replaced: list[int] = []

    def replace(mine: socket.socket, other: socket.socket) -> None:
        """Whichever is called first closes the other, and something else gets its number."""
        mine.recv(1)
        if replaced:
            heard.append("stale")
            return
        number = other.fileno()
        loop.forget(number)
        other.close()
        read, write = os.pipe()
        assert read == number
        replaced.extend((read, write))
        loop.watch(read, READ, lambda _events: heard.append("wrong"))

    loop.watch(first[0].fileno(), READ, lambda _events: replace(first[0], second[0]))
    loop.watch(second[0].fileno(), READ, lambda _events: replace(second[0], first[0]))
    first[1].send(b"x")
    second[1].send(b"x")
    loop.turn(0)
    assert heard == []
    loop.forget(replaced[0])
    for descriptor in replaced:
        os.close(descriptor)
    for end in (*first, *second):
        end.close()


def test_one_rooms_slow_zone_does_not_hold_up_another(loop: Loop):
    gate, started = threading.Event(), threading.Semaphore(0)

    def slow(name: HostName) -> Found:
        if name.endswith("slow.test"):
            started.release()
            gate.wait(10)
        return Found(("93.184.216.34",))

    resolver = Resolver(loop, {"pinned.test": ("127.0.0.1",)}, slow)
    found: list[tuple[str, Found]] = []

    def ask(session: str, name: str) -> None:
        resolver.resolve(session, HostName(name), lambda answer: found.append((name, answer)))

    try:
        for at in range(THREADS * 2):
            ask("s-a", f"n{at}.slow.test")
        ask("s-a", "n0.slow.test")
        for _ in range(SESSION_SHARE):
            assert started.acquire(timeout=10)
        ask("s-b", "quick.test")
        ask("s-a", "pinned.test")
        assert found == [("pinned.test", Found(("127.0.0.1",), is_pinned=True))]
        until(lambda: loop.turn(0.01) or len(found) == 2)
        assert found[1][0] == "quick.test"
        gate.set()
        until(lambda: loop.turn(0.01) or len(found) == 2 + THREADS * 2 + 1)
        assert not started.acquire(blocking=False) or sum(name == "n0.slow.test" for name, _ in found) == 2
    finally:
        gate.set()
        resolver.close()


def test_a_lookup_that_fails_is_no_address_and_costs_no_thread(loop: Loop, caplog: pytest.LogCaptureFixture):
    def fail(name: HostName) -> Found:
        raise ZeroDivisionError

    resolver = Resolver(loop, {}, fail)
    found: list[Found] = []
    try:
        for at in range(THREADS * 2):
            resolver.resolve("s-a", HostName(f"n{at}.test"), found.append)
        until(lambda: loop.turn(0.01) or len(found) == THREADS * 2)
        assert set(found) == {Found(())}
        assert "a lookup failed" in caplog.text
    finally:
        resolver.close()


def test_met_deadlines_do_not_pile_up(loop: Loop):
    for _ in range(10_000):
        loop.after(10, lambda: None).cancel()
    assert len(loop._timers) <= 512


def test_the_systems_resolver_finds_nothing_without_an_error():
    assert look_up(HostName("no-such-name.invalid")) == Found(())


def test_the_machines_own_addresses_are_known():
    assert {"127.0.0.1"} <= read_own_addresses()
