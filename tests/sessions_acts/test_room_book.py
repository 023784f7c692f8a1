"""The rooms in force: the last good file stays, what is wrong is named once, what is gone is gone."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.sessions_acts.acts_house import CAMPAIGN, NOW, ORDERS

from sekisho.sessions.roombook import RoomBook, last_good_files, record_changes, room_by_digest, store_room_file
from sekisho.sessions.roomfile import RoomFileRefused, digest_of
from sekisho.store.database import Store
from sekisho.store.tables import outbox

CHANGED = CAMPAIGN.replace("2h", "1h")
WRONG = CAMPAIGN.replace("2h", "2 hours")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    rooms = tmp_path / "book"
    rooms.mkdir()
    return rooms


def book(directory: Path, **how: object) -> RoomBook:
    return RoomBook(directory, sources=(), **how)  # type: ignore[arg-type]


def names(changes: list) -> list[tuple[str, str]]:
    return [(change.name, "fault" if change.fault else "in force" if change.now else "gone") for change in changes]


def test_files_come_into_force_by_their_name(directory: Path):
    (directory / "campaign.toml").write_text(CAMPAIGN)
    (directory / "orders.toml").write_text(ORDERS)
    (directory / "notes.txt").write_text("not a room")
    (directory / ".hidden.toml").write_text("not a room")
    found = book(directory)
    assert names(found.refresh()) == [("campaign", "in force"), ("orders", "in force")]
    assert list(found.current) == ["campaign", "orders"]
    assert found.current["campaign"].digest == digest_of(CAMPAIGN)
    assert found.refresh() == []


def test_the_last_good_file_stays_in_force_while_a_new_one_is_wrong(directory: Path):
    path = directory / "campaign.toml"
    path.write_text(CAMPAIGN)
    found = book(directory)
    found.refresh()
    path.write_text(WRONG)
    ((change),) = found.refresh()
    assert change.fault is not None
    assert (change.fault.file, change.fault.line) == (str(path), 9)
    assert found.current["campaign"].digest == digest_of(CAMPAIGN)
    assert set(found.faults) == {"campaign"}
    assert found.refresh() == [], "the same fault is told once"
    path.write_text(CHANGED)
    assert names(found.refresh()) == [("campaign", "in force")]
    assert (found.faults, found.current["campaign"].digest) == ({}, digest_of(CHANGED))


def test_a_file_that_was_wrong_and_is_as_before_again_is_told(directory: Path):
    path = directory / "campaign.toml"
    path.write_text(CAMPAIGN)
    found = book(directory)
    found.refresh()
    path.write_text(WRONG)
    found.refresh()
    path.write_text(CAMPAIGN)
    assert names(found.refresh()) == [("campaign", "in force")]


def test_a_wrong_file_does_not_keep_others_out(directory: Path):
    (directory / "campaign.toml").write_text(WRONG)
    (directory / "orders.toml").write_text(ORDERS)
    found = book(directory)
    assert names(found.refresh()) == [("campaign", "fault"), ("orders", "in force")]
    assert list(found.current) == ["orders"]


def test_a_file_that_is_taken_away_takes_its_room_with_it(directory: Path):
    path = directory / "campaign.toml"
    path.write_text(CAMPAIGN)
    found = book(directory)
    found.refresh()
    path.unlink()
    assert names(found.refresh()) == [("campaign", "gone")]
    assert found.current == {}


def test_a_directory_that_cannot_be_read_changes_nothing_and_is_told_once(directory: Path):
    (directory / "campaign.toml").write_text(CAMPAIGN)
    found = book(directory)
    found.refresh()
    away = directory.rename(directory.with_name("away"))
    assert names(found.refresh()) == [("", "fault")]
    assert found.refresh() == []
    assert list(found.current) == ["campaign"]
    away.rename(directory)
    assert found.refresh() == []
    assert found.faults == {}


@pytest.mark.parametrize("name", ["Campaign.toml", "1st.toml", "a b.toml", "花.toml", f"{'x' * 40}.toml"])
def test_a_file_whose_name_is_no_room_s_name_is_refused(directory: Path, name: str):
    (directory / name).write_text(CAMPAIGN)
    found = book(directory)
    assert [change.fault is not None for change in found.refresh()] == [True]
    assert found.current == {}


def test_what_is_no_file_no_text_or_has_no_end_is_refused(directory: Path):
    (directory / "folder.toml").mkdir()
    (directory / "latin.toml").write_bytes(b"title = 'a'\nx = '\xe9'\n")
    (directory / "long.toml").write_text("#" * 70_000)
    (directory / "gone.toml").symlink_to(directory / "nowhere")
    (directory / "device.toml").symlink_to("/dev/zero")
    found = book(directory)
    assert {name for name, what in names(found.refresh()) if what == "fault"} == {"folder", "latin", "long", "gone", "device"}
    assert found.faults["latin"].line == 2


def test_after_a_restart_the_last_good_file_is_still_in_force(store: Store, directory: Path):
    path = directory / "campaign.toml"
    path.write_text(CAMPAIGN)
    record_changes(store, book(directory).refresh(), now=NOW)
    path.write_text(WRONG)
    with store.reading() as tx:
        restarted = book(directory, last_good=last_good_files(tx))
    restarted.refresh()
    assert restarted.current["campaign"].digest == digest_of(CAMPAIGN)
    assert set(restarted.faults) == {"campaign"}
    path.unlink()
    restarted.refresh()
    assert restarted.current == {}


def test_what_came_into_force_is_told_once_over_restarts(store: Store, directory: Path):
    (directory / "campaign.toml").write_text(CAMPAIGN)
    for restart in range(3):
        record_changes(store, book(directory).refresh(), now=NOW + timedelta(minutes=restart))
    (directory / "campaign.toml").write_text(WRONG)
    found = book(directory)
    record_changes(store, found.refresh(), now=NOW + timedelta(hours=1))
    (directory / "campaign.toml").write_text(CHANGED)
    record_changes(store, found.refresh(), now=NOW + timedelta(hours=2))
    (directory / "campaign.toml").unlink()
    record_changes(store, found.refresh(), now=NOW + timedelta(hours=3))
    with store.reading() as tx:
        told = tx.execute(select(outbox.c.event).order_by(outbox.c.id)).scalars().all()
    assert [(event["kind"], event["room"]) for event in told] == [
        ("room-file.in-force", "campaign"),
        ("room-file.refused", "campaign"),
        ("room-file.in-force", "campaign"),
        ("room-file.in-force", "campaign"),
    ]
    assert told[1]["details"]["line"] == "9"
    assert told[3]["details"] == {"gone": True}


def test_a_room_is_found_again_by_its_digest_alone(store: Store, directory: Path):
    (directory / "campaign.toml").write_text(CAMPAIGN)
    found = book(directory)
    found.refresh()
    with store.writing() as tx:
        for _ in range(2):
            store_room_file(tx, found.current["campaign"], now=NOW)
    with store.reading() as tx:
        assert room_by_digest(tx, digest_of(CAMPAIGN)) == found.current["campaign"]
        with pytest.raises(RoomFileRefused):
            room_by_digest(tx, "0" * 64)
