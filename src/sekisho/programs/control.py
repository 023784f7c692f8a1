"""The control process: the controller, and the one door at which every channel is decided."""

import os

import uvloop

from sekisho.audit.entry import entry_bytes
from sekisho.programs.life import system_started
from sekisho.programs.start import begin, run_program
from sekisho.runtime.images import installed
from sekisho.sessions.control import run_control
from sekisho.sessions.roombook import RoomBook, last_good_files
from sekisho.store.database import Store
from sekisho.store.outbox import Outbox, append
from sekisho.system.clock import SystemClock


def main() -> None:
    begun = begin("control", groups=lambda installation: (installation.store_group,))
    installation, settings = begun.installation, begun.settings
    os.umask(0o007)
    store = Store.open(settings.database or installation.database_url)

    with store.writing() as tx:
        append(tx, system_started("control", SystemClock().now()))

    def digest(name: str) -> str | None:
        image = installed(name, settings.runtime.images)
        return image.digest if image else None

    with store.reading() as tx:
        last_good = last_good_files(tx)
    uvloop.run(
        run_control(
            store=store,
            book=RoomBook(installation.rooms, sources=settings.sources, last_good=last_good),
            outbox=Outbox(store, entry_bytes=entry_bytes),
            agent_path=installation.socket("agent"),
            egress_path=installation.socket("egress"),
            audit_path=installation.socket("audit"),
            control_path=installation.socket("control"),
            peers={installation.uid("portal"): "portal", installation.uid("gateway"): "gateway"},
            images=digest,
            sources=settings.sources,
            trust=settings.egress.trust.read_text(encoding="ascii") if settings.egress.trust else "",
            places=settings.named_places(),
            clock=SystemClock(),
        )
    )


if __name__ == "__main__":
    run_program(main)
