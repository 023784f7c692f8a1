"""The controller: again and again it looks at the whole world, plans, and begins the steps that are not under way already.

A round is begun by a nudge (the portal wrote something, the agent or egress came, went or said something, a step was done), by the next instant
at which the plan changes by time, and every two seconds whatever happens. Each step runs as a task of its own, so that one that waits for the log, or
fails, holds up no other; one that failed is tried again after a pause. Nothing that fails opens anything.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from sekisho.runtime.lease import RENEW_SECONDS
from sekisho.sessions import plan as planning
from sekisho.sessions import records, steps
from sekisho.sessions.agent_client import AgentClient, AgentRefused
from sekisho.sessions.egress_client import EgressClient, EgressRefused
from sekisho.sessions.line import Away
from sekisho.sessions.log_watch import LogWatch
from sekisho.sessions.performing import LogAway
from sekisho.store.database import Store
from sekisho.system.clock import Clock

ROUND_SECONDS = 2.0
_BLIND_SECONDS = 30.0  # a controller that cannot look does not renew the lease
_AGAIN_SECONDS = 0.5  # the world is given this long to show that a step was done
_PROGRESS_SECONDS = 0.25
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, _LONGEST_CLOSING_PAUSE_SECONDS = 0.25, 5.0, 1.0
_EXPECTED = (Away, LogAway, AgentRefused, EgressRefused)
_log = logging.getLogger(__name__)


class Performing(Protocol):
    async def perform(self, step: steps.Step) -> None: ...


@dataclass(frozen=True, slots=True)
class World:
    """What a round looks at."""

    store: Store
    agent: AgentClient
    egress: EgressClient
    watch: LogWatch
    clock: Clock

    def facts(self) -> planning.Facts:
        seen = self.agent.seen
        recorded = records.gather(self.store, seen=seen or ())
        return planning.Facts(
            now=self.clock.now(),
            requests=recorded.requests,
            sessions=recorded.sessions,
            seen=dict(seen) if seen is not None else None,
            served=self.egress.served,
            connections=recorded.connections,
            disabled=recorded.disabled,
            log=self.watch.health(),
        )


@dataclass(slots=True)
class _Attempt:
    """What became of the last try of one kind of step for one subject. `step` is the one that was done, None after a failure."""

    not_before: float
    failures: int = 0
    step: steps.Step | None = None


@dataclass(slots=True)
class Controller:
    world: World
    performer: Performing
    kick: Callable[[], None]
    nudged: asyncio.Event  # set it: something changed, look now
    _running: dict[tuple[type, str], asyncio.Task[None]] = field(default_factory=dict)
    _attempts: dict[tuple[type, str], _Attempt] = field(default_factory=dict)
    _looked_at: float = float("-inf")

    async def run(self) -> None:
        """Rounds for ever. Cancelling it leaves every step where it is: the next controller goes on from there."""
        try:
            while True:
                self.nudged.clear()
                pause = self._round()
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):  # `wait_for` may swallow being cancelled (python/cpython#86296)
                        await self.nudged.wait()
        finally:
            for task in self._running.values():
                task.cancel()

    async def keep_lease(self) -> None:
        """Renew, and look at what agent and egress hold, every ten seconds; but only while this controller can see what the grants say."""
        while True:
            if self.world.clock.boottime() - self._looked_at < _BLIND_SECONDS:
                await self._renew()
            await asyncio.sleep(RENEW_SECONDS)

    async def _renew(self) -> None:
        self.world.egress.ask_again()
        try:
            await self.world.agent.renew()
            await self.world.agent.list()
        except _EXPECTED as error:
            _log.warning("the lease was not renewed: %s", error)

    def _round(self) -> float:
        """One look and what follows from it. Gives the seconds until the next."""
        try:
            facts = self.world.facts()
            planned = planning.plan(facts)
        except Exception:  # noqa: BLE001  the edge of a task: logged, and looked again
            _log.exception("a round could not look at the world")
            return ROUND_SECONDS
        self._looked_at = self.world.clock.boottime()
        pauses = [self._begin(step) for step in planned]
        asyncio.get_running_loop().call_soon(self.kick)  # after the steps have begun: shipping writes to the store
        self._drop_old_attempts({_key(step) for step in planned})
        instant = planning.next_instant(facts)
        until = ROUND_SECONDS if instant is None else (instant - facts.now) / timedelta(seconds=1)
        return max(0.001, min([ROUND_SECONDS, until, *pauses]))

    def _begin(self, step: steps.Step) -> float:
        """Start a step, unless it is under way or was tried just now. Gives the seconds after which it may be tried."""
        key = _key(step)
        if key in self._running:
            return ROUND_SECONDS
        attempt = self._attempts.get(key)
        left = attempt.not_before - self.world.clock.boottime() if attempt else 0.0
        if attempt is not None and left > 0 and (attempt.failures or attempt.step == step or _is_progress(step)):
            return left
        self._running[key] = asyncio.get_running_loop().create_task(self._try(step))
        return ROUND_SECONDS

    async def _try(self, step: steps.Step) -> None:
        key = _key(step)
        try:
            await self.performer.perform(step)
        except _EXPECTED as error:
            _log.warning("%s %s: %s", key[0].__name__, key[1], error)
            self._failed(step, has_waited=isinstance(error, LogAway))
        except Exception:  # noqa: BLE001  the edge of a task: one session's trouble is not another's
            _log.exception("%s %s failed", key[0].__name__, key[1])
            self._failed(step)
        else:
            self._attempts[key] = _Attempt(self.world.clock.boottime() + (_PROGRESS_SECONDS if _is_progress(step) else _AGAIN_SECONDS), step=step)
        finally:
            del self._running[key]
        self.nudged.set()

    def _failed(self, step: steps.Step, *, has_waited: bool = False) -> None:
        attempt = self._attempts.get(_key(step))
        failures = 1 if attempt is None or has_waited else attempt.failures + 1
        longest = _LONGEST_CLOSING_PAUSE_SECONDS if isinstance(step, steps.CLOSING) else _LONGEST_PAUSE_SECONDS
        pause = min(longest, _FIRST_PAUSE_SECONDS * 2 ** min(failures - 1, 8))
        self._attempts[_key(step)] = _Attempt(self.world.clock.boottime() + pause, failures)

    def _drop_old_attempts(self, planned: set[tuple[type, str]]) -> None:
        """What is no longer planned is forgotten once its pause is over."""
        now = self.world.clock.boottime()
        for key in [key for key, attempt in self._attempts.items() if key not in planned and attempt.not_before <= now]:
            del self._attempts[key]


def _key(step: steps.Step) -> tuple[type, str]:
    match step:
        case steps.CutConnection(connection=subject) | steps.RecordOver(request=subject) | steps.ExpireRequest(request=subject):
            return type(step), subject
        case steps.OpenSession(request=subject):
            return type(step), subject
        case steps.KeepEgress():
            return type(step), ""
        case _:
            return type(step), step.session


def _is_progress(step: steps.Step) -> bool:
    return isinstance(step, steps.RecordState) and step.is_progress
