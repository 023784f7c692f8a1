"""From one session into another. One side leaves and holds things in all the ways there are (`the_other_side`), the attempts of the other look for them."""

import ctypes
import errno
import fcntl
import os
import resource
import select
import signal
import socket
import struct
import time
from pathlib import Path

from .attempt import LIBC, Breach, all_refused, attempt, must, syscall

NAME = "sekisho-escape"
PORT = 9999
KEY = 0x5EC1540
PLACES = ("/tmp", "/data", "/home/operator", "/dev/shm", "/run")
SHARED = ("/usr/bin/id", "/usr/bin", "/etc/passwd", "/", "/usr", "/dev/null", "/dev/zero", "/dev/tty", "/dev/urandom", "/proc/uptime", "/proc/kcore", "/proc")
_SHMGET, _SEMGET, _MSGGET, _SIGQUEUE, _TIMER_CREATE, _MQ_OPEN = 29, 64, 68, 129, 222, 240
_CREATE = 0o1000 | 0o666


def _may_be_locked(path):
    """Not the terminal, which only a process that has one can open, and not /proc, which is another one for each session."""
    return path != "/dev/tty" and not path.startswith("/proc")


def _ready(what):
    Path("/tmp", what).touch()


def _until(path, seconds=8.0):
    end = time.monotonic() + seconds
    while not Path(path).exists():
        if time.monotonic() > end:
            raise Breach(f"{path} never came")
        time.sleep(0.005)


@attempt
def the_other_side(secret):
    """Not an attempt but the other's accomplice: leaves files, sockets, memory, locks, and holds them until it is killed."""
    held = []
    for place in PLACES:
        Path(place, NAME).write_text(secret)
        door = socket.socket(socket.AF_UNIX)
        door.bind(f"{place}/{NAME}.sock")
        door.listen()
        held.append(door)
    for family, address in ((socket.AF_UNIX, "\0" + NAME), (socket.AF_INET, ("0.0.0.0", PORT)), (socket.AF_INET6, ("::1", PORT))):  # noqa: S104
        end = socket.socket(family)
        end.bind(address)
        end.listen()
        held.append(end)
    for number, arguments in ((_SHMGET, (KEY, 4096, _CREATE)), (_SEMGET, (KEY, 1, _CREATE)), (_MSGGET, (KEY, _CREATE))):
        syscall(number, *arguments)
    for path in SHARED:
        if _may_be_locked(path):
            held.append(os.open(path, os.O_RDONLY | os.O_NOCTTY))
            fcntl.flock(held[-1], fcntl.LOCK_EX)
    _ready("held")
    signal.pause()


@attempt
def sockets_of_another_session(_secret):
    def reach(family, address):
        with socket.socket(family) as end:
            end.settimeout(2)
            end.connect(address)

    doors = {f"{place}.sock": (reach, socket.AF_UNIX, f"{place}/{NAME}.sock") for place in PLACES}
    names = {"abstract": (reach, socket.AF_UNIX, "\0" + NAME)}
    loopback = {f"loopback {address}": (reach, socket.AF_INET, (address, PORT)) for address in ("127.0.0.1", "198.18.0.1")}
    loopback["loopback 6"] = (reach, socket.AF_INET6, ("::1", PORT))
    return all_refused(doors | names | loopback, by={errno.ENOENT, errno.ECONNREFUSED})


@attempt
def files_of_another_session(secret):
    found = [str(path) for place in PLACES for path in Path(place).rglob("*") if path.name == NAME]
    roots = [str(process) for process in Path("/proc").glob("[0-9]*") for place in ("root/tmp", "cwd") if (process / place / NAME).exists()]
    return must(not found + roots, f"{len(PLACES)} places", f"{found} {roots} {secret}")


@attempt
def memory_and_queues_of_another_session(_secret):
    must(all(len(Path("/proc/sysvipc", kind).read_text().splitlines()) == 1 for kind in ("shm", "sem", "msg")), "", "System V objects of others are listed")
    table = {"shm": (syscall, _SHMGET, KEY, 4096, 0o666), "sem": (syscall, _SEMGET, KEY, 1, 0o666), "msg": (syscall, _MSGGET, KEY, 0o666)}
    return all_refused(table, by={errno.ENOENT})


@attempt
def locks_of_another_session(_secret):
    """A lock that the other holds and that is felt here is a wire between two rooms."""
    felt = []
    for path in SHARED:
        if not _may_be_locked(path):
            continue
        end = os.open(path, os.O_RDONLY | os.O_NOCTTY)
        try:
            fcntl.flock(end, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            felt.append(path)
        os.close(end)
    return must(not felt, f"{len(SHARED)} files", f"felt on {felt}")


@attempt
def watching_what_another_session_does(_secret):
    """inotify on everything that two sessions might share, while the other one, and the machine, use it. Meanwhile nothing runs in here."""
    watch = LIBC.inotify_init1(0)
    must(watch >= 0, "", "no inotify to try with")
    names = {LIBC.inotify_add_watch(watch, path.encode(), 0xFFF): path for path in SHARED}
    _ready("watching")
    seen = set()
    end = time.monotonic() + 0.8
    while (left := end - time.monotonic()) > 0:
        if select.select([watch], [], [], left)[0]:
            content, offset = os.read(watch, 65536), 0
            while offset < len(content):
                number, mask, _, length = struct.unpack_from("=iIII", content, offset)
                seen.add((names.get(number), hex(mask), content[offset + 16 : offset + 16 + length].rstrip(b"\0").decode()))
                offset += 16 + length
    return must(not seen, f"{len(names)} watched, nothing seen", f"seen: {sorted(seen)}")


def _until_refused(act):
    number = 0
    while True:
        try:
            act(number)
        except OSError as error:
            return number, errno.errorcode[error.errno]
        number += 1


def _inotify(_number):
    if LIBC.inotify_init1(0) < 0:
        raise OSError(ctypes.get_errno(), "inotify_init1")


def _signal(_number):
    information = struct.pack("=iiiiii", signal.SIGRTMIN, 0, -1, 0, os.getpid(), os.getuid()) + bytes(104)
    syscall(_SIGQUEUE, os.getpid(), int(signal.SIGRTMIN), information)


def _timer(_number):
    syscall(_TIMER_CREATE, 0, 0, ctypes.byref(ctypes.c_void_p()))


def _queue(number):
    syscall(_MQ_OPEN, f"q{number}".encode(), os.O_CREAT | os.O_RDWR, 0o600, ctypes.byref((ctypes.c_long * 8)(0, 10, 8192)))


COUNTED = {"inotify": _inotify, "signals": _signal, "timers": _timer, "queues": _queue}


@attempt
def take_all(kind):
    """Use up something that the kernel counts by owner, and hold it. The other side and the machine must still have theirs."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
    found = _until_refused(COUNTED[kind])
    Path("/tmp", f"taken-{kind}").write_text(str(found))
    signal.pause()


@attempt
def have_some(kind):
    """The other's exhaustion, felt in here or not."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
    try:
        COUNTED[kind](0)
    except OSError as error:
        raise Breach(f"another session used up all {kind} of this one: {error}") from error
    return "there are some left"
