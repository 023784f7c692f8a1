"""Control's orders, and how a session ends: all of it, at once."""

import os
import socket

import pytest
from tests.egress.world import ALLOWED, Room, World, client_hello, is_reset, open_descriptors, query, read_all, rule, until

from sekisho.egress.session import MOST_CONNECTIONS
from sekisho.model.event import EventKind
from sekisho.runtime.egress_orders import Drop, Only, RuleOrder
from sekisho.system import kernel
from sekisho.system.packets import ChannelClosed, connect

pytestmark = pytest.mark.root


def opened(world: World) -> socket.socket:
    """A connection through the room with bytes flowing."""
    world.zone["allowed.test"] = (ALLOWED,)
    end = world.room.reach("allowed.test", 443)
    end.sendall(client_hello("allowed.test"))
    assert end.recv(100) == b"hello"
    return end


@pytest.mark.parametrize("how", ["dropped", "not in the list", "the room is gone", "its time is over"])
def test_the_end_of_a_session_cuts_everything_at_once(world: World, how: str):
    world.serve(rule("allowed.test", 443), seconds=100)
    relayed, waiting, asking, idle = opened(world), world.room.proxy(), world.room.connect("127.0.0.53", 53), world.room.proxy()
    waiting.sendall(b"CONNECT")
    asking.sendall(b"\0")
    world.room.ask(query("allowed.test"))
    match how:
        case "dropped":
            assert world.order(Drop(world.number(), World.session)).sessions == ()
        case "not in the list":
            assert world.order(Only(world.number(), ("s-other",))).sessions == ()
        case "the room is gone":
            world.room.end()
        case "its time is over":
            world.clock.added += 100.5
    assert is_reset(relayed)
    for end in (waiting, asking, idle):
        assert read_all(end) == b""
    for end in (relayed, waiting, asking, idle):
        end.close()
    until(world.all_closed)
    assert world.details(EventKind.NAME_CLOSED)[0]["why"] == "session-over"
    until(lambda: world.servers.seen[0].is_ended)
    assert world.order(Drop(world.number(), "s-nobody")).sessions == ()
    assert (world.folder / "names" / World.session).exists() is (how == "its time is over")  # it may be extended yet


def test_a_deadline_moves_with_the_grant(world: World):
    world.serve(rule("allowed.test", 443), seconds=100)
    with opened(world) as end:
        world.serve(rule("allowed.test", 443), seconds=1000, capability="")
        world.clock.added += 500
        end.sendall(b"more")
        until(lambda: world.servers.seen[0].received.endswith(b"more"))
        world.clock.added += 501
        assert is_reset(end)


def test_serving_again_is_no_second_session(world: World):
    world.serve(rule("allowed.test", 443))
    with opened(world) as end:
        assert world.serve(rule("allowed.test", 443)).sessions == (World.session,)
        assert world.order(Only(world.number(), (World.session,))).sessions == (World.session,)
        end.sendall(b"more")
        until(lambda: world.servers.seen[0].received.endswith(b"more"))


@pytest.mark.parametrize(
    ("rules", "capability", "failed"),
    [
        ((), "ab" * 32, "capability-refused"),
        ((), "", "not-served"),
        ((RuleOrder("Allowed.test", 443, wildcard=False, tls=True, target=""),), None, "malformed-rule"),
        ((RuleOrder("127.0.0.1", 443, wildcard=False, tls=True, target=""),), None, "malformed-rule"),
        ((RuleOrder("allowed.test", 0, wildcard=False, tls=True, target=""),), None, "malformed-rule"),
    ],
)
def test_an_order_that_cannot_be_followed_serves_nothing(world: World, rules: tuple[RuleOrder, ...], capability: str | None, failed: str):
    answer = world.serve(*rules, capability=capability)
    assert (answer.failed, answer.sessions) == (failed, ())


def test_a_session_name_is_no_path(world: World):
    assert world.serve(session="s-../../x").failed == "malformed-session"
    world.order(Drop(world.number(), "../orders"))
    assert list((world.folder / "names").iterdir()) == []


def test_a_capability_of_another_session_opens_nothing(world: World):
    counts = []
    for _ in range(2):
        world.agent.rooms["cd" * 32] = ("s-other", world.room.descriptors())
        assert world.serve(capability="cd" * 32).failed == "capability-of-another-session"
        until(lambda: not any(channel.is_waiting_to_write for channel in world.agent.channels))
        counts.append(open_descriptors())
    assert counts[0] == counts[1]  # what came with it was closed


def test_an_agent_that_is_away_is_said_so_and_asked_again(world: World):
    path = world.folder / "open.sock"
    path.rename(world.folder / "away.sock")
    assert world.serve(rule("allowed.test", 443)).failed == "agent-unavailable"
    (world.folder / "away.sock").rename(path)
    assert world.serve(rule("allowed.test", 443)).failed == ""


def test_only_control_may_give_orders(world: World):
    child = os.fork()
    if child == 0:
        try:
            for folder in (world.folder, *world.folder.parents[:3]):
                folder.chmod(0o755)
            kernel.become(65534)
            channel = connect(world.folder / "egress.sock")
            until(channel.receive)
        except ChannelClosed:
            os._exit(7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_slow_crowd_waits_in_line_and_hurts_nobody_else(world: World):
    """More half-open requests than a session may have: the rest wait in the backlog, another room is served, and after the deadline all is free again."""
    other = Room.make()
    crowd: list[socket.socket] = []
    try:
        world.zone |= {"allowed.test": (ALLOWED,)}
        world.serve(rule("allowed.test", 443))
        world.serve(rule("allowed.test", 443), room=other, session="s-other")

        def gather() -> None:
            for _ in range(MOST_CONNECTIONS + 50):
                end = socket.create_connection(("127.0.0.1", 3128), timeout=10)
                end.sendall(b"C")
                crowd.append(end)

        world.room.run(gather)
        with other.reach("allowed.test", 443) as end:
            end.sendall(client_hello("allowed.test"))
            assert end.recv(100) == b"hello"
        world.clock.added += 11
        with world.room.proxy() as end:
            end.sendall(b"CONNECT evil.test:443 HTTP/1.1\r\n\r\n")
            assert end.recv(12) == b"HTTP/1.1 403"
    finally:
        for end in crowd:
            end.close()
        world.stop()
        other.close()
