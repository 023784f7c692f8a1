"""How fast a room is there, cut and gone, and what it costs while it is idle: measured on a whole installation, as a client sees it. Prints JSON.

Beside it, in the same run, the peers: `runc run` of the same image alone, and `cp` with `sha256sum` of the same files.

    .venv/bin/python benchmarks/sessions.py [--rounds 15] [--idle 8]
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "src"), str(Path(__file__).parents[1])]

from sekisho.runtime.images import DEFAULT_CACHE, installed
from sekisho.runtime.seccomp import profile
from tests.whole.system import PROCESSES, Prompt, Whole, until, whole

STAGED_BYTES = 192 << 20
ROOM = "exports"
_ROOM_FILE = """\
title = "Campaign exports, in a terminal"
image = "terminal"
kind = ["terminal"]

[access]
people = ["group:marketing"]
places = ["this-machine"]
longest = "2h"

[approval]
by = ["group:security"]
needed = 1
reason = 10

[[files]]
from = "file:campaign-exports/2026"
to = "/data"

[limits]
memory = "512MiB"
data = "256MiB"
home = "64MiB"
tmp = "128MiB"
cpu = 1.0
processes = 256
"""


def milliseconds(values: list[float]) -> dict[str, float]:
    return {"median_ms": round(1000 * statistics.median(values), 1), "min_ms": round(1000 * min(values), 1), "max_ms": round(1000 * max(values), 1)}


def timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


class Bench:
    def __init__(self, system: Whole) -> None:
        self.system = system
        self.operator, self.approver = system.client("hanako"), system.client("taro")
        write_room(system, ROOM, _ROOM_FILE)

    def prompt(self, room: str = ROOM) -> tuple[str, Prompt, float]:
        """From the approver's click to the shell's prompt in the client, which looks every 10 ms whether it may enter."""
        asked = self.operator.post(
            "/api/requests", json={"room": room, "reason": "benchmark of the room", "ticket": "", "starts_at": None, "duration_seconds": 3600}
        )
        request = asked.json()["id"]
        session = "s-" + request[2:]
        start = time.perf_counter()
        assert self.approver.post(f"/api/requests/{request}/approve", json={"note": ""}).status_code == 200, "it is approved"
        assert self.system.wait_state(self.operator, session, "ready", "failed") == "ready", "the room opens"
        prompt = self.system.enter(self.operator, session)
        prompt.read("$")
        return session, prompt, time.perf_counter() - start

    def life(self) -> tuple[float, float, float]:
        """(grant to prompt, revoke to last channel cut, revoke to nothing left), seconds."""
        session, prompt, opened = self.prompt()
        start = time.perf_counter()
        self.approver.post(f"/api/requests/r-{session[2:]}/end", json={})
        prompt.wait_end()
        cut = time.perf_counter() - start
        until("nothing is left", lambda: not self.system.leftovers(session))
        return opened, cut, time.perf_counter() - start

    def idle_cost(self, count: int) -> dict[str, float]:
        """Private memory of one idle session: its shim, its processes beside the shell, and what the shared processes grew by."""
        before = sum(private(pid) for name in PROCESSES for pid in self.system.pids(name))
        sessions = [self.granted(self.another_room(number)) for number in range(count)]
        after = sum(private(pid) for name in PROCESSES for pid in self.system.pids(name))
        shims = [self.system.shim(session) for session in sessions]
        rooms = [pid for shim in shims for pid in self.room_processes(shim)]
        shells = [pid for pid in rooms if (Path("/proc") / str(pid) / "comm").read_text().strip() == "bash"]
        kib = {
            "shim": sum(private(pid) for pid in shims) / count,
            "init": sum(private(pid) for pid in rooms if pid not in shells) / count,
            "shares": (after - before) / count,
            "shell": sum(private(pid) for pid in shells) / count,
        }
        for session in sessions:
            self.approver.post(f"/api/requests/r-{session[2:]}/end", json={})
        for session in sessions:
            until("nothing is left", lambda session=session: not self.system.leftovers(session))
        return {**{f"{name}_kib": round(value) for name, value in kib.items()}, "beyond_the_shell_kib": round(kib["shim"] + kib["init"] + kib["shares"])}

    def another_room(self, number: int) -> str:
        """A person has one session of a room, so idle ones need rooms of their own."""
        write_room(self.system, name := f"{ROOM}-{number}", _ROOM_FILE)
        return name

    def granted(self, room: str) -> str:
        session, prompt, _ = self.prompt(room)
        prompt.close()
        return session

    def room_processes(self, shim: int) -> list[int]:
        return descendants(shim)

    def staging(self) -> dict[str, float]:
        """Bytes per second from the source into the room, hashed; beside it `cp` and `sha256sum` into a tmpfs."""
        files = self.system.state / "demo-files" / "2026"
        for number in range(6):
            (files / f"bulk-{number}.bin").write_bytes(os.urandom(STAGED_BYTES // 6))
        ours, peers = [], []
        for _ in range(3):
            session, prompt, _ = self.prompt()
            entries = self.system.entries(self.system.client("aoi"), session=session)
            at = {entry["kind"]: entry["at"] for entry in entries}
            ours.append(STAGED_BYTES / (stamp(at["session.ready"]) - stamp(at["session.created"])))
            prompt.leave()
            until("nothing is left", lambda session=session: not self.system.leftovers(session))
            with tempfile.TemporaryDirectory(dir="/dev/shm") as target:
                command = f"cp -r {files} {target}/x && sha256sum {target}/x/* >/dev/null"
                peers.append(STAGED_BYTES / timed(lambda command=command: subprocess.run(command, shell=True, check=True)))  # noqa: S602
        for path in files.glob("bulk-*"):
            path.unlink()
        mine, peer = statistics.median(ours), statistics.median(peers)
        return {"bytes_per_second": round(mine), "cp_and_sha256sum_bytes_per_second": round(peer), "ratio": round(mine / peer, 2)}


def write_room(system: Whole, name: str, content: str) -> None:
    """Whole, or not yet: nobody reads half of it."""
    path = system.state / "rooms" / f"{name}.toml"
    unfinished = path.with_suffix(".new")
    unfinished.write_text(content)
    unfinished.chmod(0o640)
    shutil.chown(unfinished, group=system.installation.store_group)
    unfinished.rename(path)


def runc_alone(rounds: int) -> list[float]:
    """`runc run` of `true` in the same image with the same system call filter: what nobody who uses runc can be faster than."""
    image = installed("terminal", DEFAULT_CACHE)
    assert image is not None
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        root = Path(folder) / "rootfs"
        root.mkdir()
        subprocess.run(["mount", "-t", "squashfs", "-o", "loop,ro", str(image.path), str(root)], check=True)
        stack.callback(subprocess.run, ["umount", str(root)], check=True)
        subprocess.run(["runc", "spec"], cwd=folder, check=True)
        path = Path(folder) / "config.json"
        content = json.loads(path.read_text())
        content["process"] |= {"args": ["/bin/true"], "terminal": False}
        content["linux"]["seccomp"] = profile(platform.machine())
        content["mounts"] = [mount for mount in content["mounts"] if mount["destination"] in {"/proc", "/dev"}]
        path.write_text(json.dumps(content))
        return [
            timed(lambda number=number: subprocess.run(["runc", "run", "-b", folder, f"bench-{os.getpid()}-{number}"], check=True, stdin=subprocess.DEVNULL))
            for number in range(rounds)
        ]


def private(pid: int) -> int:
    """Private memory in KiB."""
    return _memory(pid, "Private_")


def proportional(pid: int) -> int:
    """Memory in KiB where what several processes share is divided among them: what all have together is the sum."""
    return _memory(pid, "Pss:")


def _memory(pid: int, field: str) -> int:
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(field))
    return 0


def descendants(pid: int) -> list[int]:
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += [int(child), *descendants(int(child))]
    return found


def stamp(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def measure(*, rounds: int, idle: int) -> dict[str, object]:
    folder = Path(tempfile.mkdtemp())
    try:
        with whole(folder / "state") as system:
            bench = Bench(system)
            cold = bench.life()[0]
            lives = [bench.life() for _ in range(rounds)]
            opened, cut, gone = (milliseconds(list(column)) for column in zip(*lives, strict=True))
            runc = milliseconds(runc_alone(rounds))
            return {
                "grant_to_prompt": opened | {"first_ms": round(1000 * cold, 1), "times_runc_alone": round(opened["median_ms"] / runc["median_ms"], 2)},
                "revoke_to_last_channel_cut": cut,
                "end_to_nothing_left": gone,
                "runc_run_true_alone": runc,
                "idle_session_private_memory": bench.idle_cost(idle),
                "staging": bench.staging(),
            }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--idle", type=int, default=8)
    found = parser.parse_args()
    print(json.dumps(measure(rounds=found.rounds, idle=found.idle), indent=1))


if __name__ == "__main__":
    main()
