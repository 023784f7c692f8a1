"""One store on two databases: SQLite in a file (the default) or PostgreSQL by URL. Everything that opens transactions lives here.

A writing transaction on SQLite is the only one (BEGIN IMMEDIATE); on PostgreSQL it is READ COMMITTED, and whoever decides on a row locks it first
(`select(...).with_for_update()`, which SQLite leaves out), in the order people, requests, sessions, so that both databases resolve races alike. Rows
that are chosen by their state are locked by one statement that takes every state they may come from: what another transaction changes meanwhile is
looked at again, but only against that one condition.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from importlib.resources import files
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from sekisho.model.errors import Trouble

_BUSY_SECONDS = 30


class StoreTrouble(Trouble):
    """The database cannot be used. The URL's password is never shown."""


class Turn(IntEnum):
    """What only one transaction at a time may do. The numbers are PostgreSQL's advisory locks: any constants of ours."""

    MIGRATION = 7_351_001
    NUMBERING = 7_351_002
    ATTEMPTS = 7_351_003


class Store:
    """Open with `Store.open`; may be used from many threads. Each process opens its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"

    @classmethod
    def open(cls, url: str) -> "Store":
        """`sqlite:///absolute/or/relative/path` or `postgresql://user@host:port/name`. Raises StoreTrouble."""
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise StoreTrouble("store-url", "the store's URL cannot be read", expected="sqlite:///FILE or postgresql://USER@HOST/NAME") from error
        match parsed.get_backend_name():
            case "sqlite":
                return cls(_sqlite(parsed))
            case "postgresql":
                return cls(_postgresql(parsed))
            case other:
                raise StoreTrouble("store-url", "this database is not known", expected="sqlite or postgresql", found=other)

    def migrate(self) -> None:
        """Bring the tables to what this version knows, in one transaction; two processes may try at once. Raises StoreTrouble."""
        try:
            with self.writing() as tx:
                serialize(tx, Turn.MIGRATION)
                command.upgrade(_alembic(tx), "head")
        except SQLAlchemyError as error:
            raise StoreTrouble("store-migration", "the store could not be brought up to date", found=type(error).__name__) from error

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: committed at the end of the block, undone if it raises."""
        with self._engine.connect().execution_options(sekisho_writing=True) as tx, tx.begin():
            yield tx

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent look; nothing may be written."""
        options: dict[str, Any] = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._engine.connect().execution_options(**options) as tx, tx.begin():
            yield tx

    def close(self) -> None:
        self._engine.dispose()


def serialize(tx: Connection, turn: Turn) -> None:
    """Wait until no other transaction is in this turn, and keep it to the end of this one. On SQLite every writing transaction is alone anyway."""
    if tx.dialect.name == "postgresql":
        tx.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": int(turn)})


def _sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise StoreTrouble("store-url", "a store in memory is none", expected="sqlite:///FILE")
    _make_file(Path(url.database))
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_file(path: Path) -> None:
    """The database's own file, for its owner and group alone whatever the umask is; SQLite gives its WAL the same mode."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o660)
    except OSError as error:
        raise StoreTrouble("store-file", f"the store's file {path} cannot be opened", found=error.strerror or "an error") from error
    try:
        if os.fstat(descriptor).st_uid == os.geteuid():
            os.fchmod(descriptor, 0o660)
    finally:
        os.close(descriptor)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: the driver's own comes too late and is never IMMEDIATE
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """A transaction that will write takes the lock at its start: taken later it could fail halfway, without waiting (SQLITE_BUSY_SNAPSHOT)."""
    is_writing = connection.get_execution_options().get("sekisho_writing", False)
    connection.exec_driver_sql(f"PRAGMA query_only={'OFF' if is_writing else 'ON'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


def _postgresql(url: URL) -> Engine:
    return create_engine(url.set(drivername="postgresql+psycopg"), isolation_level="READ COMMITTED", pool_pre_ping=True)


def _alembic(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("sekisho.store") / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
