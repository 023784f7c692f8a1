"""The store on both databases, and a small house on it."""

from pathlib import Path

import pytest
from tests.postgres_server import migrated_postgres, migrated_sqlite, postgres_url, store
from tests.sessions_acts.acts_house import World

from sekisho.store.database import Store

__all__ = ["migrated_postgres", "migrated_sqlite", "postgres_url", "store"]


@pytest.fixture
def world(store: Store, tmp_path: Path) -> World:
    rooms = tmp_path / "rooms"
    rooms.mkdir()
    return World.made(store, rooms)
