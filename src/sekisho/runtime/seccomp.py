"""The system calls that a room may make: an allow-list of our own writing, as the OCI `linux.seccomp` object.

What is not listed answers EPERM. The common container default lets nested user namespaces and mounts through; here nothing makes or enters a namespace,
mounts, loads, traces, or opens a socket other than Unix, TCP, UDP and the routing netlink. Only the machine's own architecture is known, so that calls by the
32-bit or x32 door do not get in. Pure: values only.

Rules about arguments compare the low 32 bits alone, wherever the kernel takes an `int`: it drops the rest, and so a filter that compared 64 bits could
be walked round with a set high bit (CVE-2019-10063).
"""

import errno
from collections.abc import Iterable
from typing import Any

from sekisho.model.errors import Trouble

ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}

# clone(2): the flags that make namespaces. CLONE_NEWTIME shares its bit with the exit signal and works only with clone3 and unshare.
_NEW_NAMESPACES = 0x0002_0000 | 0x0200_0000 | 0x0400_0000 | 0x0800_0000 | 0x1000_0000 | 0x2000_0000 | 0x4000_0000
_INT = 0xFFFF_FFFF

# ioctl_tty(2): push input into the terminal of whoever is outside; the console's selection does the same; a line discipline loads kernel modules.
_TIOCSTI, _TIOCLINUX, _TIOCSETD = 0x5412, 0x541C, 0x5423

_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_SOCK_STREAM, _SOCK_DGRAM, _TYPE = 1, 2, 0xF  # the rest of `type` is SOCK_CLOEXEC and SOCK_NONBLOCK
_IPPROTO_TCP, _IPPROTO_UDP, _NETLINK_ROUTE = 6, 17, 0

# socket(7): SO_ATTACH_FILTER, _BPF, _REUSEPORT_CBPF, _REUSEPORT_EBPF. Programs in the kernel, out of one store of compiled code for the whole machine: a
# room that filled it would stop every new room's own filter.
_SOL_SOCKET, _SOCKET_FILTERS = 1, (26, 50, 51, 52)

# mknod(2): kinds of file that are no device
_S_IFMT, _S_IFREG, _S_IFIFO, _S_IFSOCK = 0xF000, 0x8000, 0x1000, 0xC000

_PERSONALITY_LINUX, _PERSONALITY_ASK = 0, _INT

_FILES = """
access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown
fchownat fcntl fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr
inotify_add_watch inotify_init inotify_init1 inotify_rm_watch lchown lgetxattr link linkat listxattr llistxattr lremovexattr lseek lsetxattr lstat mkdir
mkdirat newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr rename renameat
renameat2 rmdir sendfile setxattr splice stat statfs statx symlink symlinkat sync_file_range syncfs tee truncate umask unlink unlinkat utime
utimensat utimes write writev
"""

_WAITING = """
epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 pipe pipe2 poll ppoll pselect6 select
signalfd signalfd4 timerfd_create timerfd_gettime timerfd_settime
"""

_MEMORY = """
brk cacheflush madvise map_shadow_stack membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap mseal msync munlock munlockall munmap
pkey_alloc pkey_free pkey_mprotect
"""

_PROCESSES = """
arch_prctl capget capset execve execveat exit exit_group fork getegid geteuid getgid getgroups getpgid getpgrp getpid getppid getpriority getresgid
getresuid getrlimit getrusage getsid gettid getuid ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self pause pidfd_open
pidfd_send_signal prctl prlimit64 restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp set_tid_address setfsgid setfsuid setgid setgroups setpgid setpriority
setregid setresgid setresuid setreuid setrlimit setsid setuid sigaltstack tgkill tkill vfork wait4 waitid
"""

_SYNCHRONISATION = """
futex futex_requeue futex_wait futex_waitv futex_wake get_robust_list mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget
msgrcv msgsnd semctl semget semop semtimedop set_robust_list shmat shmctl shmdt shmget
"""

_TIME_AND_MACHINE = """
alarm clock_getres clock_gettime clock_nanosleep getcpu getitimer getrandom gettimeofday nanosleep setitimer sysinfo time timer_create timer_delete
timer_getoverrun timer_gettime timer_settime times uname
"""

_SOCKETS = """
accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg sendto shutdown
"""

ALLOWED = tuple(f"{_FILES}{_WAITING}{_MEMORY}{_PROCESSES}{_SYNCHRONISATION}{_TIME_AND_MACHINE}{_SOCKETS}".split())


def profile(machine: str) -> dict[str, Any]:
    """The `linux.seccomp` object (OCI runtime spec, config-linux.md "Seccomp") for a machine as `platform.machine()` names it.

    Raises Trouble for a machine that there is no profile for."""
    architecture = ARCHITECTURES.get(machine)
    if architecture is None:
        raise Trouble("machine-unknown", "no system call profile for this machine", expected=" or ".join(ARCHITECTURES), found=machine)
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.EPERM,
        "architectures": [architecture],
        "syscalls": [
            {"names": list(ALLOWED), "action": "SCMP_ACT_ALLOW"},
            # its flags lie in memory, where no filter sees them; ENOSYS makes libraries fall back to clone
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS},
            # it would flush the machine's disks, the log's among them, as often as a room likes; a room has nothing on a disk: done
            {"names": ["sync"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0},
            *_argument_rules(),
        ],
    }


def _argument_rules() -> list[dict[str, Any]]:
    kinds_of_file = (0, _S_IFREG, _S_IFIFO, _S_IFSOCK)
    return [
        _allow("clone", (0, _NEW_NAMESPACES, 0)),
        *(_allow("ioctl", (1, mask, value)) for mask, value in everything_but((_TIOCSTI, _TIOCLINUX, _TIOCSETD))),
        *(_allow("mknod", (1, _S_IFMT, kind)) for kind in kinds_of_file),
        *(_allow("mknodat", (2, _S_IFMT, kind)) for kind in kinds_of_file),
        *(_allow("personality", (0, _INT, value)) for value in (_PERSONALITY_LINUX, _PERSONALITY_ASK)),
        *(_allow("setsockopt", (1, mask, value)) for mask, value in everything_but((_SOL_SOCKET,))),
        *(_allow("setsockopt", (1, _INT, _SOL_SOCKET), (2, mask, value)) for mask, value in everything_but(_SOCKET_FILTERS)),
        *(_allow("socket", *conditions) for conditions in _sockets()),
        _allow("socketpair", (0, _INT, _AF_UNIX)),
    ]


def _sockets() -> Iterable[tuple[tuple[int, int, int], ...]]:
    yield ((0, _INT, _AF_UNIX),)
    yield (0, _INT, _AF_NETLINK), (2, _INT, _NETLINK_ROUTE)
    for family in (_AF_INET, _AF_INET6):
        for kind, protocol in ((_SOCK_STREAM, _IPPROTO_TCP), (_SOCK_DGRAM, _IPPROTO_UDP)):
            for named in (0, protocol):
                yield (0, _INT, family), (1, _TYPE, kind), (2, _INT, named)


def everything_but(excluded: Iterable[int]) -> list[tuple[int, int]]:
    """(mask, value) pairs that together match every 32-bit number except these, and no pair matches any of these.

    Seccomp knows no "not equal" under a mask, so the complement is spelt as prefixes: walk down the bits of what is excluded, and let through each branch
    that holds none of it.
    """
    refused = set(excluded)
    found: list[tuple[int, int]] = []
    for length in range(1, 33):
        shift = 32 - length
        taken = {number >> shift for number in refused}
        found.extend(((_INT >> shift) << shift, prefix << shift) for prefix in sorted({branch ^ 1 for branch in taken} - taken))
    return found


def _allow(name: str, *conditions: tuple[int, int, int]) -> dict[str, Any]:
    """Each condition is (argument, mask, value): the argument under the mask is the value. All of them must hold."""
    return {
        "names": [name],
        "action": "SCMP_ACT_ALLOW",
        "args": [{"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"} for index, mask, value in conditions],
    }
