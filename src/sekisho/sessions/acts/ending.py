"""Ending a grant before its time: by its person, an approver or an administrator. The session follows when control sees it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, update

from sekisho.model.event import EventKind
from sekisho.model.people import Caller
from sekisho.model.room import Place
from sekisho.model.session import EndReason, Request, request_id
from sekisho.policy.approve import decide_end, decide_leave
from sekisho.policy.verdict import Allow, Deny
from sekisho.sessions import states
from sekisho.sessions.acts.standing import ID, Case, locked_case, note_act, refuse_act
from sekisho.sessions.roombook import RoomBook
from sekisho.sessions.states import RequestEvent
from sekisho.store.database import Store
from sekisho.store.tables import requests


def end(store: Store, *, by: Caller, request: str, book: RoomBook, places: Sequence[Place], now: datetime) -> Request | Deny:
    """End a grant, begun or not. The reason is `left` for one's own, `ended-by-approver` for another's."""
    with store.writing() as tx:
        case = locked_case(tx, by=by, request=request, book=book, places=places, now=now)
        verdict = case.decided_without_room(lambda asked: decide_end(case.person, asked, case.room, now))
        return _end(tx, case, verdict)


def leave(store: Store, *, by: Caller, session: str, now: datetime) -> Request | Deny:
    """The person ends their own session and, with it, the grant."""
    with store.writing() as tx:
        case = locked_case(tx, by=by, request=request_id(session) if ID.fullmatch(session) else session, book=None, places=(), now=now)
        verdict = case.decided_without_room(lambda asked: decide_leave(case.person, asked, now))
        return _end(tx, case, verdict)


def _end(tx: Connection, case: Case, verdict: Allow | Deny) -> Request | Deny:
    if isinstance(verdict, Deny):
        return refuse_act(tx, case, verdict, act="end")
    asked = case.asked
    assert asked is not None, "the end of nothing was allowed"
    reason = EndReason.LEFT if case.name == asked.person else EndReason.ENDED_BY_APPROVER
    ended = replace(asked, state=states.request_after(asked.state, RequestEvent.ENDED), end_reason=reason, ended_by=case.name)
    tx.execute(update(requests).where(requests.c.id == asked.id).values(state=ended.state.value, end_reason=reason.value, ended_by=ended.ended_by))
    note_act(tx, EventKind.GRANT_ENDED, case, verdict, reason=reason)
    return ended
