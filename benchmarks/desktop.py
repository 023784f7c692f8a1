"""How soon a desktop is there, how fast it answers, what it costs while nobody works in it, and how fast it is gone: on a whole installation, as a client
sees it. Prints JSON.

Beside it, in the same run and in turns: a container of podman's with the same image and an Xvnc (`podman_peer`), and, for the keys, a connection straight to
the room's own Xvnc. Each desktop is made from nothing: there is no pool of warm ones.

    .venv/bin/python benchmarks/desktop.py [--rounds 11] [--keys 250] [--idle 3]
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "src"), str(Path(__file__).parents[1])]

from benchmarks import podman_peer
from benchmarks.sessions import milliseconds, private, proportional, stamp, write_room
from benchmarks.viewer import TEXT, Plain, Update, Viewer, WebSocket, painted_at
from sekisho.runtime import cgroups
from sekisho.runtime.images import DEFAULT_CACHE, installed
from sekisho.system.clock import SystemClock
from tests.whole.system import PROCESSES, Whole, until, whole

PAINTED_SHARE = 0.98
QUIET_SECONDS = 3.0  # with nothing drawn for so long, a desktop is as it stays
KEY_QUIET_SECONDS = 0.05
KEYS_A_LINE = 50
RETURN, LETTERS = 0xFF0D, b"sekisho"
TERMINAL = "( setsid xfce4-terminal --disable-server --fullscreen -x cat >/dev/null 2>&1 </dev/null & )"
_BEGIN = ("request.approved", "session.opening", "session.created", "session.ready", "entry.allowed", "connection.opened")


@dataclass(slots=True)
class Desktop:
    """One that somebody looks at. Times are seconds since the approver's click."""

    session: str
    viewer: Viewer
    updates: list[Update]
    frame: float
    painted: float = 0.0
    clicked_at: float = 0.0  # on the wall's clock, as the log's

    @property
    def line(self) -> WebSocket:
        assert isinstance(self.viewer.line, WebSocket)
        return self.viewer.line


class Bench:
    def __init__(self, system: Whole) -> None:
        self.system = system
        self.operator, self.approver, self.auditor = system.client("hanako"), system.client("taro"), system.client("aoi")

    def open(self, room: str = "campaign") -> Desktop:
        """From the approver's click to the first whole picture in the client, which looks every 10 ms whether it may enter; and on until all is painted."""
        asked = self.operator.post(
            "/api/requests", json={"room": room, "reason": "benchmark of the desktop", "ticket": "MKT-1", "starts_at": None, "duration_seconds": 3600}
        )
        request = asked.json()["id"]
        session = "s-" + request[2:]
        clicked_at, begun = SystemClock().now().timestamp(), time.perf_counter()
        assert self.approver.post(f"/api/requests/{request}/approve", json={"note": ""}).status_code == 200, "it is approved"
        assert self.system.wait_state(self.operator, session, "ready", "failed") == "ready", "the room opens"
        viewer = self.enter(session)
        updates = [viewer.update()]
        frame = updates[0].at - begun
        assert updates[0].pixel_count == viewer.width * viewer.height, "the first picture is whole"
        updates += viewer.updates(quiet_seconds=QUIET_SECONDS)
        painted = painted_at(viewer, updates, share=PAINTED_SHARE) - begun
        return Desktop(session, viewer, updates, frame, painted, clicked_at)

    def enter(self, session: str) -> Viewer:
        _, ticket = self.system.ticket(self.operator, session, kind="desktop")
        line = WebSocket(self.system.port + 1, "/desktop/ws")
        line.say(json.dumps({"ticket": ticket}).encode(), opcode=TEXT)
        return Viewer(line).greet()

    def end(self, desktop: Desktop) -> tuple[float, float]:
        """Seconds from the approver's click to the channel's end, and to nothing left."""
        begun = time.perf_counter()
        self.approver.post(f"/api/requests/r-{desktop.session[2:]}/end", json={})
        desktop.line.wait_end()
        cut = time.perf_counter() - begun
        desktop.viewer.close()
        until("nothing is left", lambda: not self.system.leftovers(desktop.session))
        return cut, time.perf_counter() - begun

    def phases(self, desktop: Desktop) -> dict[str, float]:
        """Seconds since the click at which the log says that something happened."""

        def events() -> dict[str, float] | None:
            entries = self.system.entries(self.auditor, session=desktop.session) + self.system.entries(self.auditor, request=f"r-{desktop.session[2:]}")
            found = {entry["kind"]: stamp(entry["at"]) - desktop.clicked_at for entry in entries if entry["kind"] in _BEGIN}
            return found if len(found) == len(_BEGIN) else None

        return until("the log tells how it began", events)

    # keys

    def keys(self, count: int) -> dict[str, object]:
        """From a key to the next picture, in a terminal that fills the screen and echoes; through everything, and straight to its Xvnc, in turns."""
        desktop = self.open()
        prompt = self.system.enter(self.operator, desktop.session)
        prompt.run(TERMINAL)
        assert sum(each.pixel_count for each in desktop.viewer.updates(quiet_seconds=QUIET_SECONDS)), "a terminal came"
        straight = Viewer(Plain(self.screen_path(desktop.session))).greet()
        viewers = {"through_sekisho": desktop.viewer, "straight_to_xvnc": straight}
        found: dict[str, list[float]] = {name: [] for name in viewers}
        for number in range(count):
            for name, viewer in viewers.items():
                settle(viewers.values())
                found[name].append(answered(viewer, LETTERS[number % len(LETTERS)]))
            if number % KEYS_A_LINE == KEYS_A_LINE - 1:
                desktop.viewer.press(RETURN)
        prompt.close()
        straight.close()
        self.end(desktop)
        ours, peer = (quantiles(found[name]) for name in viewers)
        ratio = {name: round(ours[name] / peer[name], 2) for name in ours}
        return {"keys": count, "through_sekisho": ours, "straight_to_xvnc": peer, "ratio": ratio}

    def screen_path(self, session: str) -> Path:
        """Of the room's Xvnc, in the mount namespace of its shim."""
        return Path(f"/proc/{self.system.shim(session)}/root{self.system.installation.run}/s/{session}/screen/own/rfb")

    # memory

    def idle_cost(self, count: int) -> dict[str, object]:
        """Private memory of one desktop that somebody looks at and nobody uses: its own processes by group, and what the shared ones grew by."""
        before, before_all = self.shared(), self.together([])
        desktops = [self.open(self.another_room(number)) for number in range(count)]
        after = self.shared()
        groups = [self.groups(desktop.session) for desktop in desktops]
        programs = sorted({name for group in groups for name in group})
        own = {name: round(statistics.median(group.get(name, 0) for group in groups)) for name in programs}
        shares = {name: round((after[name] - before[name]) / count) for name in PROCESSES}
        together = (self.together(desktops) - before_all) / count
        charged = [self.charged(desktop.session) for desktop in desktops]
        for desktop in desktops:
            self.end(desktop)
        return {
            "desktops": count,
            "private_kib": own,
            "shares_of_shared_processes_kib": shares,
            "all_private_kib": sum(own.values()),
            "everything_together_proportional_kib": round(together),
            "cgroup_kib": round(statistics.median(charged)),
        }

    def together(self, desktops: list[Desktop]) -> int:
        """KiB of the whole installation and its sessions: proportional, since a shim shares most of its memory with the agent that it was forked from."""
        pids = {pid for name in PROCESSES for pid in self.system.pids(name)}
        for desktop in desktops:
            pids |= {self.system.shim(desktop.session), *cgroups.cgroup(self.path(desktop.session)).processes()}
        return sum(map(proportional, pids))

    def shared(self) -> dict[str, int]:
        return {name: sum(private(pid) for pid in self.system.pids(name)) for name in PROCESSES}

    def groups(self, session: str) -> dict[str, int]:
        """KiB by what a process belongs to; the room's by program."""
        path = self.path(session)
        found = {"shim": private(self.system.shim(session)), "screen": sum(map(private, cgroups.cgroup(f"{path}/screen").processes()))}
        for pid in cgroups.cgroup(f"{path}/room").processes():
            with contextlib.suppress(OSError):  # it ended just now
                name = f"room: {(Path('/proc') / str(pid) / 'comm').read_text().strip()}"
                found[name] = found.get(name, 0) + private(pid)
        return found

    def charged(self, session: str) -> float:
        return cgroups.cgroup(self.path(session)).memory().used_bytes / 1024

    def path(self, session: str) -> str:
        """Of its cgroup."""
        return f"/sekisho-{self.system.installation.short}/{session}"

    def another_room(self, number: int) -> str:
        """A person has one session of a room, so idle ones need rooms of their own."""
        write_room(self.system, name := f"campaign-{number}", (self.system.state / "rooms" / "campaign.toml").read_text())
        return name


def settle(viewers: Iterator[Viewer]) -> None:
    """Until nothing is drawn any more."""
    for viewer in viewers:
        for _ in viewer.updates(quiet_seconds=KEY_QUIET_SECONDS):
            pass


def answered(viewer: Viewer, symbol: int) -> float:
    begun = time.perf_counter()
    viewer.press(symbol)
    return viewer.update().at - begun


def quantiles(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100)
    return {"p50_ms": round(1000 * cuts[49], 2), "p99_ms": round(1000 * cuts[98], 2)}


def opened(bench: Bench, rounds: int) -> dict[str, object]:
    """Ours and the peer's, in turns; each one's first is told apart, for it finds less in the machine's caches."""
    why_no_peer = podman_peer.missing()
    with contextlib.ExitStack() as stack:
        peer = None if why_no_peer else stack.enter_context(podman_peer.peer())
        lives, peers = [], []
        for _ in range(rounds + 1):
            desktop = bench.open()
            phases = bench.phases(desktop)
            lives.append((desktop.frame, desktop.painted, phases, *bench.end(desktop)))
            if peer is not None:
                peers.append(peer.run(share=PAINTED_SHARE, quiet_seconds=QUIET_SECONDS))
    first, *rest = lives
    frame, painted, phases, cut, gone = zip(*rest, strict=True)
    ours = {"first_full_frame": milliseconds([*frame]), "painted": milliseconds([*painted])}
    measured: dict[str, object] = {
        "grant_to": ours | {"very_first_ms": {"first_full_frame": round(1000 * first[0], 1), "painted": round(1000 * first[1], 1)}},
        "since_the_click_ms": {name: round(1000 * statistics.median(each[name] for each in phases), 1) for name in _BEGIN},
        "revoke_to_last_channel_cut": milliseconds([*cut]),
        "end_to_nothing_left": milliseconds([*gone]),
    }
    return measured | {"podman": beside(ours, peers[1:]) if peers else why_no_peer}


def beside(ours: dict[str, dict[str, float]], peers: list[podman_peer.Started]) -> dict[str, object]:
    found = {name: milliseconds([getattr(each, field) for each in peers]) for name, field in (("first_full_frame", "frame"), ("painted", "painted"))}
    ratios = {f"{name}_times_podman": round(ours[name]["median_ms"] / found[name]["median_ms"], 2) for name in found}
    parts = {name: milliseconds([getattr(each, name) for each in peers]) for name in ("screen", "running")}
    return found | parts | ratios


def measure(*, rounds: int, keys: int, idle: int) -> dict[str, object]:
    folder = Path(tempfile.mkdtemp())
    try:
        with whole(folder / "state") as system:
            bench = Bench(system)
            return {
                "command": " ".join(sys.argv),
                "load": os.getloadavg(),
                **opened(bench, rounds),
                "key_to_picture": bench.keys(keys),
                "idle_desktop": bench.idle_cost(idle),
            }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--keys", type=int, default=250)
    parser.add_argument("--idle", type=int, default=3)
    chosen = parser.parse_args()
    if installed("desktop", DEFAULT_CACHE) is None:
        sys.exit("there is no image 'desktop' yet: .venv/bin/sekisho image build desktop")
    print(json.dumps(measure(rounds=chosen.rounds, keys=chosen.keys, idle=chosen.idle), indent=1))


if __name__ == "__main__":
    main()
