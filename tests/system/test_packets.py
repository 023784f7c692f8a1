"""Packet channels: whole messages, descriptors beside them, and a peer that is known."""

import os

import pytest

from sekisho.model.messages import LIMIT_BYTES
from sekisho.system.packets import ChannelClosed, Listener, connect, pair


@pytest.fixture
def ends():
    left, right = pair()
    yield left, right
    left.close()
    right.close()


def test_a_packet_arrives_whole_with_its_descriptors(ends):
    read, write = os.pipe()
    ends[0].send(b"hello", (write,))
    os.close(write)
    packet, (received,) = ends[1].receive()
    assert packet == b"hello"
    assert not os.get_inheritable(received)
    os.write(received, b"x")
    os.close(received)
    assert os.read(read, 1) == b"x"
    os.close(read)


def test_nothing_there_is_none_and_a_closed_end_is_said(ends):
    assert ends[1].receive() is None
    ends[0].close()
    with pytest.raises(ChannelClosed):
        ends[1].receive()
    with pytest.raises(ChannelClosed):
        ends[1].send(b"late")


def test_a_peer_that_does_not_read_is_waited_for_and_then_given_up(ends):
    with pytest.raises(ChannelClosed, match="does not read"):
        flood(ends[0])
    assert ends[0].is_waiting_to_write


def flood(end):
    for _ in range(10_000):
        end.send(bytes(1000))


def test_queued_packets_keep_their_order(ends):
    count = 0
    while not ends[0].is_waiting_to_write:
        ends[0].send(count.to_bytes(4, "big") + bytes(4096))
        count += 1
    ends[0].send(count.to_bytes(4, "big"))
    seen = []
    while len(seen) <= count:
        ends[0].flush()
        while (found := ends[1].receive()) is not None:
            seen.append(int.from_bytes(found[0][:4], "big"))
    assert seen == list(range(count + 1))


def test_a_packet_longer_than_the_limit_closes(ends):
    ends[0]._socket.setblocking(True)
    ends[0]._socket.send(bytes(LIMIT_BYTES + 1))
    with pytest.raises(ChannelClosed, match="truncated"):
        ends[1].receive()


def test_a_listener_knows_who_speaks_and_replaces_a_dead_one(tmp_path):
    path = tmp_path / "x.sock"
    for _ in range(2):
        listener = Listener(path, mode=0o666)
        client = connect(path)
        server = listener.accept()
        assert (server.peer.uid, server.peer.pid) == (os.getuid(), os.getpid())
        assert path.stat().st_mode & 0o777 == 0o666
        for each in (client, server):
            each.close()
        listener.close()
    with pytest.raises(ChannelClosed):
        connect(path)
