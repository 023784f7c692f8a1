"""Deciding on what was asked for: approve, deny, extend."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, update

from sekisho.model.event import EventKind
from sekisho.model.people import Caller
from sekisho.model.room import Place, Room
from sekisho.model.session import Request, RequestState
from sekisho.policy.approve import DecisionFacts, ExtensionFacts, decide_approve, decide_deny, decide_extend
from sekisho.policy.listed import decide_approver
from sekisho.policy.texts import one_line, render_duration, render_time, shown
from sekisho.policy.verdict import Allow, Deny
from sekisho.sessions import states
from sekisho.sessions.acts.standing import Case, locked_case, note_act, others_of, refuse_act
from sekisho.sessions.roombook import RoomBook
from sekisho.sessions.states import RequestEvent
from sekisho.store.database import Store
from sekisho.store.people import find_person, find_proof
from sekisho.store.tables import approvals, requests


def approve(
    store: Store, *, by: Caller, sign_in: str = "", request: str, note: str = "", book: RoomBook, places: Sequence[Place], now: datetime
) -> Request | Deny:
    """One approval. The request is granted by the last that its room needs; until then it goes on waiting. `sign_in` is the id of the sign-in that the
    caller came by: rooms that ask for a second factor ask for its proof."""
    note = one_line(note)
    with store.writing() as tx:
        case = locked_case(tx, by=by, request=request, book=book, places=places, now=now)
        proof = find_proof(tx, person=case.name, sign_in=sign_in)
        verdict = case.decided(lambda asked, room: decide_approve(replace(_facts(tx, case, asked, room, note), proof=proof)))
        if isinstance(verdict, Deny):
            return refuse_act(tx, case, verdict, act="approve")
        asked, room = case.both()
        tx.execute(insert(approvals).values(request=asked.id, person=case.name, at=now, note=note))
        approved = _approved(asked, by=case.name, note=note, is_last=_standing_approvals(tx, asked, room) + 1 >= room.approval.needed)
        _write(tx, approved)
        told = {"approvals": list(approved.approvals), "needed": room.approval.needed, "is_granted": approved.state is RequestState.APPROVED}
        note_act(tx, EventKind.REQUEST_APPROVED, case, verdict, details={**told, "starts_at": render_time(asked.starts_at), **_ends(asked), **_said(note)})
        return approved


def deny(store: Store, *, by: Caller, request: str, note: str, book: RoomBook, places: Sequence[Place], now: datetime) -> Request | Deny:
    """One denial is enough, whoever approved before. It needs a note."""
    note = one_line(note)
    with store.writing() as tx:
        case = locked_case(tx, by=by, request=request, book=book, places=places, now=now)
        verdict = case.decided(lambda asked, room: decide_deny(_facts(tx, case, asked, room, note)))
        if isinstance(verdict, Deny):
            return refuse_act(tx, case, verdict, act="deny")
        asked, _ = case.both()
        denied = replace(asked, state=states.request_after(asked.state, RequestEvent.DENIED), decided_by=case.name, note=note)
        _write(tx, denied)
        note_act(tx, EventKind.REQUEST_DENIED, case, verdict, details=_said(note))
        return denied


def extend(
    store: Store, *, by: Caller, sign_in: str = "", request: str, duration: timedelta, book: RoomBook, places: Sequence[Place], now: datetime
) -> Request | Deny:
    """The grant goes on for `duration` more; the session follows when control sees it. `sign_in` as in `approve`."""
    with store.writing() as tx:
        case = locked_case(tx, by=by, request=request, book=book, places=places, now=now)
        proof = find_proof(tx, person=case.name, sign_in=sign_in)
        verdict = case.decided(lambda asked, room: decide_extend(replace(_extension(tx, case, asked, room, duration), proof=proof)))
        if isinstance(verdict, Deny):
            return refuse_act(tx, case, verdict, act="extend", details={"duration": render_duration(duration)})
        asked, _ = case.both()
        extended = replace(asked, state=states.request_after(asked.state, RequestEvent.EXTENDED), ends_at=asked.ends_at + duration)
        _write(tx, extended)
        note_act(tx, EventKind.GRANT_EXTENDED, case, verdict, details={"duration": render_duration(duration), **_ends(extended)})
        return extended


def _facts(tx: Connection, case: Case, asked: Request, room: Room, note: str) -> DecisionFacts:
    asker = find_person(tx, asked.person)
    return DecisionFacts(
        person=case.person,
        request=asked,
        room=room,
        is_room_in_force=case.is_room_in_force,
        note=note,
        now=case.now,
        is_person_disabled=asker is None or asker.is_disabled,
    )


def _extension(tx: Connection, case: Case, asked: Request, room: Room, duration: timedelta) -> ExtensionFacts:
    others = others_of(tx, asked.person, asked.room)
    return ExtensionFacts(case.person, asked, room, is_room_in_force=case.is_room_in_force, duration=duration, others=others, now=case.now)


def _standing_approvals(tx: Connection, asked: Request, room: Room) -> int:
    """Of earlier approvals only those count whose person could give them now."""
    rows = [find_person(tx, name) for name in asked.approvals]
    return sum(1 for row in rows if row is not None and not row.is_disabled and isinstance(decide_approver(row.person, room), Allow))


def _approved(asked: Request, *, by: str, note: str, is_last: bool) -> Request:
    event = RequestEvent.APPROVED if is_last else RequestEvent.APPROVED_IN_PART
    approved = replace(asked, state=states.request_after(asked.state, event), approvals=(*asked.approvals, by))
    return replace(approved, decided_by=by, note=note) if is_last else approved


def _write(tx: Connection, request: Request) -> None:
    decided = {"decided_by": request.decided_by, "note": request.note, "ends_at": request.ends_at}
    tx.execute(update(requests).where(requests.c.id == request.id).values(state=request.state.value, **decided))


def _ends(request: Request) -> dict[str, object]:
    return {"ends_at": render_time(request.ends_at)}


def _said(note: str) -> dict[str, object]:
    return {"note": shown(note, limit=500)} if note else {}
