"""Control's orders, at `egress.sock`: each is answered once it is done. Whoever is not control is hung up on."""

import logging
from pathlib import Path

from sekisho.egress.loop import READ, WRITE, Loop
from sekisho.egress.session import close_all
from sekisho.egress.sessions import Sessions
from sekisho.model.messages import MalformedMessage, parse, render
from sekisho.runtime.egress_orders import Drop, Only, Serve, Served, ToEgress
from sekisho.system.packets import Channel, ChannelClosed, Listener

_log = logging.getLogger(__name__)


class Orders:
    def __init__(self, loop: Loop, path: Path, *, control_uid: int, sessions: Sessions) -> None:
        self._loop = loop
        self._control_uid = control_uid
        self._sessions = sessions
        self._listener = Listener(path, mode=0o666)
        self._channels: set[Channel] = set()
        loop.watch(self._listener.fileno(), READ, lambda _events: self._on_connect())

    def close(self) -> None:
        self._loop.forget(self._listener.fileno())
        self._listener.close()
        for channel in tuple(self._channels):
            self._hang_up(channel)

    def _on_connect(self) -> None:
        channel = self._listener.accept()
        if channel is None:
            return
        if channel.peer.uid != self._control_uid:
            _log.warning("uid %d is not control: hung up", channel.peer.uid)
            channel.close()
            return
        self._channels.add(channel)
        self._loop.watch(channel.fileno(), READ, lambda _events: self._on_ready(channel))

    def _on_ready(self, channel: Channel) -> None:
        try:
            channel.flush()
            while channel in self._channels and (received := channel.receive()) is not None:
                self._on_packet(channel, *received)
        except (ChannelClosed, MalformedMessage) as error:
            _log.info("control's channel ends: %s", error)
            self._hang_up(channel)
            return
        self._watch(channel)

    def _on_packet(self, channel: Channel, packet: bytes, descriptors: tuple[int, ...]) -> None:
        if descriptors:
            close_all(descriptors)
            raise MalformedMessage("an order carries no descriptors")
        order = parse(packet, ToEgress)
        if isinstance(order, Serve):
            self._sessions.serve(order, lambda failed: self._answer(channel, order.number, failed))
        elif isinstance(order, Drop):
            self._sessions.drop(order.session)
            self._answer(channel, order.number, "")
        elif isinstance(order, Only):
            self._sessions.keep_only(frozenset(order.sessions))
            self._answer(channel, order.number, "")

    def _answer(self, channel: Channel, number: int, failed: str) -> None:
        if channel not in self._channels:
            return
        try:
            channel.send(render(Served(to=number, sessions=self._sessions.names, failed=failed)))
        except ChannelClosed:
            self._hang_up(channel)
        else:
            self._watch(channel)

    def _watch(self, channel: Channel) -> None:
        if channel in self._channels:
            self._loop.change(channel.fileno(), READ | (WRITE if channel.is_waiting_to_write else 0))

    def _hang_up(self, channel: Channel) -> None:
        if channel in self._channels:
            self._channels.discard(channel)
            self._loop.forget(channel.fileno())
            channel.close()
