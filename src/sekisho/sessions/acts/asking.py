"""Asking for a room."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert

from sekisho.model.event import EventKind
from sekisho.model.people import Caller
from sekisho.model.room import Place, Room
from sekisho.model.session import Request, RequestState
from sekisho.policy.deciding import deciding
from sekisho.policy.places import place_of
from sekisho.policy.request import RequestFacts, decide_request
from sekisho.policy.texts import one_line, render_duration, render_time, shown
from sekisho.policy.verdict import Allow, Deny
from sekisho.sessions.acts.standing import others_of
from sekisho.sessions.roombook import store_room_file
from sekisho.store.database import Store
from sekisho.store.events import note, refuse
from sekisho.store.people import as_of_now, find_person
from sekisho.store.tables import requests
from sekisho.system import randomness


def request_room(
    store: Store,
    *,
    by: Caller,
    room: Room | None,
    room_name: str,
    reason: str,
    ticket: str,
    starts_at: datetime | None,
    duration: timedelta,
    places: Sequence[Place],
    now: datetime,
) -> Request | Deny:
    """A request that waits for approval. `room` is the one in force under `room_name`, None if there is none; `starts_at` None is now. Line breaks in
    the reason become spaces."""
    with store.writing() as tx:
        find_person(tx, by.person.name, lock=True)  # two requests of one person at once must see one another
        facts = RequestFacts(
            caller=by,
            room=room,
            room_name=room_name,
            reason=one_line(reason),
            ticket=ticket.strip(),
            starts_at=now if starts_at is None else starts_at,
            duration=duration,
            places=places,
            others=others_of(tx, by.person.name, room.name) if room else (),
            now=now,
        )
        verdict = _decided(tx, by, facts)
        if isinstance(verdict, Deny):
            return refuse(tx, EventKind.REQUEST_REFUSED, verdict, by=by, now=now, room=shown(room_name), details=_asked(facts))
        assert room is not None, "a room that is not there was allowed"
        store_room_file(tx, room, now=now)
        made = _insert(tx, facts, room)
        details = {**_asked(facts), "ends_at": render_time(made.ends_at), "room_digest": made.room_digest, "rule": verdict.rule}
        note(tx, EventKind.REQUEST_MADE, by=by, now=now, room=made.room, request=made.id, details=details)
        return made


def _decided(tx: Connection, by: Caller, facts: RequestFacts) -> Allow | Deny:
    caller = as_of_now(tx, by)
    return caller if isinstance(caller, Deny) else deciding(lambda: decide_request(replace(facts, caller=caller)))


def _asked(facts: RequestFacts) -> dict[str, object]:
    """What was asked for, short enough for the log whatever it was."""
    told: dict[str, object] = {"why": shown(facts.reason, limit=500), "starts_at": render_time(facts.starts_at), "duration": render_duration(facts.duration)}
    if facts.ticket:
        told["ticket"] = shown(facts.ticket, limit=128)
    if places := place_of(facts.caller.address, facts.places):
        told["places"] = list(places)
    return told


def _insert(tx: Connection, facts: RequestFacts, room: Room) -> Request:
    made = Request(
        id=randomness.identifier("r-"),
        room=room.name,
        room_digest=room.digest,
        person=facts.caller.person.name,
        reason=facts.reason,
        ticket=facts.ticket,
        address=facts.caller.address,
        asked_at=facts.now,
        starts_at=facts.starts_at,
        ends_at=facts.starts_at + facts.duration,
        state=RequestState.PENDING,
    )
    names = ("id", "room", "room_digest", "person", "reason", "ticket", "address", "asked_at", "starts_at", "ends_at")
    tx.execute(insert(requests).values(state=made.state.value, **{name: getattr(made, name) for name in names}))
    return made
