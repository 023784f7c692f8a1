"""`sekisho up`: everything on this machine. Makes what is missing, starts the processes, starts again what dies, and ends them when it ends.

When it is killed its children end with it; sessions go on under their shims to their deadline, and are found again by the next `up`.
"""

import argparse
import fcntl
import json
import os
import selectors
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import sekisho
from sekisho.model.errors import Trouble
from sekisho.programs import PROCESSES
from sekisho.programs.certificates import fingerprint, make_authority, make_certificate
from sekisho.programs.demo import write_demo
from sekisho.programs.factor_key import make_factor_key
from sekisho.programs.folders import give, make_folders
from sekisho.programs.reach import make_reachable
from sekisho.programs.start import listening_socket, run_program
from sekisho.programs.web import Addresses, addresses, remember
from sekisho.runtime.cgroups import cgroup
from sekisho.settings import DEFAULT_STATE, SERVICES, Installation, Settings, make_installation, read_settings
from sekisho.system import kernel
from sekisho.system.files import write_whole

READY_SECONDS = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE, _GOOD_SECONDS = 0.1, 5.0, 10.0


@dataclass(slots=True)
class Child:
    name: str
    command: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None
    watch: int = -1
    started: float = 0.0
    pause: float = _FIRST_PAUSE
    due: float | None = None  # when it is started again


@dataclass(slots=True)
class Supervisor:
    """Children and the loop that keeps them. `run` ends after SIGTERM or SIGINT."""

    children: list[Child]
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _ending: bool = False

    def start(self, child: Child) -> None:
        child.process = subprocess.Popen([*child.command, "--parent", str(os.getpid())], stdin=subprocess.DEVNULL, start_new_session=True)  # Ctrl-C is for us
        child.started, child.due = time.monotonic(), None
        child.watch = os.pidfd_open(child.process.pid)
        self._selector.register(child.watch, selectors.EVENT_READ, child)

    def run(self) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, self._end)
        while not self._ending:
            self.look(self._patience())

    def look(self, seconds: float) -> None:
        """Wait for a death, and start again whose time has come."""
        for key, _ in self._selector.select(seconds):
            self._bury(key.data)
        for child in self.children:
            if child.due is not None and child.due <= time.monotonic():
                self.start(child)
        _reap_strangers({child.process.pid for child in self.children if child.process})

    def _end(self, *_signal: object) -> None:
        self._ending = True

    def _patience(self) -> float:
        waits = [child.due - time.monotonic() for child in self.children if child.due is not None]
        return max(0.0, min([1.0, *waits]))

    def _bury(self, child: Child) -> None:
        """Start it again, at once the first time, more slowly if it keeps dying."""
        assert child.process is not None
        self._selector.unregister(child.watch)
        os.close(child.watch)
        code = child.process.wait()
        lived = time.monotonic() - child.started
        child.pause = _FIRST_PAUSE if lived > _GOOD_SECONDS else min(child.pause * 2, _LONGEST_PAUSE)
        child.due = time.monotonic() + child.pause
        print(f"sekisho: {child.name} ended with {code}; it is started again in {child.pause:.1f} s", file=sys.stderr, flush=True)

    def stop(self) -> None:
        """In reverse order, so that nobody loses whom it counts on; whoever takes too long is killed: crash only."""
        for child in reversed(self.children):
            if child.process is not None and child.process.poll() is None:
                child.process.terminate()
                try:
                    child.process.wait(5)
                except subprocess.TimeoutExpired:
                    child.process.kill()
                    child.process.wait()


def _reap_strangers(own: set[int]) -> None:
    """Shims of an agent that died are ours now; collect those that end."""
    with suppress(ChildProcessError):
        while True:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is None or found.si_pid in own:
                return
            os.waitpid(found.si_pid, 0)


def up(*, state: Path, listen: str | None, demo: bool) -> None:
    """Returns after it was told to end. Raises Trouble for what a person can mend."""
    if os.geteuid() != 0:
        raise Trouble("not-root", "sekisho up must be root, for namespaces, mounts and uids", hint="sudo sekisho up")
    installation = make_installation(state)
    with _alone(installation):
        make_folders(installation)
        make_factor_key(installation)
        if demo:
            write_demo(installation)
        settings = read_settings(installation.state)
        where = addresses(settings, listen)
        for port in (where.portal_port, where.rooms_port):
            listening_socket(where.host, port).close()  # said now, in one line, rather than by a process that keeps dying
        remember(installation.state, where)
        make_reachable(_needed(installation, settings))
        _make_certificates(installation, settings, where)
        links = _prepare_store(installation, where, demo=demo)
        kernel.adopt_orphans()
        supervisor = Supervisor([_child(name, installation, listen) for name in (*PROCESSES, *(("demo_site",) if demo else ()))])
        try:
            _start(supervisor, installation, where)
            _greet(installation, where, links)
            supervisor.run()
        finally:
            supervisor.stop()
            _tidy(installation)


def _needed(installation: Installation, settings: Settings) -> list[Path]:
    """What the processes read: state, code, images, sources."""
    code = [Path(sys.prefix), Path(sys.base_prefix), Path(sekisho.__file__).parent]
    of_buckets = [path for bucket in settings.buckets.values() for path in (bucket.credentials, bucket.trust)]
    files = [path for path in (settings.egress.trust, settings.web.certificate, settings.web.key, *of_buckets) if path]
    return [installation.state, *code, settings.runtime.images, *settings.sources.values(), *files]


def _tidy(installation: Installation) -> None:
    """With no session left, nothing of this installation is left on the machine but its state folder."""
    sessions = installation.run / "s"
    if sessions.is_dir() and any(sessions.iterdir()):
        return
    for image in (installation.run / "images").glob("*"):
        with suppress(OSError):
            kernel.unmount(image)
    cgroup(f"/sekisho-{installation.short}").remove()
    shutil.rmtree(installation.run, ignore_errors=True)


@contextmanager
def _alone(installation: Installation) -> Iterator[None]:
    """One `up` for a state folder. The lock goes with the process, however it ends."""
    with (installation.state / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Trouble("already-up", f"another sekisho up runs for {installation.state}", hint="end it first, or give another --state") from error
        yield


def _child(name: str, installation: Installation, listen: str | None) -> Child:
    own = ("--listen", listen) if listen else ()
    return Child(name, (sys.executable, "-m", f"sekisho.programs.{name}", "--state", str(installation.state), *own))


def _make_certificates(installation: Installation, settings: Settings, where: Addresses) -> None:
    """For portal and rooms: by the installation's own authority, or copied from the files that the settings name, readable by the service alone."""
    folder = installation.state / "tls"
    now = datetime.now(UTC)
    make_authority(folder, installation.short, now)
    for service, name in (("portal", settings.web.portal_name), ("gateway", settings.web.rooms_name)):
        certificate, key = installation.tls(service)
        if settings.web.certificate and settings.web.key:
            write_whole(certificate, settings.web.certificate.read_bytes(), mode=0o644)
            write_whole(key, settings.web.key.read_bytes())
        else:
            make_certificate(folder, (name, where.host), certificate, key, now)
        give(key, installation.uid(service), installation.uid(service), 0o400)


def _prepare_store(installation: Installation, where: Addresses, *, demo: bool) -> list[tuple[str, str]]:
    """Migrate the store and make the first people, as the user that owns it. (name, sign-in link) of those who have no password yet."""
    command = [sys.executable, "-m", "sekisho.programs.prepare", "--state", str(installation.state), "--origin", where.portal_origin]
    done = subprocess.run([*command, *(["--demo"] if demo else [])], stdout=subprocess.PIPE, check=False, text=True)
    if done.returncode:
        raise Trouble("store-not-ready", "the store could not be made ready", hint="see the lines above")
    return [(each["name"], each["link"]) for each in json.loads(done.stdout)]


def _start(supervisor: Supervisor, installation: Installation, where: Addresses) -> None:
    """The log first: its key is what the others show. Then all the rest at once."""
    for name in SERVICES:
        installation.socket(name).unlink(missing_ok=True)  # of an earlier life: what is there from now on is alive
    first, *rest = supervisor.children
    supervisor.start(first)
    _wait(supervisor, lambda: installation.socket("audit").exists() and _log_key_path(installation).exists())
    for child in rest:
        supervisor.start(child)
    sockets = [installation.socket(name) for name in ("agent", "egress", "control")]
    ports = (where.portal_port, where.rooms_port)
    _wait(supervisor, lambda: all(path.exists() for path in sockets) and all(_answers(where.host, port) for port in ports))


def _wait(supervisor: Supervisor, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise Trouble("not-ready", f"not everything was ready within {READY_SECONDS:.0f} s", hint="see the lines above, and sekisho check")
        supervisor.look(0.02)


def _answers(host: str, port: int) -> bool:
    """Whether somebody shakes hands there; a port that is bound may still be somebody who is starting."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # only whether, not who
    try:
        with socket.create_connection((host, port), timeout=2) as plain, context.wrap_socket(plain):
            return True
    except OSError:
        return False


def _greet(installation: Installation, where: Addresses, links: list[tuple[str, str]]) -> None:
    authority = installation.state / "tls" / "ca.pem"
    lines = [
        "Sekisho is up.",
        f"  portal       {where.portal_origin}",
        f"  authority    {authority}",
        f"  fingerprint  {fingerprint(authority)}",
        f"  log key      {_log_key(installation)}",
    ]
    if links:
        lines += ["Sign-in links, each good once and for a day:", *(f"  {name:<12} {link}" for name, link in links)]
    print("\n".join(lines), flush=True)


def _log_key(installation: Installation) -> str:
    return _log_key_path(installation).read_text(encoding="utf-8").strip()


def _log_key_path(installation: Installation) -> Path:
    return installation.log / "log.vkey"


def main() -> None:
    parser = argparse.ArgumentParser(prog="sekisho up")
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE)
    parser.add_argument("--listen")
    parser.add_argument("--demo", action="store_true")
    found = parser.parse_args()
    run_program(lambda: up(state=found.state, listen=found.listen, demo=found.demo))


if __name__ == "__main__":
    main()
