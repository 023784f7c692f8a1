"""The states of requests and of sessions: everything that affects a transition is in the two tables here, as data.

Theory.

1. A *request* changes only by an act: somebody decides, or its time comes. An act that the table does not list is a bug of the caller: acts
   ask `policy/` first, inside the same transaction. A request that was approved is the grant. What is over (denied, withdrawn, expired, ended) has no way out.

2. A *session* changes only by observation. Control looks at the grants and at the runtime, again and again, and may be killed in between, so it never
   sees every step: the table takes every jump forward (from `opening` straight to `destroyed`), takes the same observation twice, and goes
   back only where the world does (a frozen session thaws). A restarted agent shows `creating` until it has heard from the session's shim: that says
   nothing new. Two of the events are control's own findings: `end` (no grant wants it any longer) and
   `gone` (the runtime is there and does not know it).

3. `ending` is a promise: nothing but `destroyed` or `failed` leads out of it, whatever the runtime still shows. `destroyed` and `failed` absorb every
   observation. So one session is never ready twice, and a grant, whose session has its id, never yields two.

4. `gone` while `opening` means that it was never made: `failed`. Later it means that the machine lost it: `destroyed`, without a certificate.

Pure: no I/O, no time. `docs/reference/states.md` is `render_states_page()`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from sekisho.model.session import RequestState as R
from sekisho.model.session import SessionState as S
from sekisho.runtime.protocol import RuntimeState


class RequestEvent(StrEnum):
    APPROVED_IN_PART = "approved-in-part"  # one of several approvals
    APPROVED = "approved"  # the last approval that was needed
    DENIED = "denied"
    WITHDRAWN = "withdrawn"  # by the person who asked
    EXPIRED = "expired"  # nobody decided before its time was over
    EXTENDED = "extended"
    ENDED = "ended"  # time over, ended by somebody, left, or its session is over


class SessionEvent(StrEnum):
    SEEN_CREATING = "seen-creating"
    SEEN_STAGING = "seen-staging"
    SEEN_READY = "seen-ready"
    SEEN_FROZEN = "seen-frozen"
    SEEN_ENDING = "seen-ending"
    SEEN_DESTROYED = "seen-destroyed"
    SEEN_FAILED = "seen-failed"
    END = "end"
    GONE = "gone"
    CANNOT_OPEN = "cannot-open"  # control cannot even say what to make: no such image, no such source


class Impossible(AssertionError):
    """A transition that the table does not list: a bug."""


REQUESTS: Mapping[tuple[R, RequestEvent], R] = {
    (R.PENDING, RequestEvent.APPROVED_IN_PART): R.PENDING,
    (R.PENDING, RequestEvent.APPROVED): R.APPROVED,
    (R.PENDING, RequestEvent.DENIED): R.DENIED,
    (R.PENDING, RequestEvent.WITHDRAWN): R.WITHDRAWN,
    (R.PENDING, RequestEvent.EXPIRED): R.EXPIRED,
    (R.APPROVED, RequestEvent.EXTENDED): R.APPROVED,
    (R.APPROVED, RequestEvent.ENDED): R.ENDED,
}

_OPEN_SESSIONS: Mapping[tuple[S, SessionEvent], S] = {
    (S.OPENING, SessionEvent.SEEN_CREATING): S.OPENING,
    (S.OPENING, SessionEvent.SEEN_STAGING): S.STAGING,
    (S.OPENING, SessionEvent.SEEN_READY): S.READY,
    (S.OPENING, SessionEvent.SEEN_FROZEN): S.FROZEN,
    (S.OPENING, SessionEvent.CANNOT_OPEN): S.FAILED,
    (S.OPENING, SessionEvent.GONE): S.FAILED,
    (S.STAGING, SessionEvent.SEEN_CREATING): S.STAGING,
    (S.STAGING, SessionEvent.SEEN_STAGING): S.STAGING,
    (S.STAGING, SessionEvent.SEEN_READY): S.READY,
    (S.STAGING, SessionEvent.SEEN_FROZEN): S.FROZEN,
    (S.STAGING, SessionEvent.GONE): S.DESTROYED,
    (S.READY, SessionEvent.SEEN_CREATING): S.READY,
    (S.READY, SessionEvent.SEEN_READY): S.READY,
    (S.READY, SessionEvent.SEEN_FROZEN): S.FROZEN,
    (S.READY, SessionEvent.GONE): S.DESTROYED,
    (S.FROZEN, SessionEvent.SEEN_FROZEN): S.FROZEN,
    (S.FROZEN, SessionEvent.SEEN_CREATING): S.FROZEN,
    (S.FROZEN, SessionEvent.SEEN_STAGING): S.STAGING,
    (S.FROZEN, SessionEvent.SEEN_READY): S.READY,
    (S.FROZEN, SessionEvent.GONE): S.DESTROYED,
}

_TO_THE_END: Mapping[SessionEvent, S] = {
    SessionEvent.SEEN_ENDING: S.ENDING,
    SessionEvent.END: S.ENDING,
    SessionEvent.SEEN_DESTROYED: S.DESTROYED,
    SessionEvent.SEEN_FAILED: S.FAILED,
}

_ENDING: Mapping[SessionEvent, S] = {
    **{event: S.ENDING for event in SessionEvent if event is not SessionEvent.CANNOT_OPEN},
    SessionEvent.SEEN_DESTROYED: S.DESTROYED,
    SessionEvent.SEEN_FAILED: S.FAILED,
    SessionEvent.GONE: S.DESTROYED,
}

OVER = frozenset({S.DESTROYED, S.FAILED})
REQUEST_OVER = frozenset({R.DENIED, R.WITHDRAWN, R.EXPIRED, R.ENDED})

SESSIONS: Mapping[tuple[S, SessionEvent], S] = {
    **_OPEN_SESSIONS,
    **{(state, event): to for state in (S.OPENING, S.STAGING, S.READY, S.FROZEN) for event, to in _TO_THE_END.items()},
    **{(S.ENDING, event): to for event, to in _ENDING.items()},
    **{(state, event): state for state in sorted(OVER) for event in SessionEvent},
}

OBSERVED: Mapping[RuntimeState, SessionEvent] = {state: SessionEvent(f"seen-{state}") for state in RuntimeState}


def request_after(state: R, event: RequestEvent) -> R:
    """The state of a request after an act. Raises Impossible for what the table does not list."""
    try:
        return REQUESTS[state, event]
    except KeyError:
        raise Impossible(f"a request that is {state} cannot be {event}") from None


def session_after(state: S, event: SessionEvent) -> S:
    """The state of a session after an observation. Raises Impossible for what the table does not list."""
    try:
        return SESSIONS[state, event]
    except KeyError:
        raise Impossible(f"a session that is {state} cannot be {event}") from None


_State = TypeVar("_State", bound=StrEnum)
_Event = TypeVar("_Event", bound=StrEnum)


def render_mermaid(table: Mapping[tuple[_State, _Event], _State], *, first: _State, over: frozenset[_State]) -> str:
    """A Mermaid state diagram of a table. Transitions from a state to itself are left out."""
    labels: dict[tuple[_State, _State], list[str]] = {}
    for (state, event), to in table.items():
        if state is not to:
            labels.setdefault((state, to), []).append(event)
    lines = ["stateDiagram-v2", f"    [*] --> {first}"]
    lines += [f"    {state} --> {to}: {', '.join(events)}" for (state, to), events in labels.items()]
    lines += [f"    {state} --> [*]" for state in sorted(over)]
    return "\n".join(lines)


def render_states_page() -> str:
    """`docs/reference/states.md`, the whole of it."""
    requests = render_mermaid(REQUESTS, first=R.PENDING, over=REQUEST_OVER)
    sessions = render_mermaid(SESSIONS, first=S.OPENING, over=OVER)
    return _PAGE.format(requests=_section(requests, REQUESTS), sessions=_section(sessions, SESSIONS))


def _section(diagram: str, table: Mapping[tuple[_State, _Event], _State]) -> str:
    rows = [f"| {state} | {event} | {to} |" for (state, event), to in table.items() if state is not to]
    return "\n".join(["```mermaid", diagram, "```", "", "| state | event | then |", "|---|---|---|", *rows])


_PAGE = """# States

Produced from `src/sekisho/sessions/states.py`, where the theory stands. Do not edit.

## Requests and grants

A request that was approved is the grant. Anything that is not listed is refused before it is tried.

{requests}

## Sessions

What control has recorded of a session, and what it saw. An observation that changes nothing is left out; `destroyed` and `failed` absorb every one.

{sessions}
"""
