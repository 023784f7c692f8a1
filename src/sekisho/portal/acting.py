"""The acts on requests and sessions, given what the portal holds. Pages and API call the same ones; each tells control that something changed."""

from datetime import datetime, timedelta

from sekisho.model.session import Request
from sekisho.policy.verdict import Deny
from sekisho.portal.door import Visit
from sekisho.portal.parts import Portal
from sekisho.sessions import acts
from sekisho.sessions.acts import Ticket


def request_room(here: Visit, room: str, *, reason: str, ticket: str, starts_at: datetime | None, duration: timedelta) -> Request | Deny:
    """`starts_at` None is now."""
    portal = here.portal
    outcome = acts.request_room(
        portal.store,
        by=here.caller,
        room=portal.rooms().get(room),
        room_name=room,
        reason=reason,
        ticket=ticket,
        starts_at=starts_at,
        duration=duration,
        places=portal.places,
        now=here.now,
    )
    return _told(here, outcome)


def withdraw(here: Visit, request: str) -> Request | Deny:
    return _told(here, acts.withdraw(here.portal.store, by=here.caller, request=request, places=here.portal.places, now=here.now))


def approve(here: Visit, request: str, *, note: str) -> Request | Deny:
    portal = _ready(here)
    return _told(here, acts.approve(portal.store, by=here.caller, request=request, note=note, book=portal.book, places=portal.places, now=here.now))


def deny(here: Visit, request: str, *, note: str) -> Request | Deny:
    portal = _ready(here)
    return _told(here, acts.deny(portal.store, by=here.caller, request=request, note=note, book=portal.book, places=portal.places, now=here.now))


def extend(here: Visit, request: str, *, duration: timedelta) -> Request | Deny:
    portal = _ready(here)
    return _told(here, acts.extend(portal.store, by=here.caller, request=request, duration=duration, book=portal.book, places=portal.places, now=here.now))


def end(here: Visit, request: str) -> Request | Deny:
    portal = _ready(here)
    return _told(here, acts.end(portal.store, by=here.caller, request=request, book=portal.book, places=portal.places, now=here.now))


def leave(here: Visit, session: str) -> Request | Deny:
    return _told(here, acts.leave(here.portal.store, by=here.caller, session=session, now=here.now))


def issue_ticket(here: Visit, session: str, *, kind: str) -> Ticket | Deny:
    assert here.sign_in is not None
    portal = here.portal
    ticket = acts.issue_ticket(portal.store, by=here.caller, sign_in=here.sign_in.id, session=session, kind=kind, places=portal.places, now=here.now)
    portal.nudge()
    return ticket


def entry_page(portal: Portal, ticket: Ticket) -> str:
    """Where a ticket leads. It stands behind the `#`, which no browser sends to any server."""
    return f"{portal.rooms_origin}/{ticket.kind}#{ticket.secret}"


def entry_websocket(portal: Portal, ticket: Ticket) -> str:
    """Where a program shows the ticket instead, as the first message."""
    return f"wss://{portal.rooms_origin.removeprefix('https://')}/{ticket.kind}/ws"


def _ready(here: Visit) -> Portal:
    here.portal.rooms()
    return here.portal


def _told(here: Visit, outcome: Request | Deny) -> Request | Deny:
    """Refusals too: their events want to be shipped."""
    here.portal.nudge()
    return outcome
