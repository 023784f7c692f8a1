"""Becoming more than the person: set-user-id programs, file capabilities, capabilities, ids."""

import ctypes
import errno
import os
import shutil
import stat
import struct
import subprocess
from pathlib import Path

from .attempt import LIBC, all_refused, attempt, must, refused, syscall

EPERM = {errno.EPERM}


def _prctl(*arguments):
    if LIBC.prctl(*(ctypes.c_ulong(each) for each in arguments)) == -1:
        raise OSError(ctypes.get_errno(), "prctl")


def _identity(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return done.stdout


@attempt
def other_ids():
    table = {
        "setuid 0": (os.setuid, 0),
        "setresuid": (os.setresuid, 0, 0, 0),
        "setreuid": (os.setreuid, -1, 0),
        "setgid 0": (os.setgid, 0),
        "setgroups": (os.setgroups, [0]),
        "another person": (os.setuid, 1001),
        "the stager": (os.setuid, 65_000),
    }
    return all_refused(table, by=EPERM)


@attempt
def set_user_id_programs_of_the_image():
    """None gives anything, whether the image has some or not."""
    files = [path for folder in ("/usr/bin", "/usr/sbin", "/usr/lib") for path in Path(folder).rglob("*")]
    programs = [path for path in files if stat.S_ISREG(path.lstat().st_mode) and path.lstat().st_mode & 0o6000]
    mounts = {program: os.statvfs(program).f_flag & os.ST_NOSUID for program in programs}
    must(all(mounts.values()), "", f"{mounts}")
    return f"{len(programs)} programs on nosuid mounts"


@attempt
def set_user_id_programs_of_ones_own():
    own = Path("/tmp/own-id")
    shutil.copy("/usr/bin/id", own)
    own.chmod(0o6755)
    before, after = _identity("/usr/bin/id"), _identity(str(own))
    refused_owner = refused(os.chown, own, 0, 0, by=EPERM)
    return must(before == after and after.startswith("uid=1000"), f"{refused_owner}, same id", f"{before!r} became {after!r}")


@attempt
def file_capabilities():
    own = Path("/tmp/own-cat")
    shutil.copy("/usr/bin/cat", own)
    everything = struct.pack("<IIIII", 0x02000001, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    table = {name: (os.setxattr, own, name, everything) for name in ("security.capability", "trusted.overlay.opaque")}
    return all_refused(table, by={errno.EPERM, errno.EOPNOTSUPP})


@attempt
def capabilities_by_asking():
    header, full = struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", *[0xFFFFFFFF] * 6)
    return all_refused({"capset": (syscall, 126, header, full), "ambient": (_prctl, 47, 2, 21, 0, 0), "securebits": (_prctl, 28, 0x2F, 0, 0, 0)}, by=EPERM)


@attempt
def no_new_privileges_is_for_good():
    must(LIBC.prctl(39, 0, 0, 0, 0) == 1, "", "no_new_privs is not set")
    return refused(_prctl, 38, 0, 0, 0, 0, by={errno.EINVAL})


@attempt
def the_filter_can_not_be_taken_off():
    must(LIBC.prctl(21, 0, 0, 0, 0) == 2, "", "no filter")
    return all_refused({"mode 0": (_prctl, 22, 0, 0, 0, 0), "strict after filter": (_prctl, 22, 1, 0, 0, 0)}, by={errno.EINVAL, errno.EPERM})


@attempt
def a_preloaded_library_reaches_nothing_privileged():
    """A program that gained rights would run with AT_SECURE (auxiliary vector 23); none does."""
    raw = subprocess.run(["/usr/bin/cat", "/proc/self/auxv"], capture_output=True, check=True).stdout
    secure = dict(struct.iter_unpack("=QQ", raw))[23]
    found = [*Path("/etc").glob("sudoers*"), *Path("/etc").glob("ld.so.preload")]
    return must(secure == 0 and not found, "AT_SECURE is 0", f"{secure} {found}")


@attempt
def links_to_what_is_not_ones_own():
    """Hard links into files of others, the base of many old tricks."""
    others = [path for path in Path("/data").iterdir() if stat.S_ISREG(path.lstat().st_mode) and path.stat().st_uid != os.getuid()]
    table = {f"own {path.name}": (os.chown, path, 1000, 1000) for path in others} | {f"mode of {path.name}": (os.chmod, path, 0o4777) for path in others}
    return all_refused(table, by=EPERM)
