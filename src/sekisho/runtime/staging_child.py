"""The session's stagers, from the shim's side: one process for its folders, then one for its buckets, each born with what it needs and nothing else.

The first may read what others keep for themselves and has no network; the second has the machine's network and not one capability. What opens a bucket is
read by that second process alone: here only the path of it is known. The shim keeps a descriptor of the machine's network no longer than until then.
"""

import json
import os
import selectors
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sekisho.runtime.cgroups import Cgroup
from sekisho.runtime.paths import SessionPaths
from sekisho.runtime.protocol import BucketWanted, FolderWanted, SessionSpec
from sekisho.runtime.uids import STAGER
from sekisho.system import kernel, processes

_WORD_LIMIT_BYTES = 65_536  # of one line that a stager says
_NONSENSE = "the stager said something else than it should"


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """Where a bucket is, and where its credentials lie. Known to the agent, its shims and the stager; control and the room know the `name` alone."""

    name: str
    bucket: str  # as the service calls it
    url: str  # of the bucket: https://HOST[:PORT], and /BUCKET where it is not in the host's name
    region: str
    credentials: str  # a file in AWS's shared-credentials form that only root may read
    profile: str
    trust: str = ""  # a PEM file of the only authorities that may vouch for the service; empty: the machine's


@dataclass(frozen=True, slots=True)
class FolderJob:
    """Descriptors of the folder to read and of the one to fill."""

    source: int
    target: int


@dataclass(frozen=True, slots=True)
class BucketJob:
    access: BucketAccess
    prefix: str  # empty, or with a slash at its end
    target: int


@dataclass(frozen=True, slots=True)
class Errand:
    """What a stager is born with. `manifest` and `report` are descriptors to write to."""

    jobs: tuple[FolderJob, ...] | tuple[BucketJob, ...]
    manifest: int
    report: int
    uid: int
    limit_bytes: int
    parent: int
    filter_program: bytes  # of system calls, compiled


Stager = Callable[[Errand], None]  # staging.stager.run_stager: `runtime` is below `staging` and must not know it


@dataclass(frozen=True, slots=True)
class StagingFacts:
    spec: SessionSpec
    paths: SessionPaths
    uid_base: int
    cgroup: Cgroup
    stager: Stager
    buckets: Mapping[str, BucketAccess]
    filter_program: bytes


@dataclass(frozen=True, slots=True)
class Hearer:
    """Whom it concerns: `progress` (bytes so far, bytes in all, files in all), and one of the other two at the end."""

    progress: Callable[[int, int, int], None]
    done: Callable[[], None]
    failed: Callable[[str], None]


class Staging:
    """To be made while the machine's network is still the shim's own."""

    def __init__(self, facts: StagingFacts, selector: selectors.BaseSelector, hearer: Hearer) -> None:
        self._facts = facts
        self._selector = selector
        self._hearer = hearer
        self._waiting: list[tuple[FolderWanted, ...] | tuple[BucketWanted, ...]] = [each for each in (facts.spec.folders, facts.spec.buckets) if each]
        self._network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC) if facts.spec.buckets else -1
        self._heard = b""
        self._last = (0, 0, 0)
        self._before_bytes = self._before_files = 0

    @property
    def is_wanted(self) -> bool:
        return bool(self._waiting)

    def start(self) -> None:
        """Begin with the first stager; the room's folders must be there."""
        os.close(os.open(self._facts.paths.manifest, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
        self._start_next()

    def _start_next(self) -> None:
        wanted = self._waiting.pop(0)
        report, write = os.pipe()
        manifest = os.open(self._facts.paths.manifest, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        shim = os.getpid()
        child = os.fork()
        if child == 0:
            self._be_stager(wanted, manifest=manifest, report=write, parent=shim)
        os.close(write)
        os.close(manifest)
        if not self._waiting:
            self._forget_network()
        os.set_blocking(report, False)
        self._selector.register(report, selectors.EVENT_READ, lambda _events: self._hear(report, child))

    def _forget_network(self) -> None:
        if self._network >= 0:
            os.close(self._network)
            self._network = -1

    # in the child

    def _be_stager(self, wanted: tuple[FolderWanted, ...] | tuple[BucketWanted, ...], *, manifest: int, report: int, parent: int) -> None:
        """Enters the session's cgroup before it touches a byte, and keeps no descriptor but its own. Never returns."""
        facts = self._facts
        try:
            kernel.die_with_parent(signal.SIGKILL)
            facts.cgroup.enter("stager", os.getpid())
            jobs = self._jobs(wanted)
            processes.keep_descriptors({manifest, report, *_descriptors(jobs)})
            facts.stager(
                Errand(
                    jobs,
                    manifest=manifest,
                    report=report,
                    uid=facts.uid_base + STAGER,
                    limit_bytes=facts.spec.limits.data_bytes - self._before_bytes,
                    parent=parent,
                    filter_program=facts.filter_program,
                )
            )
        except OSError as error:
            os.write(report, json.dumps({"failed": f"the source can't be opened: {error.strerror}"}).encode() + b"\n")
        finally:
            os._exit(1)

    def _jobs(self, wanted: tuple[FolderWanted, ...] | tuple[BucketWanted, ...]) -> tuple[FolderJob, ...] | tuple[BucketJob, ...]:
        folders = tuple(FolderJob(_open_folder(each.source), self._target(each.to)) for each in wanted if isinstance(each, FolderWanted))
        if folders:
            return folders
        kernel.join_network(self._network)
        return tuple(BucketJob(self._facts.buckets[each.name], each.prefix, self._target(each.to)) for each in wanted if isinstance(each, BucketWanted))

    def _target(self, to: str) -> int:
        """The folder below /data that a source goes to, made if need be."""
        target = self._facts.paths.folder / "data"
        owner = self._facts.uid_base + STAGER
        for name in Path(to).relative_to("/data").parts:
            target /= name
            if not target.is_dir():
                target.mkdir(mode=0o755)
                os.chown(target, owner, owner)
        return _open_folder(target)

    # in the shim

    def _hear(self, report: int, child: int) -> None:
        """The stager's last word comes once; after it, it is not listened to any more."""
        chunk = os.read(report, _WORD_LIMIT_BYTES)
        *lines, self._heard = (self._heard + chunk).split(b"\n")
        verdict = next((word for line in lines if (word := self._weigh(json.loads(line))) is not None), None)
        if verdict is None and not chunk:
            verdict = "the stager died before it was done"
        if verdict is None and len(self._heard) > _WORD_LIMIT_BYTES:
            verdict = _NONSENSE
        if verdict is not None:
            self._part(report, child)
            self._conclude(verdict)

    def _weigh(self, said: object) -> str | None:
        """What is wrong, empty if it is done, None while it goes on."""
        match said:
            case [int(done), int(total), int(files)]:
                self._last = (done, total, files)
                self._hearer.progress(self._before_bytes + done, self._before_bytes + total, self._before_files + files)
                return None
            case {"failed": str(why)}:
                return why
            case "done":
                return ""
            case _:
                return _NONSENSE

    def _part(self, report: int, child: int) -> None:
        """It has nothing more to do here, whatever it thinks: it may hold the machine's network."""
        self._selector.unregister(report)
        os.close(report)
        self._heard = b""
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(child, 0)

    def _conclude(self, verdict: str) -> None:
        done, _, files = self._last
        self._before_bytes += done
        self._before_files += files
        self._last = (0, 0, 0)
        if verdict:
            self._hearer.failed(verdict)
        elif self._waiting:
            self._start_next()
        else:
            _sync(self._facts.paths.manifest)
            self._hearer.done()


def _descriptors(jobs: tuple[FolderJob, ...] | tuple[BucketJob, ...]) -> set[int]:
    return {job.target for job in jobs} | {job.source for job in jobs if isinstance(job, FolderJob)}


def _open_folder(path: str | Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
