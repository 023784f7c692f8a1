"""Refusals in the log: the first of its kind at once, the same again counted together every ten seconds, none left out.

A room can make up names faster than any disk writes them. So of one window 64 different refusals are told apart; those beyond are counted by reason, and
no room can fill the spool that the others need.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from sekisho.egress.facts import SessionFacts, shown
from sekisho.egress.journal import Journal
from sekisho.egress.loop import Loop
from sekisho.model.event import EventKind
from sekisho.model.reasons import Reason
from sekisho.policy.verdict import Deny

WINDOW_SECONDS = 10.0
TOLD_APART = 64
_FACTS_SHOWN = ("address", "range", "found")


@dataclass(frozen=True, slots=True)
class Refusal:
    """`way` is "names", "proxy" or "direct". `facts` are few and short, and part of what makes two refusals the same."""

    way: str
    name: str
    port: int
    reason: Reason
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class _Window:
    of: SessionFacts
    again: Counter[Refusal] = field(default_factory=Counter)  # beyond the first; a refusal that is a key was told
    others: Counter[tuple[str, Reason]] = field(default_factory=Counter)


def refusal(way: str, unverified_name: str, port: int, deny: Deny) -> Refusal:
    facts = tuple((key, shown(deny.facts[key])) for key in _FACTS_SHOWN if key in deny.facts)
    return Refusal(way=way, name=shown(unverified_name), port=port, reason=deny.reason, facts=facts)


class Refusals:
    def __init__(self, loop: Loop, journal: Journal) -> None:
        self._loop = loop
        self._journal = journal
        self._windows: dict[str, _Window] = {}

    def add(self, of: SessionFacts, found: Refusal) -> None:
        window = self._windows.get(of.session)
        if window is None:
            window = self._windows[of.session] = _Window(of)
            self._loop.after(WINDOW_SECONDS, lambda: self._end(window))
        if found in window.again:
            window.again[found] += 1
        elif len(window.again) < TOLD_APART:
            window.again[found] = 0
            self._tell(of, found, 1)
        else:
            window.others[(found.way, found.reason)] += 1

    def flush(self) -> None:
        """Tell what was counted so far."""
        for window in list(self._windows.values()):
            self._windows.pop(window.of.session)
            self._tell_counted(window)

    def _end(self, window: _Window) -> None:
        if self._windows.get(window.of.session) is not window:
            return
        if self._journal.is_holding:  # a full spool: count on rather than pile up
            self._loop.after(WINDOW_SECONDS, lambda: self._end(window))
            return
        del self._windows[window.of.session]
        self._tell_counted(window)

    def _tell_counted(self, window: _Window) -> None:
        for found, count in window.again.items():
            if count:
                self._tell(window.of, found, count)
        for (way, reason), count in window.others.items():
            self._note(window.of, reason, {"way": way, "count": count, "others": True})

    def _tell(self, of: SessionFacts, found: Refusal, count: int) -> None:
        details: dict[str, object] = {"way": found.way, "name": found.name, "count": count, **dict(found.facts)}
        if found.port:
            details["port"] = found.port
        self._note(of, found.reason, details)

    def _note(self, of: SessionFacts, reason: Reason, details: Mapping[str, object]) -> None:
        self._journal.note(of.event(EventKind.NAME_REFUSED, at=self._loop.clock.now(), reason=reason, details=dict(details)))
