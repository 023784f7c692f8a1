"""The wire against a real Xvnc: every encoding is measured to its last byte, and the clipboard goes one way."""

import random
import select
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.gateway.rfb import changed, swallow
from tests.gateway.x_program import XProgram
from tests.gateway.xvnc import Screen, start_screen

from sekisho.gateway.desktop import wire
from sekisho.gateway.desktop.clipboard import ClipboardPeer
from sekisho.gateway.desktop.from_server import ClipboardWord, FromServer
from sekisho.gateway.desktop.handshake import with_server

PATIENCE_SECONDS = 10.0
COMMON = (wire.DESKTOP_SIZE, wire.LAST_RECT, wire.CURSOR, wire.QEMU_KEY, wire.LED_STATE, wire.EXTENDED_DESKTOP_SIZE, wire.EXTENDED_CLIPBOARD)
ENCODINGS = {
    "raw": (wire.RAW,),
    "copies": (wire.COPY_RECT, wire.RAW),
    "hextile": (wire.HEXTILE, wire.COPY_RECT),
    "tight, lossless": (wire.TIGHT, wire.COPY_RECT, -254),
    "tight, with pictures": (wire.TIGHT, wire.COPY_RECT, -26, -254),
    "tight, of few colours": (wire.TIGHT, -32, -256),
    "zrle": (wire.ZRLE, wire.COPY_RECT),
}


class Watcher:
    """The gateway's two wires at the server, in a loop of their own: what would be shown is kept."""

    def __init__(self, screen: Screen, encodings: tuple[int, ...]) -> None:
        self.socket = screen.connect()
        self.socket.settimeout(PATIENCE_SECONDS)
        handshake = with_server()
        while handshake.result is None:
            self.socket.sendall(handshake.feed(self.socket.recv(4096)))
        self.frame = handshake.result
        self.stream = FromServer(self.frame)
        self.clipboard = ClipboardPeer()
        self.said = b""  # by the server
        self.shown = b""
        self.words: list[int] = []
        self.socket.sendall(wire.render_set_encodings(encodings))
        self.ask(is_incremental=False)

    def ask(self, *, is_incremental: bool = True) -> None:
        self.socket.sendall(struct.pack(">BB4H", 3, is_incremental, 0, 0, self.frame.width, self.frame.height))

    def read(self, seconds: float) -> bool:
        if not select.select([self.socket], [], [], seconds)[0]:
            return False
        received = self.socket.recv(65_536)
        assert received, "the server goes on"
        self.said += received
        for item in self.stream.feed(received):
            if isinstance(item, ClipboardWord):
                self.words.append(item.flags)
                self.socket.sendall(self.clipboard.hear(item.flags))
            else:
                self.shown += item
        return True

    def settle(self) -> None:
        """Read until nothing more comes and everything has been asked for."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.read(0.3) or not self.stream.is_between_messages:
            assert time.monotonic() < deadline


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    running = start_screen(tmp_path, size="640x480")
    yield running
    running.stop()


def draw_everything(program: XProgram, chance: random.Random) -> None:
    """Noise, lines of text-like cells, one colour, and a piece moved to somewhere else."""
    program.draw(0, 0, 200, 150, chance.randbytes(200 * 150 * 4))
    ink = b"".join(chance.choice((b"\x00\x00\x00\x00", b"\xff\xff\xff\x00", b"\x80\x40\x20\x00")) for _ in range(300 * 100))
    program.draw(220, 10, 300, 100, ink)
    program.fill(10, 200, 301, 77, chance.randrange(1 << 24))
    program.copy(0, 0, 100, 100, (400, 300))
    program.sync()


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_encoding_is_measured_to_its_last_byte(screen: Screen, name: str) -> None:
    program, chance = screen.program(), random.Random(name)  # noqa: S311  the same pictures every time
    watcher = Watcher(screen, (*ENCODINGS[name], *COMMON))
    for _ in range(6):
        watcher.settle()
        draw_everything(program, chance)
        watcher.ask()
        assert watcher.read(PATIENCE_SECONDS), "an update"
    watcher.settle()
    assert len(watcher.said) > 10_000
    assert watcher.words == [0x1F000001]
    dropped = len(watcher.said) - len(watcher.shown)
    assert dropped == 16, "the clipboard's caps alone did not go on"
    again = FromServer(watcher.frame)
    shown = b"".join(item for at in range(0, len(watcher.said), 7) for item in again.feed(watcher.said[at : at + 7]) if isinstance(item, bytes))
    assert shown == watcher.shown
    for _ in range(30):
        changes = [(chance.randrange(1 << 20), chance.choice(("set", "cut", "add")), chance.randrange(256)) for _ in range(3)]
        swallow(FromServer(watcher.frame), changed(watcher.said[:100_000], changes), 1_000)


def test_a_new_size_is_followed_and_its_rectangles_lie_in_it(screen: Screen) -> None:
    watcher = Watcher(screen, (wire.TIGHT, *COMMON))
    watcher.settle()
    watcher.socket.sendall(struct.pack(">BxHHBxI4HI", 251, 800, 600, 1, 0, 0, 0, 800, 600, 0))
    watcher.settle()
    watcher.ask(is_incremental=False)
    watcher.settle()
    assert (watcher.stream.frame.width, watcher.stream.frame.height) == (800, 600)
    watcher.frame = watcher.stream.frame
    watcher.ask(is_incremental=False)
    watcher.settle()


def pasted(watcher: Watcher, program: XProgram) -> str | None:
    """What a program gets that pastes, while the connection goes on."""
    import threading

    found: list[str | None] = []
    asking = threading.Thread(target=lambda: found.append(program.paste()))
    asking.start()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while asking.is_alive() and time.monotonic() < deadline:
        watcher.read(0.02)
    asking.join()
    return found[0]


def test_an_allowed_paste_arrives_in_the_room_intact(screen: Screen) -> None:
    program, watcher = screen.program(), Watcher(screen, (wire.TIGHT, *COMMON))
    watcher.settle()
    for text in ("日本語のテキスト", "two\nlines", "x" * 65_536):
        watcher.socket.sendall(watcher.clipboard.paste(text))
        watcher.settle()
        assert pasted(watcher, program) == text


def test_what_a_program_in_the_room_copies_does_not_leave_it(screen: Screen) -> None:
    program, watcher = screen.program(), Watcher(screen, (wire.TIGHT, *COMMON))
    watcher.settle()
    program.own_clipboard("a secret of the room")
    watcher.settle()
    assert watcher.words == [0x1F000001], "nothing is even announced"
    assert b"secret" not in watcher.said


def test_a_server_that_gives_its_clipboard_away_still_gives_none_to_the_browser(tmp_path: Path) -> None:
    """As if somebody in the room had undone the server's own switch (`vncconfig -set SendCutText=1`)."""
    screen = start_screen(tmp_path, size="640x480", more=("-SendCutText=1",))
    try:
        program, watcher = screen.program(), Watcher(screen, (wire.TIGHT, *COMMON))
        plain = Watcher(screen, (wire.TIGHT,))  # the old form, in which the server sends the text itself
        watcher.settle()
        plain.settle()
        program.own_clipboard("a secret of the room")
        assert program.answer_clipboard(quiet_seconds=0.3) > 0, "the server asked for it"
        watcher.settle()
        plain.settle()
        assert (1 << 27 | 1) in watcher.words, "it is announced to the gateway"
        assert b"a secret of the room" in plain.said
        assert b"secret" not in watcher.shown + plain.shown
    finally:
        screen.stop()
