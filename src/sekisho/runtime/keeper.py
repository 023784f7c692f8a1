"""The agent's sessions: born, found again, listened to, concluded. For each one a journal record and, while it lives, a shim with a channel to it.

A session is over when its shim's process is gone: with an outcome it ended in order, without one the shim was killed and the agent ends
what is left. Only after the check that
nothing is left is its uid range given back.
"""

import os
import selectors
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from sekisho.model import messages
from sekisho.model.errors import Trouble
from sekisho.model.messages import MalformedMessage
from sekisho.model.session import EndReason
from sekisho.runtime import cgroups, lease, uids
from sekisho.runtime.chronicle import note_change, note_created, note_over
from sekisho.runtime.image_mounts import ImageMounts
from sekisho.runtime.journal import Journal, Record, read_outcome
from sekisho.runtime.paths import AgentPaths
from sekisho.runtime.protocol import Certificate, Changed, RuntimeState, SessionSeen, SessionSpec
from sekisho.runtime.shim import ShimFacts, live
from sekisho.runtime.shim_protocol import EndAt, EndNow, FromShim, Given, Hold, Renewed, Want
from sekisho.runtime.staging_child import BucketAccess, Stager
from sekisho.runtime.undo import destroy, survivors
from sekisho.system import processes
from sekisho.system.clock import Clock
from sekisho.system.packets import Channel, ChannelClosed, Listener, connect

GRACE_SECONDS = 30.0  # what a shim has after the deadline to end its session; then the agent does it
SURVIVOR_SECONDS = 5.0

Told = Changed | Given
_OVER = frozenset({RuntimeState.DESTROYED, RuntimeState.FAILED})


@dataclass(frozen=True, slots=True)
class KeeperFacts:
    paths: AgentPaths
    images: ImageMounts
    runtime: str
    seccomp: Mapping[str, object]
    filter_program: bytes
    stager: Stager
    clock: Clock
    memory_bytes: int  # of the machine, that sessions may use together
    uid_folder: Path
    buckets: Mapping[str, BucketAccess] = field(default_factory=dict)


@dataclass(slots=True)
class Kept:
    """A session of this agent. `channel` is None once it is over."""

    record: Record
    seen: SessionSeen
    channel: Channel | None = None
    killed: bool = field(default=False)
    last_word: SessionSeen | None = None  # of a shim that could not write it down
    holds_uids: bool = field(default=False)  # over and looked over, but that is not on the disk yet


class Keeper:
    def __init__(self, facts: KeeperFacts, journal: Journal) -> None:
        self._facts = facts
        self._journal = journal
        self._kept: dict[str, Kept] = {}
        self._selector: selectors.BaseSelector = selectors.EpollSelector()
        self._on_change: Callable[[SessionSeen], None] = lambda _seen: None
        self._on_given: Callable[[Given, tuple[int, ...]], None] = lambda _given, _descriptors: None

    def start(self, selector: selectors.BaseSelector, *, on_change: Callable[[SessionSeen], None], on_given: Callable[[Given, tuple[int, ...]], None]) -> None:
        """Find again what a former agent left: adopt the living, conclude the dead, sweep what no record speaks of."""
        self._selector.close()
        self._selector, self._on_change, self._on_given = selector, on_change, on_given
        self._facts.paths.sessions.mkdir(parents=True, exist_ok=True, mode=0o711)
        for record in self._journal.load():
            self._find_again(record)
        self._sweep()

    # what the agent asks

    def create(self, spec: SessionSpec) -> None:
        """Fork a shim for a new session; asked again for one that is there, do nothing. Raises Trouble."""
        if spec.session in self._kept:
            return
        self._must_have_room(spec)
        self._must_know_buckets(spec)
        image = self._facts.images.path(spec.image)
        clock = self._facts.clock
        left = spec.ends_at - clock.now().timestamp()
        if left <= 0:
            raise Trouble("too-late", "the grant is over")
        owner = self._owner(spec.session)
        record = Record(spec, uids.lease(owner, folder=self._facts.uid_folder), clock.boottime() + left)
        note_created(self._journal, record)
        try:
            self._journal.save(record)
            self._fork(record, image)
        except OSError:
            if not record.shim:
                self._take_back(record)
            raise
        self._save(record)
        self._journal_flush(record)

    def tell(self, session: str, message: EndNow | EndAt | Hold | Want) -> bool:
        """Pass something on to a session's shim. False if the session is over already. Raises Trouble for one that was never there."""
        kept = self.must_know(session)
        if kept.channel is None:
            return False
        self._send(kept, message)
        return kept.channel is not None

    def tell_all(self, message: Renewed) -> None:
        for kept in list(self._kept.values()):
            if kept.channel is not None:
                self._send(kept, message)

    def prolong(self, session: str, ends_at: float) -> None:
        """Write the new deadline down first: it holds for the agent's own watch too."""
        record = self.must_know(session).record
        clock = self._facts.clock
        record.spec = replace(record.spec, ends_at=ends_at)
        record.boot_deadline = clock.boottime() + ends_at - clock.now().timestamp()
        self._journal.save(record)

    def must_know(self, session: str) -> Kept:
        kept = self._kept.get(session)
        if kept is None:
            raise Trouble("no-such-session", f"there is no session {session[:40]}")
        return kept

    def seen(self, after: str, most: int) -> list[SessionSeen]:
        """The first sessions whose ids come after `after`, in the order of ids."""
        return [self._kept[session].seen for session in sorted(self._kept) if session > after][:most]

    def forget(self, session: str) -> None:
        """Control has it in writing. Only what is over, and whose events are in the spool, is forgotten."""
        kept = self._kept.get(session)
        if kept is not None and kept.record.over is not None:
            self._journal.flush(kept.record)
            if kept.holds_uids:
                self._give_back(kept)
            self._journal.forget(kept.record)
            del self._kept[session]

    def tick(self) -> None:
        """Collect the dead, watch deadlines, and write what could not be written before."""
        processes.reap()
        now = self._facts.clock
        for kept in list(self._kept.values()):
            if kept.channel is not None and self._seconds_left(kept.record, now) < -GRACE_SECONDS:
                self._kill_shim(kept)
            if kept.record.notes:
                self._journal_flush(kept.record)
            if kept.holds_uids:
                self._give_back(kept)

    # being born

    def _owner(self, session: str) -> str:
        return f"{self._facts.paths.instance}/{session}"

    def _must_have_room(self, spec: SessionSpec) -> None:
        used = sum(kept.record.spec.limits.total_bytes for kept in self._kept.values() if kept.record.over is None)
        if used + spec.limits.total_bytes > self._facts.memory_bytes:
            free = max(0, self._facts.memory_bytes - used)
            raise Trouble("no-room", f"this machine has {free >> 20} MiB left for sessions and the room wants {spec.limits.total_bytes >> 20} MiB")

    def _must_know_buckets(self, spec: SessionSpec) -> None:
        for wanted in spec.buckets:
            if wanted.name not in self._facts.buckets:
                raise Trouble("no-bucket", f"the agent knows no bucket {wanted.name[:64]!r}", hint="it reads [buckets] when it starts: start it again")

    def _fork(self, record: Record, image: Path) -> None:
        paths = self._facts.paths.session(record.session)
        listener = Listener(paths.socket, mode=0o600)
        channel = connect(paths.socket)  # before the fork: the shim will find its agent in the backlog
        facts = self._facts
        shim_facts = ShimFacts(
            spec=record.spec,
            uid_base=record.uid_base,
            boot_deadline=record.boot_deadline,
            paths=paths,
            image=image,
            runtime=facts.runtime,
            seccomp=facts.seccomp,
            filter_program=facts.filter_program,
            stager=facts.stager,
            buckets=facts.buckets,
            clock=facts.clock,
        )
        child = os.fork()
        if child == 0:
            try:
                os.setsid()
                processes.keep_descriptors({listener.fileno()})
                live(shim_facts, listener)
            finally:
                os._exit(1)  # whatever was raised, never a second agent
        listener.close()
        record.shim, record.shim_started = child, processes.started_at(child)
        self._keep(Kept(record, SessionSeen(record.session, RuntimeState.CREATING, record.spec.ends_at), channel))

    def _take_back(self, record: Record) -> None:
        """It never came to a shim, so there is nothing to end."""
        paths = self._facts.paths.session(record.session)
        with suppress(OSError):
            paths.socket.unlink(missing_ok=True)
            self._journal.forget(record)
        uids.give_back(record.uid_base, self._owner(record.session), folder=self._facts.uid_folder)

    def _keep(self, kept: Kept) -> None:
        self._kept[kept.record.session] = kept
        if kept.channel is not None:
            self._selector.register(kept.channel, selectors.EVENT_READ, lambda events: self._hear(kept, events))

    # being found again

    def _find_again(self, record: Record) -> None:
        seen = record.over or SessionSeen(record.session, RuntimeState.CREATING, record.spec.ends_at)
        kept = Kept(record, seen)
        if record.over is None:
            with suppress(ChannelClosed):
                kept.channel = connect(self._facts.paths.session(record.session).socket)
        self._keep(kept)
        if record.over is None and kept.channel is None:
            self._conclude(kept)

    def _sweep(self) -> None:
        """Whatever carries this installation's name and no record's: a crash fell between two steps. End it."""
        facts = self._facts
        named = cgroups.owners(facts.paths.cgroup_name) | {path.name for path in facts.paths.sessions.iterdir() if path.is_dir()}
        for session in named - self._kept.keys():
            paths = facts.paths.session(session)
            destroy(paths, cgroups.cgroup(paths.cgroup), uid_base=0, runtime=facts.runtime)
        prefix = facts.paths.instance + "/"
        for owner, base in uids.leased_by(prefix, folder=facts.uid_folder).items():
            record = self._kept.get(owner.removeprefix(prefix))
            if (record is None or record.record.over is not None) and not survivors(base, facts.paths.session(owner.removeprefix(prefix)).folder):
                uids.give_back(base, owner, folder=facts.uid_folder)
        for stray in facts.paths.sessions.glob("*.sock*"):
            if stray.name.partition(".")[0] not in self._kept:
                stray.unlink()

    # being listened to

    def _send(self, kept: Kept, message: EndNow | EndAt | Hold | Want | Renewed) -> None:
        assert kept.channel is not None
        try:
            kept.channel.send(messages.render(message))
            self._watch(kept)
        except ChannelClosed:
            self._conclude(kept)

    def _watch(self, kept: Kept) -> None:
        if kept.channel is not None:
            writing = selectors.EVENT_WRITE if kept.channel.is_waiting_to_write else 0
            self._selector.modify(kept.channel, selectors.EVENT_READ | writing, lambda events: self._hear(kept, events))

    def _hear(self, kept: Kept, events: int) -> None:
        channel = kept.channel
        if channel is None:
            return
        try:
            if events & selectors.EVENT_WRITE:
                channel.flush()
            while kept.channel is channel and (packet := channel.receive()) is not None:
                self._weigh(kept, messages.parse(packet[0], FromShim), packet[1])  # type: ignore[arg-type]  # a family is a tuple of message classes
            self._watch(kept)
        except (ChannelClosed, MalformedMessage):
            self._conclude(kept)

    def _weigh(self, kept: Kept, told: Told, descriptors: tuple[int, ...]) -> None:
        match told:
            case Given():
                self._on_given(told, descriptors)
            case Changed(seen):
                for descriptor in descriptors:
                    os.close(descriptor)
                if seen.state in _OVER:
                    kept.last_word = seen  # weighed when the shim is gone
                else:
                    self._learn(kept, seen)

    def _learn(self, kept: Kept, seen: SessionSeen) -> None:
        """Said on at once, written right after: what is said again after a crash in between is noted again, for the record knows only what was written."""
        kept.seen = seen
        self._on_change(seen)
        if note_change(self._journal, kept.record, seen, self._facts.paths.session(kept.record.session).manifest):
            self._journal_flush(kept.record)

    def _journal_flush(self, record: Record) -> None:
        """A full spool or disk must not stop an end: what it refuses stays in the journal and is tried again at every tick."""
        with suppress(Trouble, OSError):
            self._journal.flush(record)

    def _save(self, record: Record) -> bool:
        try:
            self._journal.save(record)
        except OSError:
            return False
        return True

    # being over

    def _conclude(self, kept: Kept) -> None:
        """The shim's process is gone, or will not speak: end what is left, check, write down, give back."""
        self._part(kept)
        record = kept.record
        paths = self._facts.paths.session(record.session)
        outcome = read_outcome(paths.outcome) or kept.last_word
        processes.end(record.shim, record.shim_started)
        if outcome is None:
            self._kill_survivors(record)
            outcome = self._salvage(record)
        nobody_left = self._kill_survivors(record)
        assert outcome.certificate is not None
        outcome = replace(outcome, certificate=_completed(outcome.certificate, nobody_left=nobody_left))
        record.over = kept.seen = outcome
        note_over(self._journal, record, outcome)
        self._journal_flush(record)
        if nobody_left:
            self._give_back(kept)
        with suppress(FileNotFoundError):
            paths.socket.unlink()
        self._on_change(outcome)

    def _part(self, kept: Kept) -> None:
        if kept.channel is not None:
            with suppress(KeyError, ValueError):
                self._selector.unregister(kept.channel)
            kept.channel.close()
            kept.channel = None

    def _salvage(self, record: Record) -> SessionSeen:
        paths = self._facts.paths.session(record.session)
        certificate = destroy(paths, cgroups.cgroup(paths.cgroup), uid_base=record.uid_base, runtime=self._facts.runtime)
        over_time = self._seconds_left(record, self._facts.clock) <= 0
        return SessionSeen(
            record.session,
            RuntimeState.DESTROYED if record.told_ready else RuntimeState.FAILED,
            record.spec.ends_at,
            end_reason=EndReason.TIME_OVER if over_time else EndReason.SHIM_LOST,
            why="the session's shim was killed; the agent ended what was left",
            certificate=certificate,
        )

    def _give_back(self, kept: Kept) -> None:
        """Only once it is on the disk that the session is over: an agent that did not know would look for survivors in a range that is somebody else's."""
        record = kept.record
        kept.holds_uids = not self._save(record)
        if not kept.holds_uids:
            uids.give_back(record.uid_base, self._owner(record.session), folder=self._facts.uid_folder)

    def _kill_survivors(self, record: Record) -> bool:
        """Whoever is of the session and still runs, in its cgroup or not. True when nobody is left."""
        deadline = time.monotonic() + SURVIVOR_SECONDS
        folder = self._facts.paths.session(record.session).folder
        while left := survivors(record.uid_base, folder):
            if time.monotonic() > deadline:
                return False
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            processes.reap()
            time.sleep(0.01)
        return True

    def _kill_shim(self, kept: Kept) -> None:
        if not kept.killed:
            kept.killed = True
            with suppress(ProcessLookupError):
                os.kill(kept.record.shim, signal.SIGKILL)

    def _seconds_left(self, record: Record, clock: Clock) -> float:
        return lease.seconds_to_deadline(
            ends_at=record.spec.ends_at, wall_now=clock.now().timestamp(), boot_deadline=record.boot_deadline, boot_now=clock.boottime()
        )


def _completed(certificate: Certificate, *, nobody_left: bool) -> Certificate:
    return replace(certificate, namespaces_gone=nobody_left, clean=certificate.clean and nobody_left)
