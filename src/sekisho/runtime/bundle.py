"""What an OCI runtime is told of a room: config.json of the runtime specification, made from values. Pure.

The room is sealed by all of it together: own user, pid, mount, ipc, uts and cgroup namespaces, the network namespace of its shim (nothing
but `lo`), a uid range of its own,
no capability, no new privileges, our system call filter, a read-only image, tmpfs folders that are limited and never swapped, and no /sys at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sekisho.model.room import Kind
from sekisho.runtime import screen
from sekisho.runtime.uids import PERSON, SIZE

HOME = "/home/operator"
DESKTOP = "/usr/lib/sekisho/desktop"  # of an image that has one: starts the window manager and what belongs to it
WRITABLE = ("/data", "/home", "/tmp")  # noqa: S108  the room's own folders

_HIDDEN = ("acpi", "asound", "bootconfig", "buddyinfo", "bus", "cgroups", "cmdline", "config.gz", "consoles", "crypto", "devices", "diskstats", "dma",
           "driver", "dynamic_debug", "execdomains", "fb", "fs", "interrupts", "iomem", "ioports", "irq", "kallsyms", "kcore", "key-users", "keys",
           "kmsg", "kpagecgroup", "kpagecount", "kpageflags", "latency_stats", "locks", "mdstat", "misc", "modules", "mtrr", "pagetypeinfo",
           "partitions", "pressure", "sched_debug", "schedstat", "scsi", "slabinfo", "softirqs", "swaps", "sysrq-trigger", "timer_list",
           "timer_stats", "vmallocinfo", "zoneinfo")  # fmt: skip
_READ_ONLY = ("sys", "tty")
_OOM_SCORE = 500  # when memory is used up, a program of the room goes before the session's screen and stager do

# A desktop starts again, as a shell does; it writes to a terminal that may have no reader.
_DESKTOP = f"""while :; do
  {DESKTOP} < /dev/null > /dev/null 2>&1
  sleep 1
done"""

# A shell that the person may leave at any time without losing the room: only *leave*, or the end of the grant, ends it.
_SHELL = """while :; do
  cd "$HOME" 2>/dev/null || cd /
  /bin/bash -l
  printf '\\r\\n[sekisho] the shell ended; here is a new one. To end the room, use Leave.\\r\\n'
  sleep 1
done"""


@dataclass(frozen=True, slots=True)
class BundleFacts:
    session: str
    room: str
    root: Path
    folders: Path  # holds dev, data, home, tmp, shm, run and etc as the shim mounted them
    uid_base: int
    cgroup_path: str
    noexec: tuple[str, ...]
    language: str
    seccomp: Mapping[str, object]
    has_trust: bool
    kinds: tuple[str, ...] = (Kind.TERMINAL,)

    @property
    def has_screen(self) -> bool:
        return Kind.DESKTOP in self.kinds


def config(facts: BundleFacts) -> dict[str, object]:
    """The content of config.json, OCI runtime specification 1.0.2."""
    return {
        "ociVersion": "1.0.2",
        "hostname": facts.room,
        "process": _process(facts),
        "root": {"path": str(facts.root), "readonly": True},
        "mounts": _mounts(facts),
        "linux": {
            "uidMappings": [{"containerID": 0, "hostID": facts.uid_base, "size": SIZE}],
            "gidMappings": [{"containerID": 0, "hostID": facts.uid_base, "size": SIZE}],
            "namespaces": [
                {"type": "user", "path": str(facts.folders / "user")}, {"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}, {"type": "cgroup"},
                # no "network": it is inherited from the shim, which checks that. Runc 1.1 joins user namespaces first, and could not join it by path after.
            ],
            "cgroupsPath": facts.cgroup_path,
            "maskedPaths": [f"/proc/{name}" for name in _HIDDEN],
            "readonlyPaths": [f"/proc/{name}" for name in _READ_ONLY],
            "rootfsPropagation": "private",
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "seccomp": dict(facts.seccomp),
        },
    }  # fmt: skip


def _process(facts: BundleFacts) -> dict[str, object]:
    environment = {
        "HOME": HOME,
        "LANG": facts.language,
        "LOGNAME": "operator",
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games",
        "SEKISHO_ROOM": facts.room,
        "SEKISHO_SESSION": facts.session,
        "SHELL": "/bin/bash",
        "TERM": "xterm-256color",
        "USER": "operator",
    }
    if facts.has_screen:
        environment |= {"DISPLAY": screen.DISPLAY, "XAUTHORITY": screen.AUTHORITY}
    none: list[str] = []
    return {
        "terminal": True,
        "consoleSize": {"height": 24, "width": 80},
        "user": {"uid": PERSON, "gid": PERSON, "umask": 0o022},
        "args": ["/usr/bin/tini", "-g", "--", "/bin/sh", "-c", _first_program(facts)],
        "env": [f"{name}={value}" for name, value in environment.items()],
        "cwd": "/",
        "capabilities": dict.fromkeys(("bounding", "effective", "inheritable", "permitted", "ambient"), none),
        "noNewPrivileges": True,
        "oomScoreAdj": _OOM_SCORE,
    }


def _first_program(facts: BundleFacts) -> str:
    if not facts.has_screen:
        return _SHELL
    return f"( {_DESKTOP} ) &\n{_SHELL}" if Kind.TERMINAL in facts.kinds else _DESKTOP


def _mounts(facts: BundleFacts) -> list[dict[str, object]]:
    mounts: list[dict[str, object]] = [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/dev", "type": "bind", "source": str(facts.folders / "dev"), "options": ["bind", "nosuid", "noexec", "private"]},
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "max=64"],
        },
        _bind(facts.folders / "tmp" / "shm", "/dev/shm", ("noexec",)),  # noqa: S108  the room's own
        _bind(facts.folders / "tmp" / "run", "/run", ("noexec",)),
    ]
    mounts += [_bind(_folder(facts.folders, name), name, ("noexec",) if name in facts.noexec else ()) for name in WRITABLE]
    files = ["resolv.conf", "hosts", "hostname"]
    mounts += [_bind(facts.folders / "etc" / name, f"/etc/{name}", ("ro", "noexec")) for name in files]
    if facts.has_screen:
        mounts.append(_bind(facts.folders / "screen" / "x11", screen.X_SOCKETS, ("ro", "noexec")))
        mounts.append(_bind(facts.folders / "etc" / "xauthority", screen.AUTHORITY, ("ro", "noexec")))
    if facts.has_trust:
        mounts.append(_bind(facts.folders / "etc" / "trust.pem", "/etc/ssl/certs/ca-certificates.crt", ("ro", "noexec")))
    return mounts


def _folder(folders: Path, name: str) -> Path:
    return folders / "tmp" / "tmp" if name == "/tmp" else folders / name.lstrip("/")  # noqa: S108  the room's own


def _bind(source: Path, destination: str, options: tuple[str, ...]) -> dict[str, object]:
    return {"destination": destination, "type": "bind", "source": str(source), "options": ["bind", "nosuid", "nodev", "private", *options]}
