"""Performing the plan: what each step does. A step may fail, and is planned again until the world shows that it happened.

What closes is said first and written down afterwards; what opens is written down, waits until the log has that, looks at its grant once more, and only then
is done.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from sekisho.model.event import EventKind
from sekisho.model.reasons import Reason
from sekisho.model.session import EndReason
from sekisho.runtime.protocol import OpenKind
from sekisho.sessions import records, steps
from sekisho.sessions.agent_client import AgentClient, AgentRefused
from sekisho.sessions.egress_client import EgressClient, ServeOrder
from sekisho.sessions.log_watch import LogWatch
from sekisho.sessions.roomfile import RoomFileRefused
from sekisho.sessions.specs import CannotOpen, Making, session_spec
from sekisho.store.database import Store
from sekisho.system import randomness
from sekisho.system.clock import Clock

LOG_SECONDS = 5.0
CAPABILITY_SECONDS = 10.0
_WORTH_WAITING = frozenset({"lease-lost", "no-room", "no-uid-range"})  # the agent may say yes later
_log = logging.getLogger(__name__)


class LogAway(ConnectionError):
    """The log has not taken in time what must be in it before anything opens."""


class Doors(Protocol):
    """The gateways, as told by `doorway_server`."""

    def cut(self, connection: str, reason: str) -> None: ...

    def extended(self, session: str, ends_at: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What performing needs. `kick` tells the shipper that there is something new in the outbox."""

    store: Store
    agent: AgentClient
    egress: EgressClient
    watch: LogWatch
    kick: Callable[[], None]
    making: Making
    clock: Clock


class Performer:
    def __init__(self, parts: Parts, doors: Doors) -> None:
        self._parts = parts
        self._doors = doors
        self._held: dict[str, EventKind] = {}  # what was last ordered of a session, so that it is written once

    async def perform(self, step: steps.Step) -> None:  # noqa: C901, PLR0912  one arm a step
        """Raises Away, LogAway, AgentRefused, EgressRefused, and what the store raises."""
        store, agent, now = self._parts.store, self._parts.agent, self._parts.clock.now()
        match step:
            case steps.CutConnection(connection, _, reason):
                await self._cut(connection, reason)
            case steps.EndSession(session, reason):
                await agent.end(session, reason)
            case steps.DropEgress(session):
                await self._parts.egress.drop(session)
            case steps.Freeze(session):
                await agent.freeze(session)
                self._note_held(session, EventKind.SESSION_FROZEN, EndReason.LOG_UNAVAILABLE)
            case steps.RecordOver(request, reason):
                records.end_grant(store, request, reason, now=now)
            case steps.ExpireRequest(request):
                records.expire_request(store, request, now=now)
            case steps.RecordState(session, event, seen):
                records.record_state(store, session, event, seen, now=now)
            case steps.Forget(session):
                self._held.pop(session, None)
                await agent.forget(session)
            case steps.ExtendSession(session, ends_at):
                await agent.extend(session, ends_at)
                self._doors.extended(session, ends_at.timestamp())
            case steps.KeepEgress(sessions):
                await self._parts.egress.keep_only(sessions)
            case steps.Thaw(session):
                await agent.thaw(session)
                self._note_held(session, EventKind.SESSION_THAWED, "")
            case steps.ServeEgress():
                await self._serve(step)
            case steps.OpenSession(request):
                records.open_session(store, request, now=now)
            case steps.CreateSession(session):
                await self._create(session)

    async def _cut(self, connection: str, reason: str) -> None:
        self._doors.cut(connection, reason)
        await asyncio.sleep(0)  # every other closing step of this round is begun before the first is written down
        records.mark_cut(self._parts.store, connection, reason, now=self._parts.clock.now())

    def _note_held(self, session: str, kind: EventKind, reason: str) -> None:
        if self._held.get(session) is not kind:
            records.note_held(self._parts.store, session, kind, reason, now=self._parts.clock.now())
            self._held[session] = kind

    async def _serve(self, step: steps.ServeEgress) -> None:
        wanted = records.wanted(self._parts.store, step.session, now=self._parts.clock.now())
        if wanted is None:
            return
        capability = "" if step.is_served else await self._capability(step.session, wanted.grant.person)
        grant = wanted.grant
        await self._parts.egress.serve(ServeOrder(step.session, grant.room, grant.person, grant.ends_at, wanted.room.egress, capability))

    async def _capability(self, session: str, person: str) -> str:
        secret, fingerprint = randomness.capability()
        expires_at = self._parts.clock.now() + timedelta(seconds=CAPABILITY_SECONDS)
        await self._parts.agent.register(fingerprint, session=session, kind=OpenKind.EGRESS, person=person, expires_at=expires_at)
        return secret

    async def _create(self, session: str) -> None:
        store = self._parts.store
        event = records.last_event(store)
        self._parts.kick()
        if not await self._parts.watch.until(lambda: records.is_logged_through(store, event), seconds=LOG_SECONDS):
            records.say_why(store, session, f"{Reason.LOG_UNAVAILABLE}: the audit log cannot be written, so nothing opens")
            raise LogAway("the log has not taken the opening of a session")
        try:
            wanted = records.wanted(store, session, now=self._parts.clock.now())
            if wanted is None or not wanted.is_opening:
                return  # ended while the log was waited for
            await self._parts.agent.create(session_spec(wanted.room, wanted.grant, self._parts.making, language=wanted.language))
        except (CannotOpen, RoomFileRefused) as trouble:
            self._cannot_open(session, trouble.what)
        except AgentRefused as refused:
            if refused.reference in _WORTH_WAITING:
                records.say_why(store, session, refused.what)
                raise
            self._cannot_open(session, refused.what)

    def _cannot_open(self, session: str, why: str) -> None:
        _log.error("session %s cannot be opened: %s", session, why)
        records.cannot_open(self._parts.store, session, why, now=self._parts.clock.now())
