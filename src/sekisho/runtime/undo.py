"""Ending a session for good, from whatever is left of it: by its shim at its end, or by the agent for a shim that died. Every step can be done twice."""

from contextlib import suppress
from pathlib import Path

from sekisho.runtime import container, seal
from sekisho.runtime.cgroups import Cgroup, empty
from sekisho.runtime.paths import SessionPaths
from sekisho.runtime.protocol import Certificate
from sekisho.runtime.uids import SIZE

KILL_SECONDS = 15.0


def destroy(paths: SessionPaths, group: Cgroup, *, uid_base: int, runtime: str) -> Certificate:
    """Freeze, kill, thaw, wait, unmount, check. The certificate says what was destroyed and what the check found; what can't be seen from
    here, the agent checks after."""
    killed, nobody_left = empty(group, seconds=KILL_SECONDS)
    forgotten = container.delete(runtime, paths)
    unmounted = seal.unmount_folders(paths)
    cgroup_gone = group.remove()
    if not cgroup_gone:  # somebody on the way in when its parent was killed: once more
        more, nobody_left = empty(group, seconds=KILL_SECONDS)
        killed += more
        cgroup_gone = group.remove()
    folder_gone = seal.remove_folder(paths)
    clean = nobody_left and forgotten and unmounted.clean and cgroup_gone and folder_gone
    return Certificate(
        processes_killed=killed,
        data_bytes=unmounted.data_bytes,
        files=unmounted.files,
        mounts=unmounted.mounts,
        uid_base=uid_base,
        cgroup_empty=nobody_left and cgroup_gone,
        namespaces_gone=False,
        clean=clean,
    )


def survivors(uid_base: int, folder: Path) -> set[int]:
    """Processes of the machine that are of a session: by a uid of its range, or because they stand in a mount namespace that holds its folders.

    Never by the number of a namespace: the kernel gives a freed number to the next one at once.
    """
    return {int(process.name) for process in Path("/proc").iterdir() if process.name.isdigit() and _is_of(process, uid_base, f" {folder}/")}


def _is_of(process: Path, uid_base: int, mounted: str) -> bool:
    with suppress(OSError):
        if uid_base <= process.stat().st_uid < uid_base + SIZE:
            return True
        return mounted in (process / "mountinfo").read_text(encoding="utf-8", errors="replace")
    return False
