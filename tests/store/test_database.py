"""The store keeps what was committed, on either database, and refuses what is none."""

import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from sekisho.store.database import Store, StoreTrouble
from sekisho.store.tables import memberships, metadata, people

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def add(store: Store, name: str, at: datetime = NOW) -> None:
    with store.writing() as tx:
        tx.execute(insert(people).values(name=name, display=name, language="en", created_at=at))


def test_the_migrations_make_exactly_the_tables_that_the_code_knows(store: Store):
    with store.reading() as tx:
        assert compare_metadata(MigrationContext.configure(tx, opts={"compare_type": True}), metadata) == []


def test_migrating_twice_and_at_once_is_done_at_once(tmp_path: Path):
    stores = [Store.open(f"sqlite:///{tmp_path}/sekisho.sqlite") for _ in range(3)]
    threads = [threading.Thread(target=one.migrate) for one in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    add(stores[0], "hanako")
    with stores[1].reading() as tx:
        assert tx.execute(select(people.c.name)).scalars().all() == ["hanako"]
    for one in stores:
        one.close()


def test_times_come_back_as_they_were_in_utc(store: Store):
    add(store, "hanako", NOW.astimezone(timezone(timedelta(hours=9))))
    with store.reading() as tx:
        found = tx.execute(select(people.c.created_at)).scalar_one()
    assert found == NOW
    assert found.utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_a_bug(store: Store):
    with pytest.raises(Exception, match="zone"):
        add(store, "hanako", datetime(2026, 1, 1))  # noqa: DTZ001  that is the point


def test_a_transaction_that_raises_leaves_nothing(store: Store):
    def fail() -> None:
        with store.writing() as tx:
            tx.execute(insert(people).values(name="hanako", display="", language="en", created_at=NOW))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with store.reading() as tx:
        assert tx.execute(select(people)).all() == []


def test_a_reading_transaction_cannot_write(store: Store):
    with pytest.raises(DBAPIError), store.reading() as tx:
        tx.execute(insert(people).values(name="hanako", display="", language="en", created_at=NOW))


def test_reading_is_one_consistent_look(store: Store):
    add(store, "hanako")
    with store.reading() as tx:
        before = tx.execute(select(people.c.name)).scalars().all()
        add(store, "taro")
        assert tx.execute(select(people.c.name)).scalars().all() == before


def test_a_membership_of_nobody_is_refused(store: Store):
    with pytest.raises(IntegrityError), store.writing() as tx:
        tx.execute(insert(memberships).values(person="nobody", group_name="security"))


def test_writers_of_many_threads_wait_for_one_another(store: Store):
    threads = [threading.Thread(target=lambda n=n: [add(store, f"p{n}-{i}") for i in range(5)]) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    with store.reading() as tx:
        assert len(tx.execute(select(people.c.name)).all()) == 30


def test_the_file_is_for_its_owner_and_group_alone(tmp_path: Path):
    store = Store.open(f"sqlite:///{tmp_path}/sekisho.sqlite")
    store.migrate()
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()}
    assert set(modes.values()) == {"0o660"}
    store.close()


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://root@localhost/x", "sqlite://", "sqlite:///:memory:", "sqlite:////nonexistent/folder/x.sqlite"])
def test_what_is_no_store_is_named(url: str):
    with pytest.raises(StoreTrouble):
        Store.open(url)


def test_the_password_of_a_url_is_not_shown_in_trouble():
    store = Store.open("postgresql://sekisho:hunter2hunter2@127.0.0.1:1/none?connect_timeout=2")
    with pytest.raises(StoreTrouble) as caught:
        store.migrate()
    assert "hunter2" not in str(caught.value)
    store.close()
