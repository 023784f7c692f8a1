"""The portal process: pages and API. It has the database and nothing of a session."""

import os
import threading

import uvloop

from sekisho.model import messages
from sekisho.portal.app import create_app
from sekisho.portal.serve import serve
from sekisho.programs.factor_key import load_factor_key
from sekisho.programs.start import begin, run_program
from sekisho.sessions.doorway import Nudge
from sekisho.sessions.roombook import RoomBook, last_good_files
from sekisho.settings import Installation
from sekisho.store.database import Store
from sekisho.system.clock import SystemClock
from sekisho.system.packets import Channel, ChannelClosed, connect


class Nudger:
    """Tells control that something changed, from any thread, without ever waiting: a control that is away looks by itself when it is back."""

    def __init__(self, installation: Installation) -> None:
        self._path = installation.socket("control")
        self._lock = threading.Lock()
        self._channel: Channel | None = None

    def __call__(self) -> None:
        with self._lock:
            for _ in range(2):  # once over the old connection, once over a new one
                try:
                    self._channel = self._channel or connect(self._path)
                    self._channel.send(messages.render(Nudge()))
                except ChannelClosed:
                    self._close()
                else:
                    return

    def _close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def main() -> None:
    begun = begin(
        "portal", groups=lambda installation: (installation.store_group, installation.log_group), listens=lambda where: (where.host, where.portal_port)
    )
    installation, settings = begun.installation, begun.settings
    os.umask(0o007)
    certificate, key = installation.tls("portal")
    vkey = installation.log / "log.vkey"
    store = Store.open(settings.database or installation.database_url)
    with store.reading() as tx:
        last_good = last_good_files(tx)
    app = create_app(
        store=store,
        book=RoomBook(installation.rooms, sources=settings.sources, buckets=settings.buckets, last_good=last_good),
        places=settings.named_places(),
        sign_in_places=settings.sign_in.places,
        trusted_proxies=settings.web.trusted_proxies,
        portal_origin=begun.where.portal_origin,
        rooms_origin=begun.where.rooms_origin,
        log_directory=installation.log,
        log_vkey=vkey.read_text(encoding="utf-8").strip(),
        second_factor_key=load_factor_key(installation.factor_key),
        nudge=Nudger(installation),
        clock=SystemClock(),
    )
    assert begun.listener is not None
    uvloop.run(serve(app, listener=begun.listener, certificate=certificate, key=key))


if __name__ == "__main__":
    run_program(main)
