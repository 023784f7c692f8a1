"""A session's life, step by step, in a whole installation: brought to a step, left there for something to be killed, and followed to its end."""

import contextlib
import json
import os
import re
import signal
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import httpx
from tests.whole.story import producer_faults, read_log, session_faults
from tests.whole.system import PROCESSES, Line, Prompt, Whole, until
from websockets.exceptions import ConnectionClosed

from sekisho.audit.verify import Verified
from sekisho.programs.folders import give
from sekisho.runtime.undo import survivors

L = TypeVar("L", bound=Line)
MIB = 1 << 20
STEPS = ("asked", "opening", "staging", "ready", "entered", "reaching", "ending", "destroyed")
KILLED = ("portal", "control", "audit", "gateway", "egress", "agent", "shim", "up")
OVER = ("destroyed", "failed")
BULK_FILES, BULK_BYTES = 6, 32 * MIB
NAME = "crm.sekisho-demo.test"
SECOND_PORT = 8443  # a listed port that a process in the room could bind, were it free

_ROOM = """\
title = "{name}"
image = "{image}"
kind = {kinds}

[access]
people = ["group:marketing"]
places = ["this-machine"]
longest = "2h"

[approval]
by = ["group:security"]
needed = 1
reason = 10

[[files]]
from = "file:campaign-exports/{name}"
to = "/data"

[targets]
crm = {{ name = "{site}", port = 443, tls = "required" }}
other = {{ name = "{site}", port = {second_port}, tls = "required" }}

[limits]
memory = "{memory}"
data = "256MiB"
home = "{home}"
tmp = "{home}"
cpu = 1.0
processes = {processes}
"""
_TERMINAL = {"image": "terminal", "kinds": '["terminal"]', "memory": "128MiB", "home": "16MiB", "processes": 64}
_DESKTOP = {"image": "desktop", "kinds": '["desktop", "terminal"]', "memory": "768MiB", "home": "64MiB", "processes": 256}

# Sends a little, again and again, to the one site that the room may reach; says when it began and when it was cut.
_UPLOAD = """\
import socket, ssl, time
def main():
    end = ssl.create_default_context().wrap_socket(socket.create_connection(("{site}", 443), 10), server_hostname="{site}")
    end.sendall(b"POST /upload HTTP/1.1\\r\\nHost: {site}\\r\\nContent-Length: 16000000\\r\\n\\r\\n")
    print("under way", flush=True)
    try:
        while True:
            end.sendall(bytes(500))
            time.sleep(0.02)
    except OSError:
        print("cut", flush=True)
main()
"""

# Tries to take the ports of the gateway's listeners, in every way that sockets offer.
_TAKE_OVER = """\
import socket
def takes(host, port, options):
    with socket.socket() as end:
        for option in options:
            end.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            end.bind((host, port))
            end.listen()
        except OSError:
            return False
        return True
LOCAL, NAMES = ["0.0.0.0", "127.0.0.1"], ["198.18.0.1", "198.18.1.0"]
OPTIONS = (), (socket.SO_REUSEADDR,), (socket.SO_REUSEPORT,), (socket.SO_REUSEADDR, socket.SO_REUSEPORT)
for port, hosts in (53, LOCAL), (443, LOCAL + NAMES), (3128, LOCAL), ({second_port}, LOCAL + NAMES), (9000, LOCAL + NAMES):
    print(port, sum(takes(host, port, options) for host in hosts for options in OPTIONS))
"""


def write_rooms(whole: Whole) -> None:
    """`quick` stages one small file, `bulk` enough for the staging to take a while; `seen` has a desktop."""
    files = whole.state / "demo-files"
    for name, number, size, facts in (("quick", 1, 1000, _TERMINAL), ("bulk", BULK_FILES, BULK_BYTES, _TERMINAL), ("seen", 1, 1000, _DESKTOP)):
        folder = files / name
        folder.mkdir(exist_ok=True)
        for each in range(number):
            (folder / f"{each}.bin").write_bytes(os.urandom(size))
        path = whole.installation.rooms / f"{name}.toml"
        path.write_text(_ROOM.format(name=name, site=NAME, second_port=SECOND_PORT, **facts))
        give(path, 0, whole.installation.store_group, 0o640)


def answers(port: int) -> bool:
    """Whether somebody shakes hands on a port of this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as plain, context.wrap_socket(plain):
            return True
    except OSError:
        return False


@dataclass
class House:
    """A whole installation and its people; every session in it can be lived."""

    whole: Whole
    operator: httpx.Client
    approver: httpx.Client
    sessions: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, whole: Whole) -> "House":
        write_rooms(whole)
        made = cls(whole, whole.client("hanako"), whole.client("taro"))
        until("the rooms are known", lambda: {"quick", "bulk", "seen"} <= {room["name"] for room in made.operator.get("/api/rooms").json()["rooms"]})
        return made

    # killing

    def kill(self, name: str, session: str = "") -> None:
        """kill -9 of one process of the installation, or of the session's shim, or of `up` with all that end with it."""
        if name == "up":
            self.whole.kill()
        elif name == "shim":
            os.kill(self.shim_of(session), signal.SIGKILL)
        else:
            self.whole.kill_one(name)

    def hold(self) -> None:
        """Let `up` start nothing again."""
        self.whole.process.send_signal(signal.SIGSTOP)

    def release(self) -> None:
        if self.whole.process.poll() is None:
            self.whole.process.send_signal(signal.SIGCONT)

    def keep_dead(self, name: str) -> None:
        self.hold()
        self.whole.kill_one(name)
        until(f"{name} is dead", lambda: not self.whole.pids(name))

    def kill_everything(self) -> None:
        """All but the shims, and nothing is started again."""
        self.hold()
        for name in (*PROCESSES, "demo_site"):
            for pid in self.whole.pids(name):
                os.kill(pid, signal.SIGKILL)
        self.whole.kill()

    def wait_whole(self) -> None:
        """Everything is there, started again if need be."""
        if self.whole.process.poll() is not None:
            self.whole.start()
        until("every process is there", lambda: all(self.whole.pids(name) for name in PROCESSES))
        until("portal and rooms answer", lambda: answers(self.whole.port) and answers(self.whole.port + 1))

    def shim_of(self, session: str) -> int:
        """Its process id, once the agent has written it down."""

        def written() -> int:
            with contextlib.suppress(FileNotFoundError):
                return self.whole.shim(session)
            return 0

        return until("the session has a shim", written)

    # living

    def ask(self, *, room: str = "quick", seconds: int = 3600) -> str:
        """A request from now on, over in `seconds`. The shortest grant is a minute, and may have begun a minute ago: a shorter one is one that began before."""
        begun = datetime.now(UTC) - timedelta(seconds=60 - seconds) if seconds < 60 else None
        times = {"starts_at": begun and begun.isoformat(), "duration_seconds": max(60, seconds)}
        asked = self.operator.post("/api/requests", json={"room": room, "reason": "for the sake of the test", "ticket": "", **times})
        assert asked.status_code == 201, asked.text
        session = "s-" + asked.json()["id"].removeprefix("r-")
        self.sessions.append(session)
        return session

    def approve(self, session: str) -> None:
        answer = self.approver.post(f"/api/requests/r-{session.removeprefix('s-')}/approve", json={"note": ""})
        assert answer.status_code == 200, answer.text

    def grant(self, *, room: str = "quick", seconds: int = 3600) -> str:
        session = self.ask(room=room, seconds=seconds)
        self.approve(session)
        return session

    def ready(self, *, room: str = "quick", seconds: int = 3600) -> "Life":
        life = Life(self, self.grant(room=room, seconds=seconds))
        life.wait("ready")
        life.remember()
        return life

    def live_until(self, step: str) -> "Life":
        """A session at a step of its life, no further."""
        life = Life(self, self.ask(room="bulk" if step == "staging" else "quick"))
        if step == "asked":
            return life
        self.approve(life.session)
        if step == "opening":
            return life
        if step == "staging":
            life.wait("staging")
            return life
        life.wait("ready")
        life.remember()
        if step == "ready":
            return life
        life.enter()
        life.start_beating()
        if step == "reaching":
            life.start_upload()
        if step in {"ending", "destroyed"}:
            life.leave()
        if step == "destroyed":
            life.wait(*OVER)
        return life

    # ending and looking

    def end_all(self) -> None:
        """Leave nothing to the next test, whatever became of this one."""
        for session in self.sessions:
            self.operator.post(f"/api/sessions/{session}/leave", json={})
        self.sessions.clear()

    def log(self) -> list[dict]:
        return read_log(self.whole.state / "log")

    def assert_log_whole(self) -> None:
        assert isinstance(self.whole.verified(), Verified), self.whole.verified()
        assert producer_faults(self.log()) == []


@dataclass
class Life:
    """One session, and what must be gone when it is over."""

    house: House
    session: str
    prompt: Prompt | None = None
    uid_base: int = 0

    @property
    def whole(self) -> Whole:
        return self.house.whole

    def state(self) -> str:
        with contextlib.suppress(httpx.TransportError):
            return self.whole.state_of(self.house.operator, self.session)
        return ""

    def why(self) -> str:
        """What people are told of a session that does not open."""
        sessions = self.house.operator.get("/api/sessions").json()["sessions"]
        return "".join(each["why"] for each in sessions if each["id"] == self.session)

    def wait(self, *states: str) -> str:
        return until(f"{self.session} is {states}, not {self.state()}", lambda: (state := self.state()) in states and state)

    def remember(self) -> None:
        """What to look for on the machine afterwards."""
        self.uid_base = json.loads((self.whole.state / "agent" / "sessions" / f"{self.session}.json").read_text())["uid_base"]

    def enter(self) -> Prompt:
        self.close()
        self.prompt = let_in(lambda: self.whole.enter(self.house.operator, self.session))
        return self.prompt

    def close(self) -> None:
        """As whoever shuts the window."""
        if self.prompt is not None:
            self.prompt.close()

    def start_beating(self) -> None:
        """A command that goes on by itself."""
        self.prompt.run("(while sleep 0.05; do date +%s%N > /tmp/beat; done >/dev/null 2>&1 &)")

    def assert_beating(self) -> None:
        first = self.prompt.run("cat /tmp/beat")
        until("the command goes on", lambda: self.prompt.run("cat /tmp/beat") != first)

    def start_upload(self) -> None:
        """A connection to the outside that stays open, with bytes on their way."""
        self.put("/tmp/upload.py", _UPLOAD.format(site=NAME))
        self.prompt.run("(python3 /tmp/upload.py > /tmp/upload.out 2>&1 &)")
        until("the upload is under way", lambda: "under way" in self.prompt.run("cat /tmp/upload.out"))

    def put(self, path: str, text: str) -> None:
        self.prompt.run(f"cat > {path} <<'EOF'\n{text}EOF\n:")

    def assert_reaches(self) -> None:
        """The listed site answers from inside; as soon as egress is back, if it was away."""
        until("the listed name answers", lambda: self.prompt.run(f"curl -s -m 5 -o /dev/null -w '%{{http_code}}' https://{NAME}/") == "200")

    def leave(self) -> None:
        answer = self.house.operator.post(f"/api/sessions/{self.session}/leave", json={})
        assert answer.status_code == 200, answer.text

    # the end

    def leftovers(self) -> list[str]:
        """Whatever on the machine is still of this session, the journals of agent and egress included; of the store and the log's spools, nothing but what was
        written down."""
        found = self.whole.leftovers(self.session)
        found += [str(path) for path in self.whole.state.rglob("*") if self.session in path.name]
        if self.uid_base:
            found += [f"process {pid}" for pid in survivors(self.uid_base, self.whole.installation.run / "s" / self.session)]
        return found

    def assert_over(self) -> list[str]:
        """Nothing is left, the log is whole and tells everything once. Gives the kinds that it told."""
        self.close()
        until_same(self.leftovers, [])
        until_same(lambda: session_faults(self.house.log(), self.session), [])
        self.house.assert_log_whole()
        return [entry["kind"] for entry in self.house.log() if entry.get("session") == self.session]


def let_in(come: Callable[[], L]) -> L:
    """Come in, again if need be: what was just started again may not answer yet, and then nobody is let in."""

    def come_in() -> L | None:
        with contextlib.suppress(httpx.TransportError, OSError, ConnectionClosed):
            line = come()
            if "admitted" in line.said:
                return line
            line.close()
            assert line.said["refused"]["reason"] in {"control-unavailable", "log-unavailable"}, line.said
        return None

    return until("somebody lets us in", come_in)


def until_same(look: Callable[[], object], wanted: object) -> None:
    """Wait for what is seen to be as wanted; if it never is, say what was seen last."""
    with contextlib.suppress(AssertionError):
        until("as wanted", lambda: look() == wanted, seconds=20)
    seen = look()
    if seen != wanted:
        raise AssertionError(f"{seen}, not {wanted}")


def ticks(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"tick-(\d+)", text)]


def take_over(life: Life) -> dict[int, int]:
    """Try, inside the room, to bind what belongs to egress, and one port that is free: port -> in how many ways that went."""
    life.put("/tmp/take.py", _TAKE_OVER.format(second_port=SECOND_PORT))
    return {int(port): int(ways) for port, ways in (line.split() for line in life.prompt.run("python3 /tmp/take.py").splitlines())}
