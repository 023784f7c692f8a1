"""What an attempt is, and the system calls that Python has no names for. Numbers are those of x86-64.

An attempt is a function that returns how it was refused, or raises Breach. What fails otherwise than it should (a slip in the attempt) counts as a breach
until somebody has looked.
"""

import ctypes
import errno
import inspect
import json
import os
import sys
from dataclasses import dataclass

LIBC = ctypes.CDLL(None, use_errno=True)
NO_SUCH_DOOR = frozenset({errno.EPERM, errno.ENOSYS})
ATTEMPTS = {}


class Breach(Exception):
    """The attempt succeeded."""


@dataclass(frozen=True)
class Facts:
    """What an attacker may have learnt about the machine: numbers and names that must be of no use in here."""

    pids: tuple[int, ...]  # of the agent, the shims, the other session
    names: tuple[str, ...]  # of the installation, its folders, the other session
    paths: tuple[str, ...]  # of files and sockets outside
    port: int  # of a listener on the machine's loopback
    abstract: str  # the name of an abstract socket outside

    @classmethod
    def parse(cls, text):
        told = json.loads(text)
        return cls(tuple(told["pids"]), tuple(told["names"]), tuple(told["paths"]), told["port"], told["abstract"])


@dataclass(frozen=True)
class Attempt:
    """`wants` are the names of its parameters: `display`, always the first, is a connection to the room's screen; `facts` are what may have been learnt; any
    other is an argument of a single call."""

    act: object
    wants: tuple[str, ...]

    @property
    def wants_display(self):
        return self.wants[:1] == ("display",)

    @property
    def wants_arguments(self):
        return not set(self.wants) <= {"display", "facts"}


def attempt(act):
    register(act.__name__, act)
    return act


def register(name, act):
    ATTEMPTS[name] = Attempt(act, tuple(inspect.signature(act).parameters))


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def syscall(number, *arguments):
    """The raw call. Raises OSError."""
    result = LIBC.syscall(ctypes.c_long(number), *(ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments))
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def refused(act, *arguments, by, what=""):
    """The name of the error with which `act` fails, which is one of `by`. Raises Breach if it succeeds, or fails for another reason: then nothing was shown."""
    try:
        result = act(*arguments)
    except OSError as error:
        name = errno.errorcode.get(error.errno, str(error))
        if error.errno in by:
            return name
        raise Breach(f"{what or act} failed by {name}, which shows nothing") from error
    raise Breach(f"{what or act} succeeded: {result}")


def all_refused(table, *, by):
    """`table`: name -> (act, arguments…). The errors, for people."""
    return ", ".join(f"{name} {refused(act, *arguments, by=by, what=name)}" for name, (act, *arguments) in table.items())


def must(condition, what, otherwise):
    """`what` if the condition holds."""
    if not condition:
        raise Breach(otherwise)
    return what
