"""Other processes: those of the machine and of other sessions are not there; what the runtime started and held is closed."""

import array
import errno
import fcntl
import os
import resource
import signal
import socket
import struct
from pathlib import Path

from .attempt import NO_SUCH_DOOR, all_refused, attempt, must, refused, syscall

ESRCH = {errno.ESRCH}


def _here():
    return list(Path("/proc").glob("[0-9]*"))


def _status(process):
    return dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())


@attempt
def every_process_in_sight_is_the_persons_own_and_has_no_right():
    """So that nothing privileged can be preloaded into, traced, or waited for."""
    found = []
    for process in _here():
        status = _status(process)
        rights = [status[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")]
        if status["Uid"].split() != ["1000"] * 4 or status["Gid"].split() != ["1000"] * 4 or status["Groups"].split() or set(rights) != {"0" * 16}:
            found.append((process.name, status["Name"], status["Uid"], status["Groups"], rights))
        if (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) != ("1", "2"):
            found.append((process.name, "no_new_privs or filter is missing"))
    return must(not found, f"{len(_here())} processes", f"{found}")


@attempt
def processes_of_the_machine_and_of_others(facts):
    pids = [pid for pid in facts.pids if not Path("/proc", str(pid)).exists()]
    must(set(pids) == set(facts.pids), "", "a pid of outside is a pid in here")
    table = {}
    for pid in pids:
        table |= {
            f"kill {pid}": (os.kill, pid, 0),
            f"kill group {pid}": (os.killpg, pid, 0),
            f"pidfd {pid}": (os.pidfd_open, pid),
            f"prlimit {pid}": (resource.prlimit, pid, resource.RLIMIT_CORE),
            f"affinity {pid}": (os.sched_getaffinity, pid),
            f"priority {pid}": (os.getpriority, os.PRIO_PROCESS, pid),
            f"session {pid}": (os.getsid, pid),
            f"queue {pid}": (syscall, 129, pid, signal.SIGTERM, bytes(128)),
            f"thread {pid}": (syscall, 200, pid, signal.SIGTERM),
        }
    return all_refused(table, by={errno.ESRCH, errno.EPERM})


@attempt
def tracing_and_reading_other_memory():
    table = {
        "ptrace attach": (syscall, 101, 16, 1, 0, 0),
        "ptrace seize": (syscall, 101, 0x4206, 1, 0, 0),
        "ptrace traceme": (syscall, 101, 0, 0, 0, 0),
        "process_vm_readv": (syscall, 310, 1, 0, 0, 0, 0, 0),
        "process_vm_writev": (syscall, 311, 1, 0, 0, 0, 0, 0),
        "process_madvise": (syscall, 440, os.pidfd_open(1), 0, 0, 0, 0),
        "process_mrelease": (syscall, 448, os.pidfd_open(1), 0),
        "pidfd_getfd": (syscall, 438, os.pidfd_open(1), 0, 0),
        "kcmp": (syscall, 312, 1, os.getpid(), 0, 0, 0),
    }
    return all_refused(table, by=NO_SUCH_DOOR)


@attempt
def signals_sent_by_a_file_or_a_forged_sender(facts):
    read, _write = os.pipe()
    owner = {f"owner {pid}": (fcntl.fcntl, read, fcntl.F_SETOWN, pid) for pid in facts.pids}
    left, _right = socket.socketpair()

    def forge(pid, uid):
        return left.sendmsg([b"x"], [(socket.SOL_SOCKET, 2, struct.pack("=iII", pid, uid, uid))])  # SCM_CREDENTIALS

    forged = {"root": (forge, os.getpid(), 0), "the first process": (forge, 1, 1000), "another user": (forge, os.getpid(), 1001)}
    return f"{all_refused(owner, by=ESRCH)}, {all_refused(forged, by={errno.EPERM, errno.ESRCH})}"


@attempt
def nothing_was_left_open_by_the_runtime():
    """CVE-2024-21626 and its kind: a descriptor of the machine in the first process, or in a new shell. A terminal is all they have."""
    found = {}
    for process in _here():
        if process.name == str(os.getpid()) or process.name == str(os.getppid()):
            continue
        for entry in (process / "fd").iterdir():
            aim = entry.readlink() if entry.exists() else Path("/dev/pts/0")
            if not str(aim).startswith(("/dev/pts/", "pipe:")) and str(aim) != "/dev/null":  # the room's own, as its /dev is
                found[f"{process.name}/{entry.name}"] = str(aim)
    return must(not found, "terminals only", f"{found}")


@attempt
def working_folders_and_roots_lie_inside():
    root = Path("/").stat()
    found = []
    for process in _here():
        for link in ("root", "cwd", "exe"):
            path = process / link
            if link == "root" and (path.stat().st_dev, path.stat().st_ino) != (root.st_dev, root.st_ino):
                found.append(f"{path}: another root")
            if "(unreachable)" in str(path.readlink()) or not Path(path.readlink()).exists():
                found.append(f"{path} -> {path.readlink()}")
    above = Path("/proc/1/root/../../..").stat()
    must((above.st_dev, above.st_ino) == (root.st_dev, root.st_ino), "", "/.. is another folder")
    return must(not found, "all of them", f"{found}")


@attempt
def the_runtimes_program_can_not_be_overwritten():
    """CVE-2019-5736 and its kind: what runs is of the read-only image, and no process of the runtime is in sight."""
    programs = {str((process / "exe").readlink()) for process in _here()}
    must(all(program.startswith("/usr/") for program in programs), "", f"programs: {programs}")
    table = {f"write {process.name}": (os.open, process / "exe", os.O_WRONLY) for process in _here()}
    return all_refused(table, by={errno.EROFS, errno.ETXTBSY, errno.EACCES})


@attempt
def the_first_process_can_not_be_killed_from_inside():
    """Nor stopped: the kernel drops for it what it has no handler for."""
    os.kill(1, signal.SIGKILL)
    os.kill(1, signal.SIGSTOP)
    state = _status(Path("/proc/1"))["State"].split()[0]
    return must(state in {"S", "R"}, "it lives", f"state {state}")


@attempt
def limits_can_not_be_raised():
    """Among them that of core files, which the machine would write outside: one byte, which also stops a core_pattern that is a pipe (core(5))."""
    must(resource.getrlimit(resource.RLIMIT_CORE) == (1, 1), "", "cores are written")
    stayed = []
    for name in ("RLIMIT_CORE", "RLIMIT_NOFILE", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE", "RLIMIT_RTPRIO", "RLIMIT_NICE"):
        limit = getattr(resource, name, 11)  # Python has no name for RLIMIT_SIGPENDING
        hard = resource.getrlimit(limit)[1]
        try:
            resource.setrlimit(limit, (hard + 1, hard + 1))
        except (OSError, ValueError):
            stayed.append(f"{name} {hard}")
        else:
            must(False, "", f"{name} was raised")
    return ", ".join(stayed)


@attempt
def a_descriptor_can_not_be_had_from_outside():
    """SCM_RIGHTS goes only where a socket goes: between processes in here."""
    left, right = socket.socketpair()
    left.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))])
    _, ancillary, _, _ = right.recvmsg(1, socket.CMSG_SPACE(4))
    aim = Path(f"/proc/self/fd/{array.array('i', ancillary[0][2])[0]}").readlink()
    return must(str(aim).startswith(("/dev/pts/", "/dev/null", "pipe:")), f"own {aim}", f"{aim}")


@attempt
def real_time_and_higher_priority():
    table = {
        "fifo": (os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1)),
        "nice": (os.setpriority, os.PRIO_PROCESS, 0, -5),
        "disk, real time": (syscall, 251, 1, 0, 1 << 13),
    }
    must(Path("/proc/self/oom_score_adj").read_text().strip() >= "0", "", "less likely to be killed than others")
    return all_refused(table, by={errno.EPERM, errno.EACCES})


@attempt
def escape_from_the_memory_killer():
    def write():
        Path("/proc/self/oom_score_adj").write_text("-1000")

    return refused(write, by={errno.EACCES, errno.EPERM})
