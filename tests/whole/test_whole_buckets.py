"""A room that is filled from a bucket, in a whole installation: set up as the how-to says, entered as people do, and what is seen of its credentials."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.seaweed_server import KEY_ID, SECRET, Seaweed, running
from tests.whole.system import PROCESSES, SOURCE, Whole, until, whole

pytestmark = pytest.mark.root

CONTENT = b"id,name\n1,hanako\n"


@pytest.fixture
def bucket():
    with running() as made:
        made.fill("corp-exports", **{"2026/list.csv": CONTENT, "2025/old.csv": b"not this year's"})
        yield made


@pytest.fixture
def system(tmp_path: Path, bucket: Seaweed):
    with whole(tmp_path / "state") as made:
        made.stop()
        with (made.state / "sekisho.toml").open("a") as settings:
            settings.write(f'\n[buckets.exports]\nendpoint = "{bucket.url}"\nbucket = "corp-exports"\ncredentials = "{bucket.credentials()}"\n')
        path = made.installation.rooms / "campaign.toml"
        path.write_text(path.read_text().replace("file:campaign-exports/2026", "s3://exports/2026/"))
        made.start()
        yield made
        made.stop()


def test_a_room_is_filled_from_a_bucket_and_says_so_when_it_can_not_be(system: Whole, bucket: Seaweed):
    hanako, taro, aoi = (system.client(name) for name in ("hanako", "taro", "aoi"))
    session = system.grant(hanako, taro)
    system.wait_state(hanako, session, "ready")
    inside = system.enter(hanako, session)
    assert inside.run("ls /data; cat /data/list.csv") == "list.csv\nid,name\n1,hanako"
    assert seen_by_processes(system) == []
    inside.leave()
    inside.close()
    system.wait_state(hanako, session, "destroyed")
    (staged,) = [entry["details"]["files"] for entry in system.entries(aoi, session=session) if entry["kind"] == "files.staged"]
    assert staged == [{"path": "list.csv", "size": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}]

    bucket.process.kill()
    bucket.process.wait()
    failed = system.grant(hanako, taro)
    system.wait_state(hanako, failed, "failed")
    (told,) = until("the log has it", lambda: [entry for entry in system.entries(aoi, session=failed) if entry["kind"] == "session.failed"])
    assert told["reason"] == "files-failed"
    assert told["details"]["why"] == f"{bucket.url} can't be reached: Connection refused"
    until("nothing is left", lambda: not system.leftovers(failed))
    assert [path for path in system.state.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()] == []


def seen_by_processes(system: Whole) -> list[str]:
    """Processes of the installation that show the credentials in what anybody may read of them."""
    shown = [Path(f"/proc/{pid}/{told}") for name in (*PROCESSES, "up") for pid in system.pids(name) for told in ("environ", "cmdline", "mountinfo")]
    return [str(path) for path in shown if any(word.encode() in path.read_bytes() for word in (KEY_ID, SECRET))]


def test_check_knows_whether_the_bucket_can_be_opened(system: Whole, bucket: Seaweed):
    credentials = bucket.credentials()
    assert f"ok    bucket exports: {bucket.url}/corp-exports with {credentials}" in checked(system)
    credentials.chmod(0o644)
    assert f"NOT   bucket exports: the credentials {credentials} are not root's alone: chown root and chmod 600" in checked(system)


def checked(system: Whole) -> str:
    command = [sys.executable, "-c", "from sekisho.cli.main import main; main()", "check", "--state", str(system.state)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(SOURCE)}).stdout
