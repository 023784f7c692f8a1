"""Calls that make the kernel do more than files, sockets and processes: each is an attempt of its own."""

import ctypes
import mmap
import os
import signal
from pathlib import Path

from .attempt import NO_SUCH_DOOR, Breach, attempt, must, refused, register, syscall

CALLS = {
    "add_key": (248, b"user", b"x", b"x", 1, 0xFFFFFFFD),
    "request_key": (249, b"user", b"x", None, 0),
    "keyctl_read_the_sessions_keyring": (250, 0, 0xFFFFFFFD, 0),
    "keyctl_join_a_session_keyring": (250, 1, b"_ses"),
    "io_uring_setup": (425, 8, bytes(120)),
    "io_uring_enter": (426, 0, 0, 0, 0, 0),
    "io_uring_register": (427, 0, 0, 0, 0),
    "bpf_map": (321, 0, bytes(128), 128),
    "bpf_program": (321, 5, bytes(128), 128),
    "perf_event_open": (298, bytes(128), 0, -1 & 0xFFFFFFFF, -1 & 0xFFFFFFFF, 0),
    "userfaultfd": (323, 0),
    "userfaultfd_user_mode_only": (323, 1),
    "kexec_load": (246, 0, 0, 0, 0),
    "kexec_file_load": (320, 0, 0, 0, 0, 0),
    "init_module": (175, 0, 0, b""),
    "finit_module": (313, 0, b"", 0),
    "delete_module": (176, b"x", 0),
    "reboot": (169, 0, 0, 0, 0),
    "swapon": (167, b"/tmp/x", 0),
    "swapoff": (168, b"/tmp/x"),
    "acct": (163, b"/tmp/x"),
    "quotactl": (179, 0, b"/", 0, 0),
    "iopl": (172, 3),
    "ioperm": (173, 0, 1, 1),
    "modify_ldt": (154, 1, bytes(16), 16),
    "settimeofday": (164, bytes(16), 0),
    "clock_settime": (227, 0, bytes(16)),
    "adjtimex": (159, bytes(208)),
    "sethostname": (170, b"x", 1),
    "setdomainname": (171, b"x", 1),
    "vhangup": (153,),
    "uselib": (134, b"/tmp/x"),
    "fanotify_init": (300, 0, 0),
    "memfd_secret": (447, 0),
    "vmsplice": (278, 1, 0, 0, 0),
    "move_pages": (279, 0, 0, 0, 0, 0, 0),
    "mbind": (237, 0, 0, 0, 0, 0, 0),
    "set_mempolicy": (238, 0, 0, 0),
    "migrate_pages": (256, 1, 0, 0, 0),
    "lookup_dcookie": (212, 0, 0, 0),
    "nfsservctl": (180, 0, 0, 0),
    "personality_without_randomisation": (135, 0x0040000),
    "personality_read_implies_exec": (135, 0x0400000),
    "remap_file_pages": (216, 0, 0, 0, 0, 0),
    "io_setup": (206, 8, bytes(8)),
    "lsm_set_self_attr": (460, 0, 0, 0, 0),
}
# above 450, what the profile lets through: cachestat is refused, fchmodat2, map_shadow_stack, futex_wake, futex_wait, futex_requeue and mseal are known
LATER_AND_KNOWN = {452, 453, 454, 455, 456, 462}


def _attempt(number, arguments):
    return lambda: refused(syscall, number, *arguments, by=NO_SUCH_DOOR)


for _name, (_number, *_arguments) in CALLS.items():
    register(_name, _attempt(_number, _arguments))


@attempt
def calls_that_the_profile_does_not_know_yet():
    for number in range(450, 1024):
        if number not in LATER_AND_KNOWN:
            refused(syscall, number, 0, 0, 0, 0, 0, 0, by=NO_SUCH_DOOR, what=str(number))
    return "450 to 1023"


@attempt
def the_x32_door():
    for number in (*range(0, 500, 7), 512, 520, 530, 547):
        status = _in_a_child(lambda number=number: syscall(0x40000000 | number, 0, 0, 0))
        must(status in {1, 38, -signal.SIGSYS}, "", f"x32 call {number}: {status}")
    return "EPERM, ENOSYS or killed"


@attempt
def the_32_bit_door():
    """`mov eax, N; int 0x80`: 20 is getpid there, 310 unshare."""
    for number in (20, 310, 21, 120):
        status = _in_a_child(lambda number=number: _interrupt(number))
        must(status in {-signal.SIGSYS, -signal.SIGSEGV, 1, 38}, "", f"32-bit call {number}: {status}")
    return "shut"


def _interrupt(number):
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(b"\xb8" + number.to_bytes(4, "little") + b"\x31\xdb\xcd\x80\xc3")
    result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    if result < 0:
        raise OSError(-result, "int 0x80")


def _in_a_child(act):
    """0 for success, the error's number, or minus the signal that killed it."""
    child = os.fork()
    if child == 0:
        try:
            act()
        except OSError as error:
            os._exit(error.errno)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@attempt
def the_kernel_does_not_load_programs_for_foreign_formats():
    """binfmt_misc, and modules that an unknown kind of file would fetch."""
    odd = Path("/tmp/odd")
    odd.write_bytes(b"\x7fODD" + bytes(100))
    odd.chmod(0o700)
    status = _in_a_child(lambda: os.execv(odd, ["odd"]))  # noqa: S606  the attempt
    if status != 8:
        raise Breach(f"exec of an unknown format: {status}")
    return "ENOEXEC"
