"""A system call filter for a process of ours, from the same profile that an OCI runtime is given (config-linux.md "Seccomp"), by libseccomp.

Compiled once, to a BPF program as bytes; whoever is to be held to it applies it after its last privilege is gone. seccomp_init(3), seccomp_rule_add_array(3),
seccomp_export_bpf(3), seccomp(2).
"""

import ctypes
import os
from collections.abc import Mapping, Sequence
from typing import Any

_LIBRARY = "libseccomp.so.2"
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_MASKED_EQUAL = 7  # SCMP_CMP_MASKED_EQ
_UNKNOWN_CALL = -1  # __NR_SCMP_ERROR: this library's kernel headers are older than the call
_INSTRUCTION_BYTES = 8  # struct sock_filter
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2


class _Argument(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (("index", ctypes.c_uint), ("comparison", ctypes.c_int), ("mask", ctypes.c_uint64), ("value", ctypes.c_uint64))


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def compile_filter(profile: Mapping[str, Any]) -> bytes:
    """The BPF program of a profile whose conditions are all SCMP_CMP_MASKED_EQ. Raises OSError."""
    library = ctypes.CDLL(_LIBRARY, use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    context = ctypes.c_void_p(library.seccomp_init(_action(profile["defaultAction"], profile.get("defaultErrnoRet", 1))))
    if context.value is None:
        raise OSError("libseccomp made no filter")
    try:
        for rule in profile["syscalls"]:
            for name in rule["names"]:
                _add(library, context, name, _action(rule["action"], rule.get("errnoRet", 1)), rule.get("args", ()))
        return _exported(library, context)
    finally:
        library.seccomp_release(context)


def hold_to(program: bytes) -> None:
    """The calling thread, for ever and with all that it starts. no_new_privs must be set."""
    filter_ = _Program(len(program) // _INSTRUCTION_BYTES, program)
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(filter_), 0, 0) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")


def _action(name: str, error: int) -> int:
    return _ALLOW if name == "SCMP_ACT_ALLOW" else _ERRNO | error


def _add(library: ctypes.CDLL, context: ctypes.c_void_p, name: str, action: int, conditions: Sequence[Mapping[str, int]]) -> None:
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number == _UNKNOWN_CALL:
        return  # it stays refused by default
    found = [_Argument(each["index"], _MASKED_EQUAL, each["value"], each["valueTwo"]) for each in conditions]
    result = library.seccomp_rule_add_array(context, ctypes.c_uint32(action), number, len(found), (_Argument * len(found))(*found))
    if result < 0:
        raise OSError(-result, f"libseccomp takes no rule for {name}")


def _exported(library: ctypes.CDLL, context: ctypes.c_void_p) -> bytes:
    with os.fdopen(os.memfd_create("filter"), "rb") as file:
        if (result := library.seccomp_export_bpf(context, file.fileno())) < 0:
            raise OSError(-result, "libseccomp exports no filter")
        file.seek(0)
        return file.read()
