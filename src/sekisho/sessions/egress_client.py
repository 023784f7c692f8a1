"""Control's view of egress: which sessions it serves, until when it was told to, and the orders it is given (`runtime.egress_orders`)."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sekisho.model.messages import Message
from sekisho.model.room import EgressRule
from sekisho.runtime import egress_orders as orders
from sekisho.sessions.line import Line
from sekisho.sessions.plan import Served


class EgressRefused(Exception):
    """Egress understood and could not."""


@dataclass(frozen=True, slots=True)
class ServeOrder:
    session: str
    room: str
    person: str
    ends_at: datetime
    rules: tuple[EgressRule, ...]
    capability: str  # hex; empty if it is served already


class EgressClient:
    def __init__(self, path: Path, *, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._line: Line[orders.Served] = Line(path, family=orders.FromEgress, on_here=self._came, on_away=self._came)
        self._ends_at: dict[str, float] = {}
        self._is_told = False

    @property
    def served(self) -> Served | None:
        """None while egress is away."""
        return Served(dict(self._ends_at), self._is_told) if self._line.is_here else None

    async def keep(self) -> None:
        await self._line.keep()

    def ask_again(self) -> None:
        """Let the next round say once more what egress may keep, and hear what it holds."""
        self._is_told = False

    async def serve(self, order: ServeOrder) -> None:
        """Raises Away or EgressRefused."""
        rules = tuple(orders.RuleOrder(rule.name, rule.port, rule.wildcard, rule.tls, rule.target) for rule in order.rules)
        ends_at = order.ends_at.timestamp()
        await self._order(lambda number: orders.Serve(number, order.session, order.room, order.person, ends_at, rules, order.capability))
        if order.session in self._ends_at:
            self._ends_at[order.session] = ends_at

    async def drop(self, session: str) -> None:
        await self._order(lambda number: orders.Drop(number, session))

    async def keep_only(self, sessions: tuple[str, ...]) -> None:
        """Egress drops all others; afterwards `served` is what it holds."""
        await self._order(lambda number: orders.Only(number, sessions))
        self._is_told = True
        self._on_change()

    async def _order(self, order: Callable[[int], Message]) -> None:
        answer = await self._line.ask(order)
        self._ends_at = {session: self._ends_at.get(session, 0.0) for session in answer.sessions}
        if answer.failed:
            raise EgressRefused(answer.failed)

    def _came(self) -> None:
        """It came or went: nothing is known of it."""
        self._ends_at, self._is_told = {}, False
        self._on_change()
