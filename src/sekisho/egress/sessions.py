"""All sessions that egress serves, and the acts that control orders on them. Level-triggered: each may come twice."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sekisho.egress.facts import SessionFacts
from sekisho.egress.loop import Loop, Timer
from sekisho.egress.names.book import NameBook
from sekisho.egress.opener import Got, Opener
from sekisho.egress.opener import Outcome as OpenOutcome
from sekisho.egress.parts import Parts
from sekisho.egress.session import Session, Sockets, close_all
from sekisho.model.hostname import parse_host_name
from sekisho.model.room import EgressRule
from sekisho.policy.egress import Rules, compile_rules
from sekisho.runtime.egress_orders import RuleOrder, Serve

DEADLINE_LOOK_SECONDS = 1.0  # the wall clock may be set
_SESSION_ID = re.compile(r"s-[a-z0-9]{1,64}")

_log = logging.getLogger(__name__)

Then = Callable[[str], None]  # with why it failed, or nothing


@dataclass(slots=True)
class _Served:
    session: Session
    book: NameBook
    deadline: "_Deadline"


@dataclass(frozen=True, slots=True)
class _Deadline:
    """Wall clock or boot time, whichever comes first."""

    ends_at: float
    boottime: float

    @classmethod
    def at(cls, ends_at: float, loop: Loop) -> "_Deadline":
        return cls(ends_at, loop.clock.boottime() + ends_at - loop.clock.now().timestamp())

    def left_seconds(self, loop: Loop) -> float:
        return min(self.ends_at - loop.clock.now().timestamp(), self.boottime - loop.clock.boottime())


class Sessions:
    """`books` is a directory of this process's own, where the names of each session are kept."""

    def __init__(self, parts: Parts, opener: Opener, books: Path) -> None:
        self._parts = parts
        self._opener = opener
        self._books = books
        self._served: dict[str, _Served] = {}
        self._wanted: dict[str, Serve] = {}  # being opened; the latest order counts
        self._timer: Timer | None = None
        books.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._look()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._served)

    def serve(self, order: Serve, then: Then) -> None:
        """Serve, or replace rules and deadline. `then` is called once it is done or has failed."""
        if not _SESSION_ID.fullmatch(order.session):
            then("malformed-session")
            return
        try:
            rules = _rules(order.rules)
        except ValueError as error:
            then(str(error))
            return
        if (served := self._served.get(order.session)) is not None:
            served.session.rules = rules
            served.deadline = _Deadline.at(order.ends_at, self._parts.loop)
            self._look()
            then("")
        elif not order.capability:
            then("not-served")
        else:
            self._wanted[order.session] = order
            self._opener.open(order.capability, lambda outcome: self._on_opened(order, rules, outcome, then))

    def drop(self, session: str) -> None:
        """The session is over: cut all, and forget its names too."""
        self._wanted.pop(session, None)
        self._close(session)
        if _SESSION_ID.fullmatch(session):
            (self._books / session).unlink(missing_ok=True)

    def keep_only(self, sessions: frozenset[str]) -> None:
        for session in {*self._served, *self._wanted, *(path.name for path in self._books.iterdir())} - sessions:
            self.drop(session)

    def close(self) -> None:
        """Cut all, keep the books: for an orderly end of this process."""
        self._wanted.clear()
        for session in tuple(self._served):
            self._close(session)

    def _on_opened(self, order: Serve, rules: Rules, outcome: OpenOutcome, then: Then) -> None:
        match outcome:
            case str():
                if self._wanted.get(order.session) is order:
                    del self._wanted[order.session]
                then(outcome)
            case Got():
                then(self._begin(order, rules, outcome))

    def _begin(self, order: Serve, rules: Rules, got: Got) -> str:
        if self._wanted.get(order.session) is not order or got.session != order.session:
            close_all(got.descriptors)
            return "no-longer-wanted" if got.session == order.session else "capability-of-another-session"
        del self._wanted[order.session]
        try:
            book = NameBook(self._books / order.session)
        except (OSError, ValueError) as error:
            close_all(got.descriptors)
            return f"names: {error}"
        try:
            sockets = Sockets.take(got.descriptors)
        except ValueError as error:
            book.close()
            return str(error)
        facts = SessionFacts(session=order.session, room=order.room, person=order.person)
        session = Session(self._parts, facts=facts, rules=rules, book=book, sockets=sockets, on_lifeline=lambda: self.drop(order.session))
        self._served[order.session] = _Served(session, book, _Deadline.at(order.ends_at, self._parts.loop))
        self._look()
        return ""

    def _close(self, session: str) -> None:
        served = self._served.pop(session, None)
        if served is not None:
            served.session.close("session-over")
            served.book.close()

    def _look(self) -> None:
        """End what is over, and look again when the next is, or in a second."""
        left = {name: served.deadline.left_seconds(self._parts.loop) for name, served in self._served.items()}
        nearest = min((seconds for seconds in left.values() if seconds > 0), default=DEADLINE_LOOK_SECONDS)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._parts.loop.after(min(nearest, DEADLINE_LOOK_SECONDS), self._look)
        for name, seconds in left.items():
            if seconds <= 0:
                self._close(name)


def _rules(orders: tuple[RuleOrder, ...]) -> Rules:
    """Raises ValueError for a rule whose name is not canonical or whose port is none: control has checked them, so nothing of such an order is served."""
    rules = []
    for order in orders:
        name = parse_host_name(order.name)
        if name is None or name != order.name or not 1 <= order.port <= 65_535:
            raise ValueError("malformed-rule")
        rules.append(EgressRule(name=name, port=order.port, wildcard=order.wildcard, tls=order.tls, target=order.target))
    return compile_rules(rules)
