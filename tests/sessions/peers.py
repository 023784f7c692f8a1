"""Those that control speaks with, as fakes that speak the real protocols over real SOCK_SEQPACKET sockets, in the loop of the test."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sekisho.audit import wire
from sekisho.model import messages
from sekisho.model.session import EndReason
from sekisho.runtime import egress_orders, protocol
from sekisho.runtime.protocol import RuntimeState, SessionSeen
from sekisho.sessions import doorway
from sekisho.sessions.line import Line
from sekisho.system.packets import Channel, ChannelClosed, Listener

Chronicle = list[tuple[str, object]]  # who was told what, in the order of arrival


async def until(condition: Callable[[], object], what: str, *, seconds: float = 8.0) -> None:
    """Wait for a condition, with a deadline."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"never: {what}"
        await asyncio.sleep(0.005)


class Server:
    """A peer that listens. `stop` is a kill: every connection breaks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listener: Listener | None = None
        self._channels: list[Channel] = []

    def start(self) -> None:
        self._listener = Listener(self._path, mode=0o600)
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def stop(self) -> None:
        loop = asyncio.get_running_loop()
        for channel in [*self._channels]:
            self._drop(channel)
        if self._listener is not None:
            loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
            self._path.unlink()

    def push(self, packet: bytes) -> None:
        for channel in [*self._channels]:
            channel.send(packet)

    def hear(self, channel: Channel, packet: bytes) -> None:
        raise NotImplementedError

    def _accept(self) -> None:
        assert self._listener is not None
        if (channel := self._listener.accept()) is not None:
            self._channels.append(channel)
            asyncio.get_running_loop().add_reader(channel.fileno(), self._read, channel)

    def _read(self, channel: Channel) -> None:
        try:
            while channel in self._channels and (packet := channel.receive()) is not None:
                self.hear(channel, packet[0])
        except ChannelClosed:
            self._drop(channel)

    def _drop(self, channel: Channel) -> None:
        if channel in self._channels:
            self._channels.remove(channel)
            asyncio.get_running_loop().remove_reader(channel.fileno())
            channel.close()


class FakeAgent(Server):
    """Makes sessions ready at once, or holds them where it is told to. What it runs survives its being stopped, as under shims."""

    def __init__(self, path: Path, chronicle: Chronicle) -> None:
        super().__init__(path)
        self.sessions: dict[str, SessionSeen] = {}
        self.specs: list[protocol.SessionSpec] = []
        self.registered: list[protocol.Register] = []
        self.refuses: dict[str, str] = {}  # a verb, and the reference it is refused with
        self.reaches = RuntimeState.READY
        self.renewals = 0
        self._chronicle = chronicle

    def hear(self, channel: Channel, packet: bytes) -> None:
        order = messages.parse(packet, protocol.ToAgent)
        if not isinstance(order, protocol.Renew | protocol.List):
            self._chronicle.append(("agent", order))
        if order.VERB in self.refuses:
            answer: Any = protocol.Failed(order.number, self.refuses[order.VERB], "refused by the test")
        else:
            answer = self._obey(order) or protocol.Done(order.number)
        channel.send(messages.render(answer))

    def _obey(self, order: Any) -> Any:
        match order:
            case protocol.Create(number, spec):
                if spec.session in self.sessions:
                    return protocol.Failed(number, "exists")
                self.specs.append(spec)
                self.sessions[spec.session] = SessionSeen(spec.session, RuntimeState.CREATING, spec.ends_at)
                self.show(spec.session, state=self.reaches)
            case protocol.List(number):
                return protocol.Sessions(number, tuple(self.sessions.values()))
            case protocol.Renew():
                self.renewals += 1
            case protocol.Register():
                self.registered.append(order)
            case protocol.Forget(_, session):
                self.sessions.pop(session, None)
            case _:
                if order.session not in self.sessions:
                    return protocol.Failed(order.number, "no-such-session")
                self._change(order)
        return None

    def _change(self, order: Any) -> None:
        match order:
            case protocol.End(_, session, reason):
                self.destroy(session, reason)
            case protocol.Extend(_, session, ends_at):
                self.show(session, ends_at=ends_at)
            case protocol.Freeze(_, session):
                self.show(session, state=RuntimeState.FROZEN)
            case protocol.Thaw(_, session):
                self.show(session, state=RuntimeState.READY)

    def destroy(self, session: str, reason: EndReason) -> None:
        certificate = protocol.Certificate(3, 4096, 2, 5, 2_000_000_000, cgroup_empty=True, namespaces_gone=True, clean=True)
        self.show(session, state=RuntimeState.DESTROYED, end_reason=reason, certificate=certificate)

    def show(self, session: str, **changes: Any) -> None:
        """Change a session, and say so to control once the order that led to it is answered."""
        self.sessions[session] = replace(self.sessions[session], **changes)
        changed = messages.render(protocol.Changed(self.sessions[session]))
        asyncio.get_running_loop().call_soon(self.push, changed)


class FakeEgress(Server):
    def __init__(self, path: Path, chronicle: Chronicle) -> None:
        super().__init__(path)
        self.served: dict[str, egress_orders.Serve] = {}
        self.failing = ""
        self._chronicle = chronicle

    def hear(self, channel: Channel, packet: bytes) -> None:
        order = messages.parse(packet, egress_orders.ToEgress)
        self._chronicle.append(("egress", order))
        match order:
            case egress_orders.Serve(session=session) if not self.failing:
                self.served[session] = order
            case egress_orders.Drop(_, session):
                self.served.pop(session, None)
            case egress_orders.Only(_, sessions):
                self.served = {session: each for session, each in self.served.items() if session in sessions}
        channel.send(messages.render(egress_orders.Served(order.number, tuple(self.served), self.failing)))

    def restart(self) -> None:
        self.stop()
        self.served = {}
        self.start()


class FakeAudit(Server):
    """Takes every entry once, as the real one does, or none while `is_stalled`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.entries: list[bytes] = []
        self.is_stalled = False
        self._through = 0
        self._unanswered: list[tuple[Channel, wire.Append]] = []

    def hear(self, channel: Channel, packet: bytes) -> None:
        append = wire.parse_append(packet)
        if self.is_stalled:
            self._unanswered.append((channel, append))
        else:
            self._take(channel, append)

    def resume(self) -> None:
        self.is_stalled = False
        for channel, append in self._unanswered:
            if channel in self._channels:
                self._take(channel, append)
        self._unanswered.clear()

    def _take(self, channel: Channel, append: wire.Append) -> None:
        self.entries += [entry for number, entry in append.entries if number > self._through]
        self._through = max(self._through, append.entries[-1][0])
        channel.send(wire.render_answer(wire.Accepted(append.entries[-1][0])))


class FakeGateway:
    """A gateway that remembers what it was told."""

    def __init__(self, path: Path, chronicle: Chronicle) -> None:
        self.cuts: list[doorway.Cut] = []
        self.extensions: list[doorway.Extended] = []
        self.is_here = False
        self._chronicle = chronicle
        self._alive: tuple[str, ...] = ()
        self._line: Line[Any] = Line(path, family=doorway.ToGateway, on_here=self._came, on_away=self._went, on_unasked=self._told)
        self._task: asyncio.Task[None] | None = None

    async def start(self, *, alive: tuple[str, ...] = ()) -> None:
        """Connect, and say which connections are still held."""
        self._alive = alive
        self._task = asyncio.get_running_loop().create_task(self._line.keep())
        await until(lambda: self.is_here, "the gateway is connected")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def redeem(self, ticket: str, *, address: str = "10.0.0.7", kind: str = "terminal", seconds: float = 12.0) -> Any:
        return await self._line.ask(lambda number: doorway.Redeem(number, ticket, address, kind), seconds=seconds)

    async def recheck(self, connection: str, *, address: str = "10.0.0.7") -> Any:
        return await self._line.ask(lambda number: doorway.Recheck(number, connection, address))

    async def paste(self, connection: str, *, characters: int = 3, size_bytes: int = 9, address: str = "10.0.0.7") -> Any:
        return await self._line.ask(lambda number: doorway.Paste(number, connection, address, characters, size_bytes), seconds=12.0)

    def say(self, message: doorway.Closed | doorway.Alive) -> None:
        self._line._send(messages.render(message))

    def _came(self) -> None:
        self.is_here = True
        self.say(doorway.Alive(self._alive))

    def _went(self) -> None:
        self.is_here = False

    def _told(self, message: Any) -> None:
        self._chronicle.append(("gateway", message))
        if isinstance(message, doorway.Cut):
            self.cuts.append(message)
        else:
            self.extensions.append(message)
