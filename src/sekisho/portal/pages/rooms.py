"""Home: what is mine now and which rooms may be asked for; and the form that asks."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Query
from fastapi.responses import Response

from sekisho.model.reasons import Reason
from sekisho.model.room import Room
from sekisho.policy.verdict import Deny
from sekisho.portal import acting, looking, wording
from sekisho.portal.cards import room_card
from sekisho.portal.door import Refused, Rule, Visit, door, open_to
from sekisho.portal.inputs import RoomName, parse_duration, parse_moment
from sekisho.portal.rendering import go, live_news, live_part, page

ROUTER = APIRouter(include_in_schema=False)

Here = Annotated[Visit, Depends(door)]
Seen = Annotated[str, Query(max_length=64)]

_CHOICES = tuple(timedelta(minutes=minutes) for minutes in (15, 30, 60, 90, 120, 180, 240, 480))
_USUAL = timedelta(hours=1)
_FIELDS = {
    Reason.REASON_TOO_SHORT: "reason",
    Reason.REASON_TOO_LONG: "reason",
    Reason.TICKET_MALFORMED: "ticket",
    Reason.TOO_LONG: "duration",
    Reason.DURATION_MALFORMED: "duration",
    Reason.IN_THE_PAST: "starts",
    Reason.TOO_FAR_AHEAD: "starts",
    Reason.OUTSIDE_HOURS: "starts",
    Reason.OVERLAPPING: "starts",
}


@dataclass(frozen=True, slots=True)
class Typed:
    """What somebody typed, kept as it was, so that a refusal costs nobody their words."""

    reason: str = ""
    ticket: str = ""
    starts: str = "now"
    at: str = ""
    duration: str = ""


@ROUTER.get("/")
@open_to(Rule.SIGNED_IN)
def home(here: Here) -> Response:
    rooms = looking.rooms(here)
    return page(
        here,
        "home.html",
        mine=live_part(here, "_mine.html", path="/fragments/mine", cards=looking.mine_now(here)),
        open_rooms=[room for room in rooms if room.refusal is None],
        closed_rooms=[room for room in rooms if room.refusal is not None],
    )


@ROUTER.get("/fragments/mine")
@open_to(Rule.SIGNED_IN)
def mine(here: Here, seen: Seen = "") -> Response:
    return live_news(here, "_mine.html", path="/fragments/mine", seen=seen, cards=looking.mine_now(here))


@ROUTER.get("/rooms/{name}")
@open_to(Rule.SIGNED_IN)
def ask_form(here: Here, name: RoomName) -> Response:
    room = here.portal.rooms().get(name)
    if room is None:
        raise Refused(Deny(Reason.NO_SUCH_ROOM, {"room": name}))
    return _form(here, room, Typed(duration=wording.typed_duration(min(_USUAL, room.access.longest))))


@ROUTER.post("/rooms/{name}")
@open_to(Rule.SIGNED_IN)
def ask(  # noqa: PLR0917  FastAPI gives them by name
    here: Here,
    name: RoomName,
    reason: Annotated[str, Form(max_length=16_384)] = "",
    ticket: Annotated[str, Form(max_length=512)] = "",
    starts: Annotated[Literal["now", "at"], Form()] = "now",
    at: Annotated[str, Form(max_length=64)] = "",
    duration: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    typed = Typed(reason=reason, ticket=ticket, starts=starts, at=at, duration=duration)
    room = here.portal.rooms().get(name)
    starts_at = parse_moment(at, wording.zone_of(room)) if starts == "at" else None
    if room is not None and starts == "at" and starts_at is None:
        return _form(here, room, typed, status=422, faults={"starts": here.words.say("ask.time-malformed")})
    outcome = acting.request_room(here, name, reason=reason, ticket=ticket, starts_at=starts_at, duration=parse_duration(duration))
    if not isinstance(outcome, Deny):
        return go("/")
    if room is None:
        raise Refused(outcome, is_written=True)
    return _form(here, room, typed, status=403, refusal=outcome)


def _form(here: Visit, room: Room, typed: Typed, *, status: int = 200, refusal: Deny | None = None, faults: dict[str, str] | None = None) -> Response:
    """A refusal that belongs to a field is shown at the field and, for whoever cannot see where it stands, at the top."""
    found = {"reason": "", "ticket": "", "starts": "", "duration": "", **(faults or {})}
    if refusal is not None and refusal.reason in _FIELDS:
        found[_FIELDS[refusal.reason]] = wording.show_refusal(refusal, words=here.words, zone=wording.zone_of(room))
    return page(
        here,
        "request_form.html",
        status=status,
        room=room_card(room, refusal=None, language=here.words.language),
        durations=[wording.typed_duration(choice) for choice in _CHOICES if choice <= room.access.longest],
        typed=typed,
        faults=found,
        refusal=refusal,
    )
