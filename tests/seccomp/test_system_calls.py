"""What a room may ask of the kernel, tried from inside a real container under our profile.

To know that it is the filter that refuses, and not the kernel for want of a capability, the profile is given an error number that
the kernel has no other use for.
"""

import errno
import json
import platform
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.model.errors import Trouble
from sekisho.runtime import seccomp

BY_THE_FILTER = errno.ENOANO
HIGH = 1 << 32  # a bit that the kernel drops from an int
SIGCHLD = int(signal.SIGCHLD)
PROBE = (Path(__file__).parent / "calls.py").read_text()

on_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers in the table are those of x86-64")

# name: number of the call (x86-64), arguments; the reason it is refused
REFUSED = {
    # namespaces and mounts: the wall itself
    "unshare, user": (272, 0x10000000),
    "unshare, mount": (272, 0x00020000),
    "setns": (308, 0, 0),
    "clone, new mount namespace": (56, 0x00020000 | SIGCHLD),
    "clone, new cgroup namespace": (56, 0x02000000 | SIGCHLD),
    "clone, new uts namespace": (56, 0x04000000 | SIGCHLD),
    "clone, new ipc namespace": (56, 0x08000000 | SIGCHLD),
    "clone, new user namespace": (56, 0x10000000 | SIGCHLD),
    "clone, new pid namespace": (56, 0x20000000 | SIGCHLD),
    "clone, new network namespace": (56, 0x40000000 | SIGCHLD),
    "clone, new user namespace, a high bit set": (56, HIGH | 0x10000000 | SIGCHLD),
    "mount": (165,),
    "umount2": (166,),
    "pivot_root": (155,),
    "chroot": (161,),
    "open_tree": (428,),
    "move_mount": (429,),
    "fsopen": (430,),
    "fsconfig": (431,),
    "fsmount": (432,),
    "fspick": (433,),
    "mount_setattr": (442,),
    # keyrings are not namespaced by uid ranges alone
    "add_key": (248,),
    "request_key": (249,),
    "keyctl": (250,),
    # programs in the kernel, and calls that no filter sees
    "bpf": (321,),
    "perf_event_open": (298,),
    "userfaultfd": (323,),
    "io_uring_setup": (425, 8, 0),
    "io_uring_enter": (426,),
    "io_uring_register": (427,),
    "io_setup": (206,),
    # other processes
    "ptrace": (101,),
    "process_vm_readv": (310,),
    "process_vm_writev": (311,),
    "process_madvise": (440,),
    "kcmp": (312,),
    "pidfd_getfd": (438,),
    # the machine
    "kexec_load": (246,),
    "kexec_file_load": (320,),
    "init_module": (175,),
    "finit_module": (313,),
    "delete_module": (176,),
    "reboot": (169,),
    "swapon": (167,),
    "swapoff": (168,),
    "acct": (163,),
    "quotactl": (179,),
    "quotactl_fd": (443,),
    "syslog": (103,),
    "iopl": (172, 3),
    "ioperm": (173,),
    "modify_ldt": (154,),
    "settimeofday": (164,),
    "clock_settime": (227,),
    "adjtimex": (159,),
    "clock_adjtime": (305,),
    "sethostname": (170,),
    "setdomainname": (171,),
    "vhangup": (153,),
    "uselib": (134,),
    "ustat": (136,),
    "sysfs": (139,),
    "vmsplice": (278,),
    "move_pages": (279,),
    "migrate_pages": (256,),
    "mbind": (237,),
    # files by another door than their path
    "open_by_handle_at": (304,),
    "name_to_handle_at": (303,),
    "lookup_dcookie": (212,),
    "fanotify_init": (300,),
    "fanotify_mark": (301,),
    "memfd_secret": (447,),
    "mknod, character device": (133, 0, 0o020666, 0x0103),
    "mknod, block device": (133, 0, 0o060666, 0x0800),
    "mknodat, character device": (259, 0, 0, 0o020666, 0x0103),
    "mknodat, character device, a high bit set": (259, 0, 0, HIGH | 0o020666, 0x0103),
    # ways of running that undo address randomisation or memory protection
    "personality, no randomisation": (135, 0x0040000),
    "personality, read implies exec": (135, 0x0400000),
    "personality, old version number": (135, 0x0020000),
    # the terminal of whoever is outside
    "ioctl TIOCSTI": (16, 0, 0x5412, 0),
    "ioctl TIOCSTI, a high bit set": (16, 0, HIGH | 0x5412, 0),
    "ioctl TIOCLINUX": (16, 0, 0x541C, 0),
    "ioctl TIOCLINUX, a high bit set": (16, 0, HIGH | 0x541C, 0),
    "ioctl TIOCSETD": (16, 0, 0x5423, 0),
    # sockets: no way out, no autoloaded protocol
    "socket, packet": (41, 17, 3, 0x0300),
    "socket, inet as packet": (41, 2, 10, 0x0300),
    "socket, raw": (41, 2, 3, 1),
    "socket, raw, close-on-exec": (41, 2, 3 | 0o2000000, 1),
    "socket, raw 6": (41, 10, 3, 58),
    "socket, ping": (41, 2, 2, 1),
    "socket, ping 6": (41, 10, 2, 58),
    "socket, vsock": (41, 40, 1, 0),
    "socket, vsock, a high bit set": (41, HIGH | 40, 1, 0),
    "socket, sctp": (41, 2, 1, 132),
    "socket, sctp seqpacket": (41, 2, 5, 132),
    "socket, mptcp": (41, 2, 1, 262),
    "socket, smc": (41, 2, 1, 256),
    "socket, udplite": (41, 2, 2, 136),
    "socket, l2tp": (41, 2, 2, 115),
    "socket, dccp": (41, 2, 6, 33),
    "socket, netlink audit": (41, 16, 3, 9),
    "socket, netlink netfilter": (41, 16, 3, 12),
    "socket, netlink generic": (41, 16, 3, 16),
    "socket, netlink socket diagnosis": (41, 16, 3, 4),
    "socket, crypto": (41, 38, 5, 0),
    "socket, bluetooth": (41, 31, 3, 0),
    "socket, can": (41, 29, 3, 1),
    "socket, tipc": (41, 30, 5, 0),
    "socket, rds": (41, 21, 5, 0),
    "socket, xdp": (41, 44, 3, 0),
    "socket, smc family": (41, 43, 1, 0),
    "socketpair, tipc": (53, 30, 5, 0, 0),
}

# calls that are let through to the kernel, which answers for itself; 0 is success
LET_THROUGH = {
    "socket, tcp": ((41, 2, 1, 0), 0),
    "socket, tcp by number, close-on-exec and non-blocking": ((41, 2, 1 | 0o2004000, 6), 0),
    "socket, udp 6": ((41, 10, 2, 17), 0),
    "socket, unix seqpacket": ((41, 1, 5, 0), 0),
    "socket, route netlink": ((41, 16, 3, 0), 0),
    "personality, asked": ((135, 0xFFFFFFFF), 0),
    "personality, linux": ((135, 0), 0),
    "ioctl, size of what is no terminal": ((16, 0, 0x5413, 0), errno.ENOTTY),
    "ioctl, a high bit set": ((16, 0, HIGH | 0x5413, 0), errno.ENOTTY),
    "ioctl, sign extended": ((16, 0, 0xFFFFFFFF_80045430, 0), errno.ENOTTY),
    "mknod, fifo without a path": ((133, 0, 0o010666, 0), errno.EFAULT),
    "seccomp, unknown operation": ((317, 99, 0, 0), errno.EINVAL),
    "memfd_create without a name": ((319, 0, 0), errno.EFAULT),
}


@pytest.fixture(scope="session")
def answers(container):
    profile = seccomp.profile("x86_64") | {"defaultErrnoRet": BY_THE_FILTER}
    calls = {**REFUSED, **{name: call for name, (call, _) in LET_THROUGH.items()}}
    calls |= {"clone3": (435, 0, 0), "a call newer than the profile": (467,), "x32 getpid": (0x40000000 | 39,), "int 0x80 getpid": (20,)}
    done = container(["python3", "-c", PROBE], json.dumps({"calls": calls}), profile)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@on_x86
@pytest.mark.root
@pytest.mark.parametrize("name", REFUSED)
def test_the_filter_refuses(answers, name):
    assert answers[name] == BY_THE_FILTER


@on_x86
@pytest.mark.root
@pytest.mark.parametrize("name", LET_THROUGH)
def test_the_filter_lets_through_what_ordinary_programs_need(answers, name):
    assert answers[name] == LET_THROUGH[name][1]


@on_x86
@pytest.mark.root
def test_clone3_is_said_not_to_exist_so_that_libraries_fall_back(answers):
    assert answers["clone3"] == errno.ENOSYS


@on_x86
@pytest.mark.root
def test_a_call_that_the_profile_does_not_know_yet_is_refused(answers):
    assert answers["a call newer than the profile"] in {BY_THE_FILTER, errno.ENOSYS}


@on_x86
@pytest.mark.root
def test_the_32_bit_door_is_shut(answers):
    assert answers["int 0x80 getpid"] in {-signal.SIGSYS, -signal.SIGSEGV}  # no such door in this kernel: SIGSEGV


@on_x86
@pytest.mark.root
def test_the_x32_door_is_shut(answers):
    assert answers["x32 getpid"] in {-signal.SIGSYS, errno.ENOSYS, BY_THE_FILTER}


@on_x86
@pytest.mark.root
def test_a_room_is_told_that_it_may_not(container):
    done = container(["python3", "-c", PROBE], json.dumps({"calls": {"unshare": REFUSED["unshare, user"], "vsock": REFUSED["socket, vsock"]}}))
    assert json.loads(done.stdout) == {"unshare": errno.EPERM, "vsock": errno.EPERM}, done.stderr


PROGRAMS = {
    "bash": 'for i in 1 2 3; do echo $i; done | sort -r | head -n 1 > /tmp/out; [ "$(cat /tmp/out)" = 3 ]; true & wait; diff <(echo a) <(echo a)',
    "coreutils": "mkfifo /tmp/fifo; (echo 道 > /tmp/fifo &); cat /tmp/fifo; cp -a /etc/hosts /tmp/copy; ln /tmp/copy /tmp/link; stat /tmp/link; df /tmp; "
    "timeout 5 true; dd if=/dev/zero of=/tmp/zeros bs=1M count=2; truncate -s 3M /tmp/zeros; sync /tmp/zeros; shred -u /tmp/zeros; nice sort /tmp/copy; id",
    "git": "git init -q repo; cd repo; git config user.name o; git config user.email o@room; echo 一 > 名前.txt; git add .; git commit -qm one; git gc -q; "
    "git clone -q . ../two; git -C ../two log --oneline | grep one",
    "curl": "python3 -m http.server 8080 --bind 127.0.0.1 & curl -sf --retry 50 --retry-delay 0 --retry-connrefused --retry-max-time 20 http://127.0.0.1:8080/",
    "jq": "echo '{\"a\": [1, 2]}' | jq -e '.a | add == 3'",
    "vim": "echo 'こんにちは' > /tmp/text && vim -es -c '%s/こん/今/' -c wq /tmp/text && grep 今にちは /tmp/text",
    "less": "less -FX /etc/hosts < /dev/null | grep localhost",
    "procps": "ps aux | grep ps && uptime && free",
    "openssl": "openssl rand -hex 8 && openssl genpkey -algorithm ed25519 -out /tmp/key",
    "tini": "tini -s -- true",
    "xz with threads": "xz -T2 -c /usr/bin/python3.11 | xz -dc | cmp - /usr/bin/python3.11",
}

PYTHON = """
import asyncio, ctypes, mmap, multiprocessing, os, pty, resource, select, signal, socket, sqlite3, subprocess, tempfile, threading, time
threads = [threading.Thread(target=time.sleep, args=(0.01,)) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
assert subprocess.check_output(["echo", "hi"]) == b"hi\\n"
async def both():
    server = await asyncio.start_server(lambda r, w: (w.write(b"x"), w.close()), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b"x"
    writer.close()
    process = await asyncio.create_subprocess_exec("true")
    assert await process.wait() == 0
asyncio.run(both())
with multiprocessing.get_context("spawn").Pool(2) as pool:
    assert pool.map(abs, [-1, -2]) == [1, 2]
os.memfd_create("m"); os.eventfd(0); os.pidfd_open(os.getpid()); os.sched_getaffinity(0); os.getrandom(8)
a, b = socket.socketpair(); socket.if_nameindex(); socket.getaddrinfo("localhost", 80)
pid, fd = pty.fork() if os.path.exists("/dev/ptmx") and os.access("/dev/ptmx", os.W_OK) else (1, None)
if pid == 0: os._exit(0)
m = mmap.mmap(-1, 1 << 20); m.madvise(mmap.MADV_DONTNEED)
db = sqlite3.connect("/tmp/x.sqlite"); db.execute("pragma journal_mode=wal"); db.execute("create table t(a)"); db.commit()
resource.getrlimit(resource.RLIMIT_NOFILE); os.setpriority(os.PRIO_PROCESS, 0, 5); os.setsid
signal.setitimer(signal.ITIMER_REAL, 10); signal.alarm(0)
"""


@pytest.mark.root
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_the_terminal_image_works(container, name):
    done = container(["bash", "-ec", PROGRAMS[name]])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.root
def test_python_works_with_threads_processes_sockets_and_maps(container):
    done = container(["python3", "-c", PYTHON])
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_native_architecture_is_known():
    assert seccomp.profile("x86_64")["architectures"] == ["SCMP_ARCH_X86_64"]
    assert seccomp.profile("aarch64")["architectures"] == ["SCMP_ARCH_AARCH64"]


def test_a_machine_without_a_profile_is_refused():
    with pytest.raises(Trouble, match="no system call profile"):
        seccomp.profile("riscv64")


def test_no_call_is_listed_twice():
    assert len(set(seccomp.ALLOWED)) == len(seccomp.ALLOWED)


@given(st.sets(st.integers(0, 2**32 - 1), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_everything_but_matches_every_number_except_those_excluded(excluded, number):
    pairs = seccomp.everything_but(excluded)
    for candidate in (number, *excluded, *(one ^ 1 for one in excluded), *(one ^ 0x8000_0000 for one in excluded)):
        assert any(candidate & mask == value for mask, value in pairs) == (candidate not in excluded)
