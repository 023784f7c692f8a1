"""A whole installation for tests and benchmarks: `sekisho up --demo` as a newcomer starts it, its people signed in, its processes to kill,
and everything cleaned up after."""

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_websocket

from sekisho.audit.verify import verify_log
from sekisho.cli.loopback import LoopbackTransport
from sekisho.runtime import cgroups, uids
from sekisho.settings import open_installation
from sekisho.system import kernel

PASSWORD = "correct horse battery"
PATIENCE_SECONDS = 60.0
SOURCE = Path(__file__).resolve().parents[2] / "src"


def until(what: str, condition: Callable[[], object], seconds: float = PATIENCE_SECONDS):
    """Wait for a condition with a deadline; gives what it gave."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s: {what}")


def free_port() -> int:
    """A port with a free one after it."""
    for _ in range(100):
        with socket.create_server(("127.0.0.1", 0)) as one:
            port = one.getsockname()[1]
            with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port + 1)):
                return port
    raise AssertionError("no two free ports in a row")


@dataclass
class Whole:
    state: Path
    port: int = field(default_factory=free_port)
    links: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return f"https://sekisho.localhost:{self.port}"

    @property
    def authority(self) -> Path:
        return self.state / "tls" / "ca.pem"

    @property
    def installation(self):
        return open_installation(self.state)

    def start(self) -> "Whole":
        log = (self.state.parent / f"{self.state.name}.out").open("a+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sekisho.programs.up", "--state", str(self.state), "--listen", f"127.0.0.1:{self.port}", "--demo"],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            text=True,
        )
        begins = log.tell()

        def said() -> str | None:
            assert self.process.poll() is None, Path(log.name).read_text()[-3000:]
            text = Path(log.name).read_text()[begins:]
            return text if "log key" in text else None

        text = until("sekisho is up", said)
        log.close()
        self.links |= dict(re.findall(r"^  (\w+) +(https://\S+/link/\S+)$", text, re.MULTILINE))
        return self

    def stop(self) -> None:
        """As Ctrl-C."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)

    def kill(self) -> None:
        """kill -9 of `up`; its children end with it."""
        self.process.kill()
        self.process.wait()
        until("no process of the installation is left", lambda: not [pid for name in PROCESSES for pid in self.pids(name)])

    def client(self, name: str | None = None) -> httpx.Client:
        """An API client; signed in as `name`, whose password is set through the link the first time."""
        context = ssl.create_default_context(cafile=str(self.authority))
        client = httpx.Client(base_url=self.origin, transport=LoopbackTransport(verify=context), timeout=30)
        self.clients.append(client)
        if name is not None:
            if name in self.links:
                self.set_password(name)
            answer = client.post("/api/sign-in", json={"name": name, "password": PASSWORD})
            assert answer.status_code == 200, answer.text
            client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        return client

    def set_password(self, name: str) -> None:
        """As a person does with their link, but that the pages' cookies are carried by hand: the test dials an address, not the name they are for."""
        link = self.links.pop(name)
        with self.client() as page:
            cookies: dict[str, str] = {}

            def ask(method: str, path: str, **options) -> httpx.Response:
                answer = page.request(method, path, headers={"Origin": self.origin, "Cookie": "; ".join(f"{k}={v}" for k, v in cookies.items())}, **options)
                cookies.update(header.split(";")[0].split("=", 1) for header in answer.headers.get_list("set-cookie"))
                assert answer.status_code in {200, 303}, answer.text
                return answer

            token = _form_token(ask("GET", link).text)
            account = ask("POST", link, data={"form_token": token}).headers["location"]
            form = {"form_token": _form_token(ask("GET", account).text), "new": PASSWORD, "again": PASSWORD}
            ask("POST", "/account/password", data=form)

    def grant(self, operator: httpx.Client, approver: httpx.Client, *, room: str = "campaign", seconds: int = 3600) -> str:
        """Ask and approve; gives the session's id."""
        asked = operator.post(
            "/api/requests", json={"room": room, "reason": "weekly campaign upload", "ticket": "MKT-42", "starts_at": None, "duration_seconds": seconds}
        )
        assert asked.status_code == 201, asked.text
        request = asked.json()["id"]
        approved = approver.post(f"/api/requests/{request}/approve", json={"note": ""})
        assert approved.status_code == 200, approved.text
        return "s-" + request.removeprefix("r-")

    def state_of(self, client: httpx.Client, session: str) -> str:
        found = [each for each in client.get("/api/sessions").json()["sessions"] if each["id"] == session]
        return found[0]["state"] if found else ""

    def wait_state(self, client: httpx.Client, session: str, *states: str) -> str:
        return until(f"{session} is {states}", lambda: (state := self.state_of(client, session)) in states and state)

    def enter(self, client: httpx.Client, session: str) -> "Prompt":
        return Prompt(self, *self.ticket(client, session, kind="terminal"))

    def ticket(self, client: httpx.Client, session: str, *, kind: str) -> tuple[str, str]:
        """What opens one WebSocket, and which."""
        answer = client.post(f"/api/sessions/{session}/enter", json={"kind": kind})
        assert answer.status_code == 200, answer.text
        return answer.json()["websocket"], answer.json()["ticket"]

    def entries(self, auditor: httpx.Client, **filters) -> list[dict]:
        found, after = [], -1
        while page := auditor.get("/api/log", params={"after": after, "limit": 500, **filters}).json()["entries"]:
            found += page
            after = page[-1]["index"]
        return found

    def verified(self):
        return verify_log(self.state / "log", vkey=(self.state / "log" / "log.vkey").read_text().strip())

    def pids(self, name: str) -> list[int]:
        """Processes of this installation by their program."""
        wanted = f"sekisho.programs.{name}\0--state\0{self.state}\0".encode()
        found = []
        for path in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if path.name.isdigit() and wanted in (path / "cmdline").read_bytes() and (path / "comm").read_text().strip() != "sekisho-shim":
                    found.append(int(path.name))
        return found

    def kill_one(self, name: str) -> None:
        """kill -9 of one process. A shim that was forked a moment ago still looks like its agent."""
        (pid,) = until(f"one {name}", lambda: found if len(found := self.pids(name)) == 1 else None)
        os.kill(pid, signal.SIGKILL)

    def shim(self, session: str) -> int:
        record = json.loads((self.state / "agent" / "sessions" / f"{session}.json").read_text())
        return record["shim"]

    def leftovers(self, session: str) -> list[str]:
        """Everything on the machine that still speaks of a session, but the books of agent and store."""
        name = f"sekisho-{self.installation.short}"
        found = [f"cgroup {session}"] if session in cgroups.owners(name) else []
        found += [f"{path.name}: {line}" for path, line in _mount_lines() if session in line]
        run = self.installation.run
        found += [str(path) for folder in (run, run / "s", run / "runc") if folder.is_dir() for path in folder.iterdir() if session in path.name]
        found += [f"lease {owner}" for owner in uids.leased_by(f"{self.installation.short}/{session}")]
        return found

    def clean(self) -> None:
        for client in self.clients:
            client.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if not (self.state / "instance.json").exists():
            return
        short, run = self.installation.short, self.installation.run
        for path, line in _mount_lines():
            if str(run) + "/s/" in line and (Path("/proc") / path.name / "comm").read_text().strip() == "sekisho-shim":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(path.name), signal.SIGKILL)
        for session in cgroups.owners(f"sekisho-{short}"):
            group = cgroups.cgroup(f"/sekisho-{short}/{session}")
            cgroups.empty(group, seconds=10)
            group.remove()
        cgroups.cgroup(f"/sekisho-{short}").remove()
        for owner, base in uids.leased_by(f"{short}/").items():
            uids.give_back(base, owner)
        for mount in run.glob("images/*"):
            with contextlib.suppress(OSError):
                kernel.unmount(mount)
        subprocess.run(["rm", "-rf", "--one-file-system", str(run)], check=False)


PROCESSES = ("audit", "agent", "egress", "control", "gateway", "portal")


class Line:
    """The WebSocket of a room, as its pages use it: a ticket first, then JSON as text beside what the room itself says."""

    def __init__(self, whole: Whole, url: str, ticket: str, **hello: int) -> None:
        context = ssl.create_default_context(cafile=str(whole.authority))
        # This client reads in a thread of its own, and before Python 3.13 two threads of one TLS connection are not kept apart: with the session tickets of
        # TLS 1.3, which it reads while it asks to come in, one connection in some thousands stood still for ever.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        host, port = re.fullmatch(r"wss://([^:/]+):(\d+)/.*", url).groups()
        plain = socket.create_connection(("127.0.0.1", int(port)))
        self._ends = contextlib.ExitStack()
        self._socket = self._ends.enter_context(connect_websocket(url, sock=plain, ssl=context, server_hostname=host, compression=None))
        self._socket.send(json.dumps({"ticket": ticket, **hello}))
        self.said: dict = json.loads(self._socket.recv(timeout=PATIENCE_SECONDS))
        self.ended: dict | None = None

    def hear(self, said: dict) -> None:
        if "ended" in said:
            self.ended = said["ended"]

    def wait_end(self, seconds: float = PATIENCE_SECONDS) -> dict:
        """Read until the gateway says why it ends, or closes."""
        with contextlib.suppress(ConnectionClosed):
            end = time.monotonic() + seconds
            while True:
                message = self._socket.recv(timeout=max(0.01, end - time.monotonic()))
                if isinstance(message, str):
                    self.hear(json.loads(message))
        return self.ended or {}

    def leave(self) -> None:
        self._socket.send(json.dumps({"leave": True}))

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the plain connection first: the library's reader would wait for ever if both sides say goodbye at once
            socket.socket.shutdown(self._socket.socket, socket.SHUT_RDWR)
        self._ends.close()


class Prompt(Line):
    """A terminal over the gateway's WebSocket, as the page and `sekisho enter` use it."""

    def __init__(self, whole: Whole, url: str, ticket: str) -> None:
        super().__init__(whole, url, ticket, columns=120, rows=40)
        self._seen = b""

    def type(self, keys: str) -> None:
        self._socket.send(keys.encode())

    def run(self, command: str, seconds: float = PATIENCE_SECONDS) -> str:
        """What a command prints, without escape sequences. Marks that the echo of the line does not show stand before and after it."""
        begin, end = (f"{time.monotonic_ns():x}{side}" for side in "be")
        self._socket.send(f"stty -echo; printf '%s%s\\n' {begin[:4]} {begin[4:]}; {command}; printf '\\n%s%s\\n' {end[:4]} {end[4:]}\n".encode())
        shown = re.sub(r"\x1b(\[[0-9;?]*[a-zA-Z]|\][^\x07]*\x07)", "", self.read(end, seconds).split(end)[0])
        return shown.rpartition(begin)[2].replace("\r", "").strip()

    def read(self, until_text: str, seconds: float = PATIENCE_SECONDS) -> str:
        end = time.monotonic() + seconds
        self._seen = b""
        while until_text.encode() not in self._seen:
            message = self._socket.recv(timeout=max(0.01, end - time.monotonic()))
            if isinstance(message, bytes):
                self._seen += message
            else:
                self.hear(json.loads(message))
        return self._seen.decode(errors="replace")


@contextlib.contextmanager
def whole(state: Path) -> Iterator[Whole]:
    made = Whole(state)
    try:
        yield made.start()
    finally:
        made.clean()


def _form_token(page: str) -> str:
    return re.search(r'name="form_token" value="([0-9a-f]+)"', page)[1]


def _mount_lines() -> list[tuple[Path, str]]:
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):
                found += [(path, line) for line in (path / "mountinfo").read_text().splitlines() if "sekisho" in line]
    return found
