"""Requests and the decisions on them."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from sekisho.model.session import RequestState
from sekisho.policy.verdict import Allow
from sekisho.portal import acting, looking
from sekisho.portal.api.bodies import EmptyBody, ExtendBody, FileShown, NoteBody, RequestBody, Requests, RequestShown
from sekisho.portal.api.refusals import REFUSALS
from sekisho.portal.door import Rule, Visit, door, granted, open_to
from sekisho.portal.inputs import RequestId
from sekisho.sessions.views import RequestView, request_for

ROUTER = APIRouter(prefix="/api/requests", tags=["requests"], responses=REFUSALS)

Here = Annotated[Visit, Depends(door)]


@ROUTER.post("", status_code=201)
@open_to(Rule.SIGNED_IN)
def ask(here: Here, body: RequestBody) -> RequestShown:
    """Ask for a room. The request waits for approval."""
    duration = timedelta(seconds=body.duration_seconds)
    made = granted(acting.request_room(here, body.room, reason=body.reason, ticket=body.ticket, starts_at=body.starts_at, duration=duration))
    return _one(here, made.id)


@ROUTER.get("")
@open_to(Rule.SIGNED_IN)
def requests(here: Here, state: Annotated[RequestState | None, Query(description="Only those in this state.")] = None) -> Requests:
    """One's own; of the rooms that one approves, everybody's; for auditors and administrators, all. Newest first, at most 500."""
    return Requests(requests=[_shown(view) for view in looking.views(here, state=state)])


@ROUTER.post("/{request}/withdraw")
@open_to(Rule.SIGNED_IN)
def withdraw(here: Here, request: RequestId, body: EmptyBody | None = None) -> RequestShown:  # noqa: ARG001  only its shape matters
    """Take one's own request back before it is decided."""
    return _one(here, granted(acting.withdraw(here, request)).id)


@ROUTER.post("/{request}/approve")
@open_to(Rule.SIGNED_IN)
def approve(here: Here, request: RequestId, body: NoteBody) -> RequestShown:
    """One approval; the request is granted by the last that its room needs."""
    return _one(here, granted(acting.approve(here, request, note=body.note)).id)


@ROUTER.post("/{request}/deny")
@open_to(Rule.SIGNED_IN)
def deny(here: Here, request: RequestId, body: NoteBody) -> RequestShown:
    """A denial needs a note."""
    return _one(here, granted(acting.deny(here, request, note=body.note)).id)


@ROUTER.post("/{request}/extend")
@open_to(Rule.SIGNED_IN)
def extend(here: Here, request: RequestId, body: ExtendBody) -> RequestShown:
    """The grant goes on for so much longer."""
    return _one(here, granted(acting.extend(here, request, duration=timedelta(seconds=body.duration_seconds))).id)


@ROUTER.post("/{request}/end")
@open_to(Rule.SIGNED_IN)
def end(here: Here, request: RequestId, body: EmptyBody | None = None) -> RequestShown:  # noqa: ARG001  only its shape matters
    """End a grant, one's own or one that one approves."""
    return _one(here, granted(acting.end(here, request)).id)


def _one(here: Visit, request: str) -> RequestShown:
    with here.portal.store.reading() as tx:
        return _shown(granted(request_for(tx, here.person, request, proof=here.signed_in.proof, book=here.portal.book, now=here.now)))


def _shown(view: RequestView) -> RequestShown:
    request, room, bound = view.request, view.room, view.bound
    return RequestShown(
        id=request.id,
        room=request.room,
        room_title=room.title if room is not None else request.room,
        person=request.person,
        reason=request.reason,
        ticket=request.ticket,
        address=request.address,
        asked_at=request.asked_at,
        starts_at=request.starts_at,
        ends_at=request.ends_at,
        state=str(request.state),
        approvals=list(request.approvals),
        needed=room.approval.needed if room is not None else 1,
        decided_by=request.decided_by,
        note=request.note,
        end_reason=str(request.end_reason or ""),
        kinds=[str(kind) for kind in bound.kinds] if bound is not None else [],
        files=[FileShown(source=file.url, to=file.to) for file in bound.files] if bound is not None else [],
        names=[str(rule) for rule in bound.egress] if bound is not None else [],
        paste_in=bound is not None and bound.clipboard.paste_in,
        may_decide=isinstance(view.decision, Allow),
        may_withdraw=isinstance(view.withdrawal, Allow),
        is_mine=view.is_mine,
    )
