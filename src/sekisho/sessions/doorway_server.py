"""`control.sock`: where the portal nudges and gateways ask who may come in (`sessions.doorway`).

A peer is what its uid says it is; who has none of the listed uids is dropped. Whatever goes wrong while somebody is let in is a refusal. Cuts and
extensions are said unasked: to the gateway that holds the connection, or to all when that is not known.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sekisho.model import messages
from sekisho.model.messages import MalformedMessage, Message
from sekisho.model.reasons import Reason
from sekisho.model.room import Place
from sekisho.policy.verdict import Deny
from sekisho.runtime.protocol import OpenKind
from sekisho.sessions import entering, pasting
from sekisho.sessions.agent_client import AgentClient, AgentRefused
from sekisho.sessions.doorway import Alive, Closed, Cut, Extended, FromGateway, FromPortal, Nudge, Paste, Pasted, Recheck, Redeem, Refused
from sekisho.sessions.entering import Admission
from sekisho.sessions.line import Away
from sekisho.sessions.log_watch import LogWatch
from sekisho.sessions.presence import refused
from sekisho.store.database import Store
from sekisho.store.refusals import Tally
from sekisho.system import randomness
from sekisho.system.clock import Clock
from sekisho.system.packets import Channel, ChannelClosed, Listener

PORTAL, GATEWAY = "portal", "gateway"
LOG_SECONDS = 5.0
CAPABILITY_SECONDS = 10.0
_WAITING_LIMIT = 256
_FAMILIES: Mapping[str, tuple[type[Any], ...]] = {PORTAL: FromPortal, GATEWAY: FromGateway}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DoorFacts:
    """`peers` maps a uid to "portal" or "gateway"."""

    store: Store
    agent: AgentClient
    watch: LogWatch
    places: tuple[Place, ...]
    clock: Clock
    peers: Mapping[int, str]
    nudge: Callable[[], None]
    kick: Callable[[], None]


@dataclass(eq=False, slots=True)
class _Peer:
    """One connected process. `holds` are the connections that it was let in or said to be alive."""

    name: str
    channel: Channel
    is_here: bool = True
    holds: set[str] = field(default_factory=set)


class DoorwayServer:
    def __init__(self, facts: DoorFacts) -> None:
        self._facts = facts
        self._tally = Tally()
        self._peers: set[_Peer] = set()
        self._recent_pastes = pasting.Recent()
        self._paste_tally = Tally()
        self._redeeming: set[asyncio.Task[None]] = set()
        self._pasting: set[asyncio.Task[None]] = set()

    async def serve(self, path: Path) -> None:
        """Listen until cancelled."""
        listener, loop = Listener(path, mode=0o666), asyncio.get_running_loop()
        loop.add_reader(listener.fileno(), self._accept, listener)
        try:
            await loop.create_future()
        finally:
            loop.remove_reader(listener.fileno())
            listener.close()
            for task in (*self._redeeming, *self._pasting):
                task.cancel()
            for peer in [*self._peers]:
                self._drop(peer)

    def cut(self, connection: str, reason: str) -> None:
        """Said now, to the gateway that holds it. One that is away hears it when it comes back and says what it still holds."""
        gateways = self._gateways()
        holding = [peer for peer in gateways if connection in peer.holds]
        for peer in holding or gateways:
            self._say(peer, Cut(connection, reason))

    def extended(self, session: str, ends_at: float) -> None:
        for peer in self._gateways():
            self._say(peer, Extended(session, ends_at))

    def _gateways(self) -> list[_Peer]:
        return [peer for peer in self._peers if peer.name == GATEWAY]

    def _accept(self, listener: Listener) -> None:
        while (channel := listener.accept()) is not None:
            name = self._facts.peers.get(channel.peer.uid)
            if name is None or name not in _FAMILIES:
                _log.warning("uid %d may not speak to control", channel.peer.uid)
                channel.close()
                continue
            peer = _Peer(name, channel)
            self._peers.add(peer)
            asyncio.get_running_loop().add_reader(channel.fileno(), self._read, peer)

    def _drop(self, peer: _Peer) -> None:
        if not peer.is_here:
            return
        peer.is_here = False
        self._peers.discard(peer)
        loop = asyncio.get_running_loop()
        loop.remove_reader(peer.channel.fileno())
        loop.remove_writer(peer.channel.fileno())
        peer.channel.close()

    def _read(self, peer: _Peer) -> None:
        try:
            while peer.is_here and (packet := peer.channel.receive()) is not None:
                for descriptor in packet[1]:
                    os.close(descriptor)
                self._hear(peer, messages.parse(packet[0], _FAMILIES[peer.name]))
        except ChannelClosed:
            self._drop(peer)
        except MalformedMessage as error:
            _log.error("%s said what it may not: %s", peer.name, error)
            self._drop(peer)

    def _write(self, peer: _Peer) -> None:
        try:
            peer.channel.flush()
        except ChannelClosed:
            self._drop(peer)
            return
        self._watch_writing(peer)

    def _watch_writing(self, peer: _Peer) -> None:
        loop = asyncio.get_running_loop()
        if peer.channel.is_waiting_to_write:
            loop.add_writer(peer.channel.fileno(), self._write, peer)
        else:
            loop.remove_writer(peer.channel.fileno())

    def _say(self, peer: _Peer, message: Message) -> bool:
        """False if the peer is gone."""
        if not peer.is_here:
            return False
        try:
            peer.channel.send(messages.render(message))
        except ChannelClosed:
            self._drop(peer)
            return False
        self._watch_writing(peer)
        return True

    def _hear(self, peer: _Peer, message: Nudge | Redeem | Recheck | Paste | Closed | Alive) -> None:
        try:
            self._do(peer, message)
        except Exception:  # noqa: BLE001  the door that asked: whatever was wrong, nobody comes in
            _log.exception("%s: %s failed", peer.name, message.VERB)
            if isinstance(message, Recheck):
                self._say(peer, Refused(message.number, Reason.DECISION_FAILED))
        self._facts.kick()

    def _do(self, peer: _Peer, message: Nudge | Redeem | Recheck | Paste | Closed | Alive) -> None:
        facts, now = self._facts, self._facts.clock.now()
        match message:
            case Nudge():
                facts.nudge()
            case Redeem():
                self._begin(self._redeeming, peer, message, self._redeem(peer, message))
            case Recheck():
                self._say(peer, entering.recheck(facts.store, message, places=facts.places, now=now))
            case Paste():
                self._begin(self._pasting, peer, message, self._paste(peer, message))
            case Closed():
                peer.holds.discard(message.connection)
                entering.closed(facts.store, message, now=now)
                facts.nudge()
            case Alive(connections):
                self._take_stock(peer, connections)

    def _take_stock(self, peer: _Peer, connections: tuple[str, ...]) -> None:
        """What no gateway holds any longer is closed in the books; what should be closed already is cut again."""
        peer.holds.update(connections)
        held = {connection for each in self._gateways() for connection in each.holds}
        must_close = entering.take_stock(self._facts.store, own=connections, held=held, now=self._facts.clock.now())
        for connection, reason in must_close.items():
            self._say(peer, Cut(connection, reason))
        self._facts.nudge()

    def _begin(self, tasks: set[asyncio.Task[None]], peer: _Peer, ask: Redeem | Paste, work: Coroutine[Any, Any, None]) -> None:
        """What waits for the log goes on beside everything else, up to a number."""
        if len(tasks) >= _WAITING_LIMIT:
            work.close()
            self._say(peer, Refused(ask.number, Reason.CONTROL_UNAVAILABLE))
            return
        task = asyncio.get_running_loop().create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _redeem(self, peer: _Peer, ask: Redeem) -> None:
        try:
            outcome = entering.redeem(self._facts.store, ask, places=self._facts.places, tally=self._tally, now=self._facts.clock.now())
            self._facts.kick()
            if isinstance(outcome, Refused):
                self._say(peer, outcome)
            else:
                await self._let_in(peer, ask, outcome)
        except Exception:  # noqa: BLE001  the door that asked: whatever was wrong, nobody comes in
            _log.exception("redeeming a ticket failed")
            self._say(peer, Refused(ask.number, Reason.DECISION_FAILED))

    async def _let_in(self, peer: _Peer, ask: Redeem, admission: Admission) -> None:
        """The ticket was good: wait for the log, have the way opened, and look once more whether it still may be."""
        peer.holds.add(admission.connection)
        secret, refusal = "", await self._wait_for_log(admission.event)
        if refusal is None:
            secret, refusal = await self._register(admission)
        if refusal is None:
            refusal = entering.refusal_by_now(self._facts.store, admission.connection, places=self._facts.places, now=self._facts.clock.now())
        if refusal is not None:
            peer.holds.discard(admission.connection)
            self._turn_away(admission, refusal.reason)
            self._say(peer, refused(ask.number, refusal))
        elif not self._say(peer, admission.admitted(ask.number, capability=secret)):
            self._turn_away(admission, entering.GATEWAY_LOST)

    async def _wait_for_log(self, event: int) -> Deny | None:
        store = self._facts.store
        is_logged = await self._facts.watch.until(lambda: entering.is_logged(store, event), seconds=LOG_SECONDS)
        return None if is_logged else Deny(Reason.LOG_UNAVAILABLE)

    async def _register(self, admission: Admission) -> tuple[str, Deny | None]:
        """A capability of the agent's for this connection, or why there is none."""
        secret, fingerprint = randomness.capability()
        expires_at = self._facts.clock.now() + timedelta(seconds=CAPABILITY_SECONDS)
        session, person = admission.session, admission.person
        try:
            await self._facts.agent.register(fingerprint, session=session, kind=OpenKind(admission.kind), person=person, expires_at=expires_at)
        except (Away, AgentRefused) as error:
            _log.warning("no capability for %s: %s", session, error)
            return "", Deny(Reason.CONTROL_UNAVAILABLE)
        return secret, None

    def _turn_away(self, admission: Admission, why: str) -> None:
        entering.turned_away(self._facts.store, admission.connection, why, now=self._facts.clock.now())
        self._facts.kick()

    async def _paste(self, peer: _Peer, ask: Paste) -> None:
        try:
            self._say(peer, await self._pasted(ask))
        except Exception:  # noqa: BLE001  the door that asked: whatever was wrong, nothing is pasted
            _log.exception("a paste failed")
            self._say(peer, Refused(ask.number, Reason.DECISION_FAILED))

    async def _pasted(self, ask: Paste) -> Pasted | Refused:
        """Decide, wait for the log, and look once more whether it still may be."""
        facts = self._facts
        outcome = pasting.paste(facts.store, ask, places=facts.places, recent=self._recent_pastes, tally=self._paste_tally, now=facts.clock.now())
        facts.kick()
        if isinstance(outcome, Refused):
            return outcome
        unlogged = await self._wait_for_log(outcome.event)
        refusal = pasting.refused_after_all(facts.store, ask, why=unlogged, places=facts.places, now=facts.clock.now())
        facts.kick()
        return refusal or Pasted(ask.number)
