"""Is this machine right for rooms? What `sekisho check` finds: rights, kernel, programs, swap, space, ports, one line each with its mend.

Facts are read or tried by `read_machine`; what they mean is decided by `judge`, which is pure.
"""

import ctypes
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sekisho.runtime import seccomp

SPACE_BYTES = 1 << 30  # an image is a tenth of it; the log and the database grow into the rest

# capabilities(7), by number: what the agent, the shim and the OCI runtime use
CAPABILITIES = {
    "CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_FOWNER": 3, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_SETPCAP": 8,
    "CAP_NET_ADMIN": 12, "CAP_SYS_CHROOT": 18, "CAP_SYS_ADMIN": 21, "CAP_MKNOD": 27,
}  # fmt: skip
CONTROLLERS = ("memory", "pids", "cpu", "freezer")
_UNIFIED_CONTROLLERS = ("memory", "pids", "cpu")  # freezing is of version 2 itself
PROGRAMS = {"Xtigervnc": ("-version", "tigervnc-standalone-server"), "mksquashfs": ("-version", "squashfs-tools"), "mmdebstrap": ("--version", "mmdebstrap")}
_LANDLOCK_CREATE_RULESET, _LANDLOCK_VERSION = 444, 1

_TRIALS = {
    "mount-namespace": ("mount namespaces", "run as root with CAP_SYS_ADMIN, outside an unprivileged container"),
    "network-namespace": ("network namespaces", "use a kernel with CONFIG_NET_NS"),
    "user-namespace": ("user namespaces", "sysctl user.max_user_namespaces=10000"),
    "other-namespaces": ("pid, ipc, uts and cgroup namespaces", "use a distribution's kernel"),
    "squashfs": ("squashfs images mount", "modprobe squashfs loop, and apt-get install squashfs-tools"),
    "shifted-ids": ("mounts with shifted ids", "use a kernel of 5.12 or later"),
    "memory-folder": ("folders in memory", "use a kernel with CONFIG_TMPFS"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """`name` is stable kebab-case; `what` one line for people; `mend` what to do about it, empty when it is right."""

    name: str
    ok: bool
    what: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Swap:
    name: str
    is_encrypted: bool  # or in memory, as zram is


@dataclass(frozen=True, slots=True)
class Space:
    path: str
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Port:
    address: str
    number: int
    problem: str  # empty: nobody has it


@dataclass(frozen=True, slots=True)
class Machine:
    """What was read. `trials` as `machine_trial` gives them; `programs` name to version, empty for one that is not there."""

    uid: int
    capabilities: int
    architecture: str
    trials: Mapping[str, str]
    has_seccomp: bool
    landlock: int  # the kernel's ABI version; 0: none
    cgroup_version: int  # 1 (also hybrid), 2, or 0 for none
    controllers: frozenset[str]
    swap_can_be_barred: bool
    swaps: tuple[Swap, ...]
    runtime: str  # the OCI runtime's command
    programs: Mapping[str, str]
    spaces: tuple[Space, ...]
    ports: tuple[Port, ...]


def examine(*, runtime: str, folders: Sequence[Path], ports: Sequence[tuple[str, int]]) -> tuple[Finding, ...]:
    """Everything about this machine. `folders` will be written to; `ports` are those that will be listened on: none of them if they are ours already."""
    return tuple(judge(read_machine(runtime=runtime, folders=folders, ports=ports)))


def judge(machine: Machine) -> Iterator[Finding]:
    """What was read, as findings, in the order in which people should mend."""
    yield Finding("root", machine.uid == 0, "runs as root" if machine.uid == 0 else f"runs as uid {machine.uid}", "" if machine.uid == 0 else "sudo sekisho …")
    yield _capabilities(machine)
    yield from _trials(machine)
    yield _seccomp(machine)
    has_landlock = f"Landlock version {machine.landlock}" if machine.landlock else "no Landlock: rooms are sealed without this further wall"
    yield Finding("landlock", ok=True, what=has_landlock)
    yield _cgroups(machine)
    yield _swap(machine)
    for name, version in machine.programs.items():
        package = machine.runtime if name == machine.runtime else PROGRAMS[name][1]
        yield Finding(f"program-{Path(name).name}", version != "", version or f"{name} is not installed", "" if version else f"apt-get install {package}")
    for space in machine.spaces:
        enough = space.free_bytes >= SPACE_BYTES
        yield Finding("space", enough, f"{space.free_bytes / 1e9:.1f} GB free at {space.path}", "" if enough else f"free {SPACE_BYTES / 1e9:.0f} GB there")
    for port in machine.ports:
        what = f"{port.address} port {port.number}: {port.problem or 'free'}"
        yield Finding("port", port.problem == "", what, "" if port.problem == "" else "end what uses it, or choose another with --listen")


def _capabilities(machine: Machine) -> Finding:
    missing = [name for name, number in CAPABILITIES.items() if not machine.capabilities >> number & 1]
    if missing:
        return Finding("capabilities", ok=False, what=f"lacks {', '.join(missing)}", mend="run outside an unprivileged container")
    return Finding("capabilities", ok=True, what="has the capabilities it needs")


def _trials(machine: Machine) -> Iterator[Finding]:
    for name, (title, mend) in _TRIALS.items():
        problem = machine.trials.get(name, "not tried")
        yield Finding(name, problem == "", f"{title} work" if problem == "" else f"{title}: {problem}", "" if problem == "" else mend)


def _seccomp(machine: Machine) -> Finding:
    if machine.architecture not in seccomp.ARCHITECTURES:
        return Finding("seccomp", ok=False, what=f"no system call profile for {machine.architecture}", mend=f"use {' or '.join(seccomp.ARCHITECTURES)}")
    if not machine.has_seccomp:
        return Finding("seccomp", ok=False, what="the kernel filters no system calls", mend="use a kernel with CONFIG_SECCOMP_FILTER")
    return Finding("seccomp", ok=True, what=f"system calls can be filtered on {machine.architecture}")


def _cgroups(machine: Machine) -> Finding:
    wanted = _UNIFIED_CONTROLLERS if machine.cgroup_version == 2 else CONTROLLERS
    missing = [name for name in wanted if name not in machine.controllers]
    if machine.cgroup_version == 0 or missing:
        mend = "mount them under /sys/fs/cgroup, or boot with cgroup_enable=memory"
        return Finding("cgroups", ok=False, what=f"cgroup version {machine.cgroup_version} without {', '.join(missing)}", mend=mend)
    return Finding("cgroups", ok=True, what=f"cgroup version {machine.cgroup_version} with {', '.join(wanted)}")


def _swap(machine: Machine) -> Finding:
    """Room data may reach swap unless all of it is barred: folders in memory by noswap or the cgroup, applications by the cgroup alone."""
    bare = [swap.name for swap in machine.swaps if not swap.is_encrypted]
    if not machine.swaps:
        return Finding("swap", ok=True, what="no swap")
    if not bare:
        return Finding("swap", ok=True, what="swap is encrypted or in memory")
    if machine.swap_can_be_barred:
        return Finding("swap", ok=True, what="rooms are barred from swap by their cgroup")
    noswap = "" if machine.trials.get("memory-never-swapped", "not tried") else " (files are safe from it, applications are not)"
    return Finding("swap", ok=False, what=f"{', '.join(bare)} is not encrypted, and rooms can't be barred from it{noswap}", mend="swapoff -a, or encrypt it")


def read_machine(*, runtime: str, folders: Sequence[Path], ports: Sequence[tuple[str, int]]) -> Machine:
    """The facts. Changes nothing that lasts."""
    mounts, status = Path("/proc/self/mounts").read_text(), Path("/proc/self/status").read_text()
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    version, controllers = parse_cgroups(mounts, unified.read_text() if unified.exists() else None)
    return Machine(
        uid=os.geteuid(),
        capabilities=parse_capabilities(status),
        architecture=platform.machine(),
        trials=_run_trials(),
        has_seccomp=re.search(r"^Seccomp:", status, re.MULTILINE) is not None,
        landlock=_landlock_version(),
        cgroup_version=version,
        controllers=controllers,
        swap_can_be_barred=version == 2 or Path("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists(),
        swaps=_read_swaps(),
        runtime=runtime,
        programs={name: _version(name, option) for name, option in [(runtime, "--version"), *((name, option) for name, (option, _) in PROGRAMS.items())]},
        spaces=tuple(_space(folder) for folder in folders),
        ports=tuple(Port(address, number, _port_problem(address, number)) for address, number in ports),
    )


def parse_capabilities(status: str) -> int:
    """The effective set of /proc/PID/status (proc(5)), one bit a capability."""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return int(found[1], 16) if found else 0


def parse_cgroups(mounts: str, unified: str | None) -> tuple[int, frozenset[str]]:
    """Version and controllers from /proc/self/mounts and, where version 2 is the root, its cgroup.controllers."""
    if unified is not None:
        return 2, frozenset(unified.split())
    options = [line.split()[3] for line in mounts.splitlines() if len(line.split()) > 3 and line.split()[2] == "cgroup"]
    return (1 if options else 0), frozenset(name for option in options for name in option.split(","))


def parse_swaps(text: str) -> tuple[str, ...]:
    """The devices and files of /proc/swaps."""
    return tuple(line.split()[0] for line in text.splitlines()[1:] if line.strip())


def _read_swaps() -> tuple[Swap, ...]:
    path = Path("/proc/swaps")
    return tuple(Swap(name, _is_safe(name)) for name in parse_swaps(path.read_text())) if path.exists() else ()


def _is_safe(name: str) -> bool:
    """In memory (zram), or by dm-crypt: the device mapper's UUID then begins with CRYPT-."""
    device = Path(name).resolve().name
    if device.startswith("zram"):
        return not Path(f"/sys/block/{device}/backing_dev").exists() or Path(f"/sys/block/{device}/backing_dev").read_text().strip() == "none"
    mapped = Path(f"/sys/block/{device}/dm/uuid")
    return mapped.exists() and mapped.read_text().startswith("CRYPT-")


def _run_trials() -> Mapping[str, str]:
    with tempfile.TemporaryDirectory(prefix="sekisho-check-") as folder:
        done = subprocess.run([sys.executable, "-m", "sekisho.runtime.machine_trial", folder], capture_output=True, text=True, check=False, timeout=60)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        return dict.fromkeys(_TRIALS, done.stderr.strip()[-200:] or f"the trial ended with {done.returncode}")
    return {str(name): str(problem) for name, problem in found.items()}


def _landlock_version() -> int:
    """landlock_create_ruleset(2) with LANDLOCK_CREATE_RULESET_VERSION."""
    return max(0, int(ctypes.CDLL(None).syscall(ctypes.c_long(_LANDLOCK_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint32(_LANDLOCK_VERSION))))


def _version(program: str, option: str) -> str:
    """The first line that it says of itself, or empty if it is not there."""
    found = shutil.which(program)
    if found is None:
        return ""
    done = subprocess.run([found, option], capture_output=True, text=True, check=False, timeout=20, stdin=subprocess.DEVNULL)
    return (done.stdout or done.stderr).strip().partition("\n")[0][:80] or found


def _space(folder: Path) -> Space:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return Space(str(folder), shutil.disk_usage(there).free)


def _port_problem(address: str, number: int) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address, number))
        except OSError as error:
            return error.strerror or str(error)
    return ""
