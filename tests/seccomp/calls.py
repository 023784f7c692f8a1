"""Runs inside the container: makes the system calls named on standard input and says what the kernel answered. Standard library only.

In: JSON `{"calls": {name: [number, argument, ...]}}`, arguments integers. Out: JSON `{name: errno, 0 for success, or -signal}`. Each call is
made in a child of its own, since it may kill whoever makes it.
"""

import ctypes
import json
import mmap
import os
import sys


def call(numbers):
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(*(ctypes.c_ulong(number) for number in numbers))
    return ctypes.get_errno() if result == -1 else 0


def by_interrupt(numbers):
    """The 32-bit door: `mov eax, N; int 0x80; ret`."""
    code = b"\xb8" + numbers[0].to_bytes(4, "little") + b"\xcd\x80\xc3"
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    start = ctypes.addressof(ctypes.c_char.from_buffer(page))
    result = ctypes.CFUNCTYPE(ctypes.c_int)(start)()
    return -result if -4096 < result < 0 else 0


def answer(name, numbers):
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        found = by_interrupt(numbers) if name.startswith("int 0x80") else call(numbers)
        if os.getppid() == parent:  # and not what clone made
            os._exit(found)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


asked = json.load(sys.stdin)["calls"]
json.dump({name: answer(name, numbers) for name, numbers in asked.items()}, sys.stdout)
