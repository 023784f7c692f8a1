"""Landlock: a process gives up the file system but for what it names (landlock(7), Linux 5.13+), TCP but for the ports it names (6.7+), and to
speak to other processes by abstract sockets or signals (6.12+). Where the kernel lacks it nothing happens and False is said."""

import ctypes
import os
import struct
from collections.abc import Collection, Mapping

_CREATE_RULESET = 444
_ADD_RULE = 445
_RESTRICT_SELF = 446
_VERSION_QUERY = 1
_PATH_BENEATH, _NET_PORT = 1, 2
_NET_SINCE, _SCOPE_SINCE = 4, 6  # versions of Landlock
_ABSTRACT_SOCKETS, _SIGNALS = 1 << 0, 1 << 1
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
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


def restrict(allowed: Mapping[int, int], *, connect_ports: Collection[int] = ()) -> bool:
    """Hold the calling thread to `allowed`, directory descriptor -> READ or WRITE, and to connections to these TCP ports. no_new_privs must be set."""
    try:
        version = _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION_QUERY))
    except OSError:
        return False
    handled = _handled(version)
    ruleset = _call(_CREATE_RULESET, handled, ctypes.c_size_t(len(handled)), ctypes.c_uint(0))
    try:
        for directory, rights in allowed.items():
            _call(_ADD_RULE, ruleset, ctypes.c_int(_PATH_BENEATH), struct.pack("=Qi", rights, directory), ctypes.c_uint(0))
        for port in connect_ports if version >= _NET_SINCE else ():
            _call(_ADD_RULE, ruleset, ctypes.c_int(_NET_PORT), struct.pack("=QQ", _CONNECT_TCP, port), ctypes.c_uint(0))
        _call(_RESTRICT_SELF, ruleset, ctypes.c_uint(0))
    finally:
        os.close(ruleset)
    return True


def _handled(version: int) -> bytes:
    """struct landlock_ruleset_attr, as long as this kernel knows it: all that is forbidden unless a rule allows it."""
    rights = [_ALL_OF_FIRST_VERSION]
    if version >= _NET_SINCE:
        rights.append(_BIND_TCP | _CONNECT_TCP)
    if version >= _SCOPE_SINCE:
        rights.append(_ABSTRACT_SOCKETS | _SIGNALS)
    return struct.pack(f"={len(rights)}Q", *rights)
