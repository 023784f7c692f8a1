"""The egress process: its parts put together, and its loop."""

import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sekisho.egress import resolver
from sekisho.egress.journal import EventShipper, EventSink, Journal
from sekisho.egress.loop import Loop
from sekisho.egress.opener import Opener
from sekisho.egress.orders import Orders
from sekisho.egress.own_addresses import read_own_addresses
from sekisho.egress.parts import OwnAddresses, Parts
from sekisho.egress.rate import OpenRate
from sekisho.egress.refusals import Refusals
from sekisho.egress.relay import Pipes
from sekisho.egress.resolver import LookUp, Resolver
from sekisho.egress.sessions import Sessions
from sekisho.system.clock import Clock


@dataclass(frozen=True, slots=True)
class Outside:
    """What egress asks of the world: names, and which addresses are this machine's own. `rate` is how fast a session may open."""

    look_up: LookUp = resolver.look_up
    own_addresses: Callable[[], frozenset[str]] = read_own_addresses
    rate: OpenRate = field(default_factory=OpenRate)


class Egress:
    """`turn` it for as long as it should serve, then `close` it."""

    def __init__(
        self,
        *,
        orders_path: Path,
        open_path: Path,
        books: Path,
        control_uid: int,
        sink: EventSink,
        shipper: EventShipper,
        hosts: Mapping[str, tuple[str, ...]],
        clock: Clock,
        outside: Outside,
    ) -> None:
        self._loop = loop = Loop(clock)
        self._journal = Journal(loop, sink, shipper)
        self._refusals = Refusals(loop, self._journal)
        self._resolver = Resolver(loop, hosts, outside.look_up)
        self._pipes = Pipes()
        parts = Parts(
            loop=loop,
            journal=self._journal,
            refusals=self._refusals,
            resolver=self._resolver,
            own=OwnAddresses(loop, outside.own_addresses),
            pipes=self._pipes,
            rate=outside.rate,
            buffer=Parts.fresh_buffer(),
        )
        self._opener = Opener(loop, open_path)
        self._sessions = Sessions(parts, self._opener, books)
        self._orders = Orders(loop, orders_path, control_uid=control_uid, sessions=self._sessions)

    def turn(self, limit_seconds: float = 1.0) -> None:
        self._loop.turn(limit_seconds)

    def close(self) -> None:
        """Cut all connections and write what is still to be written."""
        self._orders.close()
        self._sessions.close()
        self._opener.close()
        self._refusals.flush()
        self._journal.close()
        self._resolver.close()
        self._pipes.close()
        self._loop.close()


def run(
    *,
    orders_path: Path,
    open_path: Path,
    books: Path,
    control_uid: int,
    sink: EventSink,
    shipper: EventShipper,
    hosts: Mapping[str, tuple[str, ...]],
    clock: Clock,
    outside: Outside | None = None,
) -> None:
    """Serve until killed. `books` is a directory that only this process writes: the names of each session survive there with the session, as its listeners do
    in its shim. `hosts` are the administrator's pinned names: canonical name to textual addresses. Raises SystemExit when the spool cannot be synced."""
    _raise_descriptor_limit()
    egress = Egress(
        orders_path=orders_path,
        open_path=open_path,
        books=books,
        control_uid=control_uid,
        sink=sink,
        shipper=shipper,
        hosts=hosts,
        clock=clock,
        outside=outside or Outside(),
    )
    while True:
        egress.turn()


def _raise_descriptor_limit() -> None:
    """Two or three descriptors to a connection: as many as this process may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
