"""Events on their way to the audit log. An act appends its event in its own transaction; control hands the rows out, numbered and chained, until audit has
accepted them.

The id of a row is given when it is written, its number when it is first handed out: on PostgreSQL a transaction may commit after one that began
later, so ids may become visible out of order, while numbers have no gap, ever. Numbering is one transaction that stores the finished entry beside the
number: after a crash the very same bytes are handed out again, and audit drops what it has by (producer, number). So no event is lost and none is
written twice.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection, delete, func, insert, select, update

from sekisho.model.event import Event, EventKind
from sekisho.store.database import Store, Turn, serialize
from sekisho.store.tables import outbox

EVENT_LIMIT_BYTES = 49_152  # of an event's texts, so that with its frame it fits into an entry (`model.event.ENTRY_LIMIT_BYTES`)
KEPT = timedelta(days=1)
_BATCH_ROWS = 500
_GREATEST_INTEGER = 2**53 - 1  # RFC 8785 §3.2.2.3
_DEPTH_LIMIT = 8


class EventRefused(ValueError):
    """An event that can never become a log entry. It is refused before it is stored: in the outbox it would hold up all that come after it."""


class EntryBytes(Protocol):
    """`audit.entry.entry_bytes`, which lives a floor above."""

    def __call__(self, event: Event, *, producer: str, number: int, prev: str) -> bytes: ...


def append(tx: Connection, event: Event) -> int:
    """Write an event in the transaction of its act; gives the row's id, which is good for `Outbox.is_accepted`. Raises EventRefused."""
    plain = _plain(event)
    _check(plain)
    row = insert(outbox).values(at=event.at, event=plain, accepted=False).returning(outbox.c.id)
    return int(tx.execute(row).scalar_one())


class Outbox:
    """An `audit.shipper.Backlog` over the store. One process ships; another that tries at the same time waits for it and does no harm."""

    def __init__(self, store: Store, *, entry_bytes: EntryBytes, producer: str = "store") -> None:
        self.producer = producer
        self._store = store
        self._entry_bytes = entry_bytes

    def waiting(self, limit_bytes: int) -> list[tuple[int, bytes]]:
        """(number, entry) of what audit has not accepted yet, in order without a gap, at most `limit_bytes` long in all, but one if there is any."""
        while True:
            more = self._number_some()
            found = self._numbered(limit_bytes)
            if found or not more:
                return found

    def accepted(self, through: int) -> None:
        """Audit has these durably: all numbers up to and with `through`."""
        with self._store.writing() as tx:
            tx.execute(update(outbox).where(outbox.c.number <= through, ~outbox.c.accepted).values(accepted=True))

    def is_accepted(self, row_id: int) -> bool:
        """Has audit this event? False for a row that is not known: a day after it was accepted it may be pruned, so ask before."""
        with self._store.reading() as tx:
            return bool(tx.execute(select(outbox.c.accepted).where(outbox.c.id == row_id)).scalar())

    def oldest_waiting_seconds(self, now: datetime) -> float:
        """How long the oldest event that audit has not accepted has been waiting; 0.0 if none does."""
        with self._store.reading() as tx:
            oldest: datetime | None = tx.execute(select(func.min(outbox.c.at)).where(~outbox.c.accepted)).scalar()
        return 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds())

    def prune(self, now: datetime) -> int:
        """Drop what audit accepted more than a day ago, but never the head of the chain. Gives how many rows went."""
        with self._store.writing() as tx:
            head = tx.execute(select(func.max(outbox.c.number))).scalar() or 0
            old = (outbox.c.accepted, outbox.c.number < head, outbox.c.at < now - KEPT)
            return tx.execute(delete(outbox).where(*old)).rowcount

    def _numbered(self, limit_bytes: int) -> list[tuple[int, bytes]]:
        rows = select(outbox.c.number, outbox.c.entry).where(~outbox.c.accepted, outbox.c.number.is_not(None)).order_by(outbox.c.number).limit(_BATCH_ROWS)
        found: list[tuple[int, bytes]] = []
        room = limit_bytes
        with self._store.reading() as tx:
            for number, entry in tx.execute(rows):
                room -= len(entry)
                if found and room < 0:
                    break
                found.append((number, bytes(entry)))
        return found

    def _number_some(self) -> bool:
        """Give the next numbers to rows that have none; True if there were any."""
        bare = select(outbox.c.id, outbox.c.event).where(outbox.c.number.is_(None)).order_by(outbox.c.id).limit(_BATCH_ROWS)
        with self._store.reading() as tx:
            if tx.execute(bare.limit(1)).first() is None:
                return False
        with self._store.writing() as tx:
            serialize(tx, Turn.NUMBERING)
            number, prev = _head(tx)
            for row_id, plain in tx.execute(bare).all():
                number += 1
                entry = self._entry_bytes(_event(plain), producer=self.producer, number=number, prev=prev)
                tx.execute(update(outbox).where(outbox.c.id == row_id).values(number=number, entry=entry))
                prev = hashlib.sha256(entry).hexdigest()
        return True


def _head(tx: Connection) -> tuple[int, str]:
    """The greatest number that was given, and the digest that the next entry names as `prev`."""
    row = tx.execute(select(outbox.c.number, outbox.c.entry).where(outbox.c.number.is_not(None)).order_by(outbox.c.number.desc()).limit(1)).first()
    return (0, "") if row is None else (row.number, hashlib.sha256(row.entry).hexdigest())


_TEXTS = ("by", "address", "channel", "room", "request", "session", "reason")


def _plain(event: Event) -> dict[str, Any]:
    assert event.at.tzinfo is not None, "an event without a zone"
    texts = {name: getattr(event, name) for name in _TEXTS}
    return {"kind": str(event.kind), "at": event.at.astimezone(UTC).isoformat(), **{k: str(v) for k, v in texts.items() if v}, "details": dict(event.details)}


def _event(plain: Mapping[str, Any]) -> Event:
    texts = {name: plain[name] for name in _TEXTS if name in plain}
    return Event(kind=EventKind(plain["kind"]), at=datetime.fromisoformat(plain["at"]), **texts, details=plain["details"])


def _check(plain: Mapping[str, Any]) -> None:
    if _measure(plain, _DEPTH_LIMIT) > EVENT_LIMIT_BYTES:
        raise EventRefused("longer than an entry may be")


def _measure(value: object, depth: int) -> int:
    """About how many bytes this takes in RFC 8785 form, and never fewer. Raises EventRefused for what has no such form."""
    if depth == 0:
        raise EventRefused("nested too deeply")
    match value:
        case None | bool():
            return 6
        case int() if abs(value) <= _GREATEST_INTEGER:
            return 18
        case float() if abs(value) <= _GREATEST_INTEGER:  # neither infinite nor NaN
            return 26
        case str():
            return _measure_text(value)
        case list() | tuple():
            return 2 + sum(_measure(item, depth - 1) + 1 for item in value)
        case Mapping() if all(isinstance(key, str) for key in value):
            return 2 + sum(_measure_text(key) + _measure(item, depth - 1) + 2 for key, item in value.items())
    raise EventRefused(f"{type(value).__name__} has no place in an entry")


def _measure_text(value: str) -> int:
    try:
        encoded = value.encode()
    except UnicodeEncodeError as error:
        raise EventRefused("half a surrogate pair") from error
    if "\0" in value:
        raise EventRefused("NUL in a text")  # PostgreSQL keeps none
    return 2 + len(encoded) + sum(5 for byte in encoded if byte < 0x20 or byte in b'"\\')
