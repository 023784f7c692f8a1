"""A whole portal on a real store, with rooms, people in every role, a real log, and browsers that behave like browsers.

Only the clock and control are made up.
"""

import asyncio
import re
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import urlsplit

import httpx
from fastapi import FastAPI
from sqlalchemy import insert, select, update

from sekisho.audit.entry import entry_bytes
from sekisho.audit.service import open_log
from sekisho.identity.cipher import FactorCipher
from sekisho.identity.codes import new_secret
from sekisho.identity.people import add_person, disable_person, issue_sign_in_link
from sekisho.identity.signin import SignedIn, set_password, use_link
from sekisho.model.people import Caller, Channel
from sekisho.model.room import Place
from sekisho.model.session import session_id
from sekisho.portal.app import create_app
from sekisho.portal.forgery import form_token
from sekisho.sessions.acts import approve, request_room
from sekisho.sessions.roombook import RoomBook, store_room_file
from sekisho.store.database import Store
from sekisho.store.outbox import Outbox
from sekisho.store.refusals import Tally
from sekisho.store.tables import outbox, requests, second_factors, sessions, sign_ins
from sekisho.system.randomness import fingerprint, identifier, token

ORIGIN = "https://sekisho.localhost:8443"
ROOMS_ORIGIN = "https://rooms.localhost:8444"
INSIDE, OUTSIDE, PROXY = "10.20.0.7", "198.51.100.9", "10.99.0.1"
FACTOR_KEY = b"k" * 32
NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)  # a Monday, 14:00 in Tokyo
PLACES = (Place("security-area", ("10.20.0.0/16",)), Place("home-office", ("10.30.0.0/16",)))

PEOPLE = {
    "hanako": ("marketing",),
    "jiro": ("marketing",),
    "taro": ("security",),
    "admin": ("administrators",),
    "aoi": ("auditors",),
    "gone": ("marketing",),
}

CAMPAIGN = """\
title = "Campaign data"
description = "Last week's campaign exports."
image = "terminal"
kind = ["terminal", "desktop"]

[access]
people = ["group:marketing"]
places = ["security-area"]
hours = "Mon-Fri 09:00-19:00 Asia/Tokyo"
longest = "2h"

[approval]
by = ["group:security"]
needed = 1
reason = 10
ticket = 'MKT-\\d+'

[limits]
memory = "512MiB"
data = "64MiB"
home = "64MiB"
tmp = "64MiB"
cpu = 1.0
processes = 256
"""

VAULT = CAMPAIGN.replace("Campaign data", "Vault").replace("security-area", "home-office").replace("hours =", "#").replace("needed = 1", "needed = 2")


class StandingClock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def boottime(self) -> float:
        return 1000.0


@dataclass(slots=True)
class Browser:
    """What a browser does of itself: keeps cookies, says where a form is from, follows nothing."""

    app: FastAPI
    address: str = INSIDE
    secret: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    shown_token: str = ""

    def get(self, path: str, **more: object) -> httpx.Response:
        return self.send("GET", path, **more)

    def post(self, path: str, form: dict[str, str] | None = None, **more: object) -> httpx.Response:
        """A form of a page of ours, with its token."""
        proof = {"form_token": self.form_token} if self.form_token else {}
        return self.send("POST", path, data={**proof, **(form or {})}, headers={"Origin": "null", "Sec-Fetch-Site": "same-origin"}, **more)

    @property
    def form_token(self) -> str:
        """What the page that was loaded last has in its forms; without one, what such a page would have."""
        if self.shown_token:
            return self.shown_token
        base = self.cookies.get("__Host-sekisho") or self.cookies.get("__Host-sekisho-form") or ""
        return form_token(base) if base else ""

    def send(self, method: str, path: str, *, headers: dict[str, str] | None = None, **more: object) -> httpx.Response:
        return _loop().run(self._send(method, path, {**self.headers, **(headers or {})}, more))

    async def _send(self, method: str, path: str, headers: dict[str, str], more: dict[str, object]) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=(self.address, 40_000), raise_app_exceptions=False)
        if self.cookies:
            headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()), **headers}
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            answer = await client.request(method, path, headers=headers, **more)
        for name, value in answer.cookies.items():
            self.cookies[name] = value
        for gone in re.findall(r'(__Host-[a-z-]+)="";[^,]*Max-Age=0', answer.headers.get("set-cookie", "")):
            self.cookies.pop(gone, None)
        if found := re.search(r'name="form_token" value="([0-9a-f]+)"', answer.text):
            self.shown_token = found[1]
        return answer


class House:
    """The portal and all that it needs; `nudged` counts how often control was told."""

    def __init__(self, directory: Path, *, sign_in_places: tuple[str, ...] = ()) -> None:
        settled = _settled()
        shutil.copy(settled.path, directory / "store.sqlite")
        self.directory = directory
        self.clock = StandingClock()
        self.nudged = 0
        self.store = Store.open(f"sqlite:///{directory}/store.sqlite")
        self.log = directory / "log"
        self.log.mkdir()
        self.rooms = directory / "rooms"
        self.rooms.mkdir()
        (self.rooms / "campaign.toml").write_text(CAMPAIGN)
        (self.rooms / "vault.toml").write_text(VAULT)
        self.book = RoomBook(self.rooms, sources=("exports",))
        self.signed_in = settled.signed_in
        self.app = create_app(
            store=self.store,
            book=self.book,
            places=PLACES,
            sign_in_places=sign_in_places,
            trusted_proxies=("10.99.0.0/24",),
            portal_origin=ORIGIN,
            rooms_origin=ROOMS_ORIGIN,
            log_directory=self.log,
            log_vkey="sekisho.test/log+00000000+AAAA",
            second_factor_key=FACTOR_KEY,
            nudge=self._nudge,
            clock=self.clock,
        )

    @property
    def now(self) -> datetime:
        return self.clock.time

    def _nudge(self) -> None:
        self.nudged += 1

    def browser(self, name: str = "", *, address: str = INSIDE) -> Browser:
        """Signed in by cookie, or a stranger's."""
        browser = Browser(self.app, address=address)
        if name:
            browser.cookies["__Host-sekisho"] = self.signed_in[name].secret
        return browser

    def program(self, name: str, *, address: str = INSIDE) -> Browser:
        """Signed in by an API token."""
        return Browser(self.app, address=address, headers={"Authorization": f"Bearer {self.sign_in(name, kind='token')}"})

    def sign_in(self, name: str, *, kind: str = "cookie", is_ended: bool = False) -> str:
        """The secret of a sign-in of its own, besides the others."""
        secret = token()
        times = {"created_at": self.now, "seen_at": self.now, "expires_at": self.now + timedelta(hours=8), "ended_at": self.now if is_ended else None}
        row = {"id": identifier("i-"), "fingerprint": fingerprint(secret), "person": name, "kind": kind, "address": INSIDE}
        with self.store.writing() as tx:
            tx.execute(insert(sign_ins).values(**row, **times))
        return secret

    def give_password(self, name: str, password: str) -> None:
        """The person's first one."""
        set_password(self.store, by=self.caller(name), sign_in=self.signed_in[name].sign_in.id, password=password, now=self.now)

    def enrol(self, name: str) -> bytes:
        """A second factor that is there already; its secret."""
        secret = new_secret()
        row = {"person": name, "secret": FactorCipher(FACTOR_KEY).encrypt(secret, person=name), "last_step": 0}
        with self.store.writing() as tx:
            tx.execute(insert(second_factors).values(begun_at=self.now, confirmed_at=self.now, **row))
        return secret

    def plant(self, person: str = "jiro", *, state: str = "pending", reason: str = "Weekly export check", times: int = 1) -> str:
        """Requests for `campaign` that are there already, whatever the policy would say to them; the id of the last."""
        self.book.refresh()
        ids, found = [identifier("r-") for _ in range(times)], self.book.current["campaign"]
        when = {"asked_at": self.now, "starts_at": self.now, "ends_at": self.now + timedelta(hours=1)}
        told = {"person": person, "reason": reason, "ticket": "MKT-42", "address": INSIDE, "state": state}
        with self.store.writing() as tx:
            store_room_file(tx, found, now=self.now)
            tx.execute(insert(requests), [{"id": each, "room": found.name, "room_digest": found.digest, **told, **when} for each in ids])
        return ids[-1]

    def caller(self, name: str, *, channel: Channel = Channel.PAGE, address: str = INSIDE) -> Caller:
        return Caller(self.signed_in[name].person, address, channel)

    def ask(self, name: str = "hanako", *, room: str = "campaign", hours: float = 1) -> str:
        """The id of a pending request, made by the act itself."""
        made = request_room(
            self.store,
            by=self.caller(name),
            room=(self.book.refresh(), self.book.current[room])[1],
            room_name=room,
            reason="Weekly export check",
            ticket="MKT-42",
            starts_at=None,
            duration=timedelta(hours=hours),
            places=PLACES,
            now=self.now,
        )
        return made.id

    def grant(self, name: str = "hanako", *, hours: float = 1) -> str:
        request = self.ask(name, hours=hours)
        approve(self.store, by=self.caller("taro"), request=request, book=self.book, places=PLACES, now=self.now)
        return request

    def session(self, request: str, *, state: str = "ready", **columns: object) -> str:
        """What control writes once it sees the runtime's session."""
        with self.store.writing() as tx:
            grant = tx.execute(select(requests).where(requests.c.id == request)).one()
            row = {"id": session_id(request), "request": request, "room": grant.room, "person": grant.person, "state": state}
            tx.execute(insert(sessions).values(**row, starts_at=grant.starts_at, ends_at=grant.ends_at, **columns))
        return session_id(request)

    def session_is(self, session: str, **columns: object) -> None:
        with self.store.writing() as tx:
            tx.execute(update(sessions).where(sessions.c.id == session).values(**columns))

    def events(self, kind: str = "") -> list[dict[str, object]]:
        with self.store.reading() as tx:
            found = list(tx.execute(select(outbox.c.event).order_by(outbox.c.id)).scalars())
        return [event for event in found if not kind or event["kind"] == kind]

    def last_event(self) -> dict[str, object]:
        with self.store.reading() as tx:
            return tx.execute(select(outbox.c.event).order_by(outbox.c.id.desc()).limit(1)).scalar_one()

    def publish(self) -> None:
        """What control and audit do: number the outbox, take it into the log, publish it."""
        box = Outbox(self.store, entry_bytes=entry_bytes)
        store, publisher, _ = open_log(self.log, key_path=self.directory / "audit.key", origin="sekisho.test/log")
        try:
            for number, entry in box.waiting(1_000_000):
                store.offer(entry, producer=box.producer, number=number, now=self.now)
                box.accepted(number)
            publisher.take(store.commit())
            publisher.publish()
        finally:
            store.close()

    def close(self) -> None:
        self.store.close()


@cache
def _loop() -> asyncio.Runner:
    """One loop for all browsers: its worker threads are not started anew for each request."""
    return asyncio.Runner()


@dataclass(frozen=True, slots=True)
class Settled:
    path: Path
    signed_in: dict[str, SignedIn]


@cache
def _settled() -> Settled:
    """A store with people in every role, each signed in by their link, `gone` disabled afterwards. Made once, copied for each test."""
    path = Path(mkdtemp(prefix="sekisho-portal-")) / "settled.sqlite"
    store = Store.open(f"sqlite:///{path}")
    store.migrate()
    signed_in: dict[str, SignedIn] = {}
    for name, groups in PEOPLE.items():
        add_person(store, by=None, name=name, groups=groups, now=NOW)
        made = use_link(store, secret=issue_sign_in_link(store, by=None, name=name, now=NOW), address=INSIDE, tally=Tally(), now=NOW)
        assert isinstance(made, SignedIn)
        signed_in[name] = made
    disable_person(store, by=None, name="gone", now=NOW)
    store.close()
    return Settled(path, signed_in)


def forget_settled() -> None:
    shutil.rmtree(_settled().path.parent, ignore_errors=True)
    _settled.cache_clear()
    _loop().close()
    _loop.cache_clear()


def location(answer: httpx.Response, *, origin: str = ORIGIN) -> str:
    """Where a redirect leads, without the origin that it stays within."""
    found = urlsplit(answer.headers["location"])
    assert f"{found.scheme}://{found.netloc}" in ("://", origin), answer.headers["location"]
    return found._replace(scheme="", netloc="").geturl()
