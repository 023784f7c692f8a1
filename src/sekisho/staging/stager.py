"""The stager: a process of the session's own that fetches its files. Forked by the shim, it gives up everything it does not need before it
reads the first byte."""

import json
import os
import signal
from collections.abc import Sequence
from contextlib import suppress

from sekisho.staging.folder import StagingFailed, stage
from sekisho.system import kernel, landlock


def run_stager(*, pairs: Sequence[tuple[int, int]], manifest: int, report: int, uid: int, limit_bytes: int) -> None:
    """The body of the stager's process; never returns. `pairs` are (source, target) folder descriptors, `report` is the pipe the shim reads: JSON lines
    `[done, total, files]` while it goes on, then `"done"` or `{"failed": sentence}`."""
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _give_up(uid, pairs)
        _stage_all(pairs, manifest=manifest, report=report, limit_bytes=limit_bytes)
        _say(report, "done")
        code = 0
    except StagingFailed as error:
        _say(report, {"failed": str(error)})
    except OSError as error:
        _say(report, {"failed": f"the files could not be fetched: {error.strerror}"})
    finally:
        os._exit(code)


def _give_up(uid: int, pairs: Sequence[tuple[int, int]]) -> None:
    """An own uid, one capability (to read what the source's owner keeps for themself), and of the file system only the folders in question."""
    kernel.keep_capabilities_over_user_change()
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    kernel.keep_only(kernel.CAP_DAC_READ_SEARCH)
    kernel.gain_no_privileges()
    landlock.restrict({descriptor: rights for source, target in pairs for descriptor, rights in ((source, landlock.READ), (target, landlock.WRITE))})


def _stage_all(pairs: Sequence[tuple[int, int]], *, manifest: int, report: int, limit_bytes: int) -> None:
    done = files = 0
    for source, target in pairs:
        last = (0, 0, 0)

        def progress(now: int, total: int, count: int, *, before: int = done, files_before: int = files) -> None:
            nonlocal last
            last = (now, total, count)
            _say(report, [before + now, before + total, files_before + count])

        stage(source=source, target=target, limit_bytes=limit_bytes - done, record=lambda line: _write(manifest, line), progress=progress)
        done += last[0]
        files += last[2]


def _say(report: int, what: object) -> None:
    with suppress(BrokenPipeError):
        _write(report, json.dumps(what) + "\n")


def _write(descriptor: int, line: str) -> None:
    view = memoryview(line.encode())
    while view:
        view = view[os.write(descriptor, view) :]
