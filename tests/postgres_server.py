"""A PostgreSQL of the tests' own: a private cluster in a temporary directory, on a Unix socket only, gone afterwards.

And the fixture `store`, on SQLite and on PostgreSQL, for every test that promises something of the store.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from sekisho.store.database import Store
from sekisho.store.tables import metadata

_BIN = Path("/usr/lib/postgresql/15/bin")
_SETTINGS = ("listen_addresses=", "fsync=off", "full_page_writes=off", "shared_buffers=16MB", "max_connections=60", "autovacuum=off")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of an empty database. Session-wide: whoever uses it empties it."""
    directory = Path(tempfile.mkdtemp(prefix="sekisho-postgres-"))
    owner = pwd.getpwnam("postgres")
    os.chown(directory, owner.pw_uid, owner.pw_gid)
    try:
        data = directory / "data"
        _as(owner, str(_BIN / "initdb"), "-D", str(data), "-A", "trust", "-U", "sekisho", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8")
        options = " ".join(f"-c {setting}" for setting in (*_SETTINGS, f"unix_socket_directories={directory}"))
        _as(owner, str(_BIN / "pg_ctl"), "-D", str(data), "-w", "-t", "30", "-l", str(directory / "log"), "-o", options, "start")
        try:
            yield f"postgresql://sekisho@/postgres?host={directory}"
        finally:
            _stop(int((data / "postmaster.pid").read_text().split()[0]), owner, data)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _as(owner: pwd.struct_passwd, *command: str) -> None:
    subprocess.run(command, check=True, user=owner.pw_uid, group=owner.pw_gid, extra_groups=[], cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _stop(pid: int, owner: pwd.struct_passwd, data: Path) -> None:
    try:
        _as(owner, str(_BIN / "pg_ctl"), "-D", str(data), "-w", "-t", "30", "-m", "immediate", "stop")
    except subprocess.CalledProcessError:
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def migrated_postgres(postgres_url: str) -> Iterator[Store]:
    store = Store.open(postgres_url)
    store.migrate()
    yield store
    store.close()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite"
    store = Store.open(f"sqlite:///{path}")
    store.migrate()
    store.close()
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store that is up to date, on each database in turn."""
    if request.param == "postgresql":
        yield emptied(request.getfixturevalue("migrated_postgres"))
        return
    opened = fresh_sqlite(request.getfixturevalue("migrated_sqlite"), tmp_path)
    yield opened
    opened.close()


def fresh_sqlite(template: Path, directory: Path) -> Store:
    path = directory / "sekisho.sqlite"
    shutil.copyfile(template, path)
    return Store.open(f"sqlite:///{path}")


def emptied(store: Store) -> Store:
    """The same store with nothing in it, its counters from the start."""
    tables = ", ".join(table.name for table in metadata.sorted_tables)
    with store.writing() as tx:
        if store.is_sqlite:
            for table in reversed(metadata.sorted_tables):
                tx.execute(table.delete())
            tx.execute(text("DELETE FROM sqlite_sequence"))
        else:
            tx.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    return store
