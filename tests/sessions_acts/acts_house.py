"""A small house for acts: people in the store, two rooms in a book, places, and a clock that is set by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert, select

from sekisho.model.people import Caller, Channel, Person
from sekisho.model.room import Place
from sekisho.model.session import Request, SessionState, session_id
from sekisho.policy.verdict import Deny
from sekisho.sessions import acts
from sekisho.sessions.roombook import RoomBook
from sekisho.store.database import Store
from sekisho.store.people import find_person
from sekisho.store.tables import memberships, outbox, people, sessions, sign_ins

NOW = datetime(2026, 3, 4, 3, 0, tzinfo=UTC)  # a Wednesday, noon in Tokyo
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
OFFICE, ELSEWHERE = "192.0.2.7", "203.0.113.5"
PLACES = (Place("office", ("192.0.2.0/24",)),)

CAMPAIGN = """\
title = "Campaign data"
image = "terminal"
kind = ["terminal"]

[access]
people = ["group:marketing"]
places = ["office"]
hours = "Mon-Fri 09:00-19:00 Asia/Tokyo"
longest = "2h"

[approval]
by = ["group:security"]
needed = 1
reason = 10
ticket = 'MKT-\\d+'
"""
ORDERS = CAMPAIGN.replace("Campaign data", "Orders").replace("needed = 1", "needed = 2").replace("[approval]", "[approval]\n# orders")

PEOPLE = {
    "hanako": ("marketing",),
    "oliver": ("marketing", "security"),
    "taro": ("security",),
    "grace": ("security",),
    "aoi": ("auditors",),
    "admin": ("administrators",),
    "ghost": (),
}


@dataclass
class World:
    store: Store
    directory: Path
    book: RoomBook
    now: datetime = NOW
    address: str = OFFICE
    sign_in_ids: dict[str, str] = field(default_factory=dict)

    @classmethod
    def made(cls, store: Store, directory: Path) -> "World":
        world = cls(store, directory, RoomBook(directory, sources=()))
        with store.writing() as tx:
            tx.execute(insert(people), [{"name": name, "display": name, "language": "en", "created_at": NOW} for name in PEOPLE])
            tx.execute(insert(memberships), [{"person": name, "group_name": group} for name, groups in PEOPLE.items() for group in groups])
        world.write("campaign", CAMPAIGN)
        world.write("orders", ORDERS)
        return world

    def write(self, name: str, text: str) -> None:
        """Put a room file in force, or take it away with an empty text."""
        path = self.directory / f"{name}.toml"
        if text:
            path.write_text(text)
        else:
            path.unlink()
        self.book.refresh()

    def caller(self, name: str) -> Caller:
        with self.store.reading() as tx:
            row = find_person(tx, name)
        return Caller(row.person if row else Person(name), self.address, Channel.PAGE)

    def ask(self, name: str = "hanako", room: str = "campaign", *, starts: datetime | None = None, length: timedelta = HOUR, **written: str) -> Request | Deny:
        texts = {"reason": "Export of last week", "ticket": "MKT-42", **written}
        return acts.request_room(
            self.store,
            by=self.caller(name),
            room=self.book.current.get(room),
            room_name=room,
            starts_at=starts,
            duration=length,
            places=PLACES,
            now=self.now,
            **texts,
        )

    def asked(self, name: str = "hanako", room: str = "campaign", **how: object) -> Request:
        made = self.ask(name, room, **how)  # type: ignore[arg-type]
        assert isinstance(made, Request), made
        return made

    def withdraw(self, name: str, request: str) -> Request | Deny:
        return acts.withdraw(self.store, by=self.caller(name), request=request, places=PLACES, now=self.now)

    def approve(self, name: str, request: str, note: str = "") -> Request | Deny:
        return acts.approve(self.store, by=self.caller(name), request=request, note=note, book=self.book, places=PLACES, now=self.now)

    def deny(self, name: str, request: str, note: str = "not now") -> Request | Deny:
        return acts.deny(self.store, by=self.caller(name), request=request, note=note, book=self.book, places=PLACES, now=self.now)

    def extend(self, name: str, request: str, duration: timedelta = 30 * MINUTE) -> Request | Deny:
        return acts.extend(self.store, by=self.caller(name), request=request, duration=duration, book=self.book, places=PLACES, now=self.now)

    def end(self, name: str, request: str) -> Request | Deny:
        return acts.end(self.store, by=self.caller(name), request=request, book=self.book, places=PLACES, now=self.now)

    def leave(self, name: str, session: str) -> Request | Deny:
        return acts.leave(self.store, by=self.caller(name), session=session, now=self.now)

    def granted(self, name: str = "hanako", room: str = "campaign") -> Request:
        made = self.approve("taro", self.asked(name, room).id)
        assert isinstance(made, Request)
        return made

    def ticket(self, name: str, session: str, kind: str = "terminal", *, sign_in: str | None = None) -> "acts.Ticket | Deny":
        signed_in = self.sign_in(name) if sign_in is None else sign_in
        return acts.issue_ticket(self.store, by=self.caller(name), sign_in=signed_in, session=session, kind=kind, places=PLACES, now=self.now)

    def sign_in(self, name: str) -> str:
        if name not in self.sign_in_ids:
            made = f"i-{name}"
            times = {"created_at": NOW, "seen_at": NOW, "expires_at": NOW + 12 * HOUR}
            with self.store.writing() as tx:
                tx.execute(insert(sign_ins).values(id=made, fingerprint=made, person=name, kind="cookie", address=OFFICE, **times))
            self.sign_in_ids[name] = made
        return self.sign_in_ids[name]

    def open_session(self, grant: Request, state: SessionState = SessionState.READY) -> str:
        """As control would."""
        row = {"id": session_id(grant.id), "request": grant.id, "room": grant.room, "person": grant.person, "state": state.value}
        with self.store.writing() as tx:
            tx.execute(insert(sessions).values(**row, starts_at=grant.starts_at, ends_at=grant.ends_at))
        return session_id(grant.id)

    def events(self) -> Sequence[dict]:
        with self.store.reading() as tx:
            return tx.execute(select(outbox.c.event).order_by(outbox.c.id)).scalars().all()

    def told(self) -> list[tuple[str, str, str]]:
        """(kind, by, reason) of each event."""
        return [(event["kind"], event.get("by", ""), event.get("reason", "")) for event in self.events()]
