"""What a stager gives up before it reads the first byte of a source."""

import os
import resource
import signal
from collections.abc import Collection, Mapping

from sekisho.runtime.staging_child import Errand
from sekisho.system import kernel, landlock, seccomp_filter


def become_nobody(errand: Errand, *capabilities: int) -> None:
    """From here on a uid that owns nothing but the room's files, these capabilities, one process, and no life without the shim."""
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))  # no fork: whoever took this process over would leave somebody behind
    kernel.keep_capabilities_over_user_change()
    os.setgroups([])
    os.setresgid(errand.uid, errand.uid, errand.uid)
    os.setresuid(errand.uid, errand.uid, errand.uid)
    kernel.keep_only(*capabilities)
    kernel.gain_no_privileges()
    kernel.die_with_parent(signal.SIGKILL)  # once more: a change of user forgets it (prctl(2))
    if os.getppid() != errand.parent:
        os._exit(1)


def shut_in(errand: Errand, folders: Mapping[int, int], *, connect_ports: Collection[int] = ()) -> None:
    """Of the file system these folders, of TCP connections to these ports, of system calls what a room may call, where the kernel has such walls."""
    landlock.restrict(folders, connect_ports=connect_ports)
    seccomp_filter.hold_to(errand.filter_program)
