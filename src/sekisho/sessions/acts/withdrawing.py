"""Taking one's own request back, before anybody has decided."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import update

from sekisho.model.event import EventKind
from sekisho.model.people import Caller
from sekisho.model.room import Place
from sekisho.model.session import Request
from sekisho.policy.approve import decide_withdraw
from sekisho.policy.verdict import Deny
from sekisho.sessions import states
from sekisho.sessions.acts.standing import locked_case, note_act, refuse_act
from sekisho.sessions.states import RequestEvent
from sekisho.store.database import Store
from sekisho.store.tables import requests


def withdraw(store: Store, *, by: Caller, request: str, places: Sequence[Place], now: datetime) -> Request | Deny:
    """Approvals that it had are worth nothing from then on. Who approves the room finds it gone from the queue."""
    with store.writing() as tx:
        case = locked_case(tx, by=by, request=request, book=None, places=places, now=now)
        verdict = case.decided_without_room(lambda asked: decide_withdraw(case.person, asked, now))
        if isinstance(verdict, Deny):
            return refuse_act(tx, case, verdict, act="withdraw")
        asked = case.asked
        assert asked is not None, "the withdrawal of nothing was allowed"
        withdrawn = replace(asked, state=states.request_after(asked.state, RequestEvent.WITHDRAWN))
        tx.execute(update(requests).where(requests.c.id == asked.id).values(state=withdrawn.state.value))
        note_act(tx, EventKind.REQUEST_WITHDRAWN, case, verdict)
        return withdrawn
