"""One connection in the log: `name.reached` before anything goes out, and one `name.closed` for it, whatever happened between."""

from collections.abc import Callable

from sekisho.egress.facts import SessionFacts, shown
from sekisho.egress.journal import Journal
from sekisho.model.event import Event, EventKind
from sekisho.policy.egress import Listed
from sekisho.system.clock import Clock
from sekisho.system.randomness import identifier


class Passage:
    __slots__ = (
        "_clock",
        "_close_details",
        "_flow",
        "_is_closed",
        "_is_open",
        "_journal",
        "_listed",
        "_of",
        "_opened_at",
        "_reason",
        "address",
        "unverified_alias",
    )

    def __init__(self, journal: Journal, clock: Clock, of: SessionFacts, listed: Listed) -> None:
        self._journal = journal
        self._clock = clock
        self._of = of
        self._listed = listed
        self._flow = identifier("f-")
        self._opened_at = clock.boottime()
        self._is_open = False
        self._is_closed = False
        self._reason = ""
        self._close_details: dict[str, object] = {}
        self.address = ""  # that was connected to
        self.unverified_alias = ""

    @property
    def session(self) -> str:
        return self._of.session

    def open(self, way: str, then: Callable[[bool], None]) -> None:
        """`then(True)` once the log has it for sure. If the passage is closed before, `then` is not called."""
        details = self._names() | {"way": way, "rule": str(self._listed.rule)}
        if self._listed.rule.is_target:
            details["target"] = self._listed.rule.target
        self._journal.open(self._event(EventKind.NAME_REACHED, details), lambda is_durable: self._on_written(then, is_durable=is_durable))

    def close(self, why: str, *, reason: str = "", sent_bytes: int = 0, received_bytes: int = 0) -> None:
        """Once. `why` it ended: "done", "reset", "left", "refused", "failed", "session-over". Written only if the open was."""
        assert not self._is_closed
        self._is_closed = True
        self._reason = reason
        milliseconds = round((self._clock.boottime() - self._opened_at) * 1000)
        self._close_details = {"why": why, "sent_bytes": sent_bytes, "received_bytes": received_bytes, "milliseconds": milliseconds}
        if self._is_open:
            self._write_close()

    def _on_written(self, then: Callable[[bool], None], *, is_durable: bool) -> None:
        self._is_open = is_durable
        if not self._is_closed:
            then(is_durable)
        elif is_durable:
            self._write_close()

    def _write_close(self) -> None:
        details = self._names() | self._close_details
        if self.address:
            details["address"] = self.address
        if self.unverified_alias:
            details["alias"] = shown(self.unverified_alias)
        self._journal.note(self._event(EventKind.NAME_CLOSED, details, reason=self._reason))

    def _names(self) -> dict[str, object]:
        return {"flow": self._flow, "name": self._listed.name, "port": self._listed.rule.port}

    def _event(self, kind: EventKind, details: dict[str, object], *, reason: str = "") -> Event:
        return self._of.event(kind, at=self._clock.now(), reason=reason, details=details)
