"""What the portal is put together from: everything that its pages and verbs need, given once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sekisho.model.room import Place
from sekisho.portal.address import Networks
from sekisho.portal.refusals import Tally
from sekisho.sessions.roombook import RoomBook
from sekisho.store.database import Store
from sekisho.system.clock import Clock


@dataclass(frozen=True, slots=True)
class Portal:
    """`nudge` tells control that the store changed; it is called from worker threads and must not block."""

    store: Store
    book: RoomBook
    places: Sequence[Place]
    sign_in_places: tuple[str, ...]
    trusted: Networks
    portal_origin: str
    rooms_origin: str
    log_directory: Path
    log_vkey: str
    nudge: Callable[[], None]
    clock: Clock
    tally: Tally = field(default_factory=Tally)

    def link_url(self, secret: str) -> str:
        """Where a sign-in link leads."""
        return f"{self.portal_origin}/link/{secret}"
