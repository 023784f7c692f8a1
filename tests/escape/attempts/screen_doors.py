"""Other doors than the one that a room has to its screen: of other sessions' displays, of the screen's own RFB server, in the place of its own."""

import errno
import os
import signal
import socket
import struct
from pathlib import Path

from .attempt import NO_SUCH_DOOR, all_refused, attempt, must, syscall

SOCKET = "/tmp/.X11-unix/X0"
AUTHORITY = "/run/xauthority"
NOBODY_THERE = {errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR, errno.EACCES}
_SO_PEERCRED, _SO_PEERPIDFD = 17, 77
_SCREENS_UID = 65_001


def _reach(family, address):
    with socket.socket(family) as end:
        end.settimeout(2)
        end.connect(address)


def _peer(option, size):
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(SOCKET)
        return end.getsockopt(socket.SOL_SOCKET, option, size)


@attempt
def displays_of_others(display, facts):
    seen = [path.name for path in Path(SOCKET).parent.iterdir()]
    must(seen == ["X0"], "", f"more than its own: {seen}")
    folders = [f"{path}/s/{name}" for path in facts.paths for name in facts.names]
    table = {path: (_reach, socket.AF_UNIX, path) for folder in folders if len(path := f"{folder}/screen/x11/X0") < 108}
    for number in range(11):
        table[f"abstract {number}"] = (_reach, socket.AF_UNIX, f"\0/tmp/.X11-unix/X{number}")
        for address in ("127.0.0.1", "198.18.0.1", "198.19.255.254"):
            table[f"{address}:{6000 + number}"] = (_reach, socket.AF_INET, (address, 6000 + number))
        table[f"[::1]:{6000 + number}"] = (_reach, socket.AF_INET6, ("::1", 6000 + number))
    all_refused(table, by=NOBODY_THERE)
    return f"{len(table)} doors"


@attempt
def the_rfb_server_of_the_own_screen(display, facts):
    """Whoever could open it would be their own gateway: no decision, no recorder."""
    paths = ["/own/rfb", "/tmp/rfb", "/proc/1/root/own/rfb", "/tmp/.X11-unix/../own/rfb", "/tmp/.X11-unix/rfb"]
    paths += [f"{path}/s/{name}/screen/own/rfb" for path in facts.paths for name in (*facts.names, os.environ["SEKISHO_SESSION"])]
    table = {path: (_reach, socket.AF_UNIX, path) for path in paths if len(path) < 100}
    table |= {f"abstract {path}": (_reach, socket.AF_UNIX, f"\0{path}") for path in ("/own/rfb", "rfb", "own/rfb")}
    table |= {f"{address}:{port}": (_reach, socket.AF_INET, (address, port)) for address in ("127.0.0.1", "198.18.0.1") for port in (5500, 5800, 5900, 5901)}
    all_refused(table, by=NOBODY_THERE)
    named = [line for line in Path("/proc/net/unix").read_text().splitlines() if line.endswith("rfb")]
    return must(not named, f"{len(table)} doors", f"the room's network knows {named}")


@attempt
def replacing_the_screen(display):
    """What stands in its place would be shown to nobody; but nor may it be taken away, moved, or covered."""
    folder = "/tmp/.X11-unix"
    table = {
        "unlink the socket": (os.unlink, SOCKET),
        "rename the socket": (os.rename, SOCKET, "/tmp/X0"),
        "rename onto it": (os.rename, "/tmp", SOCKET),
        "link it": (os.link, SOCKET, "/tmp/X0"),
        "chmod the socket": (os.chmod, SOCKET, 0),
        "chown the socket": (os.chown, SOCKET, 1000, 1000),
        "bind beside it": (lambda: socket.socket(socket.AF_UNIX).bind(f"{folder}/X1")),
        "a file beside it": (os.open, f"{folder}/X1", os.O_CREAT | os.O_WRONLY),
        "a folder in it": (os.mkdir, f"{folder}/x"),
        "remove the folder": (os.rmdir, folder),
        "rename the folder": (os.rename, folder, "/tmp/x"),
        "chmod the folder": (os.chmod, folder, 0o777),
        "date the folder": (os.utime, folder),
        "an attribute on the folder": (os.setxattr, folder, "user.x", b"x"),
        "mount over it": (syscall, 165, b"none", folder.encode(), b"tmpfs", 0, 0),
        "unmount it": (syscall, 166, folder.encode(), 2),
        "unlink the cookie": (os.unlink, AUTHORITY),
        "rename the cookie": (os.rename, AUTHORITY, "/run/x"),
        "rename onto the cookie": (os.rename, "/run", AUTHORITY),
        "write the cookie": (os.open, AUTHORITY, os.O_WRONLY),
        "empty the cookie": (os.truncate, AUTHORITY, 0),
        "chmod the cookie": (os.chmod, AUTHORITY, 0o666),
        "unmount the cookie": (syscall, 166, AUTHORITY.encode(), 2),
    }
    table = {name: act if isinstance(act, tuple) else (act,) for name, act in table.items()}
    return all_refused(table, by={errno.EROFS, errno.EBUSY, errno.EPERM, errno.EACCES, errno.EXDEV, errno.ENOTDIR, errno.ENOTSUP, errno.ENOTEMPTY})


@attempt
def the_screens_process(display):
    """Neither seen nor signalled, also not by the descriptor of a process that the socket gives (SO_PEERPIDFD, Linux 6.5)."""
    pid, uid, _gid = struct.unpack("=iII", _peer(_SO_PEERCRED, 12))
    must((pid, uid) == (0, _SCREENS_UID), "", f"the peer is process {pid} of uid {uid}")
    owners = {process.stat().st_uid for process in Path("/proc").glob("[0-9]*")}
    must(owners == {1000}, "", f"processes of {owners}")
    try:
        held = struct.unpack("=i", _peer(_SO_PEERPIDFD, 4))[0]
    except OSError as error:
        must(error.errno in {errno.ENOPROTOOPT, errno.ESRCH, errno.ENODATA}, "", f"{error}")
        return f"no number, no descriptor: {errno.errorcode[error.errno]}"
    table = {
        "kill": (signal.pidfd_send_signal, held, signal.SIGKILL),
        "ask": (signal.pidfd_send_signal, held, 0),
        "a descriptor of it": (syscall, 438, held, 0, 0),
        "its namespaces": (syscall, 308, held, 0x2000_0000),
        "its memory": (syscall, 440, held, 0, 0, 0, 0),
        "its ending": (os.waitid, os.P_PIDFD, held, os.WEXITED | os.WNOHANG),
        **{f"namespace {number}": (syscall, 16, held, 0xFF00 | number, 0) for number in range(1, 11)},  # ioctl_pidfd(2): PIDFD_GET_…_NAMESPACE
    }
    return all_refused(table, by=NO_SUCH_DOOR | {errno.EINVAL, errno.ECHILD, errno.EACCES, errno.ESRCH, errno.EREMOTE, errno.ENOTTY})


@attempt
def the_screens_files(display):
    """Its lock, its cookie, its log, its device files."""
    places = ["/own", "/own/authority", "/tmp/.X0-lock", "/tmp/server-0.xkm", "/var/log/Xorg.0.log", "/proc/1/root/own"]
    return all_refused({place: (os.stat, place) for place in places}, by={errno.ENOENT, errno.EACCES})


@attempt
def a_descriptor_of_the_screen(display):
    """Nothing that it holds comes over its socket: no extension is left that hands descriptors out."""
    for number in range(1, 128):
        display.send(number, 0, bytes(4))
    display.sync()
    return must(not display.descriptors(), "none came", "the screen handed a descriptor out")
