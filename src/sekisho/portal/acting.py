"""The acts on requests and sessions, and the second step of a sign-in, given what the portal holds. Pages and API call the same ones.

Each act on requests and sessions tells control that something changed.
"""

from datetime import datetime, timedelta

from sekisho.identity.signin import SignedIn, finish_sign_in
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
    outcome = acts.approve(
        portal.store, by=here.caller, sign_in=here.signed_in.id, request=request, note=note, book=portal.book, places=portal.places, now=here.now
    )
    return _told(here, outcome)


def deny(here: Visit, request: str, *, note: str) -> Request | Deny:
    portal = _ready(here)
    return _told(here, acts.deny(portal.store, by=here.caller, request=request, note=note, book=portal.book, places=portal.places, now=here.now))


def extend(here: Visit, request: str, *, duration: timedelta) -> Request | Deny:
    portal = _ready(here)
    outcome = acts.extend(
        portal.store, by=here.caller, sign_in=here.signed_in.id, request=request, duration=duration, book=portal.book, places=portal.places, now=here.now
    )
    return _told(here, outcome)


def end(here: Visit, request: str) -> Request | Deny:
    portal = _ready(here)
    return _told(here, acts.end(portal.store, by=here.caller, request=request, book=portal.book, places=portal.places, now=here.now))


def leave(here: Visit, session: str) -> Request | Deny:
    return _told(here, acts.leave(here.portal.store, by=here.caller, session=session, now=here.now))


def issue_ticket(here: Visit, session: str, *, kind: str) -> Ticket | Deny:
    portal = here.portal
    ticket = acts.issue_ticket(portal.store, by=here.caller, sign_in=here.signed_in.id, session=session, kind=kind, places=portal.places, now=here.now)
    portal.nudge()
    return ticket


def second_step(here: Visit, secret: str, code: str) -> SignedIn | Deny:
    """The code of a sign-in whose password or link was right."""
    portal = here.portal
    return finish_sign_in(
        portal.store,
        portal.cipher,
        secret=secret,
        code=code,
        address=here.address,
        channel=here.channel,
        places=portal.places,
        sign_in_places=portal.sign_in_places,
        tally=portal.tally,
        now=here.now,
    )


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
