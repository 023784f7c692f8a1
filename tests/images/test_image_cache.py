"""The cache of images: one build at a time, whole files only, and the name of a file is the digest of its bytes.

Building itself is tried with a small real image (`tiny`): the two real programs, but a Debian that stands ready as a tar.
"""

import io
import json
import os
import stat
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sekisho.model.errors import Trouble
from sekisho.runtime import images

DEFINITION = b'suite = "bookworm"\npackages = ["bash"]\n'


def fresh_debian() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in (("./usr/bin/su", b"#!"), ("./var/lib/dpkg/status", b"Package: bash\nStatus: install ok installed\nVersion: 5.2\n")):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o4755
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


@pytest.fixture
def debian(tmp_path, monkeypatch):
    """A program that stands where mmdebstrap does and does what a test says; mksquashfs is the real one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "fresh.tar").write_bytes(fresh_debian())
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def behave(script: str) -> None:
        program = folder / "mmdebstrap"
        program.write_text(f"#!/bin/sh\necho ran >> {tmp_path}/runs\ncat > {tmp_path}/sources\n{script}\n")
        program.chmod(0o755)

    behave(f"echo 'I: working' >&2; cat {tmp_path}/fresh.tar")
    return behave


BUILDER = f"""
import sys, pathlib
from sekisho.runtime import images
definition = images.parse_definition("tiny", {DEFINITION!r})
images.build(definition, cache=pathlib.Path(sys.argv[1]), sources="", progress=print)
"""


def until(holds: Callable[[], object], seconds: float = 20) -> None:
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not holds():
        assert time.monotonic() < deadline, "waited too long"
        pause.wait(0.005)


def runs(tmp_path: Path) -> int:
    return len((tmp_path / "runs").read_text().splitlines())


def build(tmp_path: Path, *, fresh: bool = False, text: bytes = DEFINITION, said: list[str] | None = None) -> images.BuiltImage:
    definition = images.parse_definition("tiny", text)
    return images.build(definition, cache=tmp_path / "cache", sources="Types: deb\n", progress=([] if said is None else said).append, fresh=fresh)


def test_an_image_is_named_by_the_digest_of_its_bytes(debian, tmp_path):
    built = build(tmp_path)
    assert images.verify(built.path, built.digest)
    assert built.packages == ("bash=5.2",)
    assert images.installed("tiny", tmp_path / "cache") == built
    assert built.path == tmp_path / "cache" / f"{built.digest}.squashfs"
    assert (tmp_path / "sources").read_text() == "Types: deb\n"


def test_the_record_beside_it_says_what_it_is(debian, tmp_path):
    built = build(tmp_path)
    record = json.loads((tmp_path / "cache" / "tiny.json").read_text())
    assert record["digest"] == built.digest
    assert record["packages"] == ["bash=5.2"]
    assert record["definition"] == images.parse_definition("tiny", DEFINITION).digest


def test_the_same_definition_is_built_once(debian, tmp_path):
    assert build(tmp_path) == build(tmp_path)
    assert runs(tmp_path) == 1


def test_a_changed_definition_is_built_again(debian, tmp_path):
    build(tmp_path)
    build(tmp_path, text=DEFINITION + b'description = "other"\n')
    assert runs(tmp_path) == 2


def test_fresh_builds_again_so_that_security_updates_get_in(debian, tmp_path):
    assert build(tmp_path).digest == build(tmp_path, fresh=True).digest
    assert runs(tmp_path) == 2


def test_an_image_whose_file_is_cut_short_is_built_again(debian, tmp_path):
    built = build(tmp_path)
    built.path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    os.truncate(built.path, 100)
    assert images.installed("tiny", tmp_path / "cache") is None
    assert images.verify(build(tmp_path).path, built.digest)


def test_two_builds_at_once_make_one_image(debian, tmp_path):
    said: list[str] = []
    debian(f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; cat {tmp_path}/fresh.tar")
    results: list[images.BuiltImage] = []
    threads = [threading.Thread(target=lambda: results.append(build(tmp_path, said=said))) for _ in range(2)]
    for thread in threads:
        thread.start()
    until(lambda: any("another build" in line for line in said))
    (tmp_path / "go").touch()
    for thread in threads:
        thread.join(30)
    assert "another build is under way; waiting for it" in said
    assert results[0] == results[1]
    assert runs(tmp_path) == 1


def test_what_the_programs_say_is_told(debian, tmp_path):
    said: list[str] = []
    build(tmp_path, said=said)
    assert "I: working" in said


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'E: no such package' >&2; exit 25", "E: no such package"),
        ("cat $TMPDIR/../../fresh.tar | head -c 600", "truncated"),
        ("head -c 2000 /dev/urandom", ""),
        ("cat $TMPDIR/../../fresh.tar; exit 1", "mmdebstrap gave 1"),
        ("kill -9 $$", "mmdebstrap gave -9"),
    ],
)
def test_a_build_that_fails_leaves_nothing_and_says_why(debian, tmp_path, script, reason):
    debian(script)
    with pytest.raises(Trouble) as refused:
        build(tmp_path)
    assert refused.value.reference == "image-build-failed"
    assert reason in str(refused.value)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_what_a_killed_build_left_is_swept_by_the_next(debian, tmp_path):
    leftover = tmp_path / "cache" / ".build-dead" / "root"
    leftover.mkdir(parents=True)
    build(tmp_path)
    assert not leftover.parent.exists()


def test_a_killed_build_is_swept_only_when_its_programs_are_dead(debian, tmp_path):
    debian(f"echo $$ > {tmp_path}/pid; while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; cat {tmp_path}/fresh.tar")
    builder = subprocess.Popen([sys.executable, "-c", BUILDER, str(tmp_path / "cache")])
    until((tmp_path / "pid").exists)
    builder.kill()
    builder.wait()
    said: list[str] = []
    second = threading.Thread(target=build, args=(tmp_path,), kwargs={"said": said})
    second.start()
    until(lambda: said)
    leftovers = list((tmp_path / "cache").glob(".build-*"))
    (tmp_path / "go").touch()
    second.join(30)
    assert said[0] == "another build is under way; waiting for it"
    assert len(leftovers) == 1
    assert not list((tmp_path / "cache").glob(".build-*"))
    assert images.installed("tiny", tmp_path / "cache") is not None


def test_a_missing_program_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Trouble, match="mmdebstrap is not installed"):
        build(tmp_path)


@pytest.mark.parametrize("record", ["", "{", "[]", '{"digest": 5}', '{"digest": "00", "packages": []}', '{"digest": "../x", "packages": null}'])
def test_a_record_that_is_broken_is_no_image(tmp_path, record):
    (tmp_path / "tiny.json").write_text(record)
    assert images.installed("tiny", tmp_path) is None


def test_a_changed_byte_is_noticed(tmp_path):
    (tmp_path / "file").write_bytes(b"image")
    digest = "6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d"
    assert images.verify(tmp_path / "file", digest)
    (tmp_path / "file").write_bytes(b"imagf")
    assert not images.verify(tmp_path / "file", digest)
    assert not images.verify(tmp_path / "none", digest)
