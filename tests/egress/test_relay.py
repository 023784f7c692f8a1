"""The relay alone: every byte once and in order, both halves, bounded memory, through buffer and pipe alike."""

import hashlib
import os
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.egress.world import FakeClock, is_reset, open_descriptors, until

from sekisho.egress import relay as relay_module
from sekisho.egress.loop import Loop
from sekisho.egress.relay import PIPE_BYTES, Carriage, Pipes, Relay, RelayResult


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    near.settimeout(10)
    far.setblocking(False)
    return near, far


@dataclass
class Tunnel:
    """`client` and `server` are the people's ends; a thread turns the loop between."""

    pipes: Pipes = field(default_factory=Pipes)
    first: bytes = b""
    limit_bytes: int | None = None

    def __post_init__(self) -> None:
        self.client, self._client = tcp_pair()
        self.server, self._server = tcp_pair()
        self.loop = Loop(FakeClock())
        self.results: list[RelayResult] = []
        self._stop = threading.Event()
        carriage = Carriage(buffer=memoryview(bytearray(65536)), pipes=self.pipes, first=self.first, limit_bytes=self.limit_bytes)
        self.relay = Relay(self.loop, client=self._client, upstream=self._server, carriage=carriage, over=self._on_over)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.relay.start()
        while not self._stop.is_set():
            self.loop.turn(0.005)

    def _on_over(self, result: RelayResult) -> None:
        for end in (self._client, self._server):
            if result.was_reset:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            end.close()
        self.results.append(result)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        if not self.results:
            self.relay.stop(was_reset=True)
        for end in (self.client, self.server, self._client, self._server):
            end.close()
        self.loop.close()
        self.pipes.close()


@pytest.fixture
def tunnel() -> Iterator[Tunnel]:
    made = Tunnel()
    yield made
    made.close()


def send_all(end: socket.socket, blocks: list[bytes]) -> threading.Thread:
    def send() -> None:
        for block in blocks:
            end.sendall(block)
        end.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def digest_of(end: socket.socket) -> tuple[int, str]:
    digest, count = hashlib.sha256(), 0
    while read := end.recv(1 << 20):
        digest.update(read)
        count += len(read)
    return count, digest.hexdigest()


def expected(blocks: list[bytes]) -> tuple[int, str]:
    return sum(map(len, blocks)), hashlib.sha256(b"".join(blocks)).hexdigest()


@pytest.mark.parametrize("pipes", [60, 0], ids=["spliced", "copied"])
def test_bulk_arrives_whole_both_ways_at_once(pipes: int):
    made = Tunnel(pipes=Pipes(pipes))
    try:
        up, down = [os.urandom(1 << 20)] * 24, [os.urandom(700_001)] * 30
        senders = [send_all(made.client, up), send_all(made.server, down)]
        found: list[tuple[int, str]] = []
        reader = threading.Thread(target=lambda: found.append(digest_of(made.client)))
        reader.start()
        assert digest_of(made.server) == expected(up)
        reader.join()
        assert found == [expected(down)]
        for sender in senders:
            sender.join()
        until(lambda: made.results)
        assert made.results == [RelayResult(expected(up)[0], expected(down)[0], was_reset=False)]
        assert made.pipes._left + len(made.pipes._idle) == pipes
    finally:
        made.close()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 3_000_000) | st.integers(1, 2000)), max_size=8),
    st.integers(0, 70_000),
)
def test_any_dialogue_arrives_whole(dialogue: list[tuple[bool, int]], first: int):
    head = os.urandom(first)
    made = Tunnel(first=head)
    try:
        sent: dict[bool, list[bytes]] = {True: [head], False: []}
        for is_up, size in dialogue:
            sent[is_up].append(os.urandom(size))
        threads = [send_all(made.client, sent[True][1:]), send_all(made.server, sent[False])]
        found: list[tuple[int, str]] = []
        reader = threading.Thread(target=lambda: found.append(digest_of(made.client)))
        reader.start()
        assert digest_of(made.server) == expected(sent[True])
        reader.join()
        assert found == [expected(sent[False])]
        for thread in threads:
            thread.join()
    finally:
        made.close()


def test_a_half_that_is_over_leaves_the_other_open(tunnel: Tunnel):
    tunnel.client.sendall(b"question")
    tunnel.client.shutdown(socket.SHUT_WR)
    assert tunnel.server.recv(100) == b"question"
    assert tunnel.server.recv(100) == b""
    for _ in range(3):
        tunnel.server.sendall(b"answer")
        assert tunnel.client.recv(100) == b"answer"
    assert tunnel.results == []
    tunnel.server.close()
    assert tunnel.client.recv(100) == b""
    until(lambda: tunnel.results)
    assert tunnel.results == [RelayResult(8, 18, was_reset=False)]


@pytest.mark.parametrize("bulk", [0, 8 << 20], ids=["idle", "in the middle of bulk"])
@pytest.mark.parametrize("who", ["client", "server"])
def test_a_reset_reaches_the_other_side(tunnel: Tunnel, who: str, bulk: int):
    broken, other = (tunnel.client, tunnel.server) if who == "client" else (tunnel.server, tunnel.client)
    sender = threading.Thread(target=lambda: _try_send(other, bulk))
    sender.start()
    if bulk:
        broken.recv(4 << 20)
    broken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    broken.close()
    sender.join()
    assert is_reset(other) or bulk  # after a failed send the error was told already
    until(lambda: tunnel.results)
    assert tunnel.results[0].was_reset


def _try_send(end: socket.socket, count: int) -> None:
    with suppress(OSError):
        if count:  # to send nothing would take the error away from the reader
            end.sendall(bytes(count))


def test_a_peer_that_never_reads_holds_a_bounded_amount(tunnel: Tunnel):
    tunnel.server.setblocking(False)
    tracemalloc.start()
    sent = 0
    block = bytes(1 << 20)
    quiet = 0
    while quiet < 20 and sent < 512 << 20:
        try:
            sent += tunnel.server.send(block)
            quiet = 0
        except BlockingIOError:
            quiet += 1
            threading.Event().wait(0.01)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sent < 64 << 20  # the sockets' own buffers and one pipe
    assert peak < 4 << 20
    assert tunnel.results == []


def test_a_pipe_goes_back_when_a_stream_turns_into_talk(tunnel: Tunnel):
    block = os.urandom(PIPE_BYTES)
    sender = threading.Thread(target=lambda: tunnel.client.sendall(block * 8))
    sender.start()
    left = len(block) * 8
    while left:
        left -= len(tunnel.server.recv(left))
    sender.join()
    assert tunnel.pipes._left < 60
    for _ in range(relay_module.SMALL_READS_BEFORE_GIVING_BACK + 2):
        tunnel.client.sendall(b"word")
        assert tunnel.server.recv(100) == b"word"
    until(lambda: len(tunnel.pipes._idle) + tunnel.pipes._left == 60)


def test_a_limited_way_up_carries_its_limit_and_not_a_byte_more():
    made = Tunnel(first=b"head", limit_bytes=5)
    try:
        made.client.sendall(b"12345678")
        received = b""
        while len(received) < 9:
            received += made.server.recv(100)
        assert received == b"head12345"
        made.server.sendall(b"answer")
        assert made.client.recv(100) == b"answer"
        made.server.settimeout(0.05)
        with pytest.raises(TimeoutError):  # not even told that it was all
            made.server.recv(100)
        made.server.close()
        until(lambda: made.results)
        assert made.results[0].sent_bytes == 9
    finally:
        made.close()


def test_without_pipe_memory_the_buffer_does(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_arguments: object) -> None:
        raise PermissionError(1, "fs.pipe-user-pages-soft")

    monkeypatch.setattr(relay_module.fcntl, "fcntl", refuse)
    pipes = Pipes()
    before = open_descriptors()
    assert pipes.borrow() is None
    assert open_descriptors() == before
    assert pipes.borrow() is None
