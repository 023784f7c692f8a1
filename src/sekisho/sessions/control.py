"""Control, put together: the controller, its lines to agent and egress, the doorway, and the shipper of the store's outbox, in one asyncio loop."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from sekisho.audit.shipper import Shipper, ship
from sekisho.model.room import Place
from sekisho.sessions.agent_client import AgentClient
from sekisho.sessions.controller import Controller, World
from sekisho.sessions.doorway_server import DoorFacts, DoorwayServer
from sekisho.sessions.egress_client import EgressClient
from sekisho.sessions.entering import forget_old_tickets
from sekisho.sessions.log_watch import LogWatch
from sekisho.sessions.performing import Parts, Performer
from sekisho.sessions.roombook import Change, RoomBook, record_changes
from sekisho.sessions.specs import Making
from sekisho.store.database import Store
from sekisho.store.outbox import Outbox
from sekisho.system.clock import Clock

_HOUSEKEEPING = timedelta(hours=1)
_ROOMS_SECONDS = 5.0
_SHIP_AGAIN_SECONDS = 1.0
_log = logging.getLogger(__name__)


async def run_control(
    *,
    store: Store,
    book: RoomBook,
    outbox: Outbox,
    agent_path: Path,
    egress_path: Path,
    audit_path: Path,
    control_path: Path,
    peers: Mapping[int, str],
    images: Callable[[str], str | None],
    sources: Mapping[str, Path],
    trust: str,
    places: Sequence[Place],
    clock: Clock,
    buckets: Collection[str] = (),
) -> None:
    """Until cancelled. `peers` maps uids to "portal" or "gateway"; `images` gives the digest of a built image; `trust` is PEM that every room trusts;
    of `buckets` it knows the names alone.

    Of `book`, control only writes down what changes: a grant is made by the room file that it is bound to, not by the one in force.
    """
    nudged = asyncio.Event()
    watch = LogWatch(outbox, clock)
    shipper = Shipper(watch, audit_path, clock)
    agent = AgentClient(agent_path, on_change=nudged.set)
    egress = EgressClient(egress_path, on_change=nudged.set)

    def kick() -> None:
        _kick(shipper)

    doors = DoorwayServer(DoorFacts(store=store, agent=agent, watch=watch, places=tuple(places), clock=clock, peers=peers, nudge=nudged.set, kick=kick))
    making = Making(images=images, sources=sources, trust=trust, buckets=buckets)
    performer = Performer(Parts(store=store, agent=agent, egress=egress, watch=watch, kick=kick, making=making, clock=clock), doors)
    world = World(store=store, agent=agent, egress=egress, watch=watch, clock=clock)
    controller = Controller(world=world, performer=performer, kick=kick, nudged=nudged)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_keep_shipping(shipper))
        tasks.create_task(agent.keep())
        tasks.create_task(egress.keep())
        tasks.create_task(doors.serve(control_path))
        tasks.create_task(controller.run())
        tasks.create_task(controller.keep_lease())
        tasks.create_task(_watch_rooms(store, book, clock))
        tasks.create_task(_keep_house(store, outbox, clock))


def _kick(shipper: Shipper) -> None:
    """What was just committed is shipped now; if that fails it is shipped by the next tick, and the act stands."""
    try:
        shipper.kick()
    except Exception:  # noqa: BLE001  the edge between an act that is done and the way to the log
        _log.exception("the outbox could not be looked at")


async def _keep_shipping(shipper: Shipper) -> None:
    """Whatever the store does: a control that ended with it could end no session. What was under way is sent again; audit drops what it has."""
    while True:
        try:
            await ship(shipper, asyncio.Event())
        except Exception:  # noqa: BLE001  the edge of a task: shipped again after a pause
            _log.exception("the outbox could not be shipped")
        await asyncio.sleep(_SHIP_AGAIN_SECONDS)


async def _watch_rooms(store: Store, book: RoomBook, clock: Clock) -> None:
    """Write down which room files come into force and which are refused. What could not be written is written with the next look."""
    unrecorded: list[Change] = []
    while True:
        try:
            unrecorded += book.refresh()
            while unrecorded:
                record_changes(store, unrecorded[:1], now=clock.now())
                del unrecorded[0]
        except Exception:  # noqa: BLE001  the edge of a task: looked at again
            _log.exception("the room files could not be looked at")
        await asyncio.sleep(_ROOMS_SECONDS)


async def _keep_house(store: Store, outbox: Outbox, clock: Clock) -> None:
    """Drop, every hour, what nobody needs any longer."""
    while True:
        try:
            outbox.prune(clock.now())
            forget_old_tickets(store, now=clock.now())
        except Exception:  # noqa: BLE001  the edge of a task: tried again in an hour
            _log.exception("housekeeping failed")
        await asyncio.sleep(_HOUSEKEEPING.total_seconds())
