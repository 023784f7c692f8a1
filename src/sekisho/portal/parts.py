"""What the portal is put together from: everything that its pages and verbs need, given once."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from sekisho.identity.cipher import FactorCipher
from sekisho.model.room import Place, Room
from sekisho.policy.caller_address import Networks
from sekisho.sessions.roombook import RoomBook
from sekisho.store.database import Store
from sekisho.store.refusals import Tally
from sekisho.system.clock import Clock


@dataclass(frozen=True, slots=True)
class Portal:
    """`nudge` tells control that the store changed; it is called from worker threads and must not block. `book` is refreshed here, by one thread at a time."""

    store: Store
    book: RoomBook
    places: Sequence[Place]
    sign_in_places: tuple[str, ...]
    trusted: Networks
    portal_origin: str
    rooms_origin: str
    log_directory: Path
    log_vkey: str
    cipher: FactorCipher
    nudge: Callable[[], None]
    clock: Clock
    tally: Tally = field(default_factory=Tally)
    refreshing: threading.Lock = field(default_factory=threading.Lock)

    def rooms(self) -> Mapping[str, Room]:
        """The rooms in force now. Who comes while another looks at the files gets what was in force a moment ago."""
        if self.refreshing.acquire(blocking=False):
            try:
                self.book.refresh()
            finally:
                self.refreshing.release()
        return self.book.current

    @property
    def issuer(self) -> str:
        """What an authenticator app shows its codes under: it may hold those of several portals."""
        return f"Sekisho {urlsplit(self.portal_origin).hostname}"

    def link_url(self, secret: str) -> str:
        """Where a sign-in link leads."""
        return f"{self.portal_origin}/link/{secret}"
