"""Who counts as a survivor of a session: its own, and nobody else, whatever number the kernel gives a namespace."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.runtime.machine import until

from sekisho.runtime.uids import FIRST
from sekisho.runtime.undo import survivors

pytestmark = pytest.mark.root


def stranger(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["unshare", "--mount", "--net", *command], stdin=subprocess.DEVNULL)


def test_a_stranger_with_namespaces_of_its_own_is_no_survivor(tmp_path):
    other = stranger("sleep", "1000")
    try:
        until("it has namespaces of its own", lambda: Path(f"/proc/{other.pid}/ns/mnt").readlink() != Path("/proc/self/ns/mnt").readlink())
        assert survivors(FIRST + 1999 * 65536, tmp_path / "s-1") == set()
    finally:
        other.kill()
        other.wait()


def test_whoever_stands_where_the_sessions_folders_are_mounted_is_one(tmp_path):
    folder = tmp_path / "s-1"
    (folder / "data").mkdir(parents=True)
    other = stranger("sh", "-c", f"mount -t tmpfs tmpfs {folder}/data && exec sleep 1000")
    try:
        until("it is found", lambda: survivors(FIRST + 1999 * 65536, folder) == {other.pid})
        assert survivors(FIRST + 1999 * 65536, tmp_path / "s-") == set(), "another session's folder is another one"
    finally:
        other.kill()
        other.wait()


def test_a_process_of_the_sessions_uids_is_one(tmp_path):
    base = FIRST + 1999 * 65536
    other = subprocess.Popen(["sleep", "1000"], user=base + 7)
    try:
        until("it is found", lambda: other.pid in survivors(base, tmp_path))
        assert os.getpid() not in survivors(base, tmp_path)
    finally:
        other.kill()
        other.wait()
