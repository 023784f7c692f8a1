"""The control process: the controller, and the one door at which every channel is decided.

A store that fails keeps it from opening anything, never from starting: what is open must be ended also then.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable

import uvloop

from sekisho.audit.entry import entry_bytes
from sekisho.programs.life import system_started
from sekisho.programs.start import begin, run_program
from sekisho.runtime.images import installed
from sekisho.sessions.control import run_control
from sekisho.sessions.roombook import RoomBook
from sekisho.store.database import Store
from sekisho.store.outbox import Outbox, append
from sekisho.system.clock import Clock, SystemClock

_AGAIN_SECONDS = 1.0
_log = logging.getLogger(__name__)


def main() -> None:
    begun = begin("control", groups=lambda installation: (installation.store_group,))
    installation, settings = begun.installation, begun.settings
    os.umask(0o007)
    store = Store.open(settings.database or installation.database_url)

    def digest(name: str) -> str | None:
        image = installed(name, settings.runtime.images)
        return image.digest if image else None

    control = run_control(
        store=store,
        book=RoomBook(installation.rooms, sources=settings.sources, buckets=settings.buckets),  # it only tells what changes: no room is opened by it
        outbox=Outbox(store, entry_bytes=entry_bytes),
        agent_path=installation.socket("agent"),
        egress_path=installation.socket("egress"),
        audit_path=installation.socket("audit"),
        control_path=installation.socket("control"),
        peers={installation.uid("portal"): "portal", installation.uid("gateway"): "gateway"},
        images=digest,
        sources=settings.sources,
        buckets=frozenset(settings.buckets),
        trust=settings.egress.trust.read_text(encoding="ascii") if settings.egress.trust else "",
        places=settings.named_places(),
        clock=SystemClock(),
    )
    uvloop.run(live(control, store, SystemClock()))


async def live(control: Awaitable[None], store: Store, clock: Clock) -> None:
    """Run control, and say that it began: first of all, or as soon as the store takes it."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_say_started(store, clock))
        await control


async def _say_started(store: Store, clock: Clock) -> None:
    started = system_started("control", clock.now())
    while True:
        try:
            with store.writing() as tx:
                append(tx, started)
        except Exception:  # noqa: BLE001  the edge of a task: tried again
            _log.exception("the start could not be written down")
            await asyncio.sleep(_AGAIN_SECONDS)
        else:
            return


if __name__ == "__main__":
    run_program(main)
