"""One cgroup for each session, with children for its parts: what limits it, freezes it, kills it, and shows that nothing is left.

Two layouts: version 2 (one tree), and version 1 or hybrid (a tree for each controller). A session's cgroup is `sekisho-INSTANCE/SESSION`; tmpfs pages
are charged inside it, so the memory limit is that of applications and files together. cgroups(7), kernel Documentation/admin-guide/cgroup-v{1,2}.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sekisho.runtime.thrashing import MemorySeen
from sekisho.system import processes

ROOT = Path("/sys/fs/cgroup")
CPU_PERIOD_MICROSECONDS = 100_000
_SOCKETS_SHARE = 8  # version 1 counts what lies in TCP and UDP sockets apart: this part of the memory limit, on top of it


@dataclass(frozen=True, slots=True)
class CgroupLimits:
    memory_bytes: int
    processes: int
    cpu: float


class Cgroup(Protocol):
    """A session's cgroup. `path` is what an OCI runtime is told, below the root of the trees."""

    path: str

    def create(self, limits: CgroupLimits, children: tuple[str, ...]) -> None: ...

    def enter(self, child: str, pid: int) -> None: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...

    def processes(self) -> set[int]: ...

    def memory(self) -> MemorySeen: ...

    def kill(self) -> None:
        """Send SIGKILL to every process in it, also while it is frozen."""
        ...

    def remove(self) -> bool:
        """Remove the cgroup and all below it. False while a process is left. Removing what is gone is True."""
        ...


def cgroup(path: str, *, root: Path = ROOT) -> Cgroup:
    """The session's cgroup in this machine's layout."""
    return UnifiedCgroup(path, root) if (root / "cgroup.controllers").exists() else SplitCgroup(path, root)


def owners(instance: str, *, root: Path = ROOT) -> set[str]:
    """The sessions that have a cgroup of this installation."""
    folders = [root / instance] if (root / "cgroup.controllers").exists() else [tree / instance for tree in _trees(root)]
    return {child.name for folder in folders if folder.is_dir() for child in folder.iterdir() if child.is_dir()}


def _trees(root: Path) -> list[Path]:
    return [tree for tree in root.iterdir() if tree.is_dir() and not tree.is_symlink() and (tree / "cgroup.procs").exists()]


def _write(path: Path, value: str) -> None:
    path.write_text(value, encoding="ascii")


def _below(folder: Path) -> Iterator[Path]:
    """A folder's descendants and itself, deepest first."""
    with suppress(FileNotFoundError):
        for child in folder.iterdir():
            if child.is_dir():
                yield from _below(child)
        yield folder


def _processes(folder: Path) -> set[int]:
    found: set[int] = set()
    for each in _below(folder):
        with suppress(FileNotFoundError, OSError):
            found.update(int(line) for line in (each / "cgroup.procs").read_text(encoding="ascii").split())
    return found


def _memory(folder: Path, *, used: str, limit: str, prefix: str) -> MemorySeen:
    stat = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
    return MemorySeen(
        used_bytes=int((folder / used).read_text(encoding="ascii")),
        limit_bytes=int((folder / limit).read_text(encoding="ascii")),
        file_bytes=int(stat[f"{prefix}inactive_file"]) + int(stat[f"{prefix}active_file"]),
        refaults=int(stat[f"{prefix}workingset_refault_file"]),
    )


def _remove(folder: Path) -> bool:
    for each in _below(folder):
        try:
            each.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


class UnifiedCgroup:
    """cgroup version 2."""

    def __init__(self, path: str, root: Path) -> None:
        self.path = path
        self._folder = root / path.lstrip("/")

    def create(self, limits: CgroupLimits, children: tuple[str, ...]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for ancestor in (self._folder.parent.parent, self._folder.parent):
            _write(ancestor / "cgroup.subtree_control", "+cpu +memory +pids")
        _write(self._folder / "memory.max", str(limits.memory_bytes))
        with suppress(FileNotFoundError):  # there is no such file on a machine without swap accounting
            _write(self._folder / "memory.swap.max", "0")
        _write(self._folder / "pids.max", str(limits.processes))
        _write(self._folder / "cpu.max", f"{int(limits.cpu * CPU_PERIOD_MICROSECONDS)} {CPU_PERIOD_MICROSECONDS}")
        _write(self._folder / "cgroup.subtree_control", "+cpu +memory +pids")
        for child in children:
            (self._folder / child).mkdir(exist_ok=True)

    def enter(self, child: str, pid: int) -> None:
        _write(self._folder / child / "cgroup.procs", str(pid))

    def freeze(self) -> None:
        _write(self._folder / "cgroup.freeze", "1")

    def thaw(self) -> None:
        with suppress(FileNotFoundError):
            _write(self._folder / "cgroup.freeze", "0")

    def processes(self) -> set[int]:
        return _processes(self._folder)

    def memory(self) -> MemorySeen:
        return _memory(self._folder, used="memory.current", limit="memory.max", prefix="")

    def kill(self) -> None:
        with suppress(FileNotFoundError):
            _write(self._folder / "cgroup.kill", "1")

    def remove(self) -> bool:
        return _remove(self._folder)


class SplitCgroup:
    """cgroup version 1, alone or beside an empty version 2 tree (hybrid)."""

    def __init__(self, path: str, root: Path) -> None:
        self.path = path
        self._root = root
        self._name = path.lstrip("/")

    def _folder(self, controller: str) -> Path:
        return self._root / controller / self._name

    def create(self, limits: CgroupLimits, children: tuple[str, ...]) -> None:
        for controller in ("memory", "pids", "cpu", "freezer"):
            for child in children:
                (self._folder(controller) / child).mkdir(parents=True, exist_ok=True)
        memory = self._folder("memory")
        _write(memory / "memory.limit_in_bytes", str(limits.memory_bytes))
        _write(memory / "memory.swappiness", "0")
        with suppress(FileNotFoundError):  # there is no such file without swap accounting
            _write(memory / "memory.memsw.limit_in_bytes", str(limits.memory_bytes))
        for part in (memory, *(memory / child for child in children)):  # a cgroup counts what its sockets hold only if it has a limit of its own
            with suppress(FileNotFoundError):  # a later kernel without version 1 accounting of sockets
                _write(part / "memory.kmem.tcp.limit_in_bytes", str(limits.memory_bytes // _SOCKETS_SHARE))
        _write(self._folder("pids") / "pids.max", str(limits.processes))
        _write(self._folder("cpu") / "cpu.cfs_period_us", str(CPU_PERIOD_MICROSECONDS))
        _write(self._folder("cpu") / "cpu.cfs_quota_us", str(int(limits.cpu * CPU_PERIOD_MICROSECONDS)))

    def enter(self, child: str, pid: int) -> None:
        for controller in ("memory", "pids", "cpu", "freezer"):
            _write(self._folder(controller) / child / "cgroup.procs", str(pid))

    def freeze(self) -> None:
        _write(self._folder("freezer") / "freezer.state", "FROZEN")

    def thaw(self) -> None:
        with suppress(FileNotFoundError):
            _write(self._folder("freezer") / "freezer.state", "THAWED")

    def processes(self) -> set[int]:
        return _processes(self._folder("pids")) | _processes(self._folder("freezer")) | _processes(self._folder("memory"))

    def memory(self) -> MemorySeen:
        return _memory(self._folder("memory"), used="memory.usage_in_bytes", limit="memory.limit_in_bytes", prefix="total_")

    def kill(self) -> None:
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def remove(self) -> bool:
        removed = [_remove(tree / self._name) for tree in _trees(self._root)]  # every tree, also after one that failed
        return all(removed)


def empty(group: Cgroup, *, seconds: float) -> tuple[int, bool]:
    """Freeze, kill, thaw, and wait until nothing runs in it; how many processes were killed, and whether it is empty. A frozen group can't
    fork away from the signal."""
    killed: set[int] = set()
    end = time.monotonic() + seconds
    pause = 0.001
    while True:
        with suppress(FileNotFoundError, OSError):
            group.freeze()
        found = group.processes()
        killed |= found
        group.kill()
        group.thaw()
        if not found:
            return len(killed), True
        if time.monotonic() > end:
            return len(killed), False
        processes.reap()
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
