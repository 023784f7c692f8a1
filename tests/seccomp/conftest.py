"""A real container by runc: the terminal image, a user namespace, uid 1000, no capabilities, no new privileges, and our profile."""

import json
import platform
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from sekisho.runtime import images, seccomp
from sekisho.runtime.image_sources import machine_sources

UID_BASE = 2_000_000_000
SECONDS = 120

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def image() -> Path:
    wanted = images.definition("terminal")
    return images.build(wanted, cache=images.DEFAULT_CACHE, sources=machine_sources(wanted.recipe.suite), progress=lambda _: None).path


@pytest.fixture(scope="session")
def container(image: Path) -> Iterator[Run]:
    """`run(arguments, standard input, profile)`: one container, from start to end. Its mounts live in a mount namespace that dies with it."""
    with tempfile.TemporaryDirectory(prefix="seccomp-test-") as name:  # not tmp_path: the room's root must be able to walk to it
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "root").mkdir()
        yield partial(_run, image, folder)


def _run(image: Path, folder: Path, arguments: list[str], given: str = "", profile: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    (folder / "config.json").write_text(json.dumps(_config(arguments, seccomp.profile(platform.machine()) if profile is None else profile)))
    name = f"seccomp-{uuid4().hex[:12]}"
    script = 'mount -t squashfs -o loop,ro,nosuid,nodev "$1" "$2/root" && exec runc --root "$2/state" run --bundle "$2" "$3"'
    try:
        return subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", str(image), str(folder), name],
            input=given, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
    finally:
        subprocess.run(["runc", "--root", str(folder / "state"), "delete", "--force", name], capture_output=True, check=False)


def _config(arguments: list[str], profile: dict[str, Any]) -> dict[str, Any]:
    none: list[str] = []
    tmpfs = {"type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777", "size=64m"]}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 1000, "gid": 1000},
            "args": arguments,
            "env": ["PATH=/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8", "TERM=xterm-256color"],
            "cwd": "/tmp",
            "capabilities": dict.fromkeys(("bounding", "effective", "inheritable", "permitted", "ambient"), none),
            "noNewPrivileges": True,
        },
        "root": {"path": "root", "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
            {"destination": "/tmp", **tmpfs},
            {"destination": "/dev/shm", **tmpfs},
        ],
        "linux": {
            "uidMappings": [{"containerID": 0, "hostID": UID_BASE, "size": 65536}],
            "gidMappings": [{"containerID": 0, "hostID": UID_BASE, "size": 65536}],
            "namespaces": [{"type": kind} for kind in ("user", "pid", "mount", "ipc", "uts", "network")],
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "seccomp": profile,
        },
    }
