"""The terminal's own part of a visit: which console a connection sees, and what its messages do to it."""

import os
from collections.abc import Awaitable
from functools import partial
from pathlib import Path
from typing import ClassVar

from sekisho.gateway.connection import LEFT, Connection, Pace
from sekisho.gateway.desk import Desk, Stay
from sekisho.gateway.opener import open_ends
from sekisho.gateway.terminal.console import Console
from sekisho.gateway.terminal.pasting import PasteRefuser
from sekisho.gateway.terminal.screening import is_answer
from sekisho.gateway.terminal.wire import INPUT_LIMIT_BYTES, Hello, Resize, parse_client, parse_hello
from sekisho.gateway.timings import Timings
from sekisho.gateway.visits import Channel, Visit
from sekisho.gateway.wire import Leave, MalformedMessage
from sekisho.runtime.protocol import OpenKind
from sekisho.sessions.doorway import Admitted


class TerminalChannel(Channel[Hello]):
    """Holds one console for each session that has one open here."""

    kind: ClassVar[OpenKind] = OpenKind.TERMINAL
    pace: ClassVar[Pace] = Pace(frame_bytes=16_384, full_bytes=262_144)

    def __init__(self, *, desk: Desk, open_path: Path, timings: Timings) -> None:
        self._desk = desk
        self._open_path = open_path
        self._timings = timings
        self._consoles: dict[str, Console] = {}

    def parse_hello(self, unverified: str) -> Hello:
        return parse_hello(unverified)

    async def enter(self, admitted: Admitted, connection: Connection, hello: Hello) -> "TerminalVisit":
        """The capability is exchanged also when the console is held: what opens nothing more must not lie about, and the agent has its say at every entry."""
        ends = await open_ends(self._open_path, capability=admitted.capability, kind=self.kind, session=admitted.session, answer_seconds=self._timings.answer)
        stay = self._desk.join(admitted, connection, lifeline=ends.lifeline)
        console = self._console(stay, ends.room)
        console.attach(connection, hello.size)
        return TerminalVisit(stay, console, connection, PasteRefuser() if not admitted.paste_in else None)

    def _console(self, stay: Stay, pty: int) -> Console:
        if console := self._consoles.get(stay.session):
            os.close(pty)
            return console
        console = Console(pty, stalled_seconds=self._timings.stalled, on_stopped=partial(self._desk.stopped, stay))
        self._consoles[stay.session] = console
        stay.when_over(partial(self._close, stay.session))
        return console

    def _close(self, session: str) -> None:
        self._consoles.pop(session).close()


class TerminalVisit(Visit):
    def __init__(self, stay: Stay, console: Console, connection: Connection, refuser: PasteRefuser | None) -> None:
        self._stay = stay
        self._console = console
        self._connection = connection
        self._refuser = refuser

    def hear(self, received: str | bytes) -> Awaitable[object] | None:
        if isinstance(received, bytes):
            return self._type(received)
        match parse_client(received):
            case Resize(size):
                self._console.resize(self._connection, size)
            case Leave():
                self._connection.end(LEFT)
        return None

    def close(self) -> None:
        self._console.detach(self._connection)

    def _type(self, typed: bytes) -> Awaitable[object]:
        if len(typed) > INPUT_LIMIT_BYTES:
            raise MalformedMessage("too much at once")
        self._connection.bytes_in += len(typed)
        kept = self._refuser.feed(typed) if self._refuser else typed
        if not is_answer(kept):
            self._stay.was_active()
        return self._console.type(self._connection, kept)
