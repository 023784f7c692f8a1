"""A request, its grant and its session as one card that a page shows, and rooms as cards to ask from. Values only; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from sekisho.model.room import Room
from sekisho.model.session import Request, RequestState, Session, SessionState
from sekisho.policy.verdict import Allow, Deny
from sekisho.portal import wording
from sekisho.portal.wording import Shown
from sekisho.sessions.views import RequestView

_TONES: Mapping[str, str] = {
    "pending": "wait",
    "planned": "wait",
    "opening": "wait",
    "staging": "wait",
    "ready": "good",
    "frozen": "bad",
    "failed": "bad",
    "denied": "bad",
}
_SESSION_OVER = frozenset({SessionState.DESTROYED, SessionState.FAILED})
_LEAVABLE = frozenset({SessionState.OPENING, SessionState.STAGING, SessionState.READY, SessionState.FROZEN})


@dataclass(frozen=True, slots=True)
class Within:
    """What somebody finds in a room and may do there, for whoever decides on it: as in the file that the request is bound to."""

    kinds: tuple[str, ...]
    files: tuple[tuple[str, str], ...]  # from, to
    names: tuple[str, ...]
    takes_pastes: bool


@dataclass(frozen=True, slots=True)
class RequestCard:
    """`state` is what matters to people: the session's own once there is one, else that of the request or grant."""

    id: str
    session: str
    room: str
    title: str
    person: str
    reason: str
    ticket: str
    address: str
    state: str
    tone: str
    asked: Shown
    span: tuple[Shown, Shown]
    length: timedelta
    ends_machine: str
    ends_clock: str
    approvals: tuple[str, ...]
    needed: int
    waits_for: tuple[str, ...]
    decided_by: str
    note: str
    end_reason: str
    ended_by: str
    why: str
    staged_bytes: int
    staged_total_bytes: int
    staged_files: int
    connections: int
    is_pending: bool
    is_waiting: bool
    is_granted: bool
    is_running: bool
    is_mine: bool
    ways_in: tuple[str, ...]  # the kinds by which this person may enter now
    may_leave: bool
    may_give_back: bool
    may_withdraw: bool
    may_end: bool
    may_decide: bool
    not_decided_because: Deny | None
    within: Within | None  # None: that file cannot be read any more


@dataclass(frozen=True, slots=True)
class RoomCard:
    name: str
    title: str
    description: str
    kinds: tuple[str, ...]
    hours: str
    zone: str
    places: tuple[str, ...]
    longest: timedelta
    approvers: tuple[str, ...]
    needed: int
    reason_characters: int
    ticket: str | None
    second_factor: bool
    refusal: Deny | None


def request_card(view: RequestView, *, now: datetime, language: str) -> RequestCard:
    request, session, room = view.request, view.session, view.room
    zone = wording.zone_of(room)
    state = _state(request, session, now)
    is_granted = request.state is RequestState.APPROVED
    is_pending = request.state is RequestState.PENDING
    may_end = isinstance(view.ending, Allow)
    return RequestCard(
        id=request.id,
        session=session.id if session is not None else "",
        room=request.room,
        title=room.title if room is not None else request.room,
        person=request.person,
        reason=request.reason,
        ticket=request.ticket,
        address=request.address,
        state=state,
        tone=_TONES.get(state, ""),
        asked=wording.show_time(request.asked_at, zone=zone, language=language),
        span=wording.show_span(request.starts_at, request.ends_at, zone=zone, language=language),
        length=request.ends_at - request.starts_at,
        ends_machine=wording.machine_time(request.ends_at),
        ends_clock=_clock(request.ends_at, zone),
        approvals=request.approvals,
        needed=room.approval.needed if room is not None else 1,
        waits_for=room.approval.by if room is not None and is_pending else (),
        decided_by=request.decided_by,
        note=request.note,
        end_reason=str(request.end_reason or ""),
        ended_by=request.ended_by,
        why=session.why if session is not None else "",
        staged_bytes=session.staged_bytes if session is not None else 0,
        staged_total_bytes=session.staged_total_bytes if session is not None else 0,
        staged_files=session.staged_files if session is not None else 0,
        connections=session.connections if session is not None else 0,
        is_pending=is_pending,
        is_waiting=_TONES.get(state) == "wait",
        is_granted=is_granted,
        is_running=is_granted and request.starts_at <= now < request.ends_at,
        is_mine=view.is_mine,
        ways_in=_ways_in(view),
        may_leave=view.is_mine and may_end and session is not None and session.state in _LEAVABLE,
        may_give_back=view.is_mine and may_end and session is None,
        may_withdraw=isinstance(view.withdrawal, Allow),
        may_end=may_end and not view.is_mine,
        may_decide=is_pending and isinstance(view.decision, Allow),
        not_decided_because=view.decision if is_pending and isinstance(view.decision, Deny) else None,
        within=_within(view.bound) if view.bound is not None else None,
    )


def room_card(room: Room, *, refusal: Deny | None, language: str) -> RoomCard:
    return RoomCard(
        name=room.name,
        title=room.title,
        description=room.description,
        kinds=room.kinds,
        hours=wording.show_hours(room.access.hours, language=language),
        zone=wording.zone_name(wording.zone_of(room)),
        places=room.access.places,
        longest=room.access.longest,
        approvers=room.approval.by,
        needed=room.approval.needed,
        reason_characters=room.approval.reason_characters,
        ticket=room.approval.ticket,
        second_factor=room.access.second_factor,
        refusal=refusal,
    )


def is_current(request: Request, session: Session | None) -> bool:
    """Still waiting, granted, or with a session that is not over."""
    return request.state in (RequestState.PENDING, RequestState.APPROVED) or (session is not None and session.state not in _SESSION_OVER)


def _ways_in(view: RequestView) -> tuple[str, ...]:
    is_ready = view.session is not None and view.session.state is SessionState.READY
    return view.bound.kinds if view.bound and view.is_mine and is_ready and view.request.state is RequestState.APPROVED else ()


def came_to_nothing(request: Request, session: Session | None, now: datetime) -> bool:
    """It failed within its own time: somebody waits for it and must hear why."""
    return session is not None and session.state is SessionState.FAILED and now < request.ends_at


def _within(room: Room) -> Within:
    return Within(
        kinds=room.kinds,
        files=tuple((file.url, file.to) for file in room.files),
        names=tuple(str(rule) for rule in room.egress),
        takes_pastes=room.clipboard.paste_in,
    )


def _state(request: Request, session: Session | None, now: datetime) -> str:
    if session is not None and (request.state is RequestState.APPROVED or session.state is not SessionState.DESTROYED):
        return str(session.state)
    if request.state is RequestState.APPROVED:
        return "planned" if now < request.starts_at else str(SessionState.OPENING)
    return str(request.state)


def _clock(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%H:%M}"
