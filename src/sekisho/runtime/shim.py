"""The shim: one small root process for each session, forked from the agent, that holds the session's namespaces and sockets and ends it at
its deadline, whoever else is alive.

It faces nothing from outside: its only speaker is the agent, over its own socket. It reads no file of the room and no byte that the room
wrote. All of its life is one loop over
descriptors; whatever goes wrong in it ends the session.
"""

import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from sekisho.model import messages
from sekisho.model.room import Kind
from sekisho.model.session import EndReason
from sekisho.runtime import bundle, container, lease, screen, seal
from sekisho.runtime.cgroups import Cgroup, CgroupLimits, cgroup
from sekisho.runtime.memory_watch import MemoryWatch
from sekisho.runtime.paths import SessionPaths
from sekisho.runtime.protocol import Changed, OpenKind, RuntimeState, SessionSeen, SessionSpec
from sekisho.runtime.screen import Screen
from sekisho.runtime.shim_protocol import EndAt, EndNow, Given, Hold, Renewed, ToShim, Want
from sekisho.runtime.staging_child import BucketAccess, Hearer, Stager, Staging, StagingFacts
from sekisho.runtime.undo import destroy
from sekisho.system import kernel
from sekisho.system.clock import Clock
from sekisho.system.files import write_whole
from sekisho.system.packets import Channel, ChannelClosed, Listener

_LOOK_SECONDS = 5.0  # at the latest: the wall clock may have been set
_STAGED_EVERY_SECONDS = 0.2
_MAKING_SECONDS = 60.0  # for room and screen, however long its files take: what does not come by then will not come


@dataclass(frozen=True, slots=True)
class ShimFacts:
    """Everything a shim is born with."""

    spec: SessionSpec
    uid_base: int
    boot_deadline: float
    paths: SessionPaths
    image: Path  # where the image is mounted
    runtime: str  # the OCI runtime's command
    seccomp: Mapping[str, object]
    filter_program: bytes  # the same, compiled: for what the shim starts itself
    stager: Stager
    buckets: Mapping[str, BucketAccess]
    clock: Clock


def live(facts: ShimFacts, listener: Listener) -> None:
    """The whole life of a shim's process. Never returns."""
    code = 1
    try:
        kernel.set_name("sekisho-shim")
        kernel.adopt_orphans()
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        Shim(facts, listener).run()
        code = 0
    finally:
        os._exit(code)


class Shim:
    """`run` is the life; the rest are its acts, each started by one readable descriptor or by time."""

    def __init__(self, facts: ShimFacts, listener: Listener) -> None:
        self._facts = facts
        self._listener = listener
        self._selector = selectors.EpollSelector()
        self._agent: Channel | None = None
        self._seen = SessionSeen(facts.spec.session, RuntimeState.CREATING, facts.spec.ends_at)
        self._cgroup: Cgroup = cgroup(facts.paths.cgroup)
        self._lifeline_read, self._lifeline_write = os.pipe()
        self._sockets: seal.RoomSockets | None = None
        self._master: int | None = None
        self._screen_serves = Kind.DESKTOP not in facts.spec.kinds  # until there is one to wait for
        self._boot_deadline = facts.boot_deadline
        self._renewed_at = self._born_at = facts.clock.boottime()
        self._making: subprocess.Popen[bytes] | None = None
        self._held = False
        self._staged = True  # until there is something to stage
        self._ended: tuple[EndReason, str] | None = None
        self._told_at = 0.0
        self._memory = MemoryWatch(self._cgroup, facts.clock)

    def run(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._attempt(self._prepare)
        while self._ended is None:
            for key, events in self._selector.select(self._patience()):
                self._attempt(key.data, events)
            self._attempt(self._look_at_clocks)
            self._attempt(self._look_at_memory)
        self._destroy(*self._ended)

    def _attempt(self, act: Callable[..., None], *arguments: object) -> None:
        """Whatever fails, fails closed: the session ends."""
        try:
            act(*arguments)
        except Exception as error:  # noqa: BLE001  the edge of a task: any error ends the session, with its name for the log
            self._end(EndReason.OPEN_FAILED, f"{type(error).__name__}: {error}")

    # making

    def _prepare(self) -> None:
        facts = self._facts
        limits = facts.spec.limits
        staging = self._make_staging()  # before the machine's network is left
        seal.enter_namespaces()
        self._sockets = seal.open_sockets(facts.spec.ports)
        self._cgroup.create(CgroupLimits(limits.total_bytes, limits.processes, limits.cpu), ("room", "stager", "screen"))
        seal.mount_folders(facts.paths, facts.spec, facts.uid_base, facts.image)
        if not self._screen_serves:
            self._start_screen()
        if staging.is_wanted:
            self._staged = False
            self._become(RuntimeState.STAGING)
            staging.start()
        self._start_container()  # beside the stager: nobody is let in before both are done

    def _start_screen(self) -> None:
        facts, memory = self._facts, self._facts.spec.limits.memory_bytes
        screen.prepare(facts.paths, facts.uid_base)
        started = screen.start(facts.paths, self._cgroup, uid_base=facts.uid_base, filter_program=facts.filter_program, memory_bytes=memory)
        self._selector.register(started.news, selectors.EVENT_READ, lambda _events: self._hear_screen(started))
        watch = os.pidfd_open(started.pid)
        self._selector.register(watch, selectors.EVENT_READ, lambda _events: self._end(EndReason.ROOM_STOPPED, "the screen ended"))

    def _hear_screen(self, started: Screen) -> None:
        if (said := os.read(started.news, 16)) and not said.endswith(b"\n"):
            return  # the number first, then the end of the line
        self._selector.unregister(started.news)
        os.close(started.news)
        if said:
            self._screen_serves = True
            self._open_if_whole()
        else:
            self._end(EndReason.OPEN_FAILED, "the screen did not start")

    def _make_staging(self) -> Staging:
        facts = self._facts
        hearer = Hearer(self._staged_so_far, self._staged_all, lambda why: self._end(EndReason.FILES_FAILED, why))
        return Staging(
            StagingFacts(facts.spec, facts.paths, facts.uid_base, self._cgroup, facts.stager, facts.buckets, facts.filter_program), self._selector, hearer
        )

    def _staged_so_far(self, done: int, total: int, files: int) -> None:
        self._seen = replace(self._seen, staged_bytes=done, staged_total_bytes=total, staged_files=files)
        now = self._facts.clock.boottime()
        if now - self._told_at >= _STAGED_EVERY_SECONDS:
            self._told_at = now
            self._tell()

    def _staged_all(self) -> None:
        self._staged = True
        self._open_if_whole()

    def _start_container(self) -> None:
        facts = self._facts
        content = bundle.config(
            bundle.BundleFacts(
                session=facts.spec.session,
                room=facts.spec.room,
                root=facts.paths.root,
                folders=facts.paths.folder,
                uid_base=facts.uid_base,
                cgroup_path=f"{facts.paths.cgroup}/room",
                noexec=facts.spec.noexec,
                language=facts.spec.language,
                seccomp=facts.seccomp,
                has_trust=bool(facts.spec.trust),
                kinds=facts.spec.kinds,
            )
        )
        process, console = container.start(facts.runtime, facts.paths, content)
        self._making = process
        watch = os.pidfd_open(process.pid)
        self._selector.register(watch, selectors.EVENT_READ, lambda _events: self._started(watch, process, console))

    def _started(self, watch: int, process: subprocess.Popen[bytes], console: container.Console) -> None:
        self._selector.unregister(watch)
        os.close(watch)
        if process.wait() != 0:
            console.close()
            self._end(EndReason.OPEN_FAILED, f"{self._facts.runtime}: {container.complaint(self._facts.paths)}")
            return
        self._master = console.master()
        console.close()
        pid = container.first_process(self._facts.paths)
        if not Path(f"/proc/{pid}/ns/net").samefile("/proc/self/ns/net"):
            self._end(EndReason.OPEN_FAILED, "the runtime gave the room another network than its own")
            return
        first = os.pidfd_open(pid)
        self._selector.register(first, selectors.EVENT_READ, lambda _events: self._end(EndReason.ROOM_STOPPED, ""))
        self._open_if_whole()

    def _open_if_whole(self) -> None:
        """Ready is a room that runs, has all its files, and can be seen; never a part of that."""
        if self._staged and self._screen_serves and self._master is not None:
            seal.hand_over_data(self._facts.paths, self._facts.uid_base)
            self._become(RuntimeState.READY)

    # hearing

    def _accept(self, _events: int) -> None:
        channel = self._listener.accept()
        if channel is None:
            return
        if channel.peer.uid != 0:
            channel.close()
            return
        self._drop_agent()
        self._agent = channel
        self._selector.register(channel, selectors.EVENT_READ, self._hear)
        self._tell()

    def _drop_agent(self) -> None:
        if self._agent is not None:
            self._selector.unregister(self._agent)
            self._agent.close()
            self._agent = None

    def _hear(self, events: int) -> None:
        agent = self._agent
        if agent is None:
            return
        try:
            if events & selectors.EVENT_WRITE:
                agent.flush()
            while self._agent is agent and (packet := agent.receive()) is not None:
                for descriptor in packet[1]:
                    os.close(descriptor)
                self._obey(messages.parse(packet[0], ToShim))  # type: ignore[arg-type]  # a family is a tuple of message classes
            self._watch_writing()
        except ChannelClosed:
            self._drop_agent()

    def _watch_writing(self) -> None:
        if self._agent is not None:
            writing = selectors.EVENT_WRITE if self._agent.is_waiting_to_write else 0
            self._selector.modify(self._agent, selectors.EVENT_READ | writing, self._hear)

    def _obey(self, order: EndNow | EndAt | Hold | Renewed | Want) -> None:
        match order:
            case EndNow(reason):
                self._end(reason, "")
            case EndAt(ends_at):
                clock = self._facts.clock
                self._boot_deadline = clock.boottime() + ends_at - clock.now().timestamp()
                self._seen = replace(self._seen, ends_at=ends_at)
                self._tell()
            case Hold(held):
                self._held = held
                self._set_frozen()
            case Renewed():
                self._renewed_at = self._facts.clock.boottime()
                self._set_frozen()
            case Want(number, kind):
                self._give(number, kind)

    def _give(self, number: int, kind: OpenKind) -> None:
        """What people look at only while the room is ready; what egress needs as soon as the sockets are there."""
        given = Given(number)
        descriptors: tuple[int, ...] = ()
        may_look = self._seen.state is RuntimeState.READY and kind in self._facts.spec.kinds
        with ExitStack() as stack:
            if kind is OpenKind.EGRESS and self._sockets is not None:
                descriptors = (self._lifeline_read, *self._sockets.descriptors())
                given = Given(number, tuple(self._sockets.ports))
            elif kind is OpenKind.TERMINAL and may_look and self._master is not None:
                descriptors = (self._master, self._lifeline_read)
            elif kind is OpenKind.DESKTOP and may_look and (end := screen.connect(self._facts.paths)) is not None:
                stack.enter_context(end)  # sent away, and then no longer ours
                descriptors = (end.fileno(), self._lifeline_read)
            self._send(given, descriptors)

    # time

    def _patience(self) -> float:
        return max(0.0, min(_LOOK_SECONDS, self._memory.patience_seconds, self._seconds_left()))

    def _seconds_left(self) -> float:
        clock = self._facts.clock
        return lease.seconds_to_deadline(
            ends_at=self._seen.ends_at, wall_now=clock.now().timestamp(), boot_deadline=self._boot_deadline, boot_now=clock.boottime()
        )

    def _look_at_clocks(self) -> None:
        if self._seconds_left() <= 0:
            self._end(EndReason.TIME_OVER, "")
        elif (missing := self._missing()) and self._facts.clock.boottime() - self._born_at > _MAKING_SECONDS:
            self._end(EndReason.OPEN_FAILED, f"the {missing} did not start within {_MAKING_SECONDS:.0f} s")
        else:
            self._set_frozen()

    def _missing(self) -> str:
        if self._master is None:
            return "room"
        return "" if self._screen_serves else "screen"

    def _set_frozen(self) -> None:
        lost = lease.must_freeze(renewed_at=self._renewed_at, now=self._facts.clock.boottime())
        wanted = self._held or lost
        if wanted and self._seen.state is RuntimeState.READY:
            self._cgroup.freeze()
            self._become(RuntimeState.FROZEN, EndReason.LEASE_LOST if lost else None)
        elif not wanted and self._seen.state is RuntimeState.FROZEN:
            self._cgroup.thaw()
            self._become(RuntimeState.READY)

    def _look_at_memory(self) -> None:
        if self._seen.state is RuntimeState.READY:
            self._memory.look()

    # saying

    def _become(self, state: RuntimeState, reason: EndReason | None = None) -> None:
        self._seen = replace(self._seen, state=state, end_reason=reason)
        self._tell()

    def _tell(self) -> None:
        self._send(Changed(self._seen))

    def _send(self, message: Changed | Given, descriptors: tuple[int, ...] = ()) -> None:
        if self._agent is None:
            return
        try:
            self._agent.send(messages.render(message), descriptors)
            self._watch_writing()
        except ChannelClosed:
            self._drop_agent()

    # ending

    def _end(self, reason: EndReason, why: str) -> None:
        if self._ended is None:
            self._ended = (reason, why)

    def _stop_making(self) -> None:
        """A runtime that is still making the room is killed with all that it forked, before what it made is unmade: it must not go on behind our back."""
        if self._making is not None and self._making.poll() is None:
            self._making.kill()
            self._making.wait()
            for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split():  # orphans come to us
                with suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)

    def _destroy(self, reason: EndReason, why: str) -> None:
        """Cut first, then kill, then unmake, then write down what was destroyed, then tell."""
        was_ready = self._seen.state in {RuntimeState.READY, RuntimeState.FROZEN}
        os.close(self._lifeline_write)
        os.close(self._lifeline_read)
        self._become(RuntimeState.ENDING, reason)
        if self._master is not None:
            os.close(self._master)
        if self._sockets is not None:
            self._sockets.close()
        self._stop_making()
        certificate = destroy(self._facts.paths, self._cgroup, uid_base=self._facts.uid_base, runtime=self._facts.runtime)
        state = RuntimeState.DESTROYED if was_ready else RuntimeState.FAILED
        self._seen = replace(self._seen, state=state, end_reason=reason, why=why[:1000], certificate=certificate)
        try:
            write_whole(self._facts.paths.outcome, messages.render(Changed(self._seen)))
        except OSError:  # a full disk: the agent, if it lives, hears it
            self._tell()
        self._listener.close()
        with suppress(FileNotFoundError):
            self._facts.paths.socket.unlink()
