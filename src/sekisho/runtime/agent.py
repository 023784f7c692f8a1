"""The agent: the one privileged process that stays. It forks a shim for each session, hands descriptors to those with a capability, and
finds everything again after a crash.

Small, one thread, one loop; it never parses a foreign format: its speakers are control, the openers and its own shims, all known by their
uid. A session's end is never made to wait
for anything; what there is to say about it is said from the journal.
"""

import os
import selectors
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from sekisho.model import messages
from sekisho.model.errors import Trouble
from sekisho.model.messages import MalformedMessage
from sekisho.runtime import lease
from sekisho.runtime.capabilities import Capabilities
from sekisho.runtime.keeper import Keeper
from sekisho.runtime.paths import AgentPaths
from sekisho.runtime.protocol import (
    PAGE_SESSIONS,
    PAGE_WHY,
    Changed,
    Create,
    Done,
    End,
    Extend,
    Failed,
    Forget,
    Freeze,
    List,
    Open,
    Opened,
    OpenKind,
    Register,
    Renew,
    RuntimeState,
    Sessions,
    SessionSeen,
    Thaw,
    ToAgent,
    ToOpener,
)
from sekisho.runtime.shim_protocol import EndAt, EndNow, Given, Hold, Renewed, Want
from sekisho.system import kernel
from sekisho.system.clock import Clock
from sekisho.system.packets import Channel, ChannelClosed, Listener

_TICK_SECONDS = 1.0
_OPENERS_LIMIT = 128  # connections of one uid: nobody but the agent may use up its descriptors

Order = Create | End | Extend | Freeze | Thaw | Renew | Register | List | Forget


class Shipping(Protocol):
    """`audit.shipper.Shipper`."""

    def fileno(self) -> int | None: ...

    @property
    def is_waiting_to_write(self) -> bool: ...

    def on_ready(self) -> None: ...

    def tick(self) -> float: ...

    def kick(self) -> None: ...


@dataclass(frozen=True, slots=True)
class AgentFacts:
    paths: AgentPaths
    control_uid: int
    openers: Mapping[int, frozenset[OpenKind]]  # uid -> the kinds that it may open
    clock: Clock


class Agent:
    def __init__(self, facts: AgentFacts, *, keeper: Keeper, shipper: Shipping) -> None:
        self._facts = facts
        self._keeper = keeper
        self._shipper = shipper
        self._selector = selectors.EpollSelector()
        self._capabilities = Capabilities()
        self._control: Channel | None = None
        self._control_listener = Listener(facts.paths.run / "agent.sock", mode=0o666)
        self._open_listener = Listener(facts.paths.run / "open.sock", mode=0o666)
        self._renewed_at = float("-inf")  # nothing opens before control has spoken
        self._openers: set[Channel] = set()
        self._opening: dict[int, tuple[Channel, Open, OpenKind, str]] = {}
        self._number = 0
        self._stopping = False
        self._shipping_fd: int | None = None

    def run(self) -> None:
        """Until SIGTERM. Sessions go on under their shims."""
        kernel.adopt_orphans()
        signal.signal(signal.SIGTERM, self._stop)
        self._selector.register(self._control_listener, selectors.EVENT_READ, self._accept_control)
        self._selector.register(self._open_listener, selectors.EVENT_READ, self._accept_opener)
        self._keeper.start(self._selector, on_change=self._changed, on_given=self._given)
        patience = 0.0
        while not self._stopping:
            for key, events in self._selector.select(patience):
                key.data(events)
            patience = min(_TICK_SECONDS, self._tick())

    def _stop(self, *_signal: object) -> None:
        self._stopping = True

    def _tick(self) -> float:
        self._keeper.tick()
        self._watch_shipper()  # before the tick, which closes what was broken: its number may be the next connection's
        wait = self._shipper.tick()
        self._watch_shipper()
        return max(0.0, wait)

    def _watch_shipper(self) -> None:
        wanted = self._shipper.fileno()
        if self._shipping_fd is not None and wanted != self._shipping_fd:
            with suppress(KeyError, OSError, ValueError):
                self._selector.unregister(self._shipping_fd)
            self._shipping_fd = None
        if wanted is None:
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._shipper.is_waiting_to_write else 0)
        if self._shipping_fd is None:
            self._selector.register(wanted, events, lambda _events: self._shipper.on_ready())
            self._shipping_fd = wanted
        else:
            self._selector.modify(wanted, events, lambda _events: self._shipper.on_ready())

    # control

    def _accept_control(self, _events: int) -> None:
        channel = self._control_listener.accept()
        if channel is None:
            return
        if channel.peer.uid != self._facts.control_uid:
            channel.close()
            return
        self._drop_control()
        self._control = channel
        self._selector.register(channel, selectors.EVENT_READ, lambda events: self._hear_control(channel, events))

    def _drop_control(self) -> None:
        if self._control is not None:
            self._selector.unregister(self._control)
            self._control.close()
            self._control = None

    def _hear_control(self, channel: Channel, events: int) -> None:
        if self._control is not channel:
            return
        try:
            if events & selectors.EVENT_WRITE:
                channel.flush()
            while self._control is channel and (packet := channel.receive()) is not None:
                _close(packet[1])
                order: Order = messages.parse(packet[0], ToAgent)  # type: ignore[assignment]  # a family is a tuple of message classes
                self._say(self._answer(order))
        except (ChannelClosed, MalformedMessage):
            self._drop_control()
        self._watch_control()

    def _watch_control(self) -> None:
        if (channel := self._control) is not None:
            writing = selectors.EVENT_WRITE if channel.is_waiting_to_write else 0
            self._selector.modify(channel, selectors.EVENT_READ | writing, lambda events: self._hear_control(channel, events))

    def _say(self, message: Done | Failed | Sessions | Changed) -> None:
        if self._control is None:
            return
        try:
            self._control.send(messages.render(message))
            self._watch_control()
        except ChannelClosed:
            self._drop_control()

    def _answer(self, order: Order) -> Done | Failed | Sessions:
        """Obey one order. Whatever goes wrong is said, and nothing was opened then."""
        try:
            return self._obey(order) or Done(order.number)
        except Trouble as error:
            return Failed(order.number, error.reference, str(error))
        except OSError as error:
            return Failed(order.number, "agent-failed", f"{type(error).__name__}: {error}")

    def _obey(self, order: Order) -> Failed | Sessions | None:
        keeper = self._keeper
        match order:
            case Create(_, spec):
                self._must_have_lease()
                keeper.create(spec)
            case End(_, session, reason):
                keeper.tell(session, EndNow(reason))
            case Extend(_, session, ends_at):
                keeper.prolong(session, ends_at)
                keeper.tell(session, EndAt(ends_at))
            case Freeze(_, session):
                keeper.tell(session, Hold(held=True))
            case Thaw(_, session):
                keeper.tell(session, Hold(held=False))
            case Renew():
                self._renewed_at = self._facts.clock.boottime()
                keeper.tell_all(Renewed())
            case Register():
                keeper.must_know(order.session)
                self._capabilities.register(order, now=self._facts.clock.now().timestamp())
            case List(number, after):
                page = keeper.seen(after, PAGE_SESSIONS + 1)
                shown = tuple(replace(seen, why=seen.why[:PAGE_WHY]) for seen in page[:PAGE_SESSIONS])
                return Sessions(number, shown, more=len(page) > PAGE_SESSIONS)
            case Forget(_, session):
                keeper.forget(session)
        return None

    def _must_have_lease(self) -> None:
        if not lease.may_open(renewed_at=self._renewed_at, now=self._facts.clock.boottime()):
            raise Trouble("lease-lost", "control has not renewed the lease, so nothing opens")

    # openers

    def _accept_opener(self, _events: int) -> None:
        channel = self._open_listener.accept()
        if channel is None:
            return
        uid = channel.peer.uid
        kinds = self._facts.openers.get(uid)
        if kinds is None or sum(each.peer.uid == uid for each in self._openers) >= _OPENERS_LIMIT:
            channel.close()
            return
        self._openers.add(channel)
        self._selector.register(channel, selectors.EVENT_READ, lambda events: self._hear_opener(channel, kinds, events))

    def _drop_opener(self, channel: Channel) -> None:
        self._opening = {number: waiting for number, waiting in self._opening.items() if waiting[0] is not channel}
        with suppress(KeyError, ValueError):  # dropped already, in this very round
            self._selector.unregister(channel)
        self._openers.discard(channel)
        channel.close()

    def _hear_opener(self, channel: Channel, kinds: frozenset[OpenKind], events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                channel.flush()
            while (packet := channel.receive()) is not None:
                _close(packet[1])
                self._open(channel, kinds, messages.parse(packet[0], ToOpener))
            writing = selectors.EVENT_WRITE if channel.is_waiting_to_write else 0
            self._selector.modify(channel, selectors.EVENT_READ | writing, lambda again: self._hear_opener(channel, kinds, again))
        except (ChannelClosed, MalformedMessage):
            self._drop_opener(channel)

    def _open(self, channel: Channel, kinds: frozenset[OpenKind], order: Open) -> None:
        """A capability is used up by the first who shows it, whatever comes of it."""
        registered = self._capabilities.redeem(order.capability, kinds, now=self._facts.clock.now().timestamp())
        if registered is None:
            channel.send(messages.render(Failed(order.number, "capability-refused", "this capability is unknown, used, expired or of another kind")))
            return
        if not lease.may_open(renewed_at=self._renewed_at, now=self._facts.clock.boottime()):
            channel.send(messages.render(Failed(order.number, "lease-lost", "control has not renewed the lease, so nothing opens")))
            return
        self._number += 1
        self._opening[self._number] = (channel, order, registered.kind, registered.session)
        is_told = self._is_told(registered.session, Want(self._number, registered.kind))
        if not is_told and self._opening.pop(self._number, None) is not None:  # else it was found to be over, and so answered, just now
            channel.send(messages.render(Failed(order.number, "not-ready", "the session is over or its shim is away")))

    def _is_told(self, session: str, want: Want) -> bool:
        """A session may have ended, and been forgotten, since its capability was registered."""
        try:
            return self._keeper.tell(session, want)
        except Trouble:
            return False

    def _given(self, given: Given, descriptors: tuple[int, ...]) -> None:
        """A shim gave descriptors (or none) for an opener that waits."""
        waiting = self._opening.pop(given.to, None)
        try:
            if waiting is None:
                return
            channel, order, kind, session = waiting
            if descriptors:
                channel.send(messages.render(Opened(order.number, session, kind, given.ports)), descriptors)
            else:
                channel.send(messages.render(Failed(order.number, "not-ready", "the session is not ready")))
        except ChannelClosed:
            if waiting is not None:
                self._drop_opener(waiting[0])
        finally:
            _close(descriptors)

    # sessions

    def _changed(self, seen: SessionSeen) -> None:
        self._shipper.kick()
        if seen.state in {RuntimeState.DESTROYED, RuntimeState.FAILED}:
            self._turn_away(seen.session)
        self._say(Changed(seen))

    def _turn_away(self, session: str) -> None:
        """Whoever still waits for descriptors of a session that is over: its shim will give none."""
        for number, (channel, order, _, wanted) in list(self._opening.items()):
            if wanted == session:
                del self._opening[number]
                with suppress(ChannelClosed):  # its own end-of-file follows
                    channel.send(messages.render(Failed(order.number, "not-ready", "the session is over")))


def _close(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
