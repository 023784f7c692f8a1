"""What an older version wrote is still there, and right, after the tables were brought to what this one knows. On both databases."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import select, text

from sekisho.store.database import Store, _alembic
from sekisho.store.people import find_person, find_sign_in
from sekisho.store.tables import attempts

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store as the first version left it."""
    if request.param == "sqlite":
        store = Store.open(f"sqlite:///{tmp_path}/old.sqlite")
    else:
        url = request.getfixturevalue("postgres_url")
        whole = Store.open(url)
        with whole.writing() as tx:
            tx.execute(text("DROP SCHEMA IF EXISTS old CASCADE"))
            tx.execute(text("CREATE SCHEMA old"))
        whole.close()
        store = Store.open(f"{url}&options=-csearch_path%3Dold")
    with store.writing() as tx:
        command.upgrade(_alembic(tx), "0001")
    yield store
    store.close()


def test_sign_ins_of_before_second_factors_hold_and_have_proven_nothing(old: Store):
    row = {"now": NOW if not old.is_sqlite else NOW.replace(tzinfo=None).isoformat(" ")}
    with old.writing() as tx:
        tx.execute(text("INSERT INTO people (name, display, language, created_at) VALUES ('hanako', 'Hanako', 'ja', :now)"), row)
        tx.execute(
            text(
                "INSERT INTO sign_ins (id, fingerprint, person, kind, address, created_at, seen_at, expires_at) "
                "VALUES ('i-a', 'f', 'hanako', 'cookie', '192.0.2.7', :now, :now, :now)"
            ),
            row,
        )
        tx.execute(text("INSERT INTO attempts (person, address, at) VALUES ('hanako', '192.0.2.7', :now)"), row)
    old.migrate()
    with old.reading() as tx:
        person, sign_in = find_person(tx, "hanako"), find_sign_in(tx, "i-a")
        assert tx.execute(select(attempts.c.is_code)).scalars().all() == [False]
    assert person is not None
    assert sign_in is not None
    assert not person.has_second_factor
    assert (sign_in.person, sign_in.expires_at, sign_in.second_factor_at) == ("hanako", NOW, None)
