"""Control's view of the agent: what it was seen to run, and the orders it is given.

`seen` is kept by the agent's list, taken at every connection and renewed with the lease, and by what it says unasked. A session whose creation was
ordered counts as seen from that moment, so that an end that comes before the answer is not mistaken for one that has nothing to end.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from sekisho.model.messages import Message
from sekisho.model.session import EndReason
from sekisho.runtime import protocol
from sekisho.runtime.protocol import Changed, Failed, OpenKind, RuntimeState, Sessions, SessionSeen, SessionSpec
from sekisho.sessions.line import ANSWER_SECONDS, Away, Line

_log = logging.getLogger(__name__)
CREATE_SECONDS = 15.0

Heard = protocol.Done | Failed | Sessions


class AgentRefused(Exception):
    """The agent understood and will not. `reference` is the agent's own."""

    def __init__(self, reference: str, what: str) -> None:
        super().__init__(f"{reference}: {what}")
        self.reference = reference
        self.what = what


class AgentClient:
    def __init__(self, path: Path, *, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._line: Line[Heard] = Line(path, family=protocol.FromAgent, on_here=self._came, on_away=self._went, on_unasked=self._changed)
        self._seen: dict[str, SessionSeen] | None = None
        self._ordered: set[str] = set()  # created, not answered yet
        self._listing: asyncio.Task[None] | None = None
        self._heard: dict[str, SessionSeen] = {}  # while a list is being taken

    @property
    def seen(self) -> Mapping[str, SessionSeen] | None:
        """Every session that the agent knows; None while it is away or has not listed them yet."""
        return self._seen

    async def keep(self) -> None:
        await self._line.keep()

    async def create(self, spec: SessionSpec) -> None:
        """Order a session; one that exists is as good. Raises Away or AgentRefused."""
        self._ordered.add(spec.session)
        if self._seen is not None:
            self._seen.setdefault(spec.session, SessionSeen(spec.session, RuntimeState.CREATING, spec.ends_at))
        try:
            await self._order(lambda number: protocol.Create(number, spec), seconds=CREATE_SECONDS)
        except AgentRefused as refused:
            if refused.reference != "exists":
                self._unsee(spec.session)
                raise
            await self.list()
        finally:
            self._ordered.discard(spec.session)

    async def end(self, session: str, reason: EndReason) -> None:
        await self._order(lambda number: protocol.End(number, session, reason))

    async def extend(self, session: str, ends_at: datetime) -> None:
        """Once it is done, the session is seen with its new deadline."""
        await self._order(lambda number: protocol.Extend(number, session, ends_at.timestamp()))
        self._see(session, ends_at=ends_at.timestamp())

    async def freeze(self, session: str) -> None:
        await self._order(lambda number: protocol.Freeze(number, session))

    async def thaw(self, session: str) -> None:
        await self._order(lambda number: protocol.Thaw(number, session))

    async def forget(self, session: str) -> None:
        await self._order(lambda number: protocol.Forget(number, session))
        self._unsee(session)

    async def register(self, capability_sha256: str, *, session: str, kind: OpenKind, person: str, expires_at: datetime) -> None:
        at = expires_at.timestamp()
        await self._order(lambda number: protocol.Register(number, capability_sha256, session, kind, person, at))

    async def renew(self) -> None:
        """The lease."""
        await self._order(protocol.Renew)

    async def list(self) -> None:
        """Take the agent's own list, page by page; what changes meanwhile is newer than any page. Raises Away."""
        self._heard.clear()
        found: dict[str, SessionSeen] = {}
        more, after = True, ""
        while more:
            answer = await self._line.ask(partial(protocol.List, after=after))
            assert isinstance(answer, Sessions), answer
            found |= {seen.session: seen for seen in answer.sessions}
            more, after = answer.more, max(found, default="")
        provisional = {session: self._seen[session] for session in self._ordered if self._seen and session in self._seen}
        self._seen = provisional | found | self._heard
        self._heard.clear()
        self._on_change()

    async def _order(self, order: Callable[[int], Message], *, seconds: float = ANSWER_SECONDS) -> None:
        answer = await self._line.ask(order, seconds=seconds)
        if isinstance(answer, Failed):
            raise AgentRefused(answer.reference, answer.what)

    def _came(self) -> None:
        self._listing = asyncio.get_running_loop().create_task(self._begin())

    async def _begin(self) -> None:
        try:
            await self.renew()
            await self.list()
        except (Away, AgentRefused) as error:
            _log.warning("the agent does not begin: %s", error)

    def _went(self) -> None:
        if self._listing is not None:
            self._listing.cancel()
        self._seen = None
        self._on_change()

    def _changed(self, changed: Changed) -> None:
        if self._listing is not None and not self._listing.done():
            self._heard[changed.seen.session] = changed.seen
        if self._seen is not None:
            self._seen[changed.seen.session] = changed.seen
            self._on_change()

    def _see(self, session: str, *, ends_at: float) -> None:
        if self._seen is not None and session in self._seen:
            self._seen[session] = replace(self._seen[session], ends_at=ends_at)

    def _unsee(self, session: str) -> None:
        if self._seen is not None:
            self._seen.pop(session, None)
            self._on_change()
