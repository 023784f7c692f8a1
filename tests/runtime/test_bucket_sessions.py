"""A session whose /data is filled from a real bucket: what is there, what is refused, what nobody gets to see, and what is left when anything dies."""

import hashlib
import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from tests.runtime.machine import MIB, OVER, Machine, folder_source, machine, until
from tests.seaweed_server import KEY_ID, READER_ID, READER_SECRET, SECRET, Seaweed, seaweed, seaweed_tls

from sekisho.model.session import EndReason
from sekisho.runtime.protocol import BucketWanted, Create, Failed, RuntimeState, SpecLimits
from sekisho.runtime.uids import STAGER

__all__ = ["seaweed", "seaweed_tls"]
pytestmark = pytest.mark.root

EXPORTS = {
    "2026/一覧 (1).csv": b"a,b\n1,2\n",
    "2026/deep/er/x+y.bin": os.urandom(3 * MIB),
    "2026/empty.txt": b"",
    "2026-secret/no.txt": b"this is not below 2026/",
}


@pytest.fixture(scope="module")
def silent() -> Iterator[socket.socket]:
    """A service that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield listener


@pytest.fixture(scope="module")
def agent(tmp_path_factory, seaweed: Seaweed, seaweed_tls: Seaweed, silent: socket.socket) -> Iterator[Machine]:
    seaweed.fill("exports", **EXPORTS)
    seaweed.fill("large", **{"big/one.bin": bytes(80 * MIB)})
    seaweed_tls.fill("exports", **EXPORTS)
    wrong, reader = seaweed.credentials(KEY_ID, "not" + SECRET), seaweed.credentials(READER_ID, READER_SECRET)
    usual = seaweed.access("exports")
    here = f"http://127.0.0.1:{silent.getsockname()[1]}/exports"
    accesses = [
        usual,
        seaweed.access("large"),
        seaweed_tls.access("sealed", "exports"),
        replace(seaweed_tls.access("distrusted", "exports"), trust=""),
        replace(usual, name="wrong-secret", credentials=str(wrong)),
        replace(usual, name="no-right", credentials=str(reader)),
        replace(usual, name="no-credentials", credentials=str(tmp_path_factory.mktemp("none") / "credentials")),
        replace(usual, name="away", url="http://127.0.0.1:1/exports"),
        replace(usual, name="silent", url=here),
        seaweed.access("no-bucket"),
    ]
    with machine(tmp_path_factory.mktemp("agent"), buckets=tuple(accesses)) as made:
        yield made


def wanted(name: str = "exports", prefix: str = "2026/", to: str = "/data") -> dict[str, object]:
    return {"buckets": (BucketWanted(name, prefix, to),)}


def staged_of(agent: Machine, session: str) -> dict[str, str]:
    events = [event for event in agent.events() if event.get("session") == session and event["kind"] == "files.staged"]
    return {file["path"]: file["sha256"] for event in events for file in event["details"]["files"]}


@pytest.mark.parametrize("name", ["exports", "sealed"])
def test_what_lies_below_the_prefix_is_there_before_entry_with_its_hashes_in_the_journal(agent: Machine, name):
    session = agent.ready(**wanted(name))
    terminal = agent.terminal(session)
    assert terminal.run("cd /data; find . -type f | sort") == "./deep/er/x+y.bin\n./empty.txt\n./一覧 (1).csv"
    assert terminal.run("cat '/data/一覧 (1).csv'") == "a,b\n1,2"
    assert terminal.run("touch /data/mine && echo hi > /data/mine && cat /data/mine") == "hi"
    assert "Permission denied" in terminal.run("echo x >> '/data/一覧 (1).csv'")
    assert terminal.run("sha256sum /data/deep/er/x+y.bin").split()[0] == hashlib.sha256(EXPORTS["2026/deep/er/x+y.bin"]).hexdigest()
    terminal.close()
    seen = agent.end(session)
    assert (seen.staged_files, seen.staged_bytes) == (3, 3 * MIB + 8)
    assert agent.leftovers(session) == []
    below = {key.removeprefix("2026/"): content for key, content in EXPORTS.items() if key.startswith("2026/")}
    assert staged_of(agent, session) == {path: hashlib.sha256(content).hexdigest() for path, content in below.items()}


def test_folders_and_buckets_meet_in_one_room(agent: Machine, tmp_path):
    (tmp_path / "own.txt").write_text("from a folder")
    session = agent.ready(folders=folder_source(tmp_path), **wanted(to="/data/from-bucket"))
    terminal = agent.terminal(session)
    assert terminal.run("cat /data/own.txt; echo; cat '/data/from-bucket/一覧 (1).csv'") == "from a folder\na,b\n1,2"
    terminal.close()
    seen = agent.end(session)
    assert (seen.staged_files, seen.staged_bytes) == (4, 3 * MIB + 8 + 13)
    assert set(staged_of(agent, session)) == {"own.txt", "一覧 (1).csv", "deep/er/x+y.bin", "empty.txt"}
    assert agent.leftovers(session) == []


def test_two_sources_that_hold_the_same_path_open_no_room(agent: Machine, tmp_path):
    (tmp_path / "empty.txt").write_text("another")
    session = agent.create(folders=folder_source(tmp_path), **wanted())
    assert agent.wait(session, {RuntimeState.FAILED}).why == "two sources hold 'empty.txt'"
    assert agent.leftovers(session) == []


@pytest.mark.parametrize(
    ("name", "prefix", "said"),
    [
        ("large", "big/", f"the source has {80 * MIB} bytes and the room takes {64 * MIB} (limits.data in the room's file)"),
        ("exports", "2027/", "there is nothing below 's3://exports/2027/'"),
        ("wrong-secret", "", "the secret in the credentials of bucket 'wrong-secret' is not the one that"),
        ("no-right", "", "the credentials of bucket 'no-right' must be allowed to list it"),
        ("no-credentials", "", "can't be read: No such file or directory"),
        ("no-bucket", "", "has no bucket 'no-bucket'"),
        ("away", "", "http://127.0.0.1:1 can't be reached: Connection refused"),
        ("distrusted", "", "can't be trusted: "),
    ],
)
def test_files_that_can_not_be_had_open_no_room_and_say_why(agent: Machine, name, prefix, said):
    session = agent.create(**wanted(name, prefix))
    seen = agent.wait(session, {RuntimeState.FAILED})
    assert seen.end_reason is EndReason.FILES_FAILED
    assert said in seen.why
    assert seen.staged_bytes == 0
    assert not [word for word in (KEY_ID, SECRET, READER_SECRET) if word in seen.why]
    assert agent.leftovers(session) == []


def test_a_bucket_that_the_agent_does_not_know_opens_nothing(agent: Machine):
    spec = agent.spec(**wanted("unheard-of"))
    answer = agent.ask(Create(0, spec))
    assert isinstance(answer, Failed)
    assert answer.reference == "no-bucket"
    assert spec.session not in agent.listed()


def test_what_opens_the_bucket_is_seen_nowhere_in_the_room_nor_on_the_disk(agent: Machine):
    session = agent.ready(**wanted())
    terminal = agent.terminal(session)
    places = "/proc/*/environ /proc/*/cmdline /proc/*/mountinfo /proc/*/status /proc/net/* /etc /home /tmp /run /dev/shm /data"
    words = (KEY_ID[:10], SECRET[:10], agent.buckets[0].url)
    patterns = " ".join(f"-e '[{word[0]}]{word[1:]}'" for word in words)  # not to find the search itself
    assert terminal.run(f"grep -rsao -D skip {patterns} {places}") == ""
    assert terminal.run("grep -rsaoc -D skip -e '[a],b' /data | grep -v ':0'") == "/data/一覧 (1).csv:1", "what is there is found"
    terminal.close()
    for path in [path for path in agent.folder.rglob("*") if path.is_file() and path.name != "buckets.json"]:
        content = path.read_bytes()
        assert KEY_ID.encode() not in content, path
        assert SECRET.encode() not in content, path
    record = json.loads(json.loads((agent.folder / "sessions" / f"{session}.json").read_text())["create"])
    assert record["spec"]["buckets"] == [{"name": "exports", "prefix": "2026/", "to": "/data"}]
    agent.end(session)


@contextmanager
def staging(agent: Machine, silent: socket.socket, **changes) -> Iterator[tuple[str, int]]:
    """A session whose stager waits for a service that says nothing, and the stager's process."""
    session = agent.create(**wanted("silent"), **changes)
    silent.settimeout(30)
    end, _ = silent.accept()
    try:
        asked = end.recv(65536)
        assert asked.startswith(b"GET /exports/?encoding-type=url&list-type=2&prefix=2026%2F HTTP/1.1\r\n")
        assert agent.wait(session, {RuntimeState.STAGING})
        yield session, until("the stager is there", lambda: _stager(agent, session))
    finally:
        end.close()


def _stager(agent: Machine, session: str) -> int | None:
    uid = str(agent.bases[session] + STAGER)
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if re.search(rf"^Uid:\t{uid}\t", (process / "status").read_text(), re.MULTILINE):
                return int(process.name)
    return None


def test_the_stager_holds_no_right_but_to_fetch(agent: Machine, silent):
    with staging(agent, silent) as (session, stager):
        process = Path(f"/proc/{stager}")
        status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
        assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
        assert status["NoNewPrivs"] == "1"
        assert status["Groups"].strip() == ""
        assert status["Threads"] == "1"
        assert re.search(r"^Max processes +0 ", (process / "limits").read_text(), re.MULTILINE)
        assert f"{agent.run.name}/{session}/stager" in (process / "cgroup").read_text()
        shim = Path(f"/proc/{agent.shims[session]}")
        assert (process / "ns/net").readlink() == Path("/proc/self/ns/net").readlink()
        assert (shim / "ns/net").readlink() != (process / "ns/net").readlink()
        for told in ("environ", "cmdline", "cgroup", "mountinfo"):
            text = (process / told).read_bytes() + (shim / told).read_bytes()
            assert KEY_ID.encode() not in text
            assert SECRET.encode() not in text
        opened = sorted(str(link.readlink()) for link in (process / "fd").iterdir())
        assert not [path for path in opened if "net:[" in path or "credentials" in path], opened
        assert not [str(link.readlink()) for link in (shim / "fd").iterdir() if "net:[" in str(link.readlink())]
        seen = agent.end(session)
        assert seen.certificate.clean


@pytest.mark.parametrize("ends_by", ["order", "deadline"])
def test_an_end_while_files_are_fetched_leaves_nothing(agent: Machine, silent, ends_by):
    with staging(agent, silent, seconds=5.0 if ends_by == "deadline" else 120.0) as (session, stager):
        if ends_by == "order":
            agent.end(session)
        seen = agent.wait(session, OVER)
        assert seen.end_reason is (EndReason.LEFT if ends_by == "order" else EndReason.TIME_OVER)
        assert seen.certificate.clean
        assert agent.leftovers(session) == []
        assert not Path(f"/proc/{stager}").exists()


@pytest.mark.parametrize("victim", ["stager", "shim", "agent", "agent and shim"])
def test_whoever_dies_while_files_are_fetched_no_half_open_room_is_left(agent: Machine, silent, victim):
    with staging(agent, silent) as (session, stager):
        if "agent" in victim:
            agent.kill()
        if "shim" in victim:
            os.kill(agent.shims[session], signal.SIGKILL)
            until("the stager dies with its shim", lambda: not Path(f"/proc/{stager}").exists())
        if victim == "stager":
            os.kill(stager, signal.SIGKILL)
        if "agent" in victim:
            agent.start()
        if victim == "agent":
            assert agent.listed()[session].state is RuntimeState.STAGING
            agent.end(session)
        if agent.listed()[session].state not in OVER:
            agent.wait(session, OVER)
        seen = agent.listed()[session]
        assert seen.state is RuntimeState.FAILED
        assert seen.certificate.clean
        if victim == "stager":
            assert seen.why == "the stager died before it was done"
        assert agent.leftovers(session) == []


def test_a_room_of_few_processes_and_little_memory_takes_many_files(agent: Machine, seaweed: Seaweed):
    for number in range(300):
        seaweed.put("large", f"many/{number:03}.txt", str(number).encode())
    limits = SpecLimits(32 * MIB, 8 * MIB, MIB, MIB, 0.5, 12)
    session = agent.ready(limits=limits, **wanted("large", "many/"))
    terminal = agent.terminal(session)
    assert terminal.run("cat /data/*.txt | wc -c") == str(sum(len(str(number)) for number in range(300)))
    terminal.close()
    agent.end(session)
