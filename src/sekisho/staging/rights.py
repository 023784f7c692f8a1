"""What a stager gives up before it reads the first byte of a source."""

import os
import resource
import signal

from sekisho.runtime.staging_child import Errand
from sekisho.system import kernel


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
