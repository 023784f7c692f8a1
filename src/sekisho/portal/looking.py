"""What a page shows of rooms, requests and sessions: the views of `sessions.views`, as cards in the visit's language."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import Path

from sekisho.model.session import RequestState
from sekisho.policy.verdict import Allow, Deny
from sekisho.portal.cards import RequestCard, RoomCard, came_to_nothing, is_current, request_card, room_card
from sekisho.portal.door import Visit
from sekisho.sessions.views import RequestView, request_for, requests_for, rooms_for

Mark = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]


def rooms(here: Visit) -> list[RoomCard]:
    """Every room in force; those that may not be asked for say why."""
    here.portal.rooms()
    offers = rooms_for(here.person, address=here.address, book=here.portal.book, places=here.portal.places)
    language = here.words.language
    return [room_card(offer.room, refusal=offer.verdict if isinstance(offer.verdict, Deny) else None, language=language) for offer in offers]


def mine(here: Visit) -> list[RequestCard]:
    """All of one's own requests, newest first."""
    return _cards(here, _own(here))


def mine_now(here: Visit) -> list[RequestCard]:
    """One's own that still wait, are granted, or have a session that is not over; and what came to nothing, until its time is over or the room is asked for
    again."""
    shown: list[RequestView] = []
    asked_since: set[str] = set()
    for view in _own(here):
        is_news = view.request.room not in asked_since and came_to_nothing(view.request, view.session, here.now)
        if is_news or is_current(view.request, view.session):
            shown.append(view)
        asked_since.add(view.request.room)
    return _cards(here, shown)


def waiting(here: Visit) -> list[RequestCard]:
    """What waits for a decision and is seen by this person, longest waiting first; what they may not decide says why."""
    return _cards(here, (view for view in reversed(views(here, state=RequestState.PENDING)) if view.request.ends_at > here.now))


def running(here: Visit) -> list[RequestCard]:
    """Grants in force that this person may end, but for their own: those are on their home page."""
    found = views(here, state=RequestState.APPROVED)
    return _cards(here, (view for view in found if not view.is_mine and isinstance(view.ending, Allow)))


def one(here: Visit, request: str) -> RequestCard | Deny:
    here.portal.rooms()
    with here.portal.store.reading() as tx:
        view = request_for(tx, here.person, request, proof=here.signed_in.proof, book=here.portal.book, now=here.now)
    return view if isinstance(view, Deny) else _card(here, view)


def views(here: Visit, *, state: RequestState | None = None) -> list[RequestView]:
    """Newest first: whatever of requests this person may see."""
    here.portal.rooms()
    with here.portal.store.reading() as tx:
        return requests_for(tx, here.person, proof=here.signed_in.proof, book=here.portal.book, now=here.now, state=state)


def _own(here: Visit) -> list[RequestView]:
    """Seen as a member of no group: what others asked for does not crowd one's own out of the list, however much of it one approves or audits."""
    here.portal.rooms()
    bare = replace(here.person, groups=frozenset())
    with here.portal.store.reading() as tx:
        return [view for view in requests_for(tx, bare, book=here.portal.book, now=here.now) if view.is_mine]


def mark(cards: Sequence[RequestCard]) -> str:
    """What a queue was, short: two queues of the same requests in the same state have the same mark."""
    known = "\n".join(f"{card.id} {len(card.approvals)} {card.may_decide}" for card in cards)
    return hashlib.sha256(known.encode()).hexdigest()[:16]


def _cards(here: Visit, found: Iterable[RequestView]) -> list[RequestCard]:
    return [_card(here, view) for view in found]


def _card(here: Visit, view: RequestView) -> RequestCard:
    return request_card(view, now=here.now, language=here.words.language)
