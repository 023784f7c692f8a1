"""From a room's sources to what the runtime is told: a bucket by its name alone, a prefix as a folder."""

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.sessions_acts.test_room_files import LEAST

from sekisho.model.room import FileSource, Room
from sekisho.model.session import Request
from sekisho.runtime.protocol import BucketWanted, FolderWanted, SessionSpec
from sekisho.sessions.roomfile import parse_room
from sekisho.sessions.specs import CannotOpen, Making, session_spec

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def spec(*files: FileSource, buckets: tuple[str, ...] = ("exports",), sources: dict[str, Path] | None = None) -> SessionSpec:
    room: Room = dataclasses.replace(parse_room(LEAST, name="least"), files=files)
    making = Making(images=lambda _name: "0" * 64, sources=sources or {}, trust="", buckets=buckets)
    return session_spec(room, _grant(room), making, language="en")


def _grant(room: Room) -> Request:
    known = {"id": "r-one", "room": room.name, "person": "hanako", "starts_at": NOW, "ends_at": NOW + timedelta(hours=1)}
    names = [field.name for field in dataclasses.fields(Request)]
    return Request(**{name: known.get(name) for name in names})


@pytest.mark.parametrize(
    ("url", "prefix"),
    [("s3://exports", ""), ("s3://exports/", ""), ("s3://exports/2026", "2026/"), ("s3://exports/2026/", "2026/"), ("s3://exports/a b/c", "a b/c/")],
)
def test_a_prefix_is_a_folder_however_it_is_written(url, prefix):
    text = f'{LEAST}[[files]]\nfrom = "{url}"\nto = "/data/in"\n'
    room = parse_room(text, name="least", sources=[], buckets=["exports"])
    assert spec(*room.files).buckets == (BucketWanted("exports", prefix, "/data/in"),)


def test_folders_and_buckets_are_told_apart(tmp_path):
    found = spec(FileSource("file:here"), FileSource("s3://exports/x", "/data/x"), sources={"here": tmp_path})
    assert found.folders == (FolderWanted(str(tmp_path), "/data"),)
    assert found.buckets == (BucketWanted("exports", "x/", "/data/x"),)


def test_a_bucket_that_the_settings_lost_opens_nothing():
    with pytest.raises(CannotOpen, match="there is no bucket 's3://gone/x'; expected s3:// and one of exports"):
        spec(FileSource("s3://gone/x"))


@pytest.mark.parametrize(("language", "locale"), [("ja", "ja_JP.UTF-8"), ("en", "en_US.UTF-8"), ("", "C.UTF-8"), ("tlh", "C.UTF-8")])
def test_a_room_speaks_the_language_of_its_person(language, locale):
    room = parse_room(LEAST, name="least")
    making = Making(images=lambda _name: "0" * 64, sources={}, trust="", buckets=())
    assert session_spec(room, _grant(room), making, language=language).language == locale
