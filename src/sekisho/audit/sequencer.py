"""The sequencer's store: every entry in its order, in one SQLite file that is only ever appended to.

`offer` decides and stages, `commit` makes all that is staged durable in one transaction (WAL, synchronous=FULL: one fsync). The file is held under an exclusive
lock, so there is one sequencer. The triggers are hygiene; what proves that nothing was changed is the tree.
"""

import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from sekisho.audit.entry import OWN_PRODUCER, entry_bytes
from sekisho.audit.sequencing import Drop, Head, Judgement, Refuse, Take, TakeAfterGap, head_of, judge
from sekisho.model.errors import Trouble
from sekisho.model.event import Event, EventKind

_SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
  idx INTEGER PRIMARY KEY,
  producer TEXT NOT NULL,
  number INTEGER NOT NULL,
  entry BLOB NOT NULL,
  UNIQUE (producer, number)
) STRICT;
CREATE TRIGGER IF NOT EXISTS log_keeps_what_it_has BEFORE UPDATE ON log BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER IF NOT EXISTS log_loses_nothing BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
"""


class Sequencer:
    """Raises Trouble `log-in-use` if another process holds the file. `size` counts what is durable."""

    def __init__(self, path: Path) -> None:
        self._database = _open(path)
        self.size = self._durable_size()
        self._heads: dict[str, Head] = {}
        self._staged: list[tuple[str, int, bytes]] = []

    def _durable_size(self) -> int:
        (count,) = self._database.execute("SELECT ifnull(max(idx) + 1, 0) FROM log").fetchone()
        return int(count)

    def offer(self, unverified: bytes, *, producer: str, number: int, now: datetime) -> Judgement:
        """Judge an entry and stage it if it is taken, with the event of the gap before it if there is one."""
        head = self.head(producer)
        judgement = judge(unverified, producer=producer, number=number, head=head, stored=lambda n: self._stored(producer, n))
        match judgement:
            case Take():
                self._stage(producer, number, unverified)
            case TakeAfterGap(after):
                gap = {"producer": producer, "after": str(after), "next": str(number)}
                self.note(Event(EventKind.PRODUCER_GAP, now, details=gap))
                self._stage(producer, number, unverified)
            case Drop() | Refuse():
                pass
        return judgement

    def note(self, event: Event) -> None:
        """Stage an event of the audit process itself."""
        head = self.head(OWN_PRODUCER)
        number = head.number + 1
        self._stage(OWN_PRODUCER, number, entry_bytes(event, producer=OWN_PRODUCER, number=number, prev=head.digest))

    def commit(self) -> list[bytes]:
        """Make what is staged durable, in order, and give it. An error of the disk is raised: the process must end, its memory may differ from the file."""
        staged, self._staged = self._staged, []
        if not staged:
            return []
        rows = [(self.size + at, *row) for at, row in enumerate(staged)]
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany("INSERT INTO log (idx, producer, number, entry) VALUES (?, ?, ?, ?)", rows)
        self._database.execute("COMMIT")
        self.size += len(rows)
        return [entry for _, _, entry in staged]

    def head(self, producer: str) -> Head:
        """The last entry of a producer, staged ones included."""
        if producer not in self._heads:
            row = self._database.execute("SELECT number, entry FROM log WHERE producer = ? ORDER BY number DESC LIMIT 1", (producer,)).fetchone()
            self._heads[producer] = head_of(*row) if row else Head()
        return self._heads[producer]

    def entries(self) -> Iterator[tuple[int, bytes]]:
        """Every durable entry with its index, in order."""
        yield from self._database.execute("SELECT idx, entry FROM log ORDER BY idx")

    def close(self) -> None:
        self._database.close()

    def _stage(self, producer: str, number: int, entry: bytes) -> None:
        self._staged.append((producer, number, entry))
        self._heads[producer] = head_of(number, entry)

    def _stored(self, producer: str, number: int) -> bytes | None:
        staged = (entry for name, found, entry in self._staged if (name, found) == (producer, number))
        row = self._database.execute("SELECT entry FROM log WHERE producer = ? AND number = ?", (producer, number)).fetchone()
        return bytes(row[0]) if row else next(staged, None)


def _open(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600)
    database = sqlite3.connect(path, isolation_level=None, timeout=0.5)
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.executescript(_SCHEMA)
    except sqlite3.OperationalError as error:
        database.close()
        if "locked" not in str(error):
            raise
        raise Trouble("log-in-use", f"another process holds {path}", hint="there is one audit process for one log; end the other") from error
    return database
