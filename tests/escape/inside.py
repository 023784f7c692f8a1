"""Sessions with an attacker inside, for the escape suite, and what such an attacker could have learnt of the machine."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.runtime.machine import MIB, Machine, Terminal, folder_source

from sekisho.runtime.protocol import RuntimeState, SpecLimits

HERE = Path(__file__).parent
PORTS = (443, 8443)
LIMITS = SpecLimits(memory_bytes=256 * MIB, data_bytes=48 * MIB, home_bytes=16 * MIB, tmp_bytes=32 * MIB, cpu=1.0, processes=128)
TOTAL = LIMITS.memory_bytes + LIMITS.data_bytes + LIMITS.home_bytes + LIMITS.tmp_bytes
END_SECONDS = 15.0


def attempts(option: str) -> list[str]:
    """The names of those that need no argument: `--list`, or `--list-on-screen`."""
    return subprocess.run([sys.executable, str(HERE / "probes.py"), option], capture_output=True, text=True, check=True).stdout.split()


@dataclass
class Inside:
    """A session with an attacker at its terminal."""

    session: str
    terminal: Terminal

    def attempt(self, name: str, *arguments: str, seconds: float = 30.0) -> str:
        """Its one line; more than one is what an attempt's own child had to say, and a breach among them counts."""
        quoted = " ".join(f"'{each}'" for each in arguments)
        text = self.terminal.run(f"python3 /data/probes.py {name} {quoted} 2>&1 < /dev/null", seconds=seconds)
        said = [line for line in text.splitlines() if line.startswith(("refused: ", "BREACH"))]
        return min(said, default=text)  # "BREACH" sorts before "refused"

    def behind(self, name: str, *arguments: str, ready: str) -> None:
        """Start what stays, and wait for the file by which it says that it is there."""
        quoted = " ".join(f"'{each}'" for each in arguments)
        self.terminal.run(f"rm -f '{ready}'; (setsid python3 /data/probes.py {name} {quoted} > /tmp/behind 2>&1 < /dev/null &)")
        for _ in range(200):
            if "there" in self.terminal.run(f"test -e '{ready}' && echo there; sleep 0.02"):
                return
        raise AssertionError(self.terminal.run("cat /tmp/behind"))

    def quiet(self) -> None:
        """End whatever an attempt left running."""
        self.terminal.run("kill -9 $(ps -eo pid=,args= | awk '/probes[.]py/ {print $1}') 2>/dev/null; rm -f /tmp/behind; true")


def make_source(folder: Path) -> Path:
    """The attempts, as a folder that is staged into /data."""
    shutil.copy(HERE / "probes.py", folder)
    shutil.copytree(HERE / "attempts", folder / "attempts", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def enter(agent: Machine, source: Path, **changes) -> Inside:
    session = agent.ready(seconds=900.0, folders=folder_source(source), ports=PORTS, limits=LIMITS, **changes)
    return Inside(session, agent.terminal(session))


def must_live(agent: Machine, neighbour: Inside) -> None:
    """The other session answers, the agent answers."""
    assert neighbour.terminal.run("echo alive", seconds=10).endswith("alive")
    assert agent.listed()[neighbour.session].state is RuntimeState.READY


def first_process(agent: Machine, session: str) -> int:
    return int((agent.run / "s" / session / "bundle" / "pid").read_text())


@contextlib.contextmanager
def facts_of(agent: Machine, attacker: Inside, neighbour: Inside, folder: Path) -> Iterator[str]:
    """The machine's side: a listener on loopback, one with an abstract name, a file and a socket; and all that an attacker could have learnt of it."""
    (folder / "secret").write_text("outside")
    with contextlib.ExitStack() as open_ends:
        listener = open_ends.enter_context(socket.create_server(("127.0.0.1", 0)))
        abstract = f"sekisho-{agent.instance}-outside"
        for name in (f"\0{abstract}", str(folder / "door")):
            door = open_ends.enter_context(socket.socket(socket.AF_UNIX))
            door.bind(name)
            door.listen()
        other = agent.shims[neighbour.session], first_process(agent, neighbour.session)
        yield json.dumps(
            {
                "pids": [agent.process.pid, os.getpid(), agent.shims[attacker.session], first_process(agent, attacker.session), *other],
                "names": [agent.instance, neighbour.session, str(folder), str(agent.folder)],
                "paths": [
                    str(path) for path in (folder / "secret", folder / "door", agent.folder, agent.run, agent.run / "agent.sock", agent.run / "open.sock")
                ]
                + [f"{agent.run}/s/{neighbour.session}.sock", "/run/sekisho-uids", "/sys/fs/cgroup", "/var/lib/sekisho"],
                "port": listener.getsockname()[1],
                "abstract": abstract,
            }
        )
