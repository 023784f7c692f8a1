"""The desktop's own part of a visit: an RFB connection of its own to the room's screen, keys and pointer in, pictures out, and pastes one by one."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable
from functools import partial
from pathlib import Path
from typing import ClassVar

from sekisho.gateway.connection import LEFT, Connection, Pace
from sekisho.gateway.desk import Desk, Stay
from sekisho.gateway.desktop.from_browser import FromBrowser
from sekisho.gateway.desktop.handshake import with_browser
from sekisho.gateway.desktop.messages import (
    BINARY_LIMIT_BYTES,
    PASTE_LIMIT_BYTES,
    Hello,
    Paste,
    Pasted,
    PasteRefused,
    parse_client,
    parse_hello,
    render_answer,
)
from sekisho.gateway.desktop.screen import READ_BYTES, Screen, greet
from sekisho.gateway.desktop.wire import Frame
from sekisho.gateway.doorway_client import Doorway
from sekisho.gateway.opener import OpenFailed, open_ends
from sekisho.gateway.timings import Timings
from sekisho.gateway.visits import Channel, Visit, refusal
from sekisho.gateway.wire import Leave, MalformedMessage
from sekisho.model.reasons import Reason
from sekisho.runtime.protocol import OpenKind
from sekisho.sessions.doorway import Admitted, Refused


class DesktopChannel(Channel[Hello]):
    kind: ClassVar[OpenKind] = OpenKind.DESKTOP
    pace: ClassVar[Pace] = Pace(frame_bytes=READ_BYTES, full_bytes=READ_BYTES)

    def __init__(self, *, doorway: Doorway, desk: Desk, open_path: Path, timings: Timings) -> None:
        self._doorway = doorway
        self._desk = desk
        self._open_path = open_path
        self._timings = timings

    def parse_hello(self, unverified: str) -> Hello:
        return parse_hello(unverified)

    async def enter(self, admitted: Admitted, connection: Connection, hello: Hello) -> "DesktopVisit":  # noqa: ARG002  a ticket is all there is to it
        ends = await open_ends(self._open_path, capability=admitted.capability, kind=self.kind, session=admitted.session, answer_seconds=self._timings.answer)
        with contextlib.ExitStack() as unless_entered:
            unless_entered.callback(os.close, ends.lifeline)
            end = unless_entered.enter_context(socket.socket(fileno=ends.room))
            end.setblocking(False)
            try:
                frame = await greet(end, answer_seconds=self._timings.answer)
            except (MalformedMessage, OSError, TimeoutError) as error:
                raise OpenFailed("screen-away") from error
            unless_entered.pop_all()
        stay = self._desk.join(admitted, connection, lifeline=ends.lifeline)
        screen = Screen(end, frame=frame, connection=connection, on_lost=partial(self._desk.lost, stay, connection))
        return DesktopVisit(stay, screen, connection, self._doorway, frame=frame, title=admitted.title)


class DesktopVisit(Visit):
    def __init__(self, stay: Stay, screen: Screen, connection: Connection, doorway: Doorway, *, frame: Frame, title: str) -> None:
        self._stay = stay
        self._screen = screen
        self._connection = connection
        self._doorway = doorway
        self._greeting = with_browser(frame, name=title)
        self._stream = FromBrowser()
        self._pasting: asyncio.Task[None] | None = None
        connection.show(self._greeting.feed(b""))  # the server speaks first

    def hear(self, received: str | bytes) -> Awaitable[object] | None:
        if isinstance(received, bytes):
            return self._hear_rfb(received)
        match parse_client(received):
            case Paste() as paste:
                return self._begin_paste(paste)
            case Leave():
                self._connection.end(LEFT)
                return None

    def close(self) -> None:
        if self._pasting:
            self._pasting.cancel()
        self._screen.close()

    def _hear_rfb(self, received: bytes) -> Awaitable[object] | None:
        if len(received) > BINARY_LIMIT_BYTES:
            raise MalformedMessage("too much at once")
        self._connection.bytes_in += len(received)
        if self._greeting.result is None:
            received = self._greet(received)
        typed = self._stream.feed(received)
        if typed.is_active:
            self._stay.was_active()
        return self._screen.write(typed.content)

    def _greet(self, received: bytes) -> bytes:
        """Go on greeting the browser; what it said beyond that."""
        self._connection.show(self._greeting.feed(received))
        if self._greeting.result is None:
            return b""
        self._screen.start()
        return self._greeting.rest

    async def _begin_paste(self, paste: Paste) -> None:
        """One at a time: the next waits, and what the browser says after it, until this one is decided. Keys go on meanwhile."""
        self._stay.was_active()
        if self._pasting:
            await asyncio.wait((self._pasting,))
        self._pasting = asyncio.create_task(self._paste(paste))

    async def _paste(self, paste: Paste) -> None:
        """Control decides, and writes it down; only then does the room hear of it."""
        answer = await self._doorway.paste(
            connection=self._connection.id, address=self._connection.address, characters=len(paste.text), size_bytes=paste.size_bytes
        )
        if self._connection.ending:
            return
        if isinstance(answer, Refused):
            self._refuse(paste, answer)
        elif paste.size_bytes > PASTE_LIMIT_BYTES:
            self._refuse(paste, Refused(to=0, reason=Reason.DECISION_FAILED))  # whatever control says, no room gets more than this
        else:
            self._screen.paste(paste.text)
            self._connection.say(render_answer(Pasted(paste.number)))

    def _refuse(self, paste: Paste, refused: Refused) -> None:
        self._connection.say(render_answer(PasteRefused(paste.number, refusal(refused.reason, refused.facts))))
