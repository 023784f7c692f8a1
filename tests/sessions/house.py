"""A whole control in a test: the real `run_control` over a real SQLite store, and everything round it as fakes on real sockets."""

import asyncio
import hashlib
import json
import os
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import insert, select, update
from tests.sessions.peers import Chronicle, FakeAgent, FakeAudit, FakeEgress, FakeGateway, until

from sekisho.audit.entry import entry_bytes
from sekisho.model.room import Place
from sekisho.model.session import EndReason, RequestState, session_id
from sekisho.sessions.control import run_control
from sekisho.sessions.doorway import Alive, Refused
from sekisho.sessions.roombook import RoomBook
from sekisho.store import tables
from sekisho.store.database import Store
from sekisho.store.outbox import Outbox
from sekisho.system import randomness
from sekisho.system.clock import SystemClock

ROOM = """
title = "Campaign data"
description = "Last week's exports"
image = "terminal"
kind = ["desktop", "terminal"]

[access]
people = ["group:marketing"]
places = ["security-area"]
longest = "2h"

[approval]
by = ["group:security"]
needed = 1
reason = 3

[[files]]
from = "file:exports/campaign"
to = "/data"

[egress]
allow = ["www.example.com:443", "*.example.org:8443"]
"""
IMAGE = "ab" * 32
PLACES = (Place("security-area", ("10.0.0.0/24",)), Place("elsewhere", ("192.0.2.0/24",)))


class SteppingClock:
    """The system's clock, which a test can set forward."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)
        self._real = SystemClock()

    def now(self) -> datetime:
        return self._real.now() + self.ahead

    def boottime(self) -> float:
        return self._real.boottime() + self.ahead.total_seconds()


class House:
    def __init__(self, folder: Path, store: Store | None = None) -> None:
        self.folder = folder
        self.clock = SteppingClock()
        self.chronicle: Chronicle = []
        self.agent = FakeAgent(folder / "agent.sock", self.chronicle)
        self.egress = FakeEgress(folder / "egress.sock", self.chronicle)
        self.audit = FakeAudit(folder / "audit.sock")
        self.gateway = FakeGateway(folder / "control.sock", self.chronicle)
        self.peers: dict[int, str] = {os.getuid(): "gateway"}
        self.images: dict[str, str] = {"terminal": IMAGE}
        self.store = store or _fresh_store(folder)
        (folder / "rooms").mkdir()
        (folder / "exports" / "campaign").mkdir(parents=True)
        self.digest = hashlib.sha256(ROOM.encode()).hexdigest()
        self._control: asyncio.Task[None] | None = None
        self._settle_in()

    def _settle_in(self) -> None:
        now = self.clock.now()
        with self.store.writing() as tx:
            for name in ("hanako", "taro"):
                tx.execute(insert(tables.people).values(name=name, display=name.title(), language="ja", created_at=now))
                tx.execute(insert(tables.memberships).values(person=name, group_name="marketing"))
                times = {"created_at": now, "seen_at": now, "expires_at": now + timedelta(hours=12)}
                tx.execute(insert(tables.sign_ins).values(id=f"si-{name}", fingerprint=name, person=name, kind="cookie", address="10.0.0.7", **times))
            tx.execute(insert(tables.room_files).values(digest=self.digest, name="campaign", text=ROOM, seen_at=now))

    # processes

    def start_control(self) -> None:
        self._control = asyncio.get_running_loop().create_task(
            run_control(
                store=self.store,
                book=RoomBook(self.folder / "rooms", sources={"exports"}),
                outbox=Outbox(self.store, entry_bytes=entry_bytes),
                agent_path=self.folder / "agent.sock",
                egress_path=self.folder / "egress.sock",
                audit_path=self.folder / "audit.sock",
                control_path=self.folder / "control.sock",
                peers=self.peers,
                images=self._digest,
                sources={"exports": self.folder / "exports"},
                trust="PEM",
                places=PLACES,
                clock=self.clock,
            )
        )

    def nudge(self) -> None:
        """What the portal says after it wrote something. Here it comes with a gateway's greeting, which nudges alike."""
        if self.gateway.is_here:
            self.gateway.say(Alive(tuple(row.id for row in self.rows("connections") if row.closed_at is None)))

    def _digest(self, image: str) -> str | None:
        assert image != "explosive", "a bug where nobody expects one"
        return self.images.get(image)

    async def kill_control(self) -> None:
        """No orderly end: every task is cancelled where it stands."""
        if self._control is not None:
            self._control.cancel()
            await asyncio.gather(self._control, return_exceptions=True)
            self._control = None

    async def stop(self) -> None:
        await self.gateway.stop()
        died = self._control is not None and self._control.done()
        await self.kill_control()
        for server in (self.agent, self.egress, self.audit):
            server.stop()
        self.store.close()
        assert not died, "control ended by itself"

    # what people do, as the acts write it

    def grant(self, request: str = "r-one", *, person: str = "hanako", starts: float = 0, seconds: float = 3600, state: str = "approved") -> str:
        """A request in the store; gives its session's id."""
        now = self.clock.now()
        times = {"asked_at": now, "starts_at": now + timedelta(seconds=starts), "ends_at": now + timedelta(seconds=starts + seconds)}
        fixed = {"room": "campaign", "room_digest": self.digest, "reason": "campaign", "ticket": "", "address": "10.0.0.7"}
        with self.store.writing() as tx:
            tx.execute(insert(tables.requests).values(id=request, person=person, state=state, **fixed, **times))
        self.nudge()
        return session_id(request)

    def end(self, request: str = "r-one", reason: EndReason = EndReason.ENDED_BY_APPROVER) -> None:
        with self.store.writing() as tx:
            ended = {"state": RequestState.ENDED.value, "end_reason": reason.value, "ended_by": "kenji"}
            tx.execute(update(tables.requests).where(tables.requests.c.id == request).values(**ended))
        self.nudge()

    def extend(self, request: str = "r-one", *, seconds: float) -> datetime:
        with self.store.writing() as tx:
            ends_at: datetime = self.row("requests", request).ends_at + timedelta(seconds=seconds)
            tx.execute(update(tables.requests).where(tables.requests.c.id == request).values(ends_at=ends_at))
        self.nudge()
        return ends_at

    def disable(self, person: str) -> None:
        with self.store.writing() as tx:
            tx.execute(update(tables.people).where(tables.people.c.name == person).values(disabled_at=self.clock.now()))
        self.nudge()

    def sign_out(self, person: str) -> None:
        with self.store.writing() as tx:
            tx.execute(update(tables.sign_ins).where(tables.sign_ins.c.person == person).values(ended_at=self.clock.now()))
        self.nudge()

    def ticket(self, session: str = "s-one", *, person: str = "hanako", address: str = "10.0.0.7", kind: str = "terminal", seconds: float = 30) -> str:
        secret = randomness.token()
        row = {"session": session, "person": person, "kind": kind, "address": address, "sign_in": f"si-{person}"}
        with self.store.writing() as tx:
            expires_at = self.clock.now() + timedelta(seconds=seconds)
            tx.execute(insert(tables.tickets).values(fingerprint=randomness.fingerprint(secret), expires_at=expires_at, **row))
        return secret

    def set_state(self, state: str, session: str = "s-one") -> None:
        """The recorded state, before control looks again."""
        with self.store.writing() as tx:
            tx.execute(update(tables.sessions).where(tables.sessions.c.id == session).values(state=state))

    def later(self, act: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return asyncio.get_running_loop().create_task(act)

    def lead_out_of_the_source(self) -> None:
        (self.folder / "exports" / "campaign").rmdir()
        (self.folder / "exports" / "campaign").symlink_to(self.folder)

    def bind(self, request: str, text: str | None) -> None:
        """Bind a request to another room file, or to one that is not kept."""
        digest = hashlib.sha256((text or "").encode()).hexdigest()
        with self.store.writing() as tx:
            if text is not None:
                tx.execute(insert(tables.room_files).values(digest=digest, name="campaign", text=text, seen_at=self.clock.now()))
            tx.execute(update(tables.requests).where(tables.requests.c.id == request).values(room_digest=digest))

    # what is there to see

    def row(self, table: str, key: str) -> Any:
        found = tables.metadata.tables[table]
        with self.store.reading() as tx:
            return tx.execute(select(found).where(found.c.id == key)).first()

    def rows(self, table: str) -> list[Any]:
        with self.store.reading() as tx:
            return list(tx.execute(select(tables.metadata.tables[table])))

    def state(self, session: str = "s-one") -> str:
        row = self.row("sessions", session)
        return row.state if row else "absent"

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """What control has written, in order."""
        return [row.event for row in sorted(self.rows("outbox"), key=lambda row: row.id) if kind in ("", row.event["kind"])]

    def logged(self) -> list[str]:
        """The kinds of what the log has."""
        return [json.loads(entry)["kind"] for entry in self.audit.entries]

    def told(self, who: str, verb: str) -> list[Any]:
        return [message for peer, message in self.chronicle if peer == who and getattr(message, "VERB", "") == verb]

    async def sees(self, state: str, session: str = "s-one") -> None:
        await until(lambda: self.state(session) == state, f"{session} is {state}, it is {self.state(session)}")

    async def ready(self, session: str = "s-one") -> None:
        await self.sees("ready", session)
        await until(lambda: session in self.egress.served, f"egress serves {session}")

    async def enters_in_vain(self) -> None:
        """A refusal is an event too: now something waits for the log."""
        assert isinstance(await self.gateway.redeem("no such ticket"), Refused)

    async def enters(self, session: str = "s-one", *, kind: str = "terminal", **ticket: Any) -> Any:
        """Somebody is let in; gives what the gateway was told."""
        return await self.gateway.redeem(self.ticket(session, kind=kind, **ticket), kind=kind)


def _fresh_store(folder: Path) -> Store:
    (folder / "sekisho.sqlite").write_bytes(_migrated())
    return Store.open(f"sqlite:///{folder / 'sekisho.sqlite'}")


@cache
def _migrated() -> bytes:
    """An empty database that is up to date; made once, since migrating takes longer than most stories."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "template.sqlite"
        store = Store.open(f"sqlite:///{path}")
        store.migrate()
        store.close()
        return path.read_bytes()


def in_house(folder: Path, story: Callable[[House], Awaitable[None]], *, is_complete: bool = True, store: Store | None = None) -> None:
    """Play a story in a house where everything runs, or, if it is not complete, only the store exists."""

    async def play() -> None:
        house = House(folder, store)
        try:
            if is_complete:
                for server in (house.agent, house.egress, house.audit):
                    server.start()
                house.start_control()
                await house.gateway.start()
            await asyncio.wait_for(story(house), 60)
        finally:
            await house.stop()

    asyncio.run(play(), debug=False)
