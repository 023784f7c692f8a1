"""Control begins whatever the store does, for what is open must be ended also then."""

import asyncio
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import select
from tests.sessions.peers import until

from sekisho.programs import control
from sekisho.store.database import Store
from sekisho.store.tables import outbox
from sekisho.system.clock import SystemClock


def test_a_store_that_fails_keeps_control_from_nothing_and_has_its_start_once_it_is_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'sekisho.sqlite'}")
    store.migrate()
    monkeypatch.setattr(control, "_AGAIN_SECONDS", 0.01)
    tries = 0

    def gone() -> NoReturn:
        nonlocal tries
        tries += 1
        raise OSError("the disk is gone")

    def started() -> list[str]:
        with store.reading() as tx:
            return [event["details"]["process"] for event in tx.execute(select(outbox.c.event)).scalars()]

    async def story() -> None:
        with monkeypatch.context() as broken:
            broken.setattr(store, "writing", gone)
            await until(lambda: tries >= 3, "the start is tried again, while control lives")  # control: this is it
        assert started() == []
        await until(started, "the start is written down")

    asyncio.run(control.live(story(), store, SystemClock()))
    assert started() == ["control"]
    store.close()
