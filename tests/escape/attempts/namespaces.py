"""New namespaces, mounts, and doors into the namespaces of others."""

import ctypes
import errno
import fcntl
import os
import signal
from pathlib import Path

from .attempt import NO_SUCH_DOOR, all_refused, attempt, must, refused, syscall

EPERM = {errno.EPERM}
NAMESPACES = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
    "time": 0x80,
}
_UNSHARE, _SETNS, _CLONE, _CLONE3 = 272, 308, 56, 435
_HERE = -100 & 0xFFFFFFFFFFFFFFFF


@attempt
def unshare():
    both = {f"user and {name}": NAMESPACES["user"] | flag for name, flag in NAMESPACES.items()}
    return all_refused({name: (syscall, _UNSHARE, flag) for name, flag in (NAMESPACES | both).items()}, by=EPERM)


@attempt
def clone_into_new_namespaces():
    kinds = {name: flag for name, flag in NAMESPACES.items() if name != "time"}  # by clone, its bit is the signal's
    high = {f"{name}, a high bit set": 1 << 32 | flag for name, flag in kinds.items()}
    return all_refused({name: (syscall, _CLONE, flag | signal.SIGCHLD, 0) for name, flag in (kinds | high).items()}, by=EPERM)


@attempt
def clone3_into_new_namespaces():
    table = {}
    for name, flag in NAMESPACES.items():
        arguments = (ctypes.c_uint64 * 11)(flag, 0, 0, 0, signal.SIGCHLD)
        table[name] = (syscall, _CLONE3, ctypes.byref(arguments), 88)
    return all_refused(table, by={errno.ENOSYS})


@attempt
def setns():
    paths = [path for pid in ("1", "self") for path in Path("/proc", pid, "ns").iterdir()]
    table = {str(path): (syscall, _SETNS, os.open(path, os.O_RDONLY), 0) for path in paths}
    table["by process"] = (syscall, _SETNS, os.pidfd_open(1), NAMESPACES["mount"])
    return all_refused(table, by=EPERM)


@attempt
def the_owner_and_the_parent_of_a_namespace():
    """ioctl_ns(2): NS_GET_USERNS and NS_GET_PARENT give descriptors of namespaces further out, unless they are out of reach."""
    table = {}
    for kind, number in (("user", 0xB702), ("pid", 0xB702), ("user", 0xB701), ("net", 0xB701)):
        table[f"{kind} {number:x}"] = (fcntl.ioctl, os.open(f"/proc/self/ns/{kind}", os.O_RDONLY), number)
    return all_refused(table, by=EPERM)


@attempt
def mount_the_old_way():
    def mount(source, target, kind, flags):
        return syscall(165, source, target, kind, flags, None)

    table = {
        "tmpfs": (mount, b"x", b"/tmp", b"tmpfs", 0),
        "proc": (mount, b"x", b"/tmp", b"proc", 0),
        "sysfs": (mount, b"x", b"/sys", b"sysfs", 0),
        "cgroup": (mount, b"x", b"/tmp", b"cgroup", 0),
        "bind": (mount, b"/", b"/tmp", None, 4096),
        "remount writable": (mount, None, b"/", None, 32 | 4096),
        "remount /proc/sys": (mount, None, b"/proc/sys", None, 32 | 4096),
        "devpts": (mount, b"x", b"/tmp", b"devpts", 0),
        "mqueue": (mount, b"x", b"/tmp", b"mqueue", 0),
        "make shared": (mount, None, b"/", None, 1 << 20),
        "umount": (syscall, 166, b"/proc/sys", 2),
        "pivot_root": (syscall, 155, b"/tmp", b"/tmp"),
        "chroot": (syscall, 161, b"/tmp"),
    }
    return all_refused(table, by=EPERM)


@attempt
def mount_the_new_way():
    table = {
        "fsopen": (syscall, 430, b"tmpfs", 0),
        "fspick": (syscall, 433, _HERE, b"/", 0),
        "fsconfig": (syscall, 431, 0, 6, None, None, 0),
        "fsmount": (syscall, 432, 0, 0, 0),
        "open_tree": (syscall, 428, _HERE, b"/", 1),
        "move_mount": (syscall, 429, _HERE, b"/tmp", _HERE, b"/data", 0),
        "mount_setattr": (syscall, 442, _HERE, b"/", 0, ctypes.byref((ctypes.c_uint64 * 4)(0, 1)), 32),
        "open_tree_attr": (syscall, 467, _HERE, b"/", 1, None, 0),
        "statmount": (syscall, 457, None, None, 0, 0),
        "listmount": (syscall, 458, None, None, 0, 0),
    }
    return all_refused(table, by=NO_SUCH_DOOR)


@attempt
def identity_tables_can_not_be_written():
    def write(name, content):
        Path("/proc/self", name).write_text(content)

    table = {"uid_map": (write, "uid_map", "0 0 1"), "gid_map": (write, "gid_map", "0 0 1")}
    return all_refused(table, by={errno.EPERM, errno.EACCES})


@attempt
def no_control_group_is_in_reach():
    """release_agent, cgroup.procs, memory limits: no file of theirs is mounted, and what is said of the own one is only its root."""
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if " - cgroup" in line]
    own = {line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines()}
    return must(not mounts and own == {"/"} and not list(Path("/sys").iterdir()), "none mounted, path /", f"{mounts} {own}")


@attempt
def release_agent():
    found = [str(path) for path in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/release_agent"), Path("/proc/1/root/sys/fs/cgroup")) if path.exists()]
    return must(not found, "nowhere", f"{found}") + ", mount " + refused(syscall, 165, b"x", b"/tmp", b"cgroup", 0, b"memory", by=EPERM)
