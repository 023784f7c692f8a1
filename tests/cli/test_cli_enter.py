"""`sekisho enter` as a process of its own under a real pseudo-terminal, against the real gateway and a real bash."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.installation import Installation, a_request, a_session

from sekisho.cli.escapes import Escapes, Wish
from sekisho.sessions.doorway import Cut

SECONDS = 15.0
COMMAND = [sys.executable, "-c", "from sekisho.cli.main import main; main()", "enter", "campaign"]


@dataclass
class Screen:
    """The person's side of the terminal that the command runs in."""

    master: int
    slave: int
    process: subprocess.Popen
    before: list
    shown: bytes = b""
    _seen: int = field(default=0)

    def sees(self, text: str | bytes) -> None:
        wanted = text.encode() if isinstance(text, str) else text
        until = time.monotonic() + SECONDS
        while wanted not in self.shown[self._seen :]:
            assert time.monotonic() < until, f"{text!r} not in {self.shown!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                self.shown += os.read(self.master, 65_536)
        self._seen = self.shown.index(wanted, self._seen) + len(wanted)

    def type(self, text: str | bytes) -> None:
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def ends(self) -> int:
        until = time.monotonic() + SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < until, f"still running: {self.shown!r}"
            if select.select([self.master], [], [], 0.05)[0]:
                self.shown += os.read(self.master, 65_536)
        while select.select([self.master], [], [], 0)[0]:
            self.shown += os.read(self.master, 65_536)
        assert termios.tcgetattr(self.slave) == self.before, "the terminal is as it was"
        return self.process.returncode


@contextlib.contextmanager
def entering() -> Iterator[Screen]:
    master, slave = pty.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    before = termios.tcgetattr(slave)
    environment = {**os.environ, "PYTHONPATH": "src", "TERM": "xterm-256color"}
    process = subprocess.Popen(["setsid", "--ctty", *COMMAND], stdin=slave, stdout=slave, stderr=slave, env=environment)
    try:
        yield Screen(master, slave, process, before)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(master)
        os.close(slave)


@pytest.fixture
def ready(signed_in: Installation) -> Installation:
    signed_in.api.sessions = [a_session()]
    return signed_in


def test_a_room_is_entered_worked_in_and_left_with_the_terminal_as_it_was(ready: Installation) -> None:
    with entering() as screen:
        screen.sees("~. at the start of a line disconnects")
        screen.sees("room$ ")
        screen.type("stty size; echo 関所の部屋 | rev\r")
        screen.sees("30 100\r\n屋部の所関")
        screen.resize(90, 25)
        screen.type("sleep 0.3; stty size\r")
        screen.sees("25 90")
        screen.type("printf '\\033[?1049h\\033[?25l\\033[?1002hfull %s' screen\r")
        screen.sees("full screen")
        screen.type("\r~?")
        screen.sees("~.  disconnect; the room goes on")
        screen.type(".~")  # not at the start of a line any more
        screen.type("\x15\r~.")
        assert screen.ends() == 0
        screen.sees(b"\x1b[?1002l\x1b[?1049l")
        screen.sees(b"\x1b[?25h")
        screen.sees("Disconnected. The room goes on until")
    assert ready.host.agent.room().process.poll() is None


def test_a_room_without_a_terminal_says_what_to_try(ready: Installation) -> None:
    ready.api.sessions = [a_session(kinds=["desktop"])]
    with entering() as screen:
        screen.sees("`sekisho open campaign` shows what it offers")
        assert screen.ends() == 1


def test_a_cut_says_why_and_a_late_answer_of_the_terminal_is_not_typed_into_the_shell(ready: Installation) -> None:
    with entering() as screen:
        screen.sees("room$ ")
        screen.type("printf 'ask\\033[6n'\r")
        screen.sees(b"ask\x1b[6n")
        ready.loop.call_soon_threadsafe(ready.host.control.tell, Cut("c-1", "ended-by-approver"))
        screen.sees(b"\x1b[0m")  # it is being put back
        screen.type(b"\x1b[12;40R")
        assert screen.ends() == 0
        screen.sees("campaign is over for you: an approver ended it (ended-by-approver).")
        os.set_blocking(screen.slave, False)
        with pytest.raises(BlockingIOError):
            os.read(screen.slave, 100)


def test_clipboard_and_title_sequences_of_a_room_do_not_reach_the_persons_own_terminal(ready: Installation) -> None:
    with entering() as screen:
        screen.sees("room$ ")
        screen.type("printf '\\033]52;c;c2VjcmV0\\a\\033]0;title\\a\\033[21t%s\\n' over\r")
        screen.sees("\rover")
        assert b"\x1b]" not in screen.shown
        assert b"\x1b[21t" not in screen.shown


def test_it_waits_while_the_room_opens_and_its_files_are_fetched(signed_in: Installation) -> None:
    signed_in.api.requests = [a_request()]
    with entering() as screen:
        screen.sees("opening")
        signed_in.api.sessions = [a_session(state="staging", staged_bytes=2_000_000, staged_total_bytes=8_000_000)]
        screen.sees("fetching files: 2.0 MB of 8.0 MB")
        signed_in.api.sessions = [a_session()]
        screen.sees("room$ ")
        screen.type("\r~.")
        assert screen.ends() == 0


def test_when_the_rooms_host_goes_away_it_says_how_to_come_back(ready: Installation) -> None:
    with entering() as screen:
        screen.sees("room$ ")
        ready.loop.call_soon_threadsafe(ready.host.lose_network)
        assert screen.ends() == 1
        screen.sees("the connection was lost; the room goes on until")
        screen.sees("Try: `sekisho enter campaign`")


def test_a_terminated_command_puts_the_terminal_back(ready: Installation) -> None:
    with entering() as screen:
        screen.sees("room$ ")
        screen.process.send_signal(signal.SIGTERM)
        screen.ends()


def test_a_refused_ticket_is_shown(ready: Installation) -> None:
    from sekisho.model.reasons import Reason

    ready.host.control.refusal = (Reason.LOG_UNAVAILABLE, ())
    with entering() as screen:
        assert screen.ends() == 1
        screen.sees("Refused (log-unavailable): The audit log cannot be written")


@pytest.mark.parametrize(
    ("typed", "content", "wishes"),
    [
        (b"~.", b"", (Wish.DISCONNECT,)),
        (b"ls\r~.rest", b"ls\r", (Wish.DISCONNECT,)),
        (b"a~.", b"a~.", ()),
        (b"~~.", b"~.", ()),
        (b"~?\r", b"\r", (Wish.HELP,)),
        (b"~x", b"~x", ()),
        (b"~\r~.", b"~\r", (Wish.DISCONNECT,)),
        (b"~", b"", ()),
    ],
)
def test_escapes_at_the_start_of_a_line(typed: bytes, content: bytes, wishes: tuple[Wish, ...]) -> None:
    found = Escapes().feed(typed)
    assert (found.content, found.wishes) == (content, wishes)


@given(st.lists(st.sampled_from([b"~", b".", b"?", b"\r", b"a", "関".encode()]), max_size=12), st.integers(0, 12))
def test_the_cut_of_what_was_typed_makes_no_difference(keys: list[bytes], cut: int) -> None:
    whole = Escapes().feed(b"".join(keys))
    escapes = Escapes()
    first = escapes.feed(b"".join(keys[:cut]))
    if Wish.DISCONNECT in first.wishes:
        assert first == whole
        return
    second = escapes.feed(b"".join(keys[cut:]))
    assert (first.content + second.content, first.wishes + second.wishes) == (whole.content, whole.wishes)
