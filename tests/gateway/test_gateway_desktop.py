"""The desktop's WebSocket end to end: a real browser's protocol, the real gateway on TLS, and a real Xvnc; where a server must misbehave, one that does."""

import asyncio
import json
import random
import secrets
import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.gateway.rfb import extended, fence, rectangle, update
from tests.gateway.rfb_peers import Browser, Server, fake_server, settled
from tests.gateway.rooms_host import RoomsHost, until, with_rooms_host

from sekisho.gateway.desktop import wire
from sekisho.gateway.timings import Timings
from sekisho.model.reasons import Reason
from sekisho.sessions.doorway import Cut, Extended

SESSION = "s-aaaaaaaaaa"
QUICK = Timings(first_message=0.5, answer=2.0, reason=0.3)
IDLY = Timings(answer=2.0, tick=0.05)


def now() -> float:
    return datetime.now(UTC).timestamp()


async def in_room(act: object, *given: object) -> object:
    """What a program in the room does, while the gateway goes on."""
    return await asyncio.to_thread(act, *given)  # type: ignore[arg-type]


def test_a_ticket_opens_a_desktop_with_the_pinned_format_and_the_rooms_title(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        browser = await Browser.enter(host, host.control.issue(paste_in=False))
        admitted = browser.client.told[0]["admitted"]
        assert (admitted["title"], admitted["person"], admitted["paste_in"]) == ("Campaign data", "hanako", False)
        assert (browser.width, browser.height) == (640, 480)
        assert browser.client.shown[22:38] == wire.PIXEL_FORMAT
        assert browser.client.shown[42:] == b"Campaign data", "not what the server calls itself"
        assert host.control.redeemed[0].kind == "desktop"

    with_rooms_host(tmp_path, story)


def test_what_a_program_draws_is_seen_and_what_a_person_does_reaches_it(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        program = host.agent.desktop().screen.program()
        program.fill(0, 0, 640, 480, 0x336699)
        program.sync()
        browser = await Browser.enter(host)
        await browser.ask(wire.RAW)
        await until(lambda: len(browser.shown) >= 640 * 480 * 4, "the whole screen")
        assert await browser.pixel(300, 200) == bytes.fromhex("33669900")
        await browser.point(300, 200)
        await browser.key(0x61)
        await in_room(program.event, 6)
        await in_room(program.event, 2)

    with_rooms_host(tmp_path, story)


def test_every_connection_has_a_server_side_of_its_own(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        first, second = await Browser.enter(host), await Browser.enter(host)
        for browser in (first, second):
            await browser.ask(wire.ZRLE)  # one zlib stream a connection: a stream cannot be shared midway
            await until(lambda here=browser: len(here.shown) > 20, "an update")
        await first.client.close()
        await second.request(is_incremental=False)
        seen = len(second.shown)
        await until(lambda: len(second.shown) > seen, "the other goes on")
        assert host.agent.opened == [SESSION, SESSION]

    with_rooms_host(tmp_path, story)


@pytest.mark.parametrize("text", ["日本語を貼り付ける", "one\r\ntwo\n", "x" * 65_536, "\x01" * 65_536])
def test_a_paste_is_asked_for_written_down_and_then_there_for_programs(tmp_path: Path, text: str) -> None:
    async def story(host: RoomsHost) -> None:
        program = host.agent.desktop().screen.program()
        browser = await Browser.enter(host)
        await browser.ask(wire.TIGHT)
        await browser.paste(7, text)
        assert await browser.client.hears("pasted") == {"number": 7}
        (asked,) = host.control.pastes
        assert (asked.connection, asked.address) == ("c-1", "127.0.0.1")
        assert (asked.characters, asked.size_bytes) == (len(text), len(text.encode()))
        await until(lambda: len(browser.shown) > 20, "an update")
        assert await in_room(program.paste) == text.replace("\r\n", "\n")

    with_rooms_host(tmp_path, story)


@pytest.mark.parametrize("ending", ["refused", "silent"])
def test_a_paste_that_control_does_not_allow_never_reaches_the_room(tmp_path: Path, ending: str) -> None:
    async def story(host: RoomsHost) -> None:
        async with fake_server(host) as server:
            browser = await Browser.enter(host)
            await browser.ask(wire.TIGHT)
            await server.say(extended(0x1F000001))
            host.control.paste_refusal = Reason.OUTSIDE_PLACE
            host.control.is_silent = ending == "silent"
            await browser.paste(1, "secret")
            refused = await browser.client.hears("paste-refused")
            assert refused["number"] == 1
            assert refused["reason"] == ("outside-place" if ending == "refused" else "control-unavailable")
            assert refused["sentence"]
            await server.say(extended(1 << 25 | 1) + fence(0x80000000, b"after"))
            await until(lambda: b"after" in browser.shown, "the server's request was heard")
            await browser.request()
            await until(lambda: server.told.endswith(struct.pack(">BB4H", 3, 1, 0, 0, 64, 48)), "what follows")
            ours = extended(0x1F000001, struct.pack(">I", 0), kind=6)
            assert server.told.count(bytes((6,)) + bytes(3)) == server.told.count(ours) == 1, "nothing was announced or given"

    with_rooms_host(tmp_path, story, timings=Timings(answer=0.5))


def test_a_paste_too_large_for_any_room_is_refused_whatever_control_says(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        async with fake_server(host) as server:
            browser = await Browser.enter(host)
            await server.say(extended(0x1F000001))
            await browser.paste(1, "x" * 65_537)
            assert (await browser.client.hears("paste-refused"))["reason"] == "decision-failed"
            assert host.control.pastes[0].size_bytes == 65_537
            await browser.key(0x61)
            await until(lambda: b"\x04\x00\x00\x00\x00\x00\x00\x61" in server.told, "what follows")
            assert extended(1 << 27 | 1, kind=6) not in server.told

    with_rooms_host(tmp_path, story)


def test_pastes_are_decided_one_at_a_time_while_keys_go_on(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        async with fake_server(host) as server:
            browser = await Browser.enter(host)
            host.control.holds_pastes = True
            await browser.paste(1, "one")
            await browser.key(0x61)
            await until(lambda: b"\x04\x00\x00\x00\x00\x00\x00\x61" in server.told, "the key")
            await browser.paste(2, "second")
            await browser.key(0x62)
            assert [each.characters for each in host.control.pastes] == [3], "the second is not even asked about"
            host.control.answer_paste(host.control.pastes[0])
            await until(lambda: len(host.control.pastes) == 2, "the second")
            host.control.answer_paste(host.control.pastes[1])
            await until(lambda: {"pasted": {"number": 2}} in browser.client.told, "decided")
            assert b"\x04\x00\x00\x00\x00\x00\x00\x62" in server.told

    with_rooms_host(tmp_path, story)


def test_a_server_that_asks_thousands_of_times_in_one_breath_is_answered_a_few_times_and_shown_in_a_few_frames(tmp_path: Path) -> None:
    """A screen in a room's hands made the gateway hold a gigabyte of one paste, and stand still for a minute, by 256 KiB of questions."""

    async def story(host: RoomsHost) -> None:
        async with fake_server(host) as server:
            browser = await Browser.enter(host)
            await server.say(extended(0x1F000001))
            await browser.paste(1, secrets.token_hex(24_000))
            await browser.client.hears("pasted")
            before = browser.client.frames
            await server.say((extended(1 << 25 | 1) + b"\x02") * 8_000)
            await until(lambda: browser.shown == b"\x02" * 8_000, "every bell")
            provided = struct.pack(">I", 1 << 28 | 1)
            await until(lambda: provided in server.told, "an answer")
            assert await settled(lambda: server.told.count(provided)) < 20
            assert browser.client.frames - before < 100

    with_rooms_host(tmp_path, story)


def test_whatever_goes_wrong_with_a_server_its_stream_is_not_read_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(host: RoomsHost) -> None:
        async with fake_server(host) as server:
            browser = await Browser.enter(host)
            monkeypatch.setattr("sekisho.gateway.desktop.from_server.FromServer._message", lambda *_: 1 // 0)
            await server.say(b"\x02")
            assert await browser.client.hears("ended") == {"reason": "room-stopped"}
            await browser.is_shut()

    with_rooms_host(tmp_path, story, timings=QUICK)


def test_nothing_that_a_program_copies_reaches_the_browser(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        async with fake_server(host) as server:
            browser = await Browser.enter(host)
            await browser.ask(wire.TIGHT, wire.EXTENDED_CLIPBOARD, wire.DESKTOP_NAME)
            name = rectangle(wire.DESKTOP_NAME, struct.pack(">I", 6) + b"secret", width=0, height=0)
            picture = rectangle(wire.TIGHT, b"\x80rgb")
            plain = struct.pack(">B3xi", 3, 6) + b"secret"
            await server.say(plain + extended(1 << 28 | 1, b"secret") + update(picture, name, picture) + b"\x02")
            await until(lambda: browser.shown.endswith(b"\x02"), "a bell")
            assert b"secret" not in browser.client.shown
            assert struct.pack(">i", wire.DESKTOP_NAME) not in server.told, "it was not even asked for"

    with_rooms_host(tmp_path, story)


SAID_BY_BROWSERS = [b"\xfc", b"\x00" * 20, struct.pack(">BxH", 2, 300), b"\x04" * 65_537, '{"paste":{"number":1}}', '{"resize":[80,24]}', "{"]


@pytest.mark.parametrize("said", SAID_BY_BROWSERS, ids=range(len(SAID_BY_BROWSERS)))
def test_a_browser_that_says_what_it_may_not_is_closed(tmp_path: Path, said: str | bytes) -> None:
    async def story(host: RoomsHost) -> None:
        async with fake_server(host) as server:
            browser = await Browser.enter(host)
            await browser.client.socket.send(said)
            await browser.is_shut()
            await until(lambda: host.control.closed, "closed")
            assert host.control.closed[0].why == "disconnected"
            await until(lambda: server.told == b"", "and the server heard none of it")

    with_rooms_host(tmp_path, story)


def test_a_browser_that_begins_otherwise_is_closed(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        client = await host.enter(channel="desktop")
        await client.type(b"RFB 003.003\n")
        await client.is_shut()

    with_rooms_host(tmp_path, story)


@pytest.mark.parametrize("first", ["", '{"ticket":"x","columns":80,"rows":24}', b"RFB 003.008\n", None])
def test_whoever_does_not_begin_with_a_ticket_is_shown_out(tmp_path: Path, first: str | bytes | None) -> None:
    import websockets

    async def story(host: RoomsHost) -> None:
        socket = await host.dial(channel="desktop")
        if first is not None:
            await socket.send(first)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        assert not host.control.redeemed

    with_rooms_host(tmp_path, story, timings=QUICK)


PICTURE = rectangle(wire.TIGHT, b"\x80rgb")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (update(PICTURE, rectangle(21, bytes(64))), update(PICTURE, count=2)),
        (update(PICTURE, rectangle(wire.RAW, bytes(4), x=64, width=1, height=1)), update(PICTURE, count=2)),
        (b"\x02\x01", b"\x02"),
        (b"\x02" + fence(0x80000000, bytes(65)), b"\x02"),
    ],
    ids=["an unknown encoding", "outside the frame", "colours of a map", "a long fence"],
)
def test_a_server_that_says_what_it_may_not_is_a_room_that_stopped(tmp_path: Path, said: bytes, shown: bytes) -> None:
    async def story(host: RoomsHost) -> None:
        async with fake_server(host) as server:
            browser = await Browser.enter(host)
            for at in range(len(said)):
                await server.say(said[at : at + 1])
            assert await browser.client.hears("ended") == {"reason": "room-stopped"}
            await browser.is_shut()
            assert shown.startswith(browser.shown), "nothing of what is wrong goes on"

    with_rooms_host(tmp_path, story, timings=QUICK)


def test_a_server_that_dies_in_the_middle_leaves_the_beginning_of_a_well_formed_stream(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        async with fake_server(host) as server:
            browser = await Browser.enter(host)
            said = update(PICTURE, rectangle(wire.RAW, bytes(100)))
            await server.say(said)
            await until(lambda: browser.shown == said, "as far as it came")
            server.die()
            assert await browser.client.hears("ended") == {"reason": "room-stopped"}
            await browser.is_shut()
            assert browser.shown == said

    with_rooms_host(tmp_path, story, timings=QUICK)


@pytest.mark.parametrize("how", ["silent", "malformed", "gone"])
def test_a_screen_that_does_not_begin_is_not_entered(tmp_path: Path, how: str) -> None:
    async def story(host: RoomsHost) -> None:
        async with fake_server(host) as server:
            host.agent.desktops[SESSION].connect = lambda: odd_end(server.connect, how)
            client = await host.hello(host.control.issue(), channel="desktop")
            assert (await client.hears("refused"))["reason"] == "session-not-ready"
            await client.is_shut()
            await until(lambda: [each.connection for each in host.control.closed] == ["c-1"], "the books are closed")

    with_rooms_host(tmp_path, story, timings=QUICK)


def odd_end(connect: object, how: str) -> object:
    import socket

    mine, theirs = socket.socketpair()
    if how == "gone":
        mine.close()
    elif how == "malformed":
        mine.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
        mine.detach()
    else:
        mine.detach()  # kept open until the process ends
    return theirs


def test_a_cut_shows_why_and_nothing_after_it(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        async with fake_server(host) as server:
            browser = await Browser.enter(host)
            flood = asyncio.create_task(server.say(update(rectangle(wire.RAW, bytes(12_288), width=64, height=48)) * 4_000))
            await until(lambda: len(browser.shown) > 100_000, "a flood")
            started = asyncio.get_running_loop().time()
            host.control.tell(Cut("c-1", "ended-by-approver"))
            assert await browser.client.hears("ended") == {"reason": "ended-by-approver"}
            await browser.is_shut()
            assert asyncio.get_running_loop().time() - started < 1.0
            await until(lambda: [each.why for each in host.control.closed] == ["ended-by-approver"], "control is told")
            flood.cancel()
            await asyncio.gather(flood, return_exceptions=True)

    with_rooms_host(tmp_path, story)


def test_the_gateway_itself_closes_at_the_deadline_and_an_extension_moves_it(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        host.agent.desktop()
        browser = await Browser.enter(host, host.control.issue(ends_at=now() + 0.8))
        end = now() + 1.5
        host.control.tell(Extended(SESSION, end))
        assert await browser.client.hears("extended") == {"ends_at": end}
        host.control.close()  # nobody tells it
        assert await browser.client.hears("ended") == {"reason": "time-over"}
        assert end <= now() < end + 0.5
        await browser.is_shut()

    with_rooms_host(tmp_path, story, timings=Timings(answer=1.0, tick=0.2))


def test_a_room_that_stops_closes_with_controls_reason_or_says_that_it_stopped(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        told = await Browser.enter(host)
        untold = await Browser.enter(host, host.control.issue("s-bbbbbbbbbb"))
        host.agent.desktop(SESSION).stop()
        host.control.tell(Cut("c-1", "shim-lost"))
        assert await told.client.hears("ended") == {"reason": "shim-lost"}
        host.agent.desktop("s-bbbbbbbbbb").screen.process.kill()
        assert await untold.client.hears("ended") == {"reason": "room-stopped"}
        await untold.is_shut()

    with_rooms_host(tmp_path, story, timings=QUICK)


def test_leave_ends_the_session(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        browser = await Browser.enter(host)
        await browser.client.socket.send('{"leave":true}')
        assert await browser.client.hears("ended") == {"reason": "left"}
        await browser.is_shut()
        await until(lambda: host.control.closed, "closed")
        assert (host.control.closed[0].why, host.control.closed[0].left) == ("left", True)

    with_rooms_host(tmp_path, story)


ACTS = ["key", "pointer", "qemu key", "paste"]


@pytest.mark.parametrize("act", ACTS)
def test_what_a_person_does_keeps_the_session(tmp_path: Path, act: str) -> None:
    async def story(host: RoomsHost) -> None:
        async with fake_server(host):
            browser = await Browser.enter(host, host.control.issue(idle_end_seconds=0.8))
            started = now()
            while now() < started + 1.6:
                match act:
                    case "key":
                        await browser.key(0x61)
                    case "pointer":
                        await browser.point(1, 1)
                    case "qemu key":
                        await browser.client.type(struct.pack(">BBHII", 255, 0, 1, 0x61, 30))
                    case _:
                        await browser.paste(1, "text")
                await asyncio.sleep(0.1)
            assert not browser.client.is_closed
            assert await browser.client.hears("ended") == {"reason": "idle"}

    with_rooms_host(tmp_path, story, timings=IDLY)


def test_what_a_browser_does_by_itself_keeps_nothing(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        async with fake_server(host) as server:
            browser = await Browser.enter(host, host.control.issue(idle_end_seconds=0.8))
            started = now()

            async def chatter() -> None:
                while True:
                    await browser.ask(wire.TIGHT)
                    await browser.client.type(fence(0, b""))
                    await server.say(update(PICTURE))
                    await asyncio.sleep(0.05)

            chattering = asyncio.create_task(chatter())
            assert await browser.client.hears("ended") == {"reason": "idle"}
            assert now() < started + 3
            chattering.cancel()
            await asyncio.gather(chattering, return_exceptions=True)
            await until(lambda: [(each.why, each.left) for each in host.control.closed] == [("idle", True)], "and the session is to end")

    with_rooms_host(tmp_path, story, timings=IDLY)


def test_a_session_that_nobody_is_connected_to_is_idle_too(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        browser = await Browser.enter(host, host.control.issue(idle_end_seconds=0.4))
        await browser.client.close()
        await until(lambda: len(host.control.closed) == 2, "closed twice")
        assert [(each.connection, each.why, each.left) for each in host.control.closed] == [("c-1", "disconnected", False), ("c-1", "idle", True)]

    with_rooms_host(tmp_path, story, timings=IDLY)


def test_a_session_is_one_whatever_channels_are_open_in_it(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        terminal = await host.enter(host.control.issue(idle_end_seconds=1.0))
        async with fake_server(host):
            browser = await Browser.enter(host, host.control.issue(idle_end_seconds=1.0))
            started = now()
            while now() < started + 1.6:
                await browser.key(0x61)
                await asyncio.sleep(0.1)
            assert not terminal.is_closed, "a key in the desktop is no idle terminal"
            host.agent.room().stop()
            for client in (terminal, browser.client):
                assert await client.hears("ended") == {"reason": "room-stopped"}

    with_rooms_host(tmp_path, story, timings=Timings(answer=2.0, tick=0.05, reason=0.1))


def test_a_slow_browser_slows_the_server_and_loses_nothing(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        async with fake_server(host) as server:
            browser = await Browser.enter(host, max_queue=1)
            browser.client._reading.cancel()  # it takes nothing more
            pixels = random.Random(1).randbytes(12_288)  # noqa: S311  the same bytes every time
            flood = update(rectangle(wire.RAW, pixels, width=64, height=48)) * 1_000
            sent = await server.say_what_is_taken(flood)
            assert sent < 4_000_000, "of twelve million: what is held in between is bounded"
            rest = asyncio.create_task(server.say(flood[sent:]))
            browser.client.read_on()
            await until(lambda: len(browser.shown) == len(flood), "everything")
            assert browser.shown == flood
            await rest

    with_rooms_host(tmp_path, story)


KEYS = struct.pack(">BBxxI", 4, 1, 0x61) * 8_000


async def type_much(host: RoomsHost, server: Server) -> tuple[Browser, asyncio.Task]:
    """Six million bytes of keys, to a server that reads none of them."""
    server.is_deaf = True
    browser = await Browser.enter(host)

    async def typing() -> None:
        for _ in range(100):
            await browser.client.type(KEYS)

    return browser, asyncio.create_task(typing())


def test_a_browser_is_not_read_while_its_server_reads_nothing_and_may_still_go(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        async with fake_server(host) as server:
            _, typing = await type_much(host, server)
            await settled(server.waiting_bytes)
            host.lose_network()
            await until(lambda: host.control.closed, "closed")
            assert 0 < host.control.closed[0].bytes_in < 1_000_000
            typing.cancel()
            await asyncio.gather(typing, return_exceptions=True)

    with_rooms_host(tmp_path, story, timings=Timings(answer=2.0, probe=0.1))


def test_what_a_browser_types_ahead_of_its_server_is_not_lost(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        async with fake_server(host) as server:
            _, typing = await type_much(host, server)
            await until(server.greeting.done, "greeted")
            server.listen()
            await typing
            await until(lambda: len(server.told) == 100 * len(KEYS), "every key")
            assert server.told == KEYS * 100

    with_rooms_host(tmp_path, story)


def test_a_server_that_asks_and_asks_for_the_clipboard_fills_no_memory(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        async with fake_server(host) as server:
            server.is_deaf = True
            browser = await Browser.enter(host)
            await server.say(extended(0x1F000001))
            await browser.paste(1, random.Random(2).randbytes(30_000).hex())  # noqa: S311  what hardly compresses
            await browser.client.hears("pasted")
            asks = extended(1 << 25 | 1) * 100_000
            assert await server.say_what_is_taken(asks) < len(asks), "it is no longer read"
            assert not browser.client.is_closed

    with_rooms_host(tmp_path, story)


def test_bytes_both_ways_are_counted(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        async with fake_server(host) as server:
            browser = await Browser.enter(host)
            await browser.key(0x61)
            await server.say(b"\x02")
            await until(lambda: browser.shown == b"\x02", "a bell")
            await until(lambda: len(server.told) == 16, "a key")
            shown = len(browser.client.shown)
            await browser.client.close()
            await until(lambda: host.control.closed, "closed")
            assert (host.control.closed[0].bytes_in, host.control.closed[0].bytes_out) == (12 + 1 + 1 + 16, shown)

    with_rooms_host(tmp_path, story)


def test_the_answer_to_a_paste_names_facts(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        async with fake_server(host):
            host.control.paste_refusal = Reason.CONTROL_UNAVAILABLE
            browser = await Browser.enter(host)
            await browser.paste(3, "text")
            refused = await browser.client.hears("paste-refused")
            assert refused.keys() == {"number", "reason", "sentence", "facts"}
            assert json.dumps(refused["facts"]) == "{}"

    with_rooms_host(tmp_path, story)
