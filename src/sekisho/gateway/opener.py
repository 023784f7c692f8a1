"""A capability, exchanged at the agent for two ends (`runtime.protocol`): one that leads into the room, and the lifeline."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from sekisho.model import messages
from sekisho.runtime.protocol import Failed, FromOpener, Open, Opened, OpenKind
from sekisho.system.packets import Channel, ChannelClosed, connect

_NUMBER = 1  # one question a connection


class OpenFailed(Exception):
    """`reference` is the agent's word, or `agent-away`, `agent-silent`, `agent-malformed`, or what its channel says of an end that leads nowhere."""

    def __init__(self, reference: str) -> None:
        super().__init__(reference)
        self.reference = reference


@dataclass(frozen=True, slots=True)
class Ends:
    """Two descriptors that the holder must close. `room` is a pseudo-terminal's master or a stream socket, by the kind that was asked for."""

    room: int
    lifeline: int

    def close(self) -> None:
        os.close(self.room)
        os.close(self.lifeline)


async def open_ends(path: Path, *, capability: str, kind: OpenKind, session: str, answer_seconds: float) -> Ends:
    """Raises OpenFailed, also when they are of another kind or session; no descriptor is then left open."""
    try:
        channel = connect(path)
    except ChannelClosed as error:
        raise OpenFailed("agent-away") from error
    try:
        channel.send(messages.render(Open(_NUMBER, capability)))
        async with asyncio.timeout(answer_seconds):
            packet, descriptors = await _received(channel)
    except ChannelClosed as error:
        raise OpenFailed("agent-away") from error
    except TimeoutError as error:
        raise OpenFailed("agent-silent") from error
    finally:
        channel.close()
    return _ends(packet, descriptors, kind=kind, session=session)


async def _received(channel: Channel) -> tuple[bytes, tuple[int, ...]]:
    loop = asyncio.get_running_loop()
    while (received := channel.receive()) is None:
        readable = loop.create_future()
        loop.add_reader(channel.fileno(), lambda ready=readable: ready.done() or ready.set_result(None))  # type: ignore[misc]  # a default binds it now
        try:
            await readable
        finally:
            loop.remove_reader(channel.fileno())
    return received


def _ends(packet: bytes, descriptors: tuple[int, ...], *, kind: OpenKind, session: str) -> Ends:
    try:
        answer = messages.parse(packet, FromOpener)
    except messages.MalformedMessage as error:
        raise _closing(descriptors, "agent-malformed") from error
    if isinstance(answer, Failed):
        raise _closing(descriptors, answer.reference)
    if not isinstance(answer, Opened) or (answer.kind, answer.session) != (kind, session) or len(descriptors) != 2:
        raise _closing(descriptors, "agent-malformed")
    return Ends(*descriptors)


def _closing(descriptors: tuple[int, ...], reference: str) -> OpenFailed:
    for descriptor in descriptors:
        os.close(descriptor)
    return OpenFailed(reference)
