"""Into a room and out of it: a ticket leads to the other host name, and *leave* ends the session after one question."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form
from fastapi.responses import RedirectResponse, Response

from sekisho.model.session import request_id
from sekisho.portal import acting, looking
from sekisho.portal.door import Rule, Visit, door, granted, open_to, seen
from sekisho.portal.inputs import SessionId
from sekisho.portal.pages.confirming import confirm
from sekisho.portal.rendering import go

ROUTER = APIRouter(include_in_schema=False)

Here = Annotated[Visit, Depends(door)]


@ROUTER.post("/sessions/{session}/enter")
@open_to(Rule.SIGNED_IN)
def enter(here: Here, session: SessionId, kind: Annotated[str, Form(max_length=32)]) -> Response:
    """The ticket stands behind the `#`: no server and no log sees it there."""
    ticket = granted(acting.issue_ticket(here, session, kind=kind))
    return RedirectResponse(acting.entry_page(here.portal, ticket), status_code=303)


@ROUTER.get("/sessions/{session}/leave")
@open_to(Rule.SIGNED_IN)
def leave_question(here: Here, session: SessionId) -> Response:
    card = seen(looking.one(here, request_id(session)))
    return confirm(here, "leave", facts={"title": card.title}, action=f"/sessions/{session}/leave", back="/")


@ROUTER.post("/sessions/{session}/leave")
@open_to(Rule.SIGNED_IN)
def leave(here: Here, session: SessionId) -> Response:
    granted(acting.leave(here, session))
    return go("/")
