"""The peer of a desktop room: the same image in a container of podman's, with an Xvnc of the machine's, each started as people start them.

It is given less to do than a room is: no user namespace, no limits on its folders, no file staged, nothing written down, nobody asked.
"""

import contextlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.viewer import Plain, Update, Viewer, painted_at
from sekisho.runtime.bundle import DESKTOP
from sekisho.runtime.images import DEFAULT_CACHE, installed
from sekisho.runtime.seccomp import profile
from tests.gateway.xvnc import start_screen

_SETTINGS = """\
[containers]
default_ulimits = []
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
"""


@dataclass(frozen=True, slots=True)
class Started:
    """Seconds since the command: the screen serves, `podman run` returned, the first whole picture, the desktop painted."""

    screen: float
    running: float
    frame: float
    painted: float


def missing() -> str:
    """Why there is no such peer here; empty if there is."""
    if shutil.which("podman") is None:
        return "podman is not installed: scripts/install-system.sh --bench"
    return ""


@contextlib.contextmanager
def peer() -> Iterator["Podman"]:
    image = installed("desktop", DEFAULT_CACHE)
    assert image is not None
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        (folder / "containers.conf").write_text(_SETTINGS)
        (folder / "seccomp.json").write_text(json.dumps(profile(platform.machine())))
        (folder / "image").mkdir()
        subprocess.run(["mount", "-t", "squashfs", "-o", "loop,ro", str(image.path), str(folder / "image")], check=True)
        stack.callback(subprocess.run, ["umount", str(folder / "image")], check=True)
        yield Podman(folder)


class Podman:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def run(self, *, share: float, quiet_seconds: float) -> Started:
        """A screen, a container with the desktop's first program, and a viewer; everything is removed again."""
        self._count += 1
        name = f"bench-{os.getpid()}-{self._count}"
        begun = time.perf_counter()
        screen = start_screen(self._folder, size="1440x900")
        try:
            serves = time.perf_counter()
            self._podman("run", "--detach", "--name", name, *self._options(screen.display), "--rootfs", f"{self._folder / 'image'}:O", *_command())
            running = time.perf_counter()
            viewer = Viewer(Plain(screen.path)).greet()
            updates: list[Update] = [viewer.update()]
            updates += viewer.updates(quiet_seconds=quiet_seconds)
            viewer.close()
            painted = painted_at(viewer, updates, share=share)
            return Started(*(at - begun for at in (serves, running, updates[0].at, painted)))
        finally:
            self._podman("rm", "--force", "--time", "0", name)
            screen.stop()

    def _options(self, display: int) -> list[str]:
        calls = self._folder / "seccomp.json"
        tmpfs = [f"--tmpfs={name}:mode=1777" for name in ("/data", "/home/operator", "/tmp", "/run")]
        return [
            "--network=none", "--user=1000:1000", "--env=HOME=/home/operator", "--env=DISPLAY=:0", "--env=LANG=ja_JP.UTF-8", "--memory=2g",
            "--pids-limit=512", "--cap-drop=all", "--security-opt=no-new-privileges", f"--security-opt=seccomp={calls}", *tmpfs,
            f"--volume=/tmp/.X11-unix/X{display}:/tmp/.X11-unix/X0",
        ]  # fmt: skip

    def _podman(self, *arguments: str) -> None:
        own = [f"--root={self._folder / 'storage'}", f"--runroot={self._folder / 'run'}"]
        environment = {**os.environ, "CONTAINERS_CONF": str(self._folder / "containers.conf")}
        done = subprocess.run(["podman", *own, *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def _command() -> list[str]:
    return ["/usr/bin/tini", "-g", "--", "/bin/sh", "-c", DESKTOP]
