"""The agent's journal: one file for each session, from before its shim is forked until control has written down how it ended.

It is what a restarted agent finds everything again by, and what makes its events come exactly once: an event is first noted here, then
given its number, then appended to
the spool. `reserved` is the number that the first of the noted events gets while they are being appended; if a record still has it when the next agent comes,
what the spool had reached by then was appended before the crash. That is settled before anything else takes a number.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from sekisho.audit.entry import EntryUnfit
from sekisho.model import messages
from sekisho.model.errors import Trouble
from sekisho.model.event import Event, EventKind
from sekisho.runtime.paths import AgentPaths
from sekisho.runtime.protocol import Changed, Create, SessionSeen, SessionSpec
from sekisho.system.files import sync_folder, write_whole

_CLOSING = frozenset({EventKind.SESSION_FROZEN, EventKind.SESSION_ENDED, EventKind.SESSION_FAILED, EventKind.SESSION_DESTROYED})


class EventSpool(Protocol):
    """`audit.spool.FileSpool`."""

    @property
    def next_number(self) -> int: ...

    def append(self, event: Event, *, closes: bool = False) -> int: ...

    def sync(self) -> None: ...


@dataclass(slots=True)
class Record:
    """What the agent knows of a session. `notes` are events that were not appended for sure."""

    spec: SessionSpec
    uid_base: int
    boot_deadline: float
    shim: int = 0
    shim_started: str = ""
    told_ready: bool = False
    lease_frozen: bool = False
    over: SessionSeen | None = None
    notes: list[dict[str, object]] = field(default_factory=list)
    reserved: int | None = None

    @property
    def session(self) -> str:
        return self.spec.session


class Journal:
    def __init__(self, paths: AgentPaths, spool: EventSpool, now: Callable[[], datetime]) -> None:
        self._paths = paths
        self._spool = spool
        self._now = now
        self._ungiven: dict[str, Record] = {}  # on the disk they still have numbers reserved that others may take
        paths.journal.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._settle()

    def save(self, record: Record) -> None:
        write_whole(self._paths.session(record.session).record, _rendered(record))

    def load(self) -> Iterator[Record]:
        for path in sorted(self._paths.journal.glob("*.json")):
            record = _parsed(path.read_bytes())
            yield self._ungiven.get(record.session, record)

    def forget(self, record: Record) -> None:
        paths = self._paths.session(record.session)
        self._ungiven.pop(record.session, None)
        for path in (paths.manifest, paths.outcome, paths.record):
            path.unlink(missing_ok=True)
        sync_folder(self._paths.journal)

    def note(self, record: Record, kind: EventKind, *, reason: str = "", details: dict[str, object] | None = None) -> None:
        """An event of this session, to be appended by the next `flush`."""
        record.notes.append({"kind": kind.value, "at": self._now().timestamp(), "reason": reason, "details": details or {}})

    def flush(self, record: Record) -> None:
        """Append what is noted, exactly once whatever dies between the steps. What the spool refuses stays noted. Raises Trouble; OSError of a full disk."""
        if not record.notes:
            return
        self._save_ungiven()
        record.reserved = self._spool.next_number
        try:
            self.save(record)
            while record.notes:
                self._append(_event(record, record.notes[0]))
                record.notes.pop(0)
        except (Trouble, OSError):
            self._give_back(record)
            raise
        finally:
            self._spool.sync()
        record.reserved = None  # the numbers that follow are anybody's

    def _append(self, event: Event) -> None:
        closes = event.kind in _CLOSING
        try:
            self._spool.append(event, closes=closes)
        except EntryUnfit as error:  # it must not hold up what comes after it
            self._spool.append(replace(event, details={"unfit": str(error)}), closes=closes)

    def _give_back(self, record: Record) -> None:
        """Numbers that were reserved and not used: other sessions may take them once the disk says so."""
        record.reserved = None
        self._ungiven[record.session] = record
        with suppress(OSError):
            self._save_ungiven()

    def _save_ungiven(self) -> None:
        """Until this has succeeded nobody takes a number: a crash would make the next agent think that what took it was told here."""
        for session, record in list(self._ungiven.items()):
            self.save(record)
            del self._ungiven[session]

    def _settle(self) -> None:
        """After a crash: the notes whose reserved numbers the spool has reached are in it, and those that are left get new numbers."""
        for record in self.load():
            if record.reserved is not None:
                del record.notes[: max(0, self._spool.next_number - record.reserved)]
                self._give_back(record)


def _event(record: Record, note: dict[str, object]) -> Event:
    details = note["details"]
    at = note["at"]
    assert isinstance(details, dict)
    assert isinstance(at, float)
    return Event(
        kind=EventKind(str(note["kind"])),
        at=datetime.fromtimestamp(at, UTC),
        by=record.spec.person,
        room=record.spec.room,
        request=record.spec.request,
        session=record.session,
        reason=str(note["reason"]),
        details=details,
    )


def _rendered(record: Record) -> bytes:
    return json.dumps(
        {
            "create": messages.render(Create(0, record.spec)).decode(),
            "uid_base": record.uid_base,
            "boot_deadline": record.boot_deadline,
            "shim": record.shim,
            "shim_started": record.shim_started,
            "told_ready": record.told_ready,
            "lease_frozen": record.lease_frozen,
            "over": messages.render(Changed(record.over)).decode() if record.over else None,
            "notes": record.notes,
            "reserved": record.reserved,
        }
    ).encode()


def _parsed(content: bytes) -> Record:
    found = json.loads(content)
    return Record(
        spec=messages.parse(found["create"].encode(), (Create,)).spec,
        uid_base=found["uid_base"],
        boot_deadline=found["boot_deadline"],
        shim=found["shim"],
        shim_started=found["shim_started"],
        told_ready=found["told_ready"],
        lease_frozen=found["lease_frozen"],
        over=messages.parse(found["over"].encode(), (Changed,)).seen if found["over"] else None,
        notes=found["notes"],
        reserved=found["reserved"],
    )


def read_outcome(path: Path) -> SessionSeen | None:
    """How a shim said that its session ended; None if it did not come to that."""
    with suppress(FileNotFoundError):
        return messages.parse(path.read_bytes(), (Changed,)).seen
    return None
