"""That the processes, none of which is root, reach what they need although it lies below a folder that only root may pass: a clone in root's home, say.

In a mount namespace of this installation's own, such a folder is covered by an empty one in which only the needed paths appear, bound at
the very same names. The machine's own
folders keep their modes, and a process sees of root's home what it needs and nothing else. The namespace ends with the last process in it.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from sekisho.system import kernel

_COVER_OPTIONS = "mode=0711,size=64k"


def make_reachable(paths: Iterable[Path]) -> None:
    """From here on, here and in every child, each of `paths` can be reached by everybody as far as its own mode lets them."""
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.forget_propagation()
    barred: dict[Path, list[Path]] = {}
    for path in paths:
        real = path.resolve()
        if real.exists() and (bar := _bar(real)) is not None:
            barred.setdefault(bar, []).append(real)
    for bar, needed in barred.items():
        _cover(bar, _outermost(needed))


def _bar(path: Path) -> Path | None:
    """The outermost folder on the way that others may not pass."""
    return next((folder for folder in reversed(path.parents) if not folder.stat().st_mode & 0o001), None)


def _outermost(paths: list[Path]) -> list[Path]:
    """Without those that lie in another."""
    return [path for path in sorted(set(paths)) if not any(other in path.parents for other in paths)]


def _cover(bar: Path, needed: list[Path]) -> None:
    held = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in needed]
    kernel.mount("sekisho", bar, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, _COVER_OPTIONS)
    for path, descriptor in held:
        _make_way(bar, path, is_folder=os.path.isdir(f"/proc/self/fd/{descriptor}"))  # noqa: PTH112  a descriptor's name, not a path to take apart
        kernel.mount(f"/proc/self/fd/{descriptor}", path, "", kernel.MS_BIND | kernel.MS_REC)
        os.close(descriptor)


def _make_way(bar: Path, path: Path, *, is_folder: bool) -> None:
    here = bar
    for name in path.relative_to(bar).parts[:-1]:
        here /= name
        here.mkdir(mode=0o711, exist_ok=True)
        here.chmod(0o711)
    if is_folder:
        path.mkdir(exist_ok=True)
    else:
        path.touch()
