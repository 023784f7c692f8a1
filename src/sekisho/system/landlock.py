"""Landlock: a process gives up the file system but for what it names (landlock(7), Linux 5.13+). Where the kernel lacks it nothing happens
and False is said."""

import ctypes
import os
import struct

_CREATE_RULESET = 444
_ADD_RULE = 445
_RESTRICT_SELF = 446
_VERSION_QUERY = 1
_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_WRITE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 1, 1 << 7, 1 << 8
_ALL_OF_FIRST_VERSION = (1 << 13) - 1
READ = _READ_FILE | _READ_DIR
WRITE = READ | _WRITE_FILE | _MAKE_DIR | _MAKE_REG

_libc = ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"landlock: {os.strerror(code)}")
    return result


def restrict(allowed: dict[int, int]) -> bool:
    """Hold the calling thread to `allowed`: directory descriptor -> READ or WRITE. no_new_privs must be set."""
    try:
        _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION_QUERY))
    except OSError:
        return False
    handled = struct.pack("=Q", _ALL_OF_FIRST_VERSION)
    ruleset = _call(_CREATE_RULESET, handled, ctypes.c_size_t(len(handled)), ctypes.c_uint(0))
    try:
        for directory, rights in allowed.items():
            _call(_ADD_RULE, ruleset, ctypes.c_int(_PATH_BENEATH), struct.pack("=Qi", rights, directory), ctypes.c_uint(0))
        _call(_RESTRICT_SELF, ruleset, ctypes.c_uint(0))
    finally:
        os.close(ruleset)
    return True
