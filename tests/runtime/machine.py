"""The machine around an agent under test: starting and killing it, asking it, looking for what a session left behind, and cleaning up
whatever a failed test leaves."""

import contextlib
import hashlib
import json
import os
import re
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from sekisho.model import messages
from sekisho.model.session import EndReason
from sekisho.runtime import cgroups, uids
from sekisho.runtime.images import DEFAULT_CACHE, installed
from sekisho.runtime.protocol import (
    Changed,
    Create,
    Done,
    End,
    Failed,
    FolderWanted,
    FromAgent,
    FromOpener,
    List,
    Open,
    Opened,
    OpenKind,
    Register,
    Renew,
    RuntimeState,
    Sessions,
    SessionSeen,
    SessionSpec,
    SpecLimits,
)
from sekisho.runtime.staging_child import BucketAccess
from sekisho.runtime.undo import survivors
from sekisho.system import kernel
from sekisho.system.packets import Channel, ChannelClosed, connect

PATIENCE_SECONDS = 30.0
OVER = {RuntimeState.DESTROYED, RuntimeState.FAILED}
MIB = 1 << 20


def until(what: str, condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> object:
    """Wait for a condition with a deadline."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.005)
    raise AssertionError(f"not within {seconds} s: {what}")


def image_digest() -> str:
    image = installed("terminal", DEFAULT_CACHE)
    assert image is not None, "build it first: sekisho image build terminal"
    return image.digest


@dataclass
class Machine:
    """One installation's agent. `instance` is in every name, so that tests never meet."""

    folder: Path
    runtime: str = "runc"
    instance: str = field(default_factory=lambda: "t" + secrets.token_hex(3))
    buckets: tuple[BucketAccess, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    channel: Channel | None = None
    seen: dict[str, SessionSeen] = field(default_factory=dict)
    bases: dict[str, int] = field(default_factory=dict)
    shims: dict[str, int] = field(default_factory=dict)
    _number: int = 0

    @property
    def run(self) -> Path:
        return Path("/run") / f"sekisho-{self.instance}"

    def start(self) -> "Machine":
        source = str(Path(__file__).resolve().parents[2] / "src")
        self.folder.mkdir(exist_ok=True)
        (self.folder / "buckets.json").write_text(json.dumps([asdict(each) for each in self.buckets]))
        self.process = subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).parent / "agent_process.py"),
                str(self.folder),
                self.instance,
                str(DEFAULT_CACHE),
                self.runtime,
            ],
            env={**os.environ, "PYTHONPATH": source},
        )
        self.channel = until("the agent listens", self._connect)
        self.ask(Renew(0))
        self.seen = self.listed()
        return self

    def _connect(self) -> Channel | None:
        with contextlib.suppress(ChannelClosed):
            return connect(self.run / "agent.sock")
        return None

    def kill(self) -> None:
        """kill -9 of the agent."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        if self.channel:
            self.channel.close()
            self.channel = None

    def ask(self, order):
        """Send one order with a fresh number and give its answer; what comes unasked meanwhile is kept in `seen`."""
        self._number += 1
        order = replace(order, number=self._number)
        self.channel.send(messages.render(order))
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            message = self.hear(end - time.monotonic())
            if isinstance(message, (Done, Failed, Sessions)) and message.to == self._number:
                return message
        raise AssertionError(f"no answer to {order}")

    def hear(self, seconds: float):
        if not select.select([self.channel], [], [], max(0, seconds))[0]:
            return None
        packet = self.channel.receive()
        message = messages.parse(packet[0], FromAgent)
        if isinstance(message, Changed):
            self.seen[message.seen.session] = message.seen
        return message

    def spec(self, *, seconds: float = 120.0, **changes) -> SessionSpec:
        limits = SpecLimits(256 * MIB, 64 * MIB, 16 * MIB, 32 * MIB, 1.0, 128)
        session = "s-" + secrets.token_hex(5)
        return replace(SessionSpec(session, "r" + session[1:], "campaign", "hanako", image_digest(), time.time() + seconds, limits), **changes)

    def create(self, **changes) -> str:
        spec = self.spec(**changes)
        answer = self.ask(Create(0, spec))
        assert isinstance(answer, Done), answer
        self.remember(spec.session)
        return spec.session

    def remember(self, session: str) -> None:
        record = json.loads((self.folder / "sessions" / f"{session}.json").read_text())
        self.bases[session] = record["uid_base"]
        self.shims[session] = record["shim"]

    def ready(self, **changes) -> str:
        session = self.create(**changes)
        self.wait(session, {RuntimeState.READY})
        return session

    def wait(self, session: str, states: set[RuntimeState], seconds: float = PATIENCE_SECONDS) -> SessionSeen:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            seen = self.seen.get(session)
            if seen and seen.state in states:
                return seen
            assert not (seen and seen.state in OVER), seen
            self.hear(end - time.monotonic())
        raise AssertionError(f"{session} did not become {states}: {self.seen.get(session)}")

    def end(self, session: str) -> SessionSeen:
        self.ask(End(0, session, EndReason.LEFT))
        return self.wait(session, OVER)

    def listed(self) -> dict[str, SessionSeen]:
        found, page = {}, None
        while page is None or page.more:
            page = self.ask(List(0, max(found, default="")))
            found |= {each.session: each for each in page.sessions}
        return found

    def open(self, session: str, kind: OpenKind = OpenKind.TERMINAL) -> tuple[Opened, tuple[int, ...]] | Failed:
        secret = secrets.token_bytes(32)
        self.ask(Register(0, hashlib.sha256(secret).hexdigest(), session, kind, "hanako", time.time() + 20))
        return self.show(secret.hex())

    def show(self, capability: str) -> tuple[Opened, tuple[int, ...]] | Failed:
        opener = connect(self.run / "open.sock")
        try:
            opener.send(messages.render(Open(1, capability)))
            assert select.select([opener], [], [], PATIENCE_SECONDS)[0], "the agent did not answer"
            packet, descriptors = opener.receive()
        finally:
            opener.close()
        answer = messages.parse(packet, FromOpener)
        return (answer, descriptors) if isinstance(answer, Opened) else answer

    def terminal(self, session: str) -> "Terminal":
        answer = self.open(session)
        assert not isinstance(answer, Failed), answer
        return Terminal(*answer[1])

    def events(self) -> list[dict]:
        """The entries in the agent's spool, in order."""
        from sekisho.audit.spool import FileSpool
        from sekisho.system.clock import SystemClock

        with tempfile.TemporaryDirectory() as copy:  # the agent holds its own
            shutil.copytree(self.folder / "spool", copy, dirs_exist_ok=True)
            spool = FileSpool(Path(copy), producer="agent", limit_bytes=1 << 24, limit_seconds=3600, clock=SystemClock())
            entries = [json.loads(entry) for _, entry in spool.waiting(1 << 24)]
            spool.close()
        return entries

    def leftovers(self, session: str) -> list[str]:
        """Everything on the machine that still speaks of a session: processes, mounts, cgroups, files, its uid lease, the runtime's memory."""
        found = [f"process {pid}" for pid in survivors(self.bases[session], self.run / "s" / session)]
        found += [f"cgroup {session}"] if session in cgroups.owners(f"sekisho-{self.instance}") else []
        found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if session in line]
        found += [f"{folder}/{name}" for folder, folders, files in os.walk(self.run) for name in (*folders, *files) if session in name]  # it may go meanwhile
        found += [f"uid lease {owner}" for owner in uids.leased_by(f"{self.instance}/{session}")]
        shim = self.shims[session]
        found += [f"shim {shim}"] if _is_shim(shim) else []
        found += [f"namespace of {process.name}" for process in _processes() if session in _mounts(process)]
        return found

    def clean(self) -> None:
        """After a test, whatever came of it: no process, mount, cgroup, lease or file of this instance stays."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for shim in [int(p.name) for p in _processes() if _is_shim(int(p.name)) and f"{self.run}/s/" in _mounts(p)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(shim, signal.SIGKILL)
        name = f"sekisho-{self.instance}"
        for session in cgroups.owners(name):
            group = cgroups.cgroup(f"/{name}/{session}")
            cgroups.empty(group, seconds=10)
            group.remove()
        cgroups.cgroup(f"/{name}").remove()
        for owner, base in uids.leased_by(f"{self.instance}/").items():
            uids.give_back(base, owner)
        for mount in self.run.glob("images/*"):
            with contextlib.suppress(OSError):
                kernel.unmount(mount)
        subprocess.run(["rm", "-rf", "--one-file-system", str(self.run)], check=False)


@dataclass
class Terminal:
    """A room's terminal, as the gateway holds it."""

    master: int
    lifeline: int

    def run(self, command: str, seconds: float = PATIENCE_SECONDS) -> str:
        """What a command line prints in the room's shell, in which nothing is echoed."""
        mark = secrets.token_hex(6)
        self.write(f"stty -echo; {command}; printf '\\n%s%s\\n' {mark[:6]} {mark[6:]}\n")
        output = self.read(until_text=mark, seconds=seconds)
        shown = re.sub(r"\x1b(\[[0-9;?]*[a-zA-Z]|\][^\x07]*\x07)", "", output.split(mark)[0])
        return shown.rpartition("stty -echo")[2].split("\n", 1)[-1].replace("\r", "").strip()

    def write(self, text: str) -> None:
        os.write(self.master, text.encode())

    def read(self, *, until_text: str, seconds: float = PATIENCE_SECONDS) -> str:
        end = time.monotonic() + seconds
        output = b""
        while until_text.encode() not in output:
            assert time.monotonic() < end, output.decode(errors="replace")[-2000:]
            if select.select([self.master], [], [], 0.2)[0]:
                output += os.read(self.master, 65536)
        return output.decode(errors="replace")

    def close(self) -> None:
        os.close(self.master)
        os.close(self.lifeline)


def _processes() -> list[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdigit()]


def _is_shim(pid: int) -> bool:
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text()
        return "(sekisho-shim)" in stat and ") Z " not in stat
    return False


def _mounts(process: Path) -> str:
    with contextlib.suppress(OSError):
        return (process / "mountinfo").read_text()
    return ""


@contextlib.contextmanager
def machine(folder: Path, **changes) -> Iterator[Machine]:
    made = Machine(folder, **changes)
    try:
        yield made.start()
    finally:
        made.clean()


def folder_source(path: Path, to: str = "/data") -> tuple[FolderWanted, ...]:
    return (FolderWanted(str(path), to),)
