"""Sessions: which there are, into one, out of it."""

from typing import Annotated

from fastapi import APIRouter, Depends

from sekisho.policy.verdict import Allow
from sekisho.portal import acting
from sekisho.portal.api.bodies import Done, EmptyBody, EnterBody, Entered, Sessions, SessionShown
from sekisho.portal.api.refusals import REFUSALS
from sekisho.portal.door import Rule, Visit, door, granted, open_to
from sekisho.portal.inputs import SessionId
from sekisho.sessions.views import SessionView, sessions_for

ROUTER = APIRouter(prefix="/api/sessions", tags=["sessions"], responses=REFUSALS)

Here = Annotated[Visit, Depends(door)]


@ROUTER.get("")
@open_to(Rule.SIGNED_IN)
def sessions(here: Here) -> Sessions:
    """Sessions that one may see: those that are not over, and those that were over within a day."""
    here.portal.rooms()
    with here.portal.store.reading() as tx:
        found = sessions_for(tx, here.person, book=here.portal.book, now=here.now)
    return Sessions(sessions=[_shown(view) for view in found])


@ROUTER.post("/{session}/enter")
@open_to(Rule.SIGNED_IN)
def enter(here: Here, session: SessionId, body: EnterBody) -> Entered:
    """A ticket for the rooms' host name, for one of the kinds that the room is shown as."""
    ticket = granted(acting.issue_ticket(here, session, kind=body.kind))
    return Entered(page=acting.entry_page(here.portal, ticket), websocket=acting.entry_websocket(here.portal, ticket), ticket=ticket.secret)


@ROUTER.post("/{session}/leave")
@open_to(Rule.SIGNED_IN)
def leave(here: Here, session: SessionId, body: EmptyBody | None = None) -> Done:  # noqa: ARG001  only its shape matters
    """End one's own session, and with it the grant."""
    granted(acting.leave(here, session))
    return Done()


def _shown(view: SessionView) -> SessionShown:
    session = view.session
    return SessionShown(
        id=session.id,
        request=session.request,
        room=session.room,
        person=session.person,
        kinds=[str(kind) for kind in view.kinds],
        state=str(session.state),
        starts_at=session.starts_at,
        ends_at=session.ends_at,
        staged_bytes=session.staged_bytes,
        staged_total_bytes=session.staged_total_bytes,
        staged_files=session.staged_files,
        why=session.why,
        connections=session.connections,
        is_mine=view.is_mine,
        may_end=isinstance(view.ending, Allow),
    )
