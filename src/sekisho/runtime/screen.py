"""The screen of a desktop room: one Xvnc for each session, between the room's X clients and whoever looks at it.

It is not of the room: own uid of the session's range, own network, IPC, mount, UTS and process namespace, a root of its own that holds its program and its
libraries, no capability, our system call filter. It lives inside the session's cgroup, since what X clients draw is memory of the session. Of it the room
sees one socket, the X server's, read-only and behind a cookie; the RFB socket is the screen's own, 0600, and is opened by the shim alone, once for each
capability.

Xvnc's own switches are no wall against the room (`-SendCutText=0` alone is undone by vncconfig from inside): the gateway is. They stand here all the same.
"""

import os
import platform
import resource
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

from sekisho.runtime.cgroups import Cgroup
from sekisho.runtime.paths import SessionPaths
from sekisho.runtime.uids import PERSON, SCREEN
from sekisho.system import kernel, processes, randomness, seccomp_filter

PROGRAM = "/usr/bin/Xtigervnc"
DISPLAY = ":0"
X_SOCKETS = "/tmp/.X11-unix"  # noqa: S108  where X clients look for it
AUTHORITY = "/run/xauthority"  # the cookie, in the room
_BYTES = 1 << 20  # of the folder: two sockets, a lock, a compiled keymap
_GEOMETRY = "1440x900"  # until somebody looks, whose window then says it
_EVERY_FAMILY = b"\xff\xff"  # Xau(3): FamilyWild
_COOKIE_KIND = b"MIT-MAGIC-COOKIE-1"
_NAMESPACES = kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
_SHARE = 2  # this part of the session's memory, for all that its X clients draw
_LINKS = {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64"}
# Of the machine's /usr, what it runs on and no more: a font path asks whether a folder is there, and any X client may set one.
_PROGRAMS = ("bin/Xtigervnc", "bin/sh", "bin/xkbcomp")  # a keymap is compiled through the shell
_LIBRARIES = (f"lib/{platform.machine()}-linux-gnu", "lib64", "lib/ld-linux-aarch64.so.1")  # with their loader, where that lies apart
_KEYMAPS = ("share/X11/xkb",)
# X-Resource tells each client's process number on the machine. MIT-SHM maps files that a client keeps hold of, and cannot do what it is for between two IPC
# namespaces: programs that believe in it fail. GLX loads a graphics driver with a compiler, to draw in software what programs of the room draw in software by
# themselves (EGL): half of the time that a screen takes to start, and of its memory. The others no program of a desktop asks for; a screen saver would hide
# what is watched.
_WITHOUT = ("GLX", "X-Resource", "MIT-SHM", "SECURITY", "MIT-SCREEN-SAVER", "DOUBLE-BUFFER", "XVideo")


@dataclass(frozen=True, slots=True)
class Screen:
    """A screen that was started. `news` becomes readable when it serves (a display number, then end-of-file) or is dead (end-of-file alone)."""

    pid: int
    news: int


def prepare(paths: SessionPaths, uid_base: int) -> None:
    """What screen and room meet in: the folder of the X socket, the cookie for both. In the shim, before either is started."""
    folder = paths.folder / "screen"
    folder.mkdir()
    kernel.mount("sekisho", folder, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC, f"size={_BYTES},nr_inodes=64,mode=0755")
    cookie = render_authority(randomness.cookie())
    for name in ("x11", "own", "root", "tmp"):
        (folder / name).mkdir(mode=0o755 if name == "x11" else 0o700)
        os.chown(folder / name, uid_base + SCREEN, uid_base + SCREEN)
    _write_private(folder / "own" / "authority", cookie, uid_base + SCREEN)
    _write_private(paths.folder / "etc" / "xauthority", cookie, uid_base + PERSON)
    (paths.folder / "tmp" / "tmp" / ".X11-unix").mkdir()
    (paths.folder / "tmp" / "run" / "xauthority").touch()


def render_authority(cookie: bytes) -> bytes:
    """One entry of an Xauthority file, for every display: Xau(3), fields with 16-bit lengths, big-endian."""
    return _EVERY_FAMILY + b"".join(len(field).to_bytes(2, "big") + field for field in (b"", b"", _COOKIE_KIND, cookie))


def start(paths: SessionPaths, group: Cgroup, *, uid_base: int, filter_program: bytes, memory_bytes: int) -> Screen:
    """Fork it; `memory_bytes` is the session's. Raises OSError where there is no Xvnc."""
    if not Path(PROGRAM).exists():
        raise OSError(f"{PROGRAM} is not installed: a room with a desktop needs it")
    news, write = os.pipe()
    child = kernel.fork_first_process()
    if child == 0:
        try:
            _limit_memory(memory_bytes // _SHARE)
            _be_screen(paths, group, uid=uid_base + SCREEN, write=write, filter_program=filter_program)
        finally:
            os._exit(1)
    os.close(write)
    return Screen(child, news)


def connect(paths: SessionPaths) -> socket.socket | None:
    """A connection of its own to the RFB server; None if it takes none now. Never waits: whoever stopped the screen must not stop the shim. Never through a
    link: whoever took the screen over could lay one there, to any socket of the machine's, and would be connected to it as root."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    end.setblocking(False)
    try:
        place = os.open(paths.folder / "screen" / "own" / "rfb", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            end.connect(f"/proc/self/fd/{place}")
        finally:
            os.close(place)
    except OSError:
        end.close()
        return None
    return end


def _be_screen(paths: SessionPaths, group: Cgroup, *, uid: int, write: int, filter_program: bytes) -> None:
    """In the child: into the session's cgroup first, then out of everything else."""
    group.enter("screen", os.getpid())
    processes.keep_descriptors({write})
    nowhere = os.open("/dev/null", os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    os.setsid()
    kernel.unshare(_NAMESPACES)
    _enter_root(paths)
    os.set_inheritable(write, True)
    kernel.become(uid)
    kernel.die_with_parent(signal.SIGKILL)
    seccomp_filter.hold_to(filter_program)
    os.execve(PROGRAM, command(write), {"PATH": "/usr/bin"})  # noqa: S606  no shell, on purpose


def command(write: int) -> list[str]:
    """Xvnc(1), Xserver(1). `write` is told the display's number once it serves."""
    return [
        "Xvnc", DISPLAY, "-geometry", _GEOMETRY, "-depth", "24", "-dpi", "96", "-displayfd", str(write), "-noreset",
        "-auth", "/own/authority", "-nolisten", "tcp", "-nolisten", "local",
        "-rfbunixpath", "/own/rfb", "-rfbunixmode", "0600", "-rfbport", "-1", "-SecurityTypes", "None", "-AlwaysShared",
        "-SendCutText=0", "-SendPrimary=0", "-SetPrimary=0", "-AllowOverride=", "-desktop", "room", "-FrameRate", "60",
        *(word for name in _WITHOUT for word in ("-extension", name)),
    ]  # fmt: skip


def _limit_memory(limit_bytes: int) -> None:
    """What X clients draw is memory of the screen. It says that it has no more (BadAlloc) before the session has none: then the kernel would kill one program
    of the room after the other, and with none of them gone the memory would be free while the screen draws."""
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))


def _enter_root(paths: SessionPaths) -> None:
    """A root with what Xvnc runs on, the room's own device files, and the screen's three folders; the machine's own is let go of."""
    folder = paths.folder / "screen"
    root = folder / "root"
    kernel.mount("", Path("/"), "", kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("sekisho", root, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=64k,nr_inodes=64,mode=0755")
    for name in (*_PROGRAMS, *_LIBRARIES, *_KEYMAPS):
        if (source := Path("/usr") / name).exists():
            _show(source, root / "usr" / name, kernel.MS_RDONLY | kernel.MS_NODEV)
    _show(paths.folder / "dev", root / "dev", kernel.MS_RDONLY | kernel.MS_NOEXEC)
    for name in ("own", "tmp"):
        _show(folder / name, root / name, kernel.MS_NODEV | kernel.MS_NOEXEC)
    (root / "tmp" / ".X11-unix").mkdir()
    _show(folder / "x11", root / "tmp" / ".X11-unix", kernel.MS_NODEV | kernel.MS_NOEXEC)
    for name, target in _LINKS.items():
        if (root / target).exists():
            (root / name).symlink_to(target)
    kernel.enter_root(root)
    kernel.mount("", Path("/"), "", kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV)


def _show(source: Path, target: Path, flags: int) -> None:
    """A bind mount, on a file or folder that is made for it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    kernel.mount(str(source), target, "", kernel.MS_BIND)
    kernel.mount("", target, "", kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_NOSUID | flags)


def _write_private(path: Path, content: bytes, uid: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    try:
        os.write(descriptor, content)
        os.fchown(descriptor, uid, uid)
    finally:
        os.close(descriptor)
