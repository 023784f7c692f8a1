"""The journal: an event of a session is appended exactly once, wherever the agent dies."""

import itertools
import json
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sekisho.audit.spool import FileSpool, SpoolFull
from sekisho.model.event import EventKind
from sekisho.runtime.journal import Journal, Record
from sekisho.runtime.paths import AgentPaths
from sekisho.runtime.protocol import SessionSpec, SpecLimits
from sekisho.system import files as durable_files
from sekisho.system.clock import SystemClock

SPEC = SessionSpec("s-1", "r-1", "campaign", "hanako", "0" * 64, time.time() + 60, SpecLimits(1, 1, 1, 1, 1.0, 1))


OTHER = replace(SPEC, session="s-2", request="r-2")


class Died(BaseException):
    """kill -9, at this very step."""


class DyingSpool:
    """A real spool that dies before or after its Nth step."""

    def __init__(self, spool: FileSpool, steps_to_live: int) -> None:
        self._spool = spool
        self._left = steps_to_live

    @property
    def next_number(self) -> int:
        return self._spool.next_number

    def append(self, event, *, closes=False) -> int:
        self.step()
        number = self._spool.append(event, closes=closes)
        self.step()
        return number

    def sync(self) -> None:
        self.step()
        self._spool.sync()
        self.step()

    def step(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Died


def spool_in(folder, limit_bytes=1 << 20) -> FileSpool:
    return FileSpool(folder / "spool", producer="agent", limit_bytes=limit_bytes, limit_seconds=3600, clock=SystemClock())


def paths_in(folder) -> AgentPaths:
    return AgentPaths("t", folder / "run", folder / "state")


def now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.parametrize("steps", range(1, 14))
def test_wherever_the_agent_dies_each_noted_event_is_appended_once(tmp_path, steps, monkeypatch):
    spool = spool_in(tmp_path)
    dying = DyingSpool(spool, steps)
    journal = Journal(paths_in(tmp_path), dying, now)
    before = durable_files.write_whole
    monkeypatch.setattr("sekisho.runtime.journal.write_whole", lambda *a, **k: (dying.step(), before(*a, **k), dying.step()))
    record = Record(SPEC, 1, 1.0)
    for kind in (EventKind.SESSION_CREATED, EventKind.SESSION_READY):
        journal.note(record, kind)
    noted = False
    try:
        journal.save(record)
        noted = True
        journal.flush(record)
    except Died:
        pass
    monkeypatch.undo()
    spool.close()

    spool = spool_in(tmp_path)
    journal = Journal(paths_in(tmp_path), spool, now)
    for found in journal.load():
        journal.flush(found)
        journal.flush(found)
    kinds = [json.loads(entry)["kind"] for _, entry in spool.waiting(1 << 20)]
    spool.close()
    assert kinds in ([["session.created", "session.ready"]] if noted else [[], ["session.created", "session.ready"]])


def test_two_sessions_do_not_take_one_anothers_numbers(tmp_path):
    spool = spool_in(tmp_path)
    journal = Journal(paths_in(tmp_path), spool, now)
    one, two = Record(SPEC, 1, 1.0), Record(OTHER, 1, 1.0)
    for record, _ in itertools.product((one, two), range(3)):
        journal.note(record, EventKind.SESSION_READY)
        journal.flush(record)
    entries = [json.loads(entry) for _, entry in spool.waiting(1 << 20)]
    spool.close()
    assert [entry["session"] for entry in entries] == ["s-1"] * 3 + ["s-2"] * 3
    assert [entry["number"] for entry in entries] == [str(number) for number in range(1, 7)]


def test_sessions_that_tell_by_turns_lose_nothing(tmp_path):
    """A reservation that outlived its own flush took what another session had appended since for the record's own, and dropped notes."""
    spool = spool_in(tmp_path)
    journal = Journal(paths_in(tmp_path), spool, now)
    one, two = Record(SPEC, 1, 1.0), Record(OTHER, 1, 1.0)
    for _ in range(3):
        for record in (one, two):
            journal.note(record, EventKind.SESSION_READY)
            journal.flush(record)
    entries = [json.loads(entry) for _, entry in spool.waiting(1 << 20)]
    spool.close()
    assert [entry["session"] for entry in entries] == ["s-1", "s-2"] * 3


@pytest.mark.parametrize("steps", range(1, 12))
def test_a_crash_with_a_reservation_outlives_what_others_tell_next(tmp_path, steps, monkeypatch):
    """The next agent says of itself and of another session first, and dies too: the numbers that were reserved are another's by then."""
    spool = spool_in(tmp_path)
    dying = DyingSpool(spool, steps)
    journal = Journal(paths_in(tmp_path), dying, now)
    before = durable_files.write_whole
    record = Record(SPEC, 1, 1.0)
    for kind in (EventKind.SESSION_ENDED, EventKind.SESSION_DESTROYED):
        journal.note(record, kind)
    journal.save(record)
    monkeypatch.setattr("sekisho.runtime.journal.write_whole", lambda *a, **k: (dying.step(), before(*a, **k), dying.step()))
    with suppress(Died):
        journal.flush(record)
    monkeypatch.undo()
    spool.close()

    spool = spool_in(tmp_path)
    journal = Journal(paths_in(tmp_path), spool, now)
    other = Record(OTHER, 1, 1.0)
    for _ in range(3):
        journal.note(other, EventKind.SESSION_READY)
    journal.flush(other)
    spool.close()

    spool = spool_in(tmp_path)
    journal = Journal(paths_in(tmp_path), spool, now)
    for found in journal.load():
        journal.flush(found)
    entries = [json.loads(entry) for _, entry in spool.waiting(1 << 20)]
    spool.close()
    assert [entry["kind"] for entry in entries if entry["session"] == "s-1"] == ["session.ended", "session.destroyed"]
    assert [entry["kind"] for entry in entries if entry["session"] == "s-2"] == ["session.ready"] * 3


def test_what_a_full_spool_refuses_is_not_taken_for_told_when_others_go_on(tmp_path):
    spool = spool_in(tmp_path, limit_bytes=700)
    journal = Journal(paths_in(tmp_path), spool, now)
    record, other = Record(SPEC, 1, 1.0), Record(OTHER, 1, 1.0)
    for _ in range(4):
        journal.note(record, EventKind.SESSION_READY)
    with pytest.raises(SpoolFull):
        journal.flush(record)
    left = len(record.notes)
    for _ in range(left):
        journal.note(other, EventKind.SESSION_ENDED)  # closes: the spool has a reserve for it
    journal.flush(other)
    spool.close()

    spool = spool_in(tmp_path)
    journal = Journal(paths_in(tmp_path), spool, now)
    for found in journal.load():
        journal.flush(found)
    kinds = [json.loads(entry)["kind"] for _, entry in spool.waiting(1 << 20)]
    spool.close()
    assert (kinds.count("session.ready"), kinds.count("session.ended")) == (4, left)


def test_what_a_full_spool_refuses_stays_noted_and_comes_later(tmp_path):
    spool = spool_in(tmp_path, limit_bytes=700)
    journal = Journal(paths_in(tmp_path), spool, now)
    record = Record(SPEC, 1, 1.0)
    for _ in range(8):
        journal.note(record, EventKind.SESSION_READY)
    with pytest.raises(SpoolFull):
        journal.flush(record)
    seen = []
    while record.notes:
        waiting = spool.waiting(1 << 20)
        seen += [number for number, _ in waiting]
        spool.accepted(waiting[-1][0])
        try:
            journal.flush(record)
        except SpoolFull:
            continue
    seen += [number for number, _ in spool.waiting(1 << 20)]
    spool.close()
    assert seen == list(range(1, 9))


def test_what_no_entry_can_say_holds_up_nothing(tmp_path):
    spool = spool_in(tmp_path)
    journal = Journal(paths_in(tmp_path), spool, now)
    record = Record(SPEC, 1, 1.0)
    journal.note(record, EventKind.FILES_STAGED, details={"files": ["half a pair: \udc94"]})
    journal.note(record, EventKind.SESSION_DESTROYED)
    journal.flush(record)
    entries = [json.loads(entry) for _, entry in spool.waiting(1 << 20)]
    spool.close()
    assert [entry["kind"] for entry in entries] == ["files.staged", "session.destroyed"]
    assert "unfit" in entries[0]["details"]


def test_while_a_full_disk_keeps_a_reservation_nobody_takes_its_numbers(tmp_path, monkeypatch):
    """What another session told under them would else be taken for what this one still has to tell."""
    spool = spool_in(tmp_path, limit_bytes=700)
    journal = Journal(paths_in(tmp_path), spool, now)
    record, other = Record(SPEC, 1, 1.0), Record(OTHER, 1, 1.0)
    for _ in range(4):
        journal.note(record, EventKind.SESSION_READY)
    real, saved = durable_files.write_whole, []

    def filling(path, content, **options):
        saved.append(path)
        if len(saved) > 1:
            raise OSError(28, "No space left on device")
        real(path, content, **options)

    monkeypatch.setattr("sekisho.runtime.journal.write_whole", filling)
    with pytest.raises(SpoolFull):
        journal.flush(record)
    told = 4 - len(record.notes)
    journal.note(other, EventKind.SESSION_ENDED)
    with pytest.raises(OSError, match="No space"):
        journal.flush(other)
    spool.close()

    spool = spool_in(tmp_path)
    journal = Journal(paths_in(tmp_path), spool, now)  # the disk is full still
    (found,) = journal.load()
    assert (len(found.notes), found.reserved, told > 0) == (4 - told, None, True)
    monkeypatch.setattr("sekisho.runtime.journal.write_whole", real)
    journal.flush(found)
    assert [json.loads(entry)["session"] for _, entry in spool.waiting(1 << 20)] == ["s-1"] * 4
    spool.close()


def test_a_record_reads_back_as_it_was(tmp_path):
    spool = spool_in(tmp_path)
    journal = Journal(paths_in(tmp_path), spool, now)
    record = Record(SPEC, 2_000_000_000, 12.5, shim=7, shim_started="99", told_ready=True)
    journal.note(record, EventKind.SESSION_READY, reason="left", details={"a": [1]})
    journal.save(record)
    assert next(iter(journal.load())) == record
    journal.forget(record)
    assert list(journal.load()) == []
    spool.close()
    shutil.rmtree(tmp_path / "state")
