"""The OCI runtime as a command line: runc by default, any other by setting. Arguments as of runc 1.1; output goes to a file that is read when a call failed."""

import array
import json
import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from sekisho.runtime.paths import SessionPaths
from sekisho.system import kernel

DELETE_SECONDS = 20


class Console:
    """Where the runtime hands over the pseudo-terminal's master (`--console-socket`, runc docs/terminals.md)."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._listener.settimeout(5)

    def master(self) -> int:
        """The descriptor that the runtime sent. Raises OSError if it sent none."""
        end, _ = self._listener.accept()
        with end:
            _, ancillary, _, _ = end.recvmsg(256, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
        for _, _, content in ancillary:
            found = array.array("i", content)
            os.set_blocking(found[0], False)
            return found[0]
        raise OSError("the runtime handed over no terminal")

    def close(self) -> None:
        self._listener.close()


def start(command: str, paths: SessionPaths, content: Mapping[str, object]) -> tuple[subprocess.Popen[bytes], Console]:
    """Begin `run --detach`; the process ends when the room's first process runs. Then ask the console for the master."""
    (paths.bundle / "config.json").write_text(json.dumps(content), encoding="utf-8")
    console = Console(paths.console)
    with (paths.bundle / "runtime.log").open("wb") as log:
        process = subprocess.Popen(
            [command, "--root", str(paths.agent.runtime_root), "run", "--detach", "--bundle", str(paths.bundle), "--console-socket", str(paths.console),
             "--pid-file", str(paths.bundle / "pid"), paths.container],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, close_fds=True,
            preexec_fn=lambda: kernel.die_with_parent(signal.SIGKILL),  # noqa: PLW1509  a shim has one thread; without it nothing may go on making a room
        )  # fmt: skip
    return process, console


def first_process(paths: SessionPaths) -> int:
    return int((paths.bundle / "pid").read_text(encoding="ascii"))


def complaint(paths: SessionPaths) -> str:
    """The runtime's last words, one line, for people."""
    try:
        lines = (paths.bundle / "runtime.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except FileNotFoundError:
        lines = []
    return lines[-1][:400] if lines else "it said nothing"


def delete(command: str, paths: SessionPaths) -> bool:
    """Remove what the runtime remembers. True if nothing is left of it."""
    memory = paths.agent.runtime_root / paths.container
    if memory.exists():
        subprocess.run(
            [command, "--root", str(paths.agent.runtime_root), "delete", "--force", paths.container],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=DELETE_SECONDS, check=False,
        )  # fmt: skip
    return not memory.exists()
