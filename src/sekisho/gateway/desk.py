"""Every session and connection that this gateway holds, and the rules that end them: the deadline, idleness, control's orders, a room that stopped.

Each of these is applied here, by the gateway itself, for every channel alike, also while control is away.
"""

import asyncio
import os
from collections.abc import Callable

from sekisho.gateway import wire
from sekisho.gateway.connection import Connection, Ending
from sekisho.gateway.deadline import Deadline
from sekisho.gateway.doorway_client import Doorway, Held
from sekisho.gateway.timings import Timings
from sekisho.model.session import EndReason
from sekisho.sessions.doorway import Admitted, Closed, Cut, Extended
from sekisho.system.clock import Clock

_EARLY_CUTS_LIMIT = 1_024


class Stay:
    """One session, from the first connection that opened it here until it is over; also while nobody is connected, for then it is idle."""

    def __init__(self, admitted: Admitted, *, lifeline: int, clock: Clock) -> None:
        self.session = admitted.session
        self.deadline = Deadline(admitted.ends_at, clock=clock)
        self.connections: list[Connection] = []
        self.last_connection = admitted.connection
        self.lifeline = lifeline
        self._idle_end_seconds = admitted.idle_end_seconds
        self._clock = clock
        self._active_at = clock.boottime()
        self._closers: list[Callable[[], None]] = []

    def was_active(self) -> None:
        self._active_at = self._clock.boottime()

    def idle_left_seconds(self) -> float:
        if self._idle_end_seconds is None:
            return float("inf")
        return self._active_at + self._idle_end_seconds - self._clock.boottime()

    def when_over(self, close: Callable[[], None]) -> None:
        """For what a channel holds of the session itself, beside its connections."""
        self._closers.append(close)

    def close(self) -> None:
        os.close(self.lifeline)
        for close in self._closers:
            close()


class Desk(Held):
    def __init__(self, *, doorway: Doorway, clock: Clock, timings: Timings) -> None:
        self._doorway = doorway
        self._clock = clock
        self._timings = timings
        self._stays: dict[str, Stay] = {}
        self._connections: dict[str, Connection] = {}
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
        stay = self._stays.get(news.session)
        if stay is None or stay.deadline.ends_at == news.ends_at:
            return
        stay.deadline = Deadline(news.ends_at, clock=self._clock)
        for connection in stay.connections:
            connection.say(wire.render_server(wire.Extended(news.ends_at)))
        self._look_again.set()

    def admit(self, connection: Connection) -> None:
        """From here until `release` control may cut it."""
        self._connections[connection.id] = connection
        if reason := self._early_cuts.pop(connection.id, None):
            connection.end(_cut_for(reason))

    def join(self, admitted: Admitted, connection: Connection, *, lifeline: int) -> Stay:
        """The agent opened the session for it. Takes over `lifeline`, and welcomes the person."""
        stay = self._stays.get(admitted.session)
        if stay is None:
            stay = self._stays[admitted.session] = Stay(admitted, lifeline=lifeline, clock=self._clock)
            os.set_blocking(lifeline, False)
            asyncio.get_running_loop().add_reader(lifeline, self._on_lifeline, stay)
        else:
            os.close(lifeline)
            self.extended(Extended(admitted.session, admitted.ends_at))
        connection.say(wire.render_server(_welcome(admitted, now=self._clock.now().timestamp())))
        stay.was_active()
        stay.connections.append(connection)
        stay.last_connection = connection.id
        self._look_again.set()
        return stay

    def release(self, connection: Connection) -> None:
        """It is over, and control is told."""
        del self._connections[connection.id]
        stay = self._stays.get(connection.session)
        if stay and connection in stay.connections:
            stay.connections.remove(connection)
        self._doorway.closed(connection.closed())

    def stopped(self, stay: Stay) -> None:
        """The room's side is gone, and with it every byte."""
        if self._stays.get(stay.session) is stay:
            self._drop(stay)
            self._end_with_reason(stay, stay.connections)

    def lost(self, stay: Stay, connection: Connection) -> None:
        """The room's side of this connection is gone: most often the room is, too."""
        self._end_with_reason(stay, [connection])

    async def run(self) -> None:
        """Watches deadlines and idleness until cancelled, then lets go of every session."""
        try:
            while True:
                for stay in list(self._stays.values()):
                    self._look(stay)
                self._look_again.clear()
                await _set_or_timeout(self._look_again, self._next_look_seconds())
        finally:
            for stay in list(self._stays.values()):
                self._drop(stay)

    def _next_look_seconds(self) -> float:
        nearest = (min(stay.deadline.left_seconds(), stay.idle_left_seconds()) for stay in self._stays.values())
        return max(0.0, min([self._timings.tick, *nearest]))

    def _look(self, stay: Stay) -> None:
        if stay.deadline.left_seconds() <= 0:
            self._end_all(stay, Ending("time-over", wire.Ended(EndReason.TIME_OVER)))
        elif stay.idle_left_seconds() <= 0:
            if not stay.connections:  # nobody is there, so it is said in the name of who was there last
                self._doorway.closed(Closed(stay.last_connection, "idle", bytes_in=0, bytes_out=0, left=True))
            self._end_all(stay, Ending("idle", wire.Ended(EndReason.IDLE), left=True))

    def _end_all(self, stay: Stay, ending: Ending) -> None:
        _end_each(stay.connections, ending)
        self._drop(stay)

    def _drop(self, stay: Stay) -> None:
        del self._stays[stay.session]
        asyncio.get_running_loop().remove_reader(stay.lifeline)
        stay.close()

    def _on_lifeline(self, stay: Stay) -> None:
        try:
            if os.read(stay.lifeline, 64):
                return
        except BlockingIOError:
            return
        except OSError:
            pass  # as good as end-of-file
        self.stopped(stay)

    def _end_with_reason(self, stay: Stay, connections: list[Connection]) -> None:
        """Control knows why: it gets a moment to say so before the person is told only that the room stopped."""
        is_time_over = stay.deadline.left_seconds() <= 0
        reason = EndReason.TIME_OVER if is_time_over else EndReason.ROOM_STOPPED
        delay = 0.0 if is_time_over else self._timings.reason
        asyncio.get_running_loop().call_later(delay, _end_each, connections, _cut_for(reason))


def _cut_for(reason: str) -> Ending:
    return Ending(reason, wire.Ended(reason))


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
