"""What an event of egress says of the session it belongs to, and how a room's own text is shown in it."""

from dataclasses import dataclass
from datetime import datetime

from sekisho.model.event import Event, EventKind
from sekisho.model.hostname import LONGEST
from sekisho.model.session import request_id


@dataclass(frozen=True, slots=True)
class SessionFacts:
    session: str
    room: str
    person: str

    def event(self, kind: EventKind, *, at: datetime, reason: str = "", details: dict[str, object]) -> Event:
        return Event(kind=kind, at=at, by=self.person, room=self.room, request=request_id(self.session), session=self.session, reason=reason, details=details)


def shown(unverified: str) -> str:
    """Printable ASCII of at most the longest name's length: what a room said may be hostile to a terminal or a log reader."""
    text = "".join(char if "!" <= char <= "~" else f"\\u{{{ord(char):x}}}" for char in unverified[: LONGEST + 1])
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
