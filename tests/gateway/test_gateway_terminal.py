"""The terminal, end to end: a real browser-side WebSocket over TLS, a real bash on a real pseudo-terminal, control and agent on their real sockets."""

import asyncio
import contextlib
import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
import websockets
from tests.gateway.rooms_host import RoomsHost, until, with_rooms_host

from sekisho.gateway.timings import Timings
from sekisho.model.reasons import Reason
from sekisho.sessions.doorway import Cut, Extended, Fact

SESSION = "s-aaaaaaaaaa"
QUICK = Timings(answer=1.0, recheck=0.1, recheck_again=0.05, unanswered=0.4, reason=0.3, tick=0.05, first_message=0.3)


def now() -> float:
    return datetime.now(UTC).timestamp()


def test_a_ticket_opens_a_prompt_and_control_hears_of_the_end_with_the_bytes_counted(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        client = await host.at_prompt()
        welcome = await client.hears("admitted")
        assert welcome | {"ends_at": 0, "now": 0, "again": ""} == {
            "session": SESSION, "room": "campaign", "title": "Campaign data", "person": "hanako", "language": "ja",
            "ends_at": 0, "now": 0, "again": "", "paste_in": True,
        }  # fmt: skip
        await client.type("echo $((6*7))\n")
        await client.sees("\r42\r\n")
        await client.close()
        await until(lambda: host.control.closed, "closed is said")
        (closed,) = host.control.closed
        assert (closed.connection, closed.why, closed.left, closed.bytes_in) == ("c-1", "disconnected", False, 14)
        assert closed.bytes_out == len(client.shown)
        assert host.control.redeemed[0].address == "127.0.0.1"

    with_rooms_host(tmp_path, story)


def test_japanese_goes_in_and_comes_out_whatever_the_cut(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        client = await host.at_prompt()
        for byte in "printf '%s\\n' 関所の部屋\n".encode():
            await client.type(bytes([byte]))
        await client.sees("\r関所の部屋\r\n")
        await client.type('for b in E9 96 A2 E6 89 80; do printf "\\x$b"; sleep 0.02; done; echo .\n')
        await client.sees("\r関所.\r\n")
        client.shown.decode()  # no character was torn by a frame

    with_rooms_host(tmp_path, story)


def test_two_pages_show_the_same_room_and_the_active_one_gives_the_window_its_size(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        first = await host.at_prompt(columns=90, rows=20)
        second = await host.at_prompt(columns=120, rows=40)
        assert host.agent.opened == [SESSION, SESSION], "each capability is consumed"
        await second.type("stty size\n")
        await first.sees("40 120")
        await first.type("stty size\n")
        await second.sees("20 90")
        await second.socket.send(json.dumps({"resize": [77, 22]}))
        await second.type("stty size\n")
        await first.sees("22 77")

    with_rooms_host(tmp_path, story)


def test_a_late_connection_sees_what_was_shown_and_jobs_go_on_while_nobody_is_there(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        first = await host.at_prompt()
        again = (await first.hears("admitted"))["again"]
        await first.type("(for i in $(seq 2000); do echo line $i of a job; done; echo job over) && echo fin$((1+1))\n")
        await first.sees("line 20 of")
        await first.close()
        await until(lambda: host.control.closed, "closed")
        second = await host.enter(again)
        await second.sees("fin2")
        assert b"line 1999 of a job" in second.shown

    with_rooms_host(tmp_path, story)


def test_queries_are_answered_by_one_terminal_and_never_by_a_replay(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        first = await host.at_prompt()
        second = await host.at_prompt()
        await first.type("printf 'A\\033[6nB'; echo\n")
        await first.sees(b"A\x1b[6nB")
        await second.sees(b"AB")
        assert b"\x1b[6n" not in second.shown
        third = await host.enter()
        await third.sees(b"AB")
        assert b"\x1b[6n" not in third.shown

    with_rooms_host(tmp_path, story)


def test_what_a_room_must_not_say_to_a_terminal_does_not_reach_it(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        client = await host.at_prompt()
        await client.type("printf '\\033]52;c;c2VjcmV0\\a<\\033[21t><\\033]8;;https://evil.example/\\033\\\\link\\033]8;;\\033\\\\>'; echo\n")
        await client.sees("<><link>")
        assert b"\x1b]" not in client.shown

    with_rooms_host(tmp_path, story)


def test_a_cut_shows_why_and_nothing_after_it(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        client = await host.at_prompt()
        other = await host.at_prompt()
        await client.type("while :; do echo flood; done\n")
        await client.sees("flood\r\nflood")
        started = asyncio.get_running_loop().time()
        host.control.tell(Cut("c-1", "ended-by-approver"))
        assert await client.hears("ended") == {"reason": "ended-by-approver"}
        await client.is_shut()
        assert asyncio.get_running_loop().time() - started < 1.0
        await until(lambda: host.control.closed, "closed")
        assert (host.control.closed[0].connection, host.control.closed[0].why) == ("c-1", "ended-by-approver")
        assert not other.is_closed, "only the named connection is cut"

    with_rooms_host(tmp_path, story)


def test_a_cut_that_follows_its_admission_at_once_is_not_lost(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        host.control.cuts_at_once = True
        client = await host.hello(host.control.issue())
        assert await client.hears("ended") == {"reason": "person-disabled"}
        await client.is_shut()
        assert client.shown == b""
        await until(lambda: [each.why for each in host.control.closed] == ["person-disabled"], "closed")
        assert not host.agent.opened

    with_rooms_host(tmp_path, story)


def test_the_gateway_itself_closes_at_the_deadline_and_an_extension_moves_it(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        client = await host.enter(host.control.issue(ends_at=now() + 0.6))
        end = now() + 1.2
        host.control.tell(Extended(SESSION, end))
        assert (await client.hears("extended"))["ends_at"] == end
        host.control.close()  # nobody tells it
        assert await client.hears("ended") == {"reason": "time-over"}
        assert end <= now() < end + 0.5
        await client.is_shut()

    with_rooms_host(tmp_path, story, timings=Timings(answer=1.0, tick=0.2))


def test_a_room_that_stops_closes_with_controls_reason_or_says_that_it_stopped(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        told = await host.at_prompt()
        untold = await host.enter(host.control.issue("s-bbbbbbbbbb"))
        await untold.sees("room$ ")
        host.agent.room(SESSION).stop()
        host.control.tell(Cut("c-1", "shim-lost"))
        assert await told.hears("ended") == {"reason": "shim-lost"}
        os.killpg(host.agent.room("s-bbbbbbbbbb").process.pid, signal.SIGKILL)  # every end of the pseudo-terminal inside is closed
        assert await untold.hears("ended") == {"reason": "room-stopped"}
        await untold.is_shut()

    with_rooms_host(tmp_path, story, timings=QUICK)


def test_leave_ends_the_session_and_is_said_again_when_control_was_away(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        client = await host.at_prompt()
        host.control.close()
        await client.socket.send('{"leave":true}')
        assert await client.hears("ended") == {"reason": "left"}
        await client.is_shut()
        host.control.heard.clear()
        host.control.open()
        await until(lambda: len(host.control.alive) == 2, "alive")
        assert host.control.heard == ["closed", "alive"]
        assert (host.control.closed[0].why, host.control.closed[0].left) == ("left", True)
        assert host.control.alive[1].connections == ()

    with_rooms_host(tmp_path, story)


def test_control_is_told_what_is_held_when_it_comes_back_and_entry_is_refused_while_it_is_away(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        client = await host.at_prompt()
        host.control.close()
        stranger = await host.hello("ticket-2")
        assert (await stranger.hears("refused"))["reason"] == "control-unavailable"
        await client.type("echo still $((1+1))\n")
        await client.sees("still 2")
        host.control.open()
        await until(lambda: len(host.control.alive) == 2, "alive")
        assert host.control.alive[1].connections == ("c-1",)

    with_rooms_host(tmp_path, story)


@pytest.mark.parametrize("ending", ["refused", "silent"])
def test_every_connection_is_asked_about_again_and_silence_is_not_a_yes_for_ever(tmp_path: Path, ending: str) -> None:
    async def story(host: RoomsHost) -> None:
        client = await host.at_prompt()
        await until(lambda: len(host.control.rechecked) >= 2, "rechecked")
        assert host.control.rechecked[0].address == "127.0.0.1"
        assert client.told[-1].keys() == {"extended"}, "the answer carries the end"
        if ending == "refused":
            host.control.recheck_refusal = Reason.OUTSIDE_PLACE
        else:
            host.control.is_silent = True
        assert (await client.hears("refused"))["reason"] == ("outside-place" if ending == "refused" else "control-unavailable")
        await client.is_shut()

    with_rooms_host(tmp_path, story, timings=Timings(answer=0.1, recheck=0.1, recheck_again=0.05, unanswered=0.4))


def test_idleness_of_the_session_ends_it_but_input_anywhere_keeps_it(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        quiet = await host.enter(host.control.issue(idle_end_seconds=0.8))
        busy = await host.enter(host.control.issue(idle_end_seconds=0.8))
        started = now()
        while now() < started + 1.2:
            await busy.type(" ")
            await asyncio.sleep(0.1)
        assert not quiet.is_closed
        while not quiet.is_closed:
            with contextlib.suppress(websockets.ConnectionClosed):
                await busy.type(b"\x1b[1;1R")  # a terminal's answer is nobody's input
            await asyncio.sleep(0.05)
            assert now() < started + 5
        assert await busy.hears("ended") == {"reason": "idle"}
        await until(lambda: len(host.control.closed) == 2, "closed")
        assert {(each.why, each.left) for each in host.control.closed} == {("idle", True)}

    with_rooms_host(tmp_path, story, timings=Timings(answer=1.0, tick=0.05))


def test_a_session_that_nobody_is_connected_to_is_idle_too(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        client = await host.enter(host.control.issue(idle_end_seconds=0.4))
        await client.close()
        await until(lambda: len(host.control.closed) == 2, "closed twice")
        assert [(each.connection, each.why, each.left) for each in host.control.closed] == [("c-1", "disconnected", False), ("c-1", "idle", True)]

    with_rooms_host(tmp_path, story, timings=Timings(answer=1.0, tick=0.05))


def test_a_slow_connection_is_closed_and_never_holds_up_the_others(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        slow = await host.hello(host.control.issue(), is_reading=False, max_queue=1)
        quick = await host.at_prompt()
        await quick.type("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo all$((1+1))\n")
        await quick.sees("all2")
        await until(lambda: [each.connection for each in host.control.closed] == ["c-1"], "the slow one is closed")
        slow.read_on()

    with_rooms_host(tmp_path, story)


def test_a_lone_slow_connection_slows_the_room_and_one_that_takes_nothing_is_closed(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        slow = await host.hello(host.control.issue(), is_reading=False, max_queue=1)
        room = host.agent.room()
        await slow.socket.send(b"head -c 3000000 /dev/zero | tr '\\0' x; echo; touch " + str(tmp_path / "passed").encode() + b"\n")
        await until(lambda: host.control.closed, "it is closed")
        await until((tmp_path / "passed").exists, "the room goes on without it")
        assert room.process.poll() is None
        slow.read_on()

    with_rooms_host(tmp_path, story, timings=Timings(answer=3.0, stalled=0.5))


def test_input_waits_for_a_room_that_does_not_read_and_none_of_it_is_lost(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        client = await host.at_prompt()
        await client.type("stty raw -echo; sleep 0.5; head -c 300000 | md5sum; stty sane\n")
        await until(lambda: b"md5sum" in client.shown, "typed")
        await asyncio.sleep(0.2)
        for _ in range(5):
            await client.type(b"0123456789" * 6000)
        await client.sees("  -")
        import hashlib

        await client.sees(hashlib.md5(b"0123456789" * 30000).hexdigest())  # noqa: S324

    with_rooms_host(tmp_path, story)


REFUSALS = [
    # what control says, the reason shown, a part of the sentence
    ((Reason.TICKET_USED_OR_OLD, ()), "ticket-used-or-old", "used already"),
    ((Reason.OUTSIDE_PLACE, (Fact("address", "192.0.2.7"), Fact("places", "security-area"))), "outside-place", "192.0.2.7, which is not in security-area"),
    ((Reason.LOG_UNAVAILABLE, ()), "log-unavailable", "nothing opens"),
]


@pytest.mark.parametrize(("refusal", "reason", "part"), REFUSALS)
def test_a_refusal_is_shown_with_its_reason_and_sentence(tmp_path: Path, refusal: tuple, reason: str, part: str) -> None:
    async def story(host: RoomsHost) -> None:
        host.control.refusal = refusal
        client = await host.hello("whatever")
        refused = await client.hears("refused")
        assert refused["reason"] == reason
        assert part in refused["sentence"]
        await client.is_shut()
        assert not host.agent.opened

    with_rooms_host(tmp_path, story)


def test_a_ticket_works_once(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        ticket = host.control.issue()
        await host.enter(ticket)
        second = await host.hello(ticket)
        assert (await second.hears("refused"))["reason"] == "ticket-used-or-old"

    with_rooms_host(tmp_path, story)


@pytest.mark.parametrize(
    ("failure", "shown"),
    [
        ("no-such-session", {"ended": {"reason": "room-stopped"}}),
        ("capability-refused", {"refused": "ticket-used-or-old"}),
        ("lease-lost", {"refused": "control-unavailable"}),
        ("not-ready", {"refused": "session-not-ready"}),
    ],
)
def test_what_the_agent_does_not_open_is_not_entered_and_the_books_are_closed(tmp_path: Path, failure: str, shown: dict) -> None:
    async def story(host: RoomsHost) -> None:
        host.agent.failure = failure
        client = await host.hello(host.control.issue())
        await client.is_shut()
        (message,) = client.told
        assert message == shown or message["refused"]["reason"] == shown["refused"]
        await until(lambda: [each.connection for each in host.control.closed] == ["c-1"], "closed")

    with_rooms_host(tmp_path, story)


FIRST_MESSAGES = ["", "{}", '{"leave":true}', '{"ticket":"x","columns":0,"rows":1}', b"ticket", '{"ticket":"x","columns":80,"rows":24,"more":1}', None]


@pytest.mark.parametrize("first", FIRST_MESSAGES)
def test_whoever_does_not_begin_with_a_ticket_in_time_is_shown_out(tmp_path: Path, first: str | bytes | None) -> None:
    async def story(host: RoomsHost) -> None:
        socket = await host.dial()
        if first is not None:
            await socket.send(first)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        assert not host.control.redeemed

    with_rooms_host(tmp_path, story, timings=QUICK)


@pytest.mark.parametrize("sent", ["{", '{"resize":[0,0]}', '{"leave":false}', b"x" * 65_537])
def test_malformed_or_too_long_messages_close_the_connection(tmp_path: Path, sent: str | bytes) -> None:
    async def story(host: RoomsHost) -> None:
        client = await host.at_prompt()
        await client.type(sent) if isinstance(sent, bytes) else await client.socket.send(sent)
        await until(lambda: host.control.closed, "closed")
        assert host.control.closed[0].why == "disconnected"

    with_rooms_host(tmp_path, story)


def test_a_room_that_takes_no_paste_gets_none_of_a_bracketed_one(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        client = await host.enter(host.control.issue(paste_in=False))
        await client.sees("room$ ")
        await client.type(b"echo [\x1b[20")
        await client.type(b"0~pasted\x1b[201")
        await client.type(b"~typed]\n")
        await client.sees("[typed]\r\n")
        assert b"pasted" not in client.shown

    with_rooms_host(tmp_path, story)


@pytest.mark.parametrize(
    ("origin", "host_header", "status"),
    [("https://evil.example", "", 403), ("null", "", 403), ("https://sekisho.localhost:8443", "", 403), (None, "evil.example", 421), (None, "127.0.0.1", 421)],
)
def test_another_origin_or_host_opens_no_socket(tmp_path: Path, origin: str | None, host_header: str, status: int) -> None:
    async def story(host: RoomsHost) -> None:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await host.dial(origin=origin, host=host_header)
        assert refused.value.response.status_code == status

    with_rooms_host(tmp_path, story)


def test_the_rooms_own_origin_opens_a_socket_and_a_listed_proxy_tells_the_address(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        headers = {"X-Forwarded-For": "203.0.113.9, 198.51.100.4"}
        client = await host.enter(origin=host.origin, additional_headers=headers)
        assert client.told
        assert host.control.redeemed[0].address == "198.51.100.4"

    with_rooms_host(tmp_path, story, trusted=("127.0.0.0/8",))


def test_a_forged_forwarding_header_changes_nothing(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        await host.enter(additional_headers={"X-Forwarded-For": "10.0.0.1"})
        assert host.control.redeemed[0].address == "127.0.0.1"

    with_rooms_host(tmp_path, story)
