"""Using up what a room has: the room feels it, and nobody else does."""

import ctypes
import errno
import os
import resource
import select
import signal
import socket
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path

from .attempt import LIBC, Breach, attempt, must, syscall

MIB = 1 << 20
_SHMGET, _SHMAT = 29, 30


def _forked(act):
    """How a child ends that does `act`: its status."""
    child = os.fork()
    if child == 0:
        Path("/proc/self/oom_score_adj").write_text("1000")  # so that it is this one that is killed
        try:
            act()
        except OSError as error:
            os._exit(error.errno)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@attempt
def fork_bomb(limit):
    children = []
    try:
        for _ in range(100_000):
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    except BlockingIOError:
        return must(len(children) < int(limit), f"EAGAIN after {len(children)}", f"{len(children)} processes")
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    raise Breach(f"{len(children)} processes")


@attempt
def thread_bomb(limit):
    stop, threads = threading.Event(), []
    threading.stack_size(65536)
    try:
        for _ in range(100_000):
            threads.append(threading.Thread(target=stop.wait))
            threads[-1].start()
    except RuntimeError:
        return must(len(threads) <= int(limit), f"no thread after {len(threads)}", f"{len(threads)} threads")
    finally:
        stop.set()
    raise Breach(f"{len(threads)} threads")


def _swallow_memory():
    held = []
    while True:
        held.append(bytearray(b"x") * (8 * MIB))


def _swallow_nameless_files():
    while True:
        os.write(os.memfd_create("bomb"), bytes(8 * MIB))


def _swallow_shared_memory():
    while True:
        number = syscall(_SHMGET, 0, 8 * MIB, 0o1600)
        LIBC.shmat.restype = ctypes.c_void_p
        address = LIBC.shmat(number, None, 0)
        LIBC.shmctl(number, 0, None)  # gone with the last who has it attached
        ctypes.memset(address, 1, 8 * MIB)


def _swallow_locked_memory():
    held = []
    while True:
        held.append(ctypes.create_string_buffer(b"x", MIB))
        LIBC.mlock(held[-1], MIB)
        ctypes.memset(held[-1], 1, MIB)


SWALLOWERS = {
    "memory": _swallow_memory,
    "nameless files": _swallow_nameless_files,
    "shared memory": _swallow_shared_memory,
    "locked memory": _swallow_locked_memory,
}


@attempt
def memory_bomb(kind):
    status = _forked(SWALLOWERS[kind])
    return must(status == -signal.SIGKILL, "killed", f"ended with {status}")


@attempt
def full_of_bytes(place, limit):
    path, written = Path(place, "bomb"), 0
    try:
        with path.open("wb", buffering=0) as file:
            while True:
                written += file.write(bytes(MIB))
    except OSError as error:
        must(error.errno == errno.ENOSPC, "", f"{error} after {written} bytes")
    finally:
        path.unlink(missing_ok=True)
    return must(written <= int(limit), f"ENOSPC after {written} bytes", f"{written} bytes")


@attempt
def full_of_files(place, limit):
    folder, made = Path(place, "bombs"), 0
    folder.mkdir()
    try:
        while True:
            os.close(os.open(folder / str(made), os.O_CREAT | os.O_WRONLY))
            made += 1
    except OSError as error:
        must(error.errno == errno.ENOSPC, "", f"{error} after {made} files")
    finally:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    return must(made <= int(limit), f"ENOSPC after {made} files", f"{made} files")


@attempt
def full_of_attributes(place):
    """Extended attributes are memory too; where files may have them they are counted."""
    path = Path(place, "attributes")
    path.touch()

    def swell():
        for number in range(1 << 20):
            os.setxattr(path, f"user.{number}", bytes(60_000))

    try:
        status = _forked(swell)
    finally:
        path.unlink(missing_ok=True)
    return must(status in {errno.ENOSPC, errno.EOPNOTSUPP, errno.EPERM, -signal.SIGKILL}, f"ended with {status}", f"ended with {status}")


@attempt
def descriptor_bomb(processes):
    """Every process of the room as full of descriptors as it may be."""
    go, children = os.pipe(), []
    for _ in range(int(processes)):
        child = os.fork()
        if child == 0:
            resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
            made = 0
            while LIBC.eventfd(0, 0) >= 0:
                made += 1
            os.write(go[1], made.to_bytes(4, "little"))
            signal.pause()
        children.append(child)
    counts = [int.from_bytes(os.read(go[0], 4), "little") for _ in children]
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return must(max(counts) < 4096, f"EMFILE, {sum(counts)} in all", f"{counts}")


def _as_many_as_may_be(make):
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    held = []
    try:
        while len(held) < 100_000:
            held.append(make(len(held)))
    except OSError as error:
        return len(held), error.errno
    return len(held), 0


def _abstract(number):
    end = socket.socket(socket.AF_UNIX)
    end.bind(f"\0bomb-{number}")
    return end


MAKERS = {
    "pipes": (lambda _number: os.pipe(), {errno.EMFILE}),
    "sockets": (lambda _number: socket.socket(), {errno.EMFILE}),
    "abstract sockets": (_abstract, {errno.EMFILE}),
    "terminals": (lambda _number: os.openpty(), {errno.ENOSPC, errno.EMFILE, errno.ENOENT}),
    "epolls": (lambda _number: select.epoll(), {errno.EMFILE}),
}


@attempt
def thousands_of(kind):
    make, by = MAKERS[kind]
    made, error = _as_many_as_may_be(make)
    return must(error in by, f"{errno.errorcode.get(error)} after {made}", f"{made} and {errno.errorcode.get(error, 'no error')}")


@attempt
def memory_in_sockets(limit):
    """TCP keeps what nobody reads in memory of its own, which version 1 control groups don't count unless they are told to."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    held, total = [], 0
    with socket.create_server(("127.0.0.1", 7777), backlog=1000) as door:
        for _ in range(1500):
            near = socket.create_connection(("127.0.0.1", 7777))
            held += [near, door.accept()[0]]
            near.setblocking(False)
            try:
                while True:
                    total += near.send(bytes(MIB))
            except BlockingIOError:
                pass
    return must(total <= int(limit), f"{total // MIB} MiB", f"{total // MIB} MiB lie in sockets")


@attempt
def be(kind):
    """A process that is hard to end: whatever it is, it stays until somebody else ends it."""
    HARD[kind]()
    Path("/tmp", "hard").touch()
    while True:
        signal.pause()


def _ignores_signals():
    for number in range(1, signal.NSIG):
        if number not in {signal.SIGKILL, signal.SIGSTOP, 32, 33}:
            signal.signal(number, signal.SIG_IGN)


def _spins():
    for _ in range(8):
        if os.fork() == 0:
            _ignores_signals()
            while True:
                pass


def _daemons():
    for _ in range(20):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                _ignores_signals()
                os.chdir("/data")
                signal.pause()
            os._exit(0)


def _zombies():
    for _ in range(50):
        if os.fork() == 0:
            os._exit(0)


def _holds_data():
    os.chdir("/data")
    for number in range(200):
        os.write(os.open(f"/data/held-{number}", os.O_CREAT | os.O_RDWR), bytes(100_000))
    for number in range(100):
        Path(f"/data/held-{number}").unlink()


def _odd_names():
    for name in (b"a\nb", b"\x1b[2J", b"\xff\xfe", b"x" * 255, b"..\\..", b" ", b"-rf", b"$(reboot)", "日本".encode(), b"~", b"*", b"'\"`"):
        for place in (b"/data/", b"/tmp/", b"/home/operator/", b"/run/", b"/dev/shm/"):
            Path(os.fsdecode(place + name)).write_text("x")
    os.chdir("/data")
    for _ in range(300):  # a path far longer than PATH_MAX
        Path("d" * 200).mkdir()
        os.chdir("d" * 200)
    Path("/data/loop").symlink_to("/data/loop")
    Path("/data/up").symlink_to("/")
    os.mkfifo("/data/fifo")
    os.mknod("/data/socket", stat.S_IFSOCK | 0o600)
    Path("/data/closed").mkdir(mode=0)


def _forks_without_end():
    for _ in range(4):
        if os.fork() == 0:
            _ignores_signals()
            while True:
                with suppress(OSError):
                    os.fork()


def _stops():
    for _ in range(10):
        if os.fork() == 0:
            os.kill(os.getpid(), signal.SIGSTOP)


def _waits_for_a_child_that_never_execs():
    """vfork: the parent sleeps in the kernel, deaf to all but SIGKILL."""
    if os.fork() == 0:
        if LIBC.vfork() == 0:
            while True:
                LIBC.pause()
        os._exit(0)


def _floods_the_terminal():
    if os.fork() == 0:
        end = os.open("/dev/pts/0", os.O_WRONLY)
        while True:
            os.write(end, b"flood " * 1000)
    time.sleep(0.2)


HARD = {
    "deaf to signals": _ignores_signals,
    "spinning": _spins,
    "daemons": _daemons,
    "zombies": _zombies,
    "holding /data": _holds_data,
    "odd names": _odd_names,
    "forking without end": _forks_without_end,
    "stopped": _stops,
    "asleep in the kernel": _waits_for_a_child_that_never_execs,
    "flooding the terminal": _floods_the_terminal,
}
