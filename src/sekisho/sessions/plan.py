"""The plan: what the grants want against what is recorded, running and served, and the steps that lie between. Pure.

Level-triggered. `plan` looks at the world as it is now and remembers nothing, so it may be run twice, and whoever performs its steps may be killed between
any two of them. A step is safe to repeat, and each is emitted until the world shows that it happened.

Order. Steps that close come first, and none of them waits for the log, for the database or for another step. Then what must be written down. Then
what keeps a session in step with its grant. What opens comes last, and only while the log takes entries and the runtime answers.

One session a grant: a session has the id of its grant, is made only while its row is `opening`, and its row never leaves `destroyed` or `failed`
(`sessions.states`). The runtime forgets a session only after its end was recorded, so a session that was recorded as over is never made again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sekisho.model.reasons import Reason
from sekisho.model.session import EndReason, Request, RequestState, Session, SessionState, session_id
from sekisho.runtime.protocol import RuntimeState, SessionSeen
from sekisho.sessions.states import OBSERVED, OVER, SESSIONS, SessionEvent
from sekisho.sessions.steps import (
    ORDER,
    CreateSession,
    CutConnection,
    DropEgress,
    EndSession,
    ExpireRequest,
    ExtendSession,
    Forget,
    Freeze,
    KeepEgress,
    OpenSession,
    RecordOver,
    RecordState,
    ServeEgress,
    Step,
    Thaw,
)

FREEZE_AFTER_SECONDS = 30.0  # design, law 4: no record, no room
END_AFTER_SECONDS = 300.0
_SAME_SECONDS = 0.001  # times travel as floats

RUNTIME_OVER = frozenset({RuntimeState.DESTROYED, RuntimeState.FAILED})


@dataclass(frozen=True, slots=True)
class LogHealth:
    """`waiting_seconds`: the age of the oldest event that the log has not taken. `stalled_seconds`: for how long it took none although some wait, as
    far as this process saw; so a backlog from before a restart freezes nothing, and yet thaws nothing."""

    waiting_seconds: float
    stalled_seconds: float

    @property
    def may_open(self) -> bool:
        return self.waiting_seconds <= FREEZE_AFTER_SECONDS


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """A connection that nobody has closed yet, and the standing of who came through it."""

    id: str
    session: str
    is_cut: bool  # told to close already
    is_signed_in: bool
    sign_in_expires_at: datetime
    is_disabled: bool  # the person


@dataclass(frozen=True, slots=True)
class Served:
    """What egress holds. `ends_at` maps each session to the deadline it was last told, 0.0 if not since it connected; `is_told` once it knows what to keep."""

    ends_at: Mapping[str, float]
    is_told: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """The world at one instant. `seen` and `served` are None while the agent or egress is away. `requests` holds at least every pending and approved one,
    and that of every session below; `sessions` every row that is not over, and the row of every session in `seen` and of every approved request."""

    now: datetime
    requests: tuple[Request, ...]
    sessions: Mapping[str, Session]
    seen: Mapping[str, SessionSeen] | None
    served: Served | None
    connections: tuple[OpenConnection, ...]
    disabled: frozenset[str]  # people
    log: LogHealth


def plan(facts: Facts) -> tuple[Step, ...]:
    """The steps from the world as it is to the world as the grants want it, in order; empty when they agree."""
    cases = [*_cases(facts)]
    steps = [step for case in cases for step in _steps(case, facts)]
    steps += _lost_standing(facts, {case.session for case in cases if not case.is_wanted})
    steps += _egress_at_large(facts, cases)
    return tuple(sorted(steps, key=lambda step: ORDER.index(type(step))))


def next_instant(facts: Facts) -> datetime | None:
    """When the plan will next change by time alone, as far as requests and sign-ins say; None if by time never."""
    instants = [at for request in facts.requests if request.state in _ALIVE for at in (request.starts_at, request.ends_at)]
    instants += [connection.sign_in_expires_at for connection in facts.connections if not connection.is_cut]
    return min((at for at in instants if at > facts.now), default=None)


_ALIVE = frozenset({RequestState.PENDING, RequestState.APPROVED})


@dataclass(frozen=True, slots=True)
class _Case:
    """One session that is wanted, recorded, or seen: the three sides by side. `over` says why it is not wanted."""

    session: str
    request: Request | None
    row: Session | None
    seen: SessionSeen | None
    is_wanted: bool
    over: EndReason

    @property
    def is_recorded_live(self) -> bool:
        return self.row is not None and self.row.state not in OVER

    @property
    def is_seen_live(self) -> bool:
        return self.seen is not None and self.seen.state not in RUNTIME_OVER


def _cases(facts: Facts) -> Iterator[_Case]:
    requests = {session_id(request.id): request for request in facts.requests}
    seen = facts.seen or {}
    for session in sorted({*requests, *facts.sessions, *seen}):
        request, row = requests.get(session), facts.sessions.get(session)
        over = _over(request, row, facts)
        yield _Case(session, request, row, seen.get(session), over is None, over or EndReason.NO_GRANT)


def _over(request: Request | None, row: Session | None, facts: Facts) -> EndReason | None:  # noqa: PLR0911  precedence is one list in one function
    """Why this session may not be; None if its grant is in force."""
    if request is None or request.state not in (RequestState.APPROVED, RequestState.ENDED):
        return EndReason.NO_GRANT
    if request.state is RequestState.ENDED:
        return request.end_reason or EndReason.NO_GRANT
    if request.ends_at <= facts.now:
        return EndReason.TIME_OVER
    if request.person in facts.disabled:
        return EndReason.PERSON_DISABLED
    if row is not None and row.state in OVER:
        return EndReason.OPEN_FAILED if row.state is SessionState.FAILED else EndReason.ROOM_STOPPED
    if row is not None and facts.log.stalled_seconds > END_AFTER_SECONDS:
        return EndReason.LOG_UNAVAILABLE
    return EndReason.NO_GRANT if request.starts_at > facts.now else None


def _steps(case: _Case, facts: Facts) -> Iterator[Step]:
    if case.is_wanted:
        yield from _toward(case, facts)
    else:
        yield from _away_from(case, facts)
    if case.seen is not None and case.seen.state in RUNTIME_OVER and _is_written(case):
        yield Forget(case.session)


def _is_written(case: _Case) -> bool:
    """Is there nothing left to record of a session that the runtime shows as over?"""
    if case.row is not None:
        return case.row.state in OVER
    return case.request is None or case.request.state is not RequestState.APPROVED


def _away_from(case: _Case, facts: Facts) -> Iterator[Step]:
    """No grant wants it: cut, end, drop, write down."""
    yield from (CutConnection(c.id, c.session, case.over) for c in facts.connections if c.session == case.session and not c.is_cut)
    if case.is_seen_live and case.seen is not None and case.seen.state is not RuntimeState.ENDING:
        yield EndSession(case.session, case.over)
    if facts.served is not None and case.session in facts.served.ends_at:
        yield DropEgress(case.session)
    if case.request is not None:
        yield from _request_over(case.request, case.over, facts)
    if case.is_recorded_live:
        yield from _record_end(case, facts)


def _request_over(request: Request, over: EndReason, facts: Facts) -> Iterator[Step]:
    if request.state is RequestState.PENDING and request.ends_at <= facts.now:
        yield ExpireRequest(request.id)
    if request.state is RequestState.APPROVED and over is not EndReason.NO_GRANT:
        yield RecordOver(request.id, over)


def _record_end(case: _Case, facts: Facts) -> Iterator[Step]:
    assert case.row is not None
    if facts.seen is not None and case.seen is None:
        yield RecordState(case.session, SessionEvent.GONE, None)
    elif case.seen is not None and not case.is_seen_live:
        yield RecordState(case.session, OBSERVED[case.seen.state], case.seen)
    elif case.row.state is not SessionState.ENDING:
        yield RecordState(case.session, SessionEvent.END, None)


def _toward(case: _Case, facts: Facts) -> Iterator[Step]:
    """A grant wants it: open, follow, keep in step."""
    if facts.seen is None:
        return
    if case.row is None:
        if facts.log.may_open:
            yield OpenSession(_of(case.request).id)
    elif case.seen is not None:
        yield from _follow(case, facts)
    elif case.row.state is not SessionState.OPENING:
        yield RecordState(case.session, SessionEvent.GONE, None)
    elif facts.log.may_open:
        yield CreateSession(case.session)


def _follow(case: _Case, facts: Facts) -> Iterator[Step]:
    assert case.row is not None
    assert case.seen is not None
    request, seen = _of(case.request), case.seen
    yield from _record_seen(case.row, seen)
    if not case.is_seen_live or seen.state is RuntimeState.ENDING:
        return
    if abs(request.ends_at.timestamp() - seen.ends_at) > _SAME_SECONDS:
        yield ExtendSession(case.session, request.ends_at)
    if seen.state is RuntimeState.READY and facts.log.stalled_seconds > FREEZE_AFTER_SECONDS:
        yield Freeze(case.session)
    if seen.state is RuntimeState.FROZEN and facts.log.may_open:
        yield Thaw(case.session)
    yield from _serve(case.session, seen, request, facts)


def _record_seen(row: Session, seen: SessionSeen) -> Iterator[Step]:
    event = OBSERVED[seen.state]
    if SESSIONS.get((row.state, event)) is not row.state:
        yield RecordState(row.id, event, seen)
    elif seen.state is not RuntimeState.CREATING and (row.staged_bytes, row.staged_total_bytes, row.staged_files) != (
        seen.staged_bytes,
        seen.staged_total_bytes,
        seen.staged_files,
    ):
        yield RecordState(row.id, event, seen, is_progress=True)


def _serve(session: str, seen: SessionSeen, request: Request, facts: Facts) -> Iterator[Step]:
    """Once ready, its egress; the deadline again whenever it moved."""
    if facts.served is None or not facts.served.is_told or not facts.log.may_open:
        return
    told = facts.served.ends_at.get(session)
    if told is None and seen.state is RuntimeState.READY:
        yield ServeEgress(session, request.ends_at, is_served=False)
    if told is not None and abs(told - request.ends_at.timestamp()) > _SAME_SECONDS:
        yield ServeEgress(session, request.ends_at, is_served=True)


def _lost_standing(facts: Facts, unwanted: set[str]) -> Iterator[Step]:
    """Connections of sessions that go on, whose person may not be here any longer."""
    for connection in facts.connections:
        if connection.is_cut or connection.session in unwanted:
            continue
        if connection.is_disabled:
            yield CutConnection(connection.id, connection.session, Reason.PERSON_DISABLED)
        elif not connection.is_signed_in or connection.sign_in_expires_at <= facts.now:
            yield CutConnection(connection.id, connection.session, Reason.NOT_SIGNED_IN)


def _egress_at_large(facts: Facts, cases: list[_Case]) -> Iterator[Step]:
    """What egress serves for sessions that nobody knows, and, once after it came, what it may keep."""
    if facts.served is None:
        return
    known = {case.session for case in cases}
    yield from (DropEgress(session) for session in sorted(facts.served.ends_at) if session not in known)
    if not facts.served.is_told:
        yield KeepEgress(tuple(case.session for case in cases if case.is_wanted))


def _of(request: Request | None) -> Request:
    assert request is not None, "only a grant is wanted"
    return request
