"""Pasting into a room: each paste decided, limited and written down before the room sees any of it. How much, never what: no text, no hash of it.

What was let in counts against its connection's rate and is an event each; refusals are counted together beyond a rate (`store.refusals`), so that no burst
fills the log.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from sekisho.model.event import EventKind
from sekisho.model.room import Place
from sekisho.policy.clipboard import PASTES_WINDOW, PasteFacts, decide_paste
from sekisho.policy.enter import EnterFacts
from sekisho.policy.verdict import Allow, Deny
from sekisho.sessions import records
from sekisho.sessions.doorway import Paste, Refused
from sekisho.sessions.entering import sane_count
from sekisho.sessions.presence import NO_GRANT, denial, presence, refused
from sekisho.store import outbox
from sekisho.store.database import Store
from sekisho.store.refusals import Tally
from sekisho.store.tables import connections

_CONNECTIONS_LIMIT = 4_096


class Recent:
    """When each connection pasted within the window. Forgets the connections that were silent longest."""

    def __init__(self) -> None:
        self._times: OrderedDict[str, deque[datetime]] = OrderedDict()

    def count(self, connection: str, now: datetime) -> int:
        times = self._times.get(connection, deque())
        while times and now - times[0] >= PASTES_WINDOW:
            times.popleft()
        return len(times)

    def add(self, connection: str, now: datetime) -> None:
        self._times.setdefault(connection, deque()).append(now)
        self._times.move_to_end(connection)
        while len(self._times) > _CONNECTIONS_LIMIT:
            self._times.popitem(last=False)


@dataclass(frozen=True, slots=True)
class PasteWritten:
    """A paste that may be. `event` is the outbox row that the log must have first."""

    event: int


def paste(store: Store, ask: Paste, *, places: Sequence[Place], recent: Recent, tally: Tally, now: datetime) -> PasteWritten | Refused:
    """Decide on one paste: `clipboard.pasted` or `paste.refused`. What no connection is known for is refused without a word, as it is nobody's."""
    with store.writing() as tx:
        row = _connection(tx, ask)
        if row is None:
            return refused(ask.number, NO_GRANT)
        denied = _denial(tx, row, ask, places=places, recent=recent.count(row.id, now), now=now)
        if denied is not None:
            more = tally.to_write(row.id, denied.reason, now=now)
            return refused(ask.number, denied) if more is None else _refuse(tx, row, ask, denied, more=more, now=now)
        event = outbox.append(tx, records.connection_event(tx, EventKind.CLIPBOARD_PASTED, row, now=now, by=row.person, details=_told(row, ask)))
    recent.add(row.id, now)
    return PasteWritten(event)


def refused_after_all(store: Store, ask: Paste, *, why: Deny | None, places: Sequence[Place], now: datetime) -> Refused | None:
    """Once the log has it, or will not (`why`): may it still be? If not, `paste.refused` follows, each for itself. None if it may."""
    with store.writing() as tx:
        row = _connection(tx, ask)
        if row is None:
            return refused(ask.number, NO_GRANT)
        denied = why or _denial(tx, row, ask, places=places, recent=0, now=now)  # it is counted already
        return None if denied is None else _refuse(tx, row, ask, denied, more=0, now=now)


def _connection(tx: Connection, ask: Paste) -> Row[Any] | None:
    return tx.execute(select(connections).where(connections.c.id == ask.connection).with_for_update()).first()


def _denial(tx: Connection, row: Row[Any], ask: Paste, *, places: Sequence[Place], recent: int, now: datetime) -> Deny | None:
    if row.closed_at is not None or row.why:
        return NO_GRANT  # over, or cut and about to be
    found = presence(tx, session=row.session, person=row.person, sign_in=row.sign_in)

    def decide(facts: EnterFacts) -> Allow | Deny:
        return decide_paste(PasteFacts(facts, size_bytes=ask.size_bytes, recent=recent))

    return denial(found, decide, kind=row.kind, address=ask.address, places=places, now=now)


def _refuse(tx: Connection, row: Row[Any], ask: Paste, denied: Deny, *, more: int, now: datetime) -> Refused:
    """`more` refusals before this one were only counted."""
    details = {**_told(row, ask), **({"facts": dict(denied.facts)} if denied.facts else {}), **({"more": more} if more else {})}
    outbox.append(tx, records.connection_event(tx, EventKind.PASTE_REFUSED, row, now=now, by=row.person, reason=denied.reason, details=details))
    return refused(ask.number, denied)


def _told(row: Row[Any], ask: Paste) -> dict[str, object]:
    moved = {"address_now": ask.address[:64]} if ask.address != row.address else {}
    return {"characters": sane_count(ask.characters), "bytes": sane_count(ask.size_bytes), **moved}
