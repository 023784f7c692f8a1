"""The stager: a process of the session's own that fetches its files. Forked by the shim, it gives up everything it does not need before it
reads the first byte."""

import json
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress

from sekisho.runtime.staging_child import Errand, FolderJob
from sekisho.staging.folder import stage
from sekisho.staging.placing import StagingFailed
from sekisho.staging.rights import become_nobody, shut_in
from sekisho.system import kernel, landlock


def run_stager(errand: Errand) -> None:
    """The body of the stager's process; never returns. What it says to the shim are JSON lines: `[done, total, files]` while it goes on, then `"done"` or
    `{"failed": sentence}`. The manifest has one JSON line a file."""
    code = 1
    try:
        kernel.set_name("sekisho-stager")
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _stage(errand, record=lambda line: _write(errand.manifest, line), progress=lambda *numbers: _say(errand.report, numbers))
        _say(errand.report, "done")
        code = 0
    except StagingFailed as error:
        _say(errand.report, {"failed": str(error)})
    except OSError as error:
        _say(errand.report, {"failed": f"the files could not be fetched: {error.strerror}"})
    finally:
        os._exit(code)


def _stage(errand: Errand, *, record: Callable[[str], None], progress: Callable[[int, int, int], None]) -> None:
    folders = [job for job in errand.jobs if isinstance(job, FolderJob)]
    if folders:
        _give_up_all_but(errand, folders)
        _stage_folders(folders, limit_bytes=errand.limit_bytes, record=record, progress=progress)
        return
    from sekisho.staging.bucket.stager import stage_buckets  # noqa: PLC0415  in this process alone: agent and shims never hold a client of S3

    stage_buckets(errand, record=record, progress=progress)


def _give_up_all_but(errand: Errand, folders: Sequence[FolderJob]) -> None:
    """One capability is left, to read what the source's owner keeps for themself, and of the file system only the folders in question."""
    become_nobody(errand, kernel.CAP_DAC_READ_SEARCH)
    shut_in(errand, {descriptor: rights for job in folders for descriptor, rights in ((job.source, landlock.READ), (job.target, landlock.WRITE))})


def _stage_folders(folders: Sequence[FolderJob], *, limit_bytes: int, record: Callable[[str], None], progress: Callable[[int, int, int], None]) -> None:
    done = files = 0
    for job in folders:
        last = (0, 0, 0)

        def tell(now: int, total: int, count: int, *, before: int = done, files_before: int = files) -> None:
            nonlocal last
            last = (now, total, count)
            progress(before + now, before + total, files_before + count)

        stage(source=job.source, target=job.target, limit_bytes=limit_bytes - done, record=record, progress=tell)
        done += last[0]
        files += last[2]


def _say(report: int, what: object) -> None:
    with suppress(BrokenPipeError):
        _write(report, json.dumps(what) + "\n")


def _write(descriptor: int, line: str) -> None:
    view = memoryview(line.encode())
    while view:
        view = view[os.write(descriptor, view) :]
