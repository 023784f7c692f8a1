"""May this person enter this session now, and may they stay? Asked when a ticket is issued, when it is redeemed, and all through a connection."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sekisho.model.people import Caller
from sekisho.model.reasons import Reason
from sekisho.model.room import Kind, Place, Room
from sekisho.model.session import Request, RequestState, SessionState
from sekisho.policy.deciding import first_denial
from sekisho.policy.listed import decide_listed
from sekisho.policy.places import decide_place
from sekisho.policy.second_factor import NO_PROOF, Proof, check_proof
from sekisho.policy.texts import render_time, shown
from sekisho.policy.verdict import Allow, Deny


@dataclass(frozen=True, slots=True)
class EnterFacts:
    """`room` is the one that the grant is bound to by its digest, whatever the file says now."""

    caller: Caller
    is_disabled: bool
    grant: Request | None
    room: Room | None
    session: SessionState | None  # None: control has not opened one yet
    kind: str
    places: Sequence[Place]
    now: datetime
    proof: Proof = NO_PROOF  # of the sign-in that they came by


def decide_enter(facts: EnterFacts) -> Allow | Deny:
    """To come in: all that is needed to stay, and a session that is ready."""
    staying = decide_stay(facts)
    return staying if isinstance(staying, Deny) else _check_session(facts.session) or staying


def decide_stay(facts: EnterFacts) -> Allow | Deny:
    """To stay in: the grant, its person and time, the place, a second factor if asked for. A session that is frozen for a while cuts nobody."""
    if facts.grant is None or facts.room is None:
        return Deny(Reason.NO_GRANT, {"room": facts.room.name if facts.room else "this room"})
    listed, place = decide_listed(facts.caller.person, facts.room), decide_place(facts.caller.address, wanted=facts.room.access.places, places=facts.places)
    denial = first_denial(
        None if facts.grant.person == facts.caller.person.name else Deny(Reason.NOT_YOURS),
        Deny(Reason.PERSON_DISABLED) if facts.is_disabled else None,
        _check_grant(facts.grant, facts.now),
        None if facts.grant.room_digest == facts.room.digest else Deny(Reason.ROOM_FILE_CHANGED),
        listed if isinstance(listed, Deny) else None,
        place if isinstance(place, Deny) else None,
        check_proof(facts.room, facts.proof, facts.now),
        _check_kind(facts.room, facts.kind),
    )
    return denial or Allow(f"grant:{facts.grant.id}")


def _check_grant(grant: Request, now: datetime) -> Deny | None:
    match grant.state:
        case RequestState.PENDING | RequestState.DENIED | RequestState.WITHDRAWN | RequestState.EXPIRED:
            return Deny(Reason.NO_GRANT, {"room": grant.room})
        case RequestState.ENDED:
            return Deny(Reason.TIME_OVER, {"ends": render_time(min(grant.ends_at, now))})
        case RequestState.APPROVED:
            return _check_span(grant, now)


def _check_span(grant: Request, now: datetime) -> Deny | None:
    if now < grant.starts_at:
        return Deny(Reason.NOT_YET, {"starts": render_time(grant.starts_at)})
    return Deny(Reason.TIME_OVER, {"ends": render_time(grant.ends_at)}) if now >= grant.ends_at else None


def _check_kind(room: Room, kind: str) -> Deny | None:
    if kind in set(Kind) & set(room.kinds):
        return None
    return Deny(Reason.KIND_NOT_OFFERED, {"room": room.name, "offered": ", ".join(room.kinds) or "nothing", "kind": shown(kind)})


def _check_session(state: SessionState | None) -> Deny | None:
    match state:
        case SessionState.READY:
            return None
        case SessionState.FROZEN:
            return Deny(Reason.SESSION_FROZEN)
        case None:
            return Deny(Reason.SESSION_NOT_READY, {"state": str(SessionState.OPENING)})
        case SessionState.OPENING | SessionState.STAGING | SessionState.ENDING | SessionState.DESTROYED | SessionState.FAILED:
            return Deny(Reason.SESSION_NOT_READY, {"state": str(state)})
