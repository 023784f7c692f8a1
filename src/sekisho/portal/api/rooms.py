"""Rooms that may be asked for, and why not the others."""

from typing import Annotated

from fastapi import APIRouter, Depends

from sekisho.policy.verdict import Deny
from sekisho.portal import wording
from sekisho.portal.api.bodies import Rooms, RoomShown
from sekisho.portal.api.refusals import REFUSALS
from sekisho.portal.door import Rule, Visit, door, open_to
from sekisho.sessions.views import Offer, rooms_for

ROUTER = APIRouter(prefix="/api/rooms", tags=["rooms"], responses=REFUSALS)

Here = Annotated[Visit, Depends(door)]


@ROUTER.get("")
@open_to(Rule.SIGNED_IN)
def rooms(here: Here) -> Rooms:
    here.portal.rooms()
    offers = rooms_for(here.person, address=here.address, book=here.portal.book, places=here.portal.places)
    return Rooms(rooms=[_shown(here, offer) for offer in offers])


def _shown(here: Visit, offer: Offer) -> RoomShown:
    room, refusal = offer.room, offer.verdict if isinstance(offer.verdict, Deny) else None
    return RoomShown(
        name=room.name,
        title=room.title,
        description=room.description,
        kinds=[str(kind) for kind in room.kinds],
        hours=wording.show_hours(room.access.hours, language="en"),
        places=list(room.access.places),
        longest_seconds=int(room.access.longest.total_seconds()),
        ticket=room.approval.ticket,
        second_factor=room.access.second_factor,
        reason_characters=room.approval.reason_characters,
        approvers=list(room.approval.by),
        needed=room.approval.needed,
        may_request=refusal is None,
        reason=str(refusal.reason) if refusal is not None else "",
        sentence=wording.show_refusal(refusal, words=here.words) if refusal is not None else "",
    )
