"""Tries on this machine what a room stands on, in a child process whose namespaces take every trace with them when it ends.

`python -m sekisho.runtime.machine_trial FOLDER` prints a JSON object: for each thing tried, an empty text or why it failed. FOLDER is empty and the caller's.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from sekisho.runtime.uids import FIRST, SIZE
from sekisho.system import kernel

_CLONE_NEWCGROUP, _CLONE_NEWUTS, _CLONE_NEWIPC, _CLONE_NEWPID = 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x2000_0000
_OTHER_NAMESPACES = _CLONE_NEWCGROUP | _CLONE_NEWUTS | _CLONE_NEWIPC | _CLONE_NEWPID


def try_all(folder: Path) -> dict[str, str]:
    """In order: later ones stand on earlier ones. Only for a process of its own: its namespaces change."""
    return {
        "mount-namespace": _tried(lambda: kernel.unshare(kernel.CLONE_NEWNS), kernel.forget_propagation),
        "network-namespace": _tried(lambda: kernel.unshare(kernel.CLONE_NEWNET)),
        "user-namespace": _tried(lambda: os.close(kernel.user_namespace(FIRST, SIZE))),
        "squashfs": _tried(lambda: _mount_squashfs(folder)),
        "shifted-ids": _tried(lambda: _shift_ids(folder)),
        "memory-folder": _tried(lambda: _mount_memory(folder, "size=64k")),
        "memory-never-swapped": _tried(lambda: _mount_memory(folder, "size=64k,noswap")),
        "other-namespaces": _tried(lambda: kernel.unshare(_OTHER_NAMESPACES)),  # last: after it this process can fork only once
    }


def _tried(*acts: Callable[[], object]) -> str:
    try:
        for act in acts:
            act()
    except OSError as error:
        return error.strerror or str(error)
    except subprocess.CalledProcessError as error:
        return str(error.stderr).strip()[-200:] or f"{error.cmd[0]} gave {error.returncode}"
    return ""


def _mount_squashfs(folder: Path) -> None:
    (folder / "content").mkdir()
    (folder / "image").mkdir()
    (folder / "content" / "file").write_bytes(b"x")
    _run("mksquashfs", str(folder / "content"), str(folder / "file.squashfs"), "-comp", "zstd", "-quiet", "-no-progress")
    _run("mount", "-t", "squashfs", "-o", "loop,ro,nosuid,nodev", str(folder / "file.squashfs"), str(folder / "image"))


def _shift_ids(folder: Path) -> None:
    (folder / "shifted").mkdir()
    namespace = kernel.user_namespace(FIRST, SIZE)
    try:
        kernel.bind_with_ids(folder / "image", folder / "shifted", namespace)
    finally:
        os.close(namespace)


def _mount_memory(folder: Path, options: str) -> None:
    (folder / "memory").mkdir(exist_ok=True)
    kernel.mount("sekisho", folder / "memory", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(try_all(Path(sys.argv[1]))))
