"""The kernel's calls that Python 3.11 has no names for: namespaces, mounts, capabilities, and what a process is held to.

Thin: each function is one system call (or one prctl), takes and gives plain values, and raises OSError. Numbers are those of x86-64 and arm64, where
the calls used here have the same number since Linux 5.1 ("unified" syscall numbers from 424 on).
"""

import ctypes
import os
import struct
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000

MNT_DETACH = 2

_OPEN_TREE = 428
_MOVE_MOUNT = 429
_MOUNT_SETATTR = 442
_OPEN_TREE_CLONE = 1
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_MOVE_MOUNT_F_EMPTY_PATH = 0x4
_MOUNT_ATTR_RDONLY = 0x1
_MOUNT_ATTR_NOSUID = 0x2
_MOUNT_ATTR_NODEV = 0x4
_MOUNT_ATTR_IDMAP = 0x00100000

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_CHILD_SUBREAPER = 36
_CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_READ_SEARCH = 2
CAP_SYS_ADMIN = 21


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """unshare(2) of the calling thread."""
    _check(_libc.unshare(flags), "unshare")


def join_network(namespace: int) -> None:
    """setns(2): from here on the calling thread's network is that of this descriptor."""
    _check(_libc.setns(namespace, CLONE_NEWNET), "setns")


def mount(source: str, target: Path, kind: str, flags: int, options: str = "") -> None:
    """mount(2)."""
    _check(_libc.mount(source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode()), f"mount {kind}")


def unmount(target: Path, *, detach: bool = False) -> None:
    """umount2(2); `detach` lets it go from the tree now and really when nothing uses it any more."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH if detach else 0), "umount")


def forget_propagation() -> None:
    """From here on no mount of this mount namespace is seen outside of it."""
    mount("", Path("/"), "", MS_REC | MS_SLAVE)


def enter_root(folder: Path) -> None:
    """pivot_root(2) to a mount point of this mount namespace; nothing of the former root can be reached any more."""
    os.chdir(folder)
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", MNT_DETACH), "umount")
    os.chdir("/")


def bind_with_ids(source: Path, target: Path, user_namespace: int) -> None:
    """A read-only bind mount of `source` in which ids are shifted as `user_namespace` (a descriptor) maps them: open_tree(2),
    mount_setattr(2), move_mount(2)."""
    syscall = _libc.syscall
    tree = _check(syscall(ctypes.c_long(_OPEN_TREE), _AT_FDCWD, os.fsencode(source), ctypes.c_uint(_OPEN_TREE_CLONE)), "open_tree")
    try:
        attributes = _MOUNT_ATTR_IDMAP | _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV
        wanted = struct.pack("=QQQQ", attributes, 0, 0, user_namespace)
        _check(syscall(ctypes.c_long(_MOUNT_SETATTR), tree, b"", ctypes.c_uint(_AT_EMPTY_PATH), wanted, ctypes.c_size_t(len(wanted))), "mount_setattr")
        _check(syscall(ctypes.c_long(_MOVE_MOUNT), tree, b"", _AT_FDCWD, os.fsencode(target), ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH)), "move_mount")
    finally:
        os.close(tree)


def user_namespace(base: int, size: int) -> int:
    """A descriptor of a new user namespace in which 0…size-1 are the machine's base…base+size-1. The process that made it is gone.

    Its owner is `base`: what the kernel counts by owner (inotify, pending signals, message queues, locked memory) is then counted for this range alone. Were
    it root, each namespace could use up what all the others, and root, may have."""
    made_read, made_write = os.pipe()
    go_read, go_write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(made_read)
            os.close(go_write)
            os.setresuid(-1, base, base)
            keep_only(CAP_SYS_ADMIN)
            unshare(CLONE_NEWUSER)
            os.write(made_write, b"1")
            os.read(go_read, 1)
        finally:
            os._exit(0)
    os.close(made_write)
    os.close(go_read)
    try:
        if not os.read(made_read, 1):
            raise OSError("no user namespace could be made")
        for table in ("uid_map", "gid_map"):
            Path(f"/proc/{child}/{table}").write_text(f"0 {base} {size}", encoding="ascii")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(made_read)
        os.close(go_write)
        os.waitpid(child, 0)


def fork_first_process() -> int:
    """fork(2) into a new process namespace, whose first process the child is: it sees no other, and when it dies the kernel kills whatever it started."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    child = -1
    try:
        unshare(CLONE_NEWPID)
        try:
            child = os.fork()
        finally:
            if child != 0:  # later children are to stay where we are
                _check(_libc.setns(own, CLONE_NEWPID), "setns")
    finally:
        os.close(own)
    return child


def set_name(name: str) -> None:
    """What `ps` shows: at most 15 bytes."""
    _check(_libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0), "prctl")


def adopt_orphans() -> None:
    """Descendants whose parent died become children of this process (PR_SET_CHILD_SUBREAPER)."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def gain_no_privileges() -> None:
    """PR_SET_NO_NEW_PRIVS: no exec gives more than this process has."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def die_with_parent(signal: int) -> None:
    """PR_SET_PDEATHSIG. Cleared by a change of user, so it is set after that."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0), "prctl")


def keep_capabilities_over_user_change() -> None:
    """PR_SET_KEEPCAPS."""
    _check(_libc.prctl(8, 1, 0, 0, 0), "prctl")


def keep_only(*capabilities: int) -> None:
    """capset(2): permitted and effective are these, inheritable nothing."""
    low = sum(1 << number for number in capabilities if number < 32)
    high = sum(1 << (number - 32) for number in capabilities if number >= 32)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    sets = struct.pack("=IIIIII", low, low, 0, high, high, 0)
    _check(_libc.capset(header, sets), "capset")


def become(uid: int, groups: tuple[int, ...] = ()) -> None:
    """Give root up for good: this user and these groups, no capability, nothing to be gained by exec."""
    os.setgroups(groups)
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    gain_no_privileges()
