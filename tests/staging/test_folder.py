"""Copying a folder source: everything, hashed, nothing else, and no half of it."""

import hashlib
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.staging.folder import StagingFailed, stage, walk


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def copy(source, target, *, limit_bytes=1 << 20):
    lines, told = [], []
    ends = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (source, target)]
    try:
        stage(source=ends[0], target=ends[1], limit_bytes=limit_bytes, record=lines.append, progress=lambda *numbers: told.append(numbers))
    finally:
        for end in ends:
            os.close(end)
    return [json.loads(line) for line in lines], told


def test_every_file_arrives_with_its_hash_and_is_read_only(source, target):
    (source / "a" / "b").mkdir(parents=True)
    (source / "a" / "b" / "日本語.txt").write_text("中身")
    (source / "run.sh").write_text("#!/bin/sh\n")
    (source / "run.sh").chmod(0o755)
    manifest, told = copy(source, target)
    assert {file["path"]: file["size"] for file in manifest} == {"a/b/日本語.txt": 6, "run.sh": 10}
    assert all(file["sha256"] == hashlib.sha256((target / file["path"]).read_bytes()).hexdigest() for file in manifest)
    assert (target / "run.sh").stat().st_mode & 0o777 == 0o555
    assert (target / "a/b/日本語.txt").stat().st_mode & 0o777 == 0o444
    assert told[0] == (0, 16, 2)
    assert told[-1] == (16, 16, 2)


def test_a_name_that_is_no_utf8_is_recorded_with_its_bytes(source, target):
    name = "売上.csv".encode("shift_jis")
    (source / os.fsdecode(name)).write_text("x")
    manifest, _ = copy(source, target)
    assert [(file["path"], file["path_bytes"]) for file in manifest] == [("\\x94\\x84\\x8f\\xe3.csv", name.hex())]
    assert [os.fsencode(path.name) for path in target.iterdir()] == [name]


def test_an_empty_source_is_staged_as_nothing(source, target):
    assert copy(source, target) == ([], [(0, 0, 0), (0, 0, 0)])


@pytest.mark.parametrize("kind", ["link to a file", "link to a folder", "fifo", "link out at depth"])
def test_what_is_neither_file_nor_folder_refuses_the_whole(source, target, kind, tmp_path):
    (source / "deep").mkdir()
    (tmp_path / "secret").mkdir()
    match kind:
        case "link to a file":
            (source / "x").symlink_to("/etc/passwd")
        case "link to a folder":
            (source / "x").symlink_to(tmp_path / "secret")
        case "fifo":
            os.mkfifo(source / "x")
        case "link out at depth":
            (source / "deep" / "x").symlink_to("../../secret")
    with pytest.raises(StagingFailed, match="neither a file nor a folder"):
        copy(source, target)
    assert not list(target.iterdir()), "it was seen before the first byte"


def test_more_bytes_than_the_room_takes_are_refused_before_the_first(source, target):
    (source / "big").write_bytes(bytes(2048))
    with pytest.raises(StagingFailed, match="2048 bytes and the room takes 1024"):
        copy(source, target, limit_bytes=1024)
    assert not list(target.iterdir())


def test_a_file_that_grows_while_it_is_read_meets_the_limit(source, target, monkeypatch):
    (source / "grows").write_bytes(bytes(512))
    before = os.stat

    def smaller(name, *arguments, **options):
        found = before(name, *arguments, **options)
        return os.stat_result([*found[:6], 0, *found[7:]]) if name == "grows" else found

    monkeypatch.setattr(os, "stat", smaller)
    with pytest.raises(StagingFailed, match="512 bytes and the room takes 100"):
        copy(source, target, limit_bytes=100)


def test_a_file_that_vanishes_is_named(source, target, monkeypatch):
    (source / "here").write_text("1")
    (source / "there").write_text("2")
    before = os.open

    def vanishing(path, flags, *arguments, **options):
        if path == "there" and not flags & os.O_CREAT:
            raise FileNotFoundError(2, "No such file")
        return before(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", vanishing)
    with pytest.raises(StagingFailed, match="'there' vanished"):
        copy(source, target)


def test_a_nest_without_end_is_refused(source, target):
    deepest = source
    for _ in range(70):
        deepest /= "d"
    deepest.mkdir(parents=True)
    (deepest / "x").write_text("x")
    with pytest.raises(StagingFailed, match="deeper than"):
        copy(source, target)


_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda name: name not in {".", ".."} and len(name.encode()) <= 200
)


@settings(max_examples=40, deadline=None)
@given(files=st.dictionaries(st.tuples(_NAMES, _NAMES), st.binary(max_size=300), max_size=8))
def test_what_arrives_is_what_was_there(files, tmp_path_factory):
    source, target = tmp_path_factory.mktemp("s"), tmp_path_factory.mktemp("t")
    for (folder, name), content in files.items():
        (source / ("f" + folder)).mkdir(exist_ok=True)
        (source / ("f" + folder) / name).write_bytes(content)
    manifest, _ = copy(source, target)
    assert len(manifest) == len(files)
    for (folder, name), content in files.items():
        assert (target / ("f" + folder) / name).read_bytes() == content


def test_a_walk_is_sorted_so_that_two_manifests_compare(source):
    for name in ("b", "a", "c"):
        (source / name).write_text("")
    end = os.open(source, os.O_RDONLY)
    try:
        assert [found.path for found in walk(end)] == ["a", "b", "c"]
    finally:
        os.close(end)
