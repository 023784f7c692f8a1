"""Requests: mine over time, one with all that is known of it, the queue of an approver; and every decision on them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query
from fastapi.responses import Response

from sekisho.model.reasons import Reason
from sekisho.model.session import Request
from sekisho.policy.verdict import Deny
from sekisho.portal import acting, looking
from sekisho.portal.door import Rule, Visit, door, granted, open_to, seen
from sekisho.portal.inputs import RequestId, parse_duration
from sekisho.portal.pages.confirming import confirm
from sekisho.portal.rendering import go, live_news, live_part, page

ROUTER = APIRouter(include_in_schema=False)

Here = Annotated[Visit, Depends(door)]
Note = Annotated[str, Form(max_length=16_384)]
Seen = Annotated[str, Query(max_length=64)]


@ROUTER.get("/requests")
@open_to(Rule.SIGNED_IN)
def history(here: Here) -> Response:
    return page(here, "requests.html", cards=looking.mine(here))


@ROUTER.get("/requests/{request}")
@open_to(Rule.SIGNED_IN)
def one(here: Here, request: RequestId) -> Response:
    return _one(here, request)


@ROUTER.get("/fragments/requests/{request}")
@open_to(Rule.SIGNED_IN)
def standing(here: Here, request: RequestId, seen_before: Annotated[str, Query(alias="seen", max_length=64)] = "") -> Response:
    return live_news(here, "_standing.html", path=_standing_path(request), seen=seen_before, card=seen(looking.one(here, request)))


@ROUTER.get("/decisions")
@open_to(Rule.SIGNED_IN)
def queue(here: Here) -> Response:
    cards = looking.waiting(here)
    return page(
        here,
        "decisions.html",
        refusal=None,
        cards=cards,
        queue_state=live_part(here, "_queue_state.html", path=f"/fragments/queue/{looking.mark(cards)}", is_changed=False),
        running=live_part(here, "_running.html", path="/fragments/running", cards=looking.running(here)),
    )


@ROUTER.get("/fragments/queue/{mark}")
@open_to(Rule.SIGNED_IN)
def queue_state(here: Here, mark: looking.Mark, seen: Seen = "") -> Response:
    """Whether the queue is still the one that was shown. It is never redrawn by itself: somebody may be writing a note in it."""
    is_changed = looking.mark(looking.waiting(here)) != mark
    return live_news(here, "_queue_state.html", path=f"/fragments/queue/{mark}", seen=seen, is_changed=is_changed)


@ROUTER.get("/fragments/running")
@open_to(Rule.SIGNED_IN)
def running(here: Here, seen: Seen = "") -> Response:
    return live_news(here, "_running.html", path="/fragments/running", seen=seen, cards=looking.running(here))


@ROUTER.get("/requests/{request}/withdraw")
@open_to(Rule.SIGNED_IN)
def withdraw_question(here: Here, request: RequestId) -> Response:
    card = seen(looking.one(here, request))
    return confirm(here, "withdraw", facts={"title": card.title}, action=f"/requests/{request}/withdraw", back="/")


@ROUTER.post("/requests/{request}/withdraw")
@open_to(Rule.SIGNED_IN)
def withdraw(here: Here, request: RequestId) -> Response:
    return _decided(here, request, acting.withdraw(here, request))


@ROUTER.post("/requests/{request}/approve")
@open_to(Rule.SIGNED_IN)
def approve(here: Here, request: RequestId, note: Note = "") -> Response:
    return _decided(here, request, acting.approve(here, request, note=note))


@ROUTER.post("/requests/{request}/deny")
@open_to(Rule.SIGNED_IN)
def deny(here: Here, request: RequestId, note: Note = "") -> Response:
    return _decided(here, request, acting.deny(here, request, note=note))


@ROUTER.post("/requests/{request}/extend")
@open_to(Rule.SIGNED_IN)
def extend(here: Here, request: RequestId, duration: Annotated[str, Form(max_length=64)] = "") -> Response:
    return _decided(here, request, acting.extend(here, request, duration=parse_duration(duration)))


@ROUTER.get("/requests/{request}/end")
@open_to(Rule.SIGNED_IN)
def end_question(here: Here, request: RequestId) -> Response:
    card = seen(looking.one(here, request))
    facts = {"person": card.person, "title": card.title}
    return confirm(
        here, "give-back" if card.may_give_back else "end", facts=facts, action=f"/requests/{request}/end", back="/" if card.is_mine else "/decisions"
    )


@ROUTER.post("/requests/{request}/end")
@open_to(Rule.SIGNED_IN)
def end(here: Here, request: RequestId) -> Response:
    return _decided(here, request, acting.end(here, request))


def _one(here: Visit, request: str, *, refusal: Deny | None = None) -> Response:
    card = seen(looking.one(here, request))
    status = 403 if refusal is not None else 200
    standing_now = live_part(here, "_standing.html", path=_standing_path(request), card=card)
    return page(here, "request.html", status=status, card=card, standing=standing_now, refusal=refusal, typed_duration="30m")


def _standing_path(request: str) -> str:
    return f"/fragments/requests/{request}"


def _decided(here: Visit, request: str, outcome: Request | Deny) -> Response:
    """A refusal is shown on the request itself, to those who may see it; to others as a page of its own."""
    if not isinstance(outcome, Deny):
        return go("/" if outcome.person == here.person.name else "/decisions")
    if outcome.reason is Reason.NO_SUCH_REQUEST:
        granted(outcome)
    return _one(here, request, refusal=outcome)
