"""Every console and connection that this gateway holds, and the rules that end them: the deadline, idleness, control's orders, a room that stopped.

Each of these is applied here, by the gateway itself, also while control is away.
"""

import asyncio
from pathlib import Path

from sekisho.gateway import wire
from sekisho.gateway.doorway_client import Doorway, Held
from sekisho.gateway.opener import OpenFailed, open_terminal
from sekisho.gateway.terminal.connection import Connection, Ending
from sekisho.gateway.terminal.console import Console
from sekisho.gateway.terminal.deadline import Deadline
from sekisho.gateway.terminal.screening import is_answer
from sekisho.gateway.terminal.wire import Size
from sekisho.gateway.timings import Timings
from sekisho.model.session import EndReason
from sekisho.sessions.doorway import Admitted, Closed, Cut, Extended
from sekisho.system.clock import Clock

_EARLY_CUTS_LIMIT = 1_024


class Post:
    """A console, and until when."""

    def __init__(self, console: Console, *, deadline: Deadline, idle_end_seconds: float | None, clock: Clock) -> None:
        self.console = console
        self.deadline = deadline
        self._idle_end_seconds = idle_end_seconds
        self._clock = clock
        self._active_at = clock.boottime()

    def was_active(self) -> None:
        self._active_at = self._clock.boottime()

    def idle_left_seconds(self) -> float:
        if self._idle_end_seconds is None:
            return float("inf")
        return self._active_at + self._idle_end_seconds - self._clock.boottime()


class Desk(Held):
    def __init__(self, *, doorway: Doorway, open_path: Path, clock: Clock, timings: Timings) -> None:
        self._doorway = doorway
        self._open_path = open_path
        self._clock = clock
        self._timings = timings
        self._posts: dict[str, Post] = {}
        self._connections: dict[str, Connection] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._early_cuts: dict[str, str] = {}
        self._look_again = asyncio.Event()

    def connections(self) -> tuple[str, ...]:
        return tuple(self._connections)

    def cut(self, order: Cut) -> None:
        if connection := self._connections.get(order.connection):
            connection.end(_cut_for(order.reason))
        else:  # it may follow its admission so closely that nobody has taken that up yet
            self._early_cuts[order.connection] = order.reason
            while len(self._early_cuts) > _EARLY_CUTS_LIMIT:
                del self._early_cuts[next(iter(self._early_cuts))]

    def extended(self, news: Extended) -> None:
        post = self._posts.get(news.session)
        if post is None or post.deadline.ends_at == news.ends_at:
            return
        post.deadline = Deadline(news.ends_at, clock=self._clock)
        for connection in post.console.connections:
            connection.say(wire.Extended(news.ends_at))
        self._look_again.set()

    async def enter(self, admitted: Admitted, connection: Connection, size: Size) -> None:
        """Exchange the capability and attach to the session's console. Raises OpenFailed.

        The capability is exchanged also when the console is held: what opens nothing more must not lie about, and the agent has its say at every entry.
        """
        async with self._opening.setdefault(admitted.session, asyncio.Lock()):
            ends = await open_terminal(self._open_path, capability=admitted.capability, answer_seconds=self._timings.answer)
            if ends.session != admitted.session:
                ends.close()
                raise OpenFailed("agent-malformed")
            post = self._posts.get(admitted.session)
            if post is None or post.console.is_stopped:
                console = Console(ends, stalled_seconds=self._timings.stalled, on_stopped=self._on_stopped)
                post = Post(console, deadline=self._deadline(admitted), idle_end_seconds=admitted.idle_end_seconds, clock=self._clock)
                self._posts[admitted.session] = post
            else:
                ends.close()
        self._attach(admitted, post, connection, size)

    def admit(self, connection: Connection) -> None:
        """From here until `release` control may cut it."""
        self._connections[connection.id] = connection
        if reason := self._early_cuts.pop(connection.id, None):
            connection.end(_cut_for(reason))

    def release(self, connection: Connection) -> None:
        """It is over, and control is told."""
        del self._connections[connection.id]
        post = self._posts.get(connection.session)
        if post and connection in post.console.connections:
            post.console.detach(connection)
        self._doorway.closed(connection.closed())

    def resize(self, connection: Connection, size: Size) -> None:
        if post := self._posts.get(connection.session):
            post.console.resize(connection, size)

    async def type(self, connection: Connection, typed: bytes) -> None:
        if post := self._posts.get(connection.session):
            if not is_answer(typed):
                post.was_active()
            await post.console.type(connection, typed)

    async def run(self) -> None:
        """Watches deadlines and idleness until cancelled, then lets go of every console."""
        try:
            while True:
                for post in list(self._posts.values()):
                    self._look(post)
                self._look_again.clear()
                await _set_or_timeout(self._look_again, self._next_look_seconds())
        finally:
            for post in self._posts.values():
                post.console.close()

    def _attach(self, admitted: Admitted, post: Post, connection: Connection, size: Size) -> None:
        self.extended(Extended(admitted.session, admitted.ends_at))
        connection.say(_welcome(admitted, now=self._clock.now().timestamp()))
        post.was_active()
        post.console.attach(connection, size)
        self._look_again.set()

    def _deadline(self, admitted: Admitted) -> Deadline:
        return Deadline(admitted.ends_at, clock=self._clock)

    def _next_look_seconds(self) -> float:
        nearest = (min(post.deadline.left_seconds(), post.idle_left_seconds()) for post in self._posts.values())
        return max(0.0, min([self._timings.tick, *nearest]))

    def _look(self, post: Post) -> None:
        if post.deadline.left_seconds() <= 0:
            self._end_all(post, Ending("time-over", wire.Ended(EndReason.TIME_OVER)))
        elif post.idle_left_seconds() <= 0:
            if not post.console.connections:  # nobody is there, so it is said in the name of who was there last
                self._doorway.closed(Closed(post.console.last_connection, "idle", bytes_in=0, bytes_out=0, left=True))
            self._end_all(post, Ending("idle", wire.Ended(EndReason.IDLE), left=True))

    def _end_all(self, post: Post, ending: Ending) -> None:
        for connection in post.console.connections:
            connection.end(ending)
        self._drop(post)

    def _drop(self, post: Post) -> None:
        post.console.close()
        if self._posts.get(post.console.session) is post:
            del self._posts[post.console.session]
            self._opening.pop(post.console.session, None)

    def _on_stopped(self, console: Console) -> None:
        """The room's side is gone, and with it every byte. Control knows why: it gets a moment to say so before the person is told only that it stopped."""
        post = self._posts.get(console.session)
        is_time_over = post is not None and post.deadline.left_seconds() <= 0
        reason = EndReason.TIME_OVER if is_time_over else EndReason.ROOM_STOPPED
        delay = 0.0 if is_time_over else self._timings.reason
        if post:
            self._drop(post)
        asyncio.get_running_loop().call_later(delay, _end_each, console.connections, _cut_for(reason))


def _cut_for(reason: str) -> Ending:
    return Ending("cut", wire.Ended(reason))


def _end_each(connections: list[Connection], ending: Ending) -> None:
    for connection in connections:
        connection.end(ending)


def _welcome(admitted: Admitted, *, now: float) -> wire.Admitted:
    return wire.Admitted(
        session=admitted.session,
        room=admitted.room,
        title=admitted.title,
        person=admitted.person,
        language=admitted.language,
        ends_at=admitted.ends_at,
        now=now,
        again=admitted.again,
        paste_in=admitted.paste_in,
    )


async def _set_or_timeout(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
