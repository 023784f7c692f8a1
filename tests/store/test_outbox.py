"""The outbox loses no event and hands none out as two, whatever dies in between and however transactions overlap."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError
from tests.postgres_server import emptied, fresh_sqlite

from sekisho.audit.entry import entry_bytes
from sekisho.model.event import ENTRY_LIMIT_BYTES, Event, EventKind
from sekisho.store.database import Store
from sekisho.store.outbox import EventRefused, Outbox, append
from sekisho.store.tables import outbox as rows

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def event(word: str, at: datetime = NOW) -> Event:
    return Event(EventKind.SIGNED_IN, at, by="hanako", details={"word": word})


def write(store: Store, *words: str, at: datetime = NOW) -> list[int]:
    with store.writing() as tx:
        return [append(tx, event(word, at)) for word in words]


def opened(store: Store) -> Outbox:
    return Outbox(store, entry_bytes=entry_bytes)


def words_of(entries: list[tuple[int, bytes]]) -> list[str]:
    return [json.loads(entry)["details"]["word"] for _, entry in entries]


class Log:
    """What audit does with a producer's entries: the next number only, chained; what it has already it drops. Only a gap is an error."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []

    def take(self, number: int, entry: bytes) -> int:
        assert number <= len(self.entries) + 1, "a gap"
        if number == len(self.entries) + 1:
            prev = hashlib.sha256(self.entries[-1]).hexdigest() if self.entries else ""
            assert json.loads(entry)["prev"] == prev, "a break in the chain"
            self.entries.append(entry)
        else:
            assert self.entries[number - 1] == entry, "another entry under the same number"
        return len(self.entries)

    @property
    def words(self) -> list[str]:
        return [json.loads(entry)["details"]["word"] for entry in self.entries]


def ship_all(outbox: Outbox, log: Log) -> None:
    while batch := outbox.waiting(100_000):
        for number, entry in batch:
            log.take(number, entry)
        outbox.accepted(batch[-1][0])


def test_events_are_handed_out_in_order_numbered_and_chained(store: Store):
    write(store, "one", "two", "three")
    log = Log()
    ship_all(opened(store), log)
    assert log.words == ["one", "two", "three"]
    assert [json.loads(entry)["number"] for entry in log.entries] == ["1", "2", "3"]
    assert all(json.loads(entry)["producer"] == "store" for entry in log.entries)


def test_an_event_is_accepted_only_once_audit_said_so(store: Store):
    outbox = opened(store)
    first, second = write(store, "one", "two")
    outbox.waiting(100_000)
    assert not outbox.is_accepted(first)
    outbox.accepted(1)
    assert outbox.is_accepted(first)
    assert not outbox.is_accepted(second)
    assert not outbox.is_accepted(second + 1000), "a row that is not known"


def test_an_event_of_a_transaction_that_failed_never_leaves(store: Store):
    world = Crashes(store)
    world.run([("write-and-die", 1)])
    write(store, "kept")
    outbox, log = opened(store), world.log
    ship_all(outbox, log)
    assert log.words == ["kept"]


def test_what_was_not_accepted_is_handed_out_again_byte_for_byte(store: Store):
    write(store, "one", "two")
    first = opened(store).waiting(100_000)
    assert opened(store).waiting(100_000) == first


def test_a_batch_keeps_to_its_limit_but_always_holds_one(store: Store):
    write(store, "x" * 1000, "y" * 1000, "z" * 1000)
    outbox = opened(store)
    assert len(outbox.waiting(10)) == 1
    assert len(outbox.waiting(2_900)) == 2


def test_the_oldest_waiting_event_says_how_long(store: Store):
    outbox = opened(store)
    assert outbox.oldest_waiting_seconds(NOW) == 0.0
    write(store, "one")
    assert outbox.oldest_waiting_seconds(NOW + timedelta(seconds=31)) == 31.0
    outbox.waiting(100_000)
    assert outbox.oldest_waiting_seconds(NOW + timedelta(seconds=31)) == 31.0
    outbox.accepted(1)
    assert outbox.oldest_waiting_seconds(NOW + timedelta(seconds=31)) == 0.0


def test_pruning_drops_what_is_old_and_accepted_but_never_the_head_of_the_chain(store: Store):
    outbox, log = opened(store), Log()
    write(store, "one", "two", "three")
    ship_all(outbox, log)
    write(store, "waiting")
    outbox.waiting(100_000)
    later = NOW + timedelta(days=2)
    assert outbox.prune(NOW) == 0
    assert outbox.prune(later) == 3
    ship_all(outbox, log)
    assert outbox.prune(later) == 0, "the head stays"
    write(store, "next", at=later)
    ship_all(opened(store), log)
    assert log.words == ["one", "two", "three", "waiting", "next"]


def test_many_producers_and_two_shippers_at_once_lose_and_double_nothing(store: Store):
    log, stop, lock = Log(), threading.Event(), threading.Lock()
    failures: list[BaseException] = []

    def ship() -> None:
        outbox = opened(store)
        try:
            while True:
                is_last = stop.is_set()
                with lock:  # audit's own: one at a time
                    ship_all(outbox, log)
                if is_last:
                    return
        except BaseException as error:  # noqa: BLE001  told to the test
            failures.append(error)

    def produce(number: int) -> None:
        for index in range(8):
            write(store, f"{number}-{index}")

    shippers = [threading.Thread(target=ship) for _ in range(2)]
    producers = [threading.Thread(target=produce, args=(number,)) for number in range(4)]
    for thread in (*shippers, *producers):
        thread.start()
    for thread in producers:
        thread.join(timeout=60)
    stop.set()
    for thread in shippers:
        thread.join(timeout=60)
    assert failures == []
    assert sorted(log.words) == sorted(f"{number}-{index}" for number in range(4) for index in range(8))


@pytest.mark.postgres
def test_a_transaction_that_commits_after_a_later_one_is_shipped_exactly_once(migrated_postgres: Store):
    store = emptied(migrated_postgres)
    outbox, log = opened(store), Log()
    with store.writing() as slow:
        early = append(slow, event("early"))
        (late,) = write(store, "late")
        assert early < late, "ids are given in the order of writing"
        ship_all(outbox, log)
        assert log.words == ["late"], "what is not committed is not handed out"
    ship_all(outbox, log)
    assert log.words == ["late", "early"]
    assert outbox.is_accepted(early)


class Died(Exception):
    """kill -9 in the midst of a transaction."""


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 3)),
        st.tuples(st.just("write-and-die"), st.integers(1, 3)),
        st.tuples(st.just("die-while-numbering"), st.integers(0, 2)),
        st.tuples(st.just("hand-out-and-die"), st.integers(0, 3)),
        st.tuples(st.just("accept-and-die"), st.integers(0, 3)),
        st.tuples(st.just("ship"), st.integers(0, 0)),
        st.tuples(st.just("prune"), st.integers(0, 0)),
    ),
    max_size=14,
)


class Crashes:
    """Each step with an outbox of its own, for the one before is dead."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.log = Log()
        self.committed: list[str] = []
        self._steps = {
            "write": self._write,
            "write-and-die": self._write_and_die,
            "die-while-numbering": lambda count, _: _die_while_numbering(store, count),
            "hand-out-and-die": lambda count, _: self._hand_out(count, is_accepted=False),
            "accept-and-die": lambda count, _: self._hand_out(count, is_accepted=True),
            "ship": lambda _count, _words: ship_all(opened(store), self.log),
            "prune": lambda _count, _words: opened(store).prune(NOW + timedelta(days=2)),
        }

    def run(self, steps: list[tuple[str, int]]) -> None:
        for index, (step, count) in enumerate(steps):
            self._steps[step](count, [f"{index}-{number}" for number in range(count)])
        ship_all(opened(self.store), self.log)

    def _write(self, _: int, words: list[str]) -> None:
        write(self.store, *words)
        self.committed += words

    def _write_and_die(self, _: int, words: list[str]) -> None:
        with suppress(Died), self.store.writing() as tx:
            for word in words:
                append(tx, event(word))
            raise Died

    def _hand_out(self, count: int, *, is_accepted: bool) -> None:
        for number, entry in opened(self.store).waiting(100_000)[:count]:
            through = self.log.take(number, entry)
            if is_accepted:
                opened(self.store).accepted(through)


def _die_while_numbering(store: Store, after: int) -> None:
    done = 0

    def dying(told: Event, *, producer: str, number: int, prev: str) -> bytes:
        nonlocal done
        if done == after:
            raise Died
        done += 1
        return entry_bytes(told, producer=producer, number=number, prev=prev)

    try:
        Outbox(store, entry_bytes=dying).waiting(100_000)
    except Died:
        return


@settings(max_examples=40, deadline=None)
@given(steps=_STEPS)
def test_no_sequence_of_crashes_loses_or_doubles_an_event_on_sqlite(migrated_sqlite: Path, steps: list[tuple[str, int]]):
    with tempfile.TemporaryDirectory() as directory:
        world = Crashes(fresh_sqlite(migrated_sqlite, Path(directory)))
        world.run(steps)
        world.store.close()
    assert world.log.words == world.committed


@pytest.mark.postgres
@settings(max_examples=25, deadline=None)
@given(steps=_STEPS)
def test_no_sequence_of_crashes_loses_or_doubles_an_event_on_postgresql(migrated_postgres: Store, steps: list[tuple[str, int]]):
    world = Crashes(emptied(migrated_postgres))
    world.run(steps)
    assert world.log.words == world.committed


_WRITER = """
import itertools, sys
from datetime import UTC, datetime
from sekisho.model.event import Event, EventKind
from sekisho.store.database import Store
from sekisho.store.outbox import append
store = Store.open(sys.argv[1])
for word in itertools.count():
    with store.writing() as tx:
        append(tx, Event(EventKind.SIGNED_IN, datetime.now(UTC), details={"word": str(word)}))
    print(word, flush=True)
"""


def test_a_writer_that_is_killed_leaves_every_event_that_it_had_committed(migrated_sqlite: Path, tmp_path: Path):
    store = fresh_sqlite(migrated_sqlite, tmp_path)
    command = [sys.executable, "-c", _WRITER, f"sqlite:///{tmp_path}/sekisho.sqlite"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "src"}) as writer:
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(20)]
        writer.kill()
        told += [int(line) for line in writer.stdout.read().split()]
    log = Log()
    ship_all(opened(store), log)
    assert log.words[: len(told)] == [str(word) for word in told]
    assert len(log.words) - len(told) <= 1, "the last may have been committed and not been told"
    store.close()


@pytest.mark.parametrize(
    "details",
    [{"a": float("nan")}, {"a": float("inf")}, {"a": 2**53}, {"a": b"bytes"}, {"a": "\ud800"}, {"a": "nul\0"}, {1: "a"}, {"a": "x" * 60_000}, {"a": {"b"}}],
    ids=["nan", "infinite", "too great", "bytes", "half a surrogate pair", "nul", "a key that is no text", "too long", "a set"],
)
def test_what_can_never_be_an_entry_is_refused_before_it_is_stored(store: Store, details: dict[str, object]):
    with pytest.raises(EventRefused), store.writing() as tx:
        append(tx, Event(EventKind.SIGNED_IN, NOW, details=details))


def test_what_is_nested_without_an_end_is_refused(store: Store):
    deep: dict[str, object] = {}
    for _ in range(50):
        deep = {"a": deep}
    with pytest.raises(EventRefused), store.writing() as tx:
        append(tx, Event(EventKind.SIGNED_IN, NOW, details=deep))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None)
@given(details=st.dictionaries(st.text(max_size=10), _JSON, max_size=5))
def test_whatever_the_outbox_takes_becomes_an_entry(migrated_sqlite: Path, details: dict[str, object]):
    """The measure is never too small: an event that was taken cannot hold up those behind it."""
    with tempfile.TemporaryDirectory() as directory:
        store = fresh_sqlite(migrated_sqlite, Path(directory))
        try:
            with store.writing() as tx:
                append(tx, Event(EventKind.SIGNED_IN, NOW, details=details))
            ((number, entry),) = opened(store).waiting(100_000)
            assert number == 1
            assert len(entry) <= ENTRY_LIMIT_BYTES
            assert json.loads(entry).get("details", {}) == json.loads(json.dumps(details))
        except EventRefused:
            return
        finally:
            store.close()


def test_a_number_is_given_once(store: Store):
    write(store, "one", "two")
    opened(store).waiting(100_000)
    with pytest.raises(DBAPIError), store.writing() as tx:
        tx.execute(rows.update().values(number=1))
