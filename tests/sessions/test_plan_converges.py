"""The plan against a small world of a store, an agent, an egress and a log, in which anything may stop between any two steps: it always converges."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.model.session import EndReason, Request, RequestState, Session, SessionState, request_id, session_id
from sekisho.runtime.protocol import RuntimeState, SessionSeen
from sekisho.sessions import plan as planning
from sekisho.sessions import states, steps
from sekisho.sessions.plan import Facts, LogHealth, OpenConnection, Served

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
AGES = {RuntimeState.CREATING: RuntimeState.STAGING, RuntimeState.STAGING: RuntimeState.READY, RuntimeState.ENDING: RuntimeState.DESTROYED}
NAMES = ("r-a", "r-b", "r-c")


def a_request(name: str, *, starts: int = 0, ends: int = 600, state: RequestState = RequestState.PENDING) -> Request:
    at = {"asked_at": START, "starts_at": START + timedelta(seconds=starts), "ends_at": START + timedelta(seconds=ends)}
    return Request(id=name, room="campaign", room_digest="d", person=f"person-of-{name}", reason="why", ticket="", address="10.0.0.1", state=state, **at)


@dataclass
class World:
    now: datetime = START
    requests: dict[str, Request] = field(default_factory=dict)
    rows: dict[str, Session] = field(default_factory=dict)
    agent: dict[str, SessionSeen] = field(default_factory=dict)
    agent_is_here: bool = True
    served: dict[str, float] = field(default_factory=dict)
    egress_is_here: bool = True
    told: dict[str, float] = field(default_factory=dict)  # what control remembers of what it told egress
    is_told: bool = False
    connections: dict[str, OpenConnection] = field(default_factory=dict)
    disabled: set[str] = field(default_factory=set)
    stalled_since: datetime | None = None
    is_agent_fresh: bool = False  # it was restarted, and has not heard from its shims yet
    created: Counter[str] = field(default_factory=Counter)

    def facts(self) -> Facts:
        stalled = (self.now - self.stalled_since).total_seconds() if self.stalled_since else 0.0
        served = {session: self.told.get(session, 0.0) for session in self.served}
        return Facts(
            now=self.now,
            requests=tuple(self.requests.values()),
            sessions=self.rows,
            seen=self.shown() if self.agent_is_here else None,
            served=Served(served, self.is_told) if self.egress_is_here else None,
            connections=tuple(self.connections.values()),
            disabled=frozenset(self.disabled),
            log=LogHealth(stalled, stalled),
        )

    def shown(self) -> dict[str, SessionSeen]:
        """What the agent says it runs."""
        if not self.is_agent_fresh:
            return dict(self.agent)
        return {session: seen if seen.state in planning.RUNTIME_OVER else replace(seen, state=RuntimeState.CREATING) for session, seen in self.agent.items()}

    def perform(self, step: steps.Step) -> None:  # noqa: C901, PLR0912  one arm a step
        match step:
            case steps.CutConnection(connection, _, _):
                self.connections[connection] = replace(self.connections[connection], is_cut=True)
            case steps.EndSession(session, reason):
                self._see(session, state=RuntimeState.ENDING, end_reason=reason)
            case steps.DropEgress(session):
                self.served.pop(session, None)
            case steps.RecordOver(request, reason):
                self._end(request, reason)
            case steps.ExpireRequest(request):
                found = self.requests[request]
                self.requests[request] = replace(found, state=states.request_after(found.state, states.RequestEvent.EXPIRED))
            case steps.RecordState():
                self._record(step)
            case steps.Forget(session):
                if self.agent_is_here and self.agent[session].state in planning.RUNTIME_OVER:
                    del self.agent[session]
            case steps.Freeze(session):
                self._see(session, state=RuntimeState.FROZEN)
            case steps.Thaw(session):
                self._see(session, state=RuntimeState.READY)
            case steps.ExtendSession(session, ends_at):
                self._see(session, ends_at=ends_at.timestamp())
            case steps.KeepEgress(sessions):
                self.served = {session: at for session, at in self.served.items() if session in sessions}
                self.is_told = True
            case steps.ServeEgress(session, ends_at, _):
                if self.agent_is_here and session in self.agent:
                    self.served[session] = self.told[session] = ends_at.timestamp()
            case steps.OpenSession(request):
                self._open(self.requests[request])
            case steps.CreateSession(session):
                self._create(session)

    def _see(self, session: str, **changes: object) -> None:
        if self.agent_is_here and session in self.agent and self.agent[session].state not in planning.RUNTIME_OVER:
            self.agent[session] = replace(self.agent[session], **changes)  # type: ignore[arg-type]

    def _end(self, request: str, reason: EndReason) -> None:
        found = self.requests[request]
        if found.state is RequestState.APPROVED:
            self.requests[request] = replace(found, state=RequestState.ENDED, end_reason=reason)

    def _record(self, step: steps.RecordState) -> None:
        row = self.rows[step.session]
        after = states.session_after(row.state, step.event)
        seen = step.seen
        self.rows[row.id] = replace(row, state=after, staged_bytes=seen.staged_bytes if seen else row.staged_bytes)
        if after in states.OVER:
            self._end(row.request, (seen.end_reason if seen else None) or EndReason.SHIM_LOST)

    def _open(self, request: Request) -> None:
        session = session_id(request.id)
        assert session not in self.rows
        self.rows[session] = Session(session, request.id, request.room, request.person, SessionState.OPENING, request.starts_at, request.ends_at)

    def _create(self, session: str) -> None:
        if not self.agent_is_here or session in self.agent:
            return
        self.created[session] += 1
        ends_at = self.requests[self.rows[session].request].ends_at.timestamp()
        self.agent[session] = SessionSeen(session, RuntimeState.CREATING, ends_at)

    # what others do

    def wait(self, seconds: int) -> None:
        """Time passes; a shim ends its session at its deadline, whoever else is dead."""
        self.now += timedelta(seconds=seconds)
        for session, seen in self.agent.items():
            if seen.ends_at <= self.now.timestamp() and seen.state not in planning.RUNTIME_OVER:
                self.agent[session] = replace(seen, state=RuntimeState.DESTROYED, end_reason=seen.end_reason or EndReason.TIME_OVER)

    def work(self) -> None:
        """Each session of the agent goes one step on."""
        self.is_agent_fresh = False
        for session, seen in self.agent.items():
            self.agent[session] = replace(seen, state=AGES.get(seen.state, seen.state), staged_bytes=7)

    def fail(self, session: str) -> None:
        if session in self.agent and self.agent[session].state in (RuntimeState.CREATING, RuntimeState.STAGING):
            self.agent[session] = replace(self.agent[session], state=RuntimeState.FAILED, end_reason=EndReason.FILES_FAILED)

    def restart_control(self) -> None:
        self.told, self.is_told = {}, False

    def restart_egress(self) -> None:
        self.egress_is_here = True
        self.served, self.told, self.is_told = {}, {}, False

    def run_control(self, kill_after: int | None = None) -> bool:
        """One round; control is killed after so many steps. Was there anything to do?"""
        steps = planning.plan(self.facts())
        for step in steps[:kill_after]:
            self.perform(step)
        if kill_after is not None:
            self.restart_control()
        return bool(steps)

    def settle(self) -> None:
        self.agent_is_here, self.egress_is_here, self.stalled_since = True, True, None
        for _ in range(40):
            self.work()
            if not self.run_control() and not any(seen.state in AGES for seen in self.agent.values()):
                return
        raise AssertionError(f"does not converge: {planning.plan(self.facts())}")


def _approve(world: World, name: str) -> None:
    if world.requests[name].state is RequestState.PENDING and world.requests[name].ends_at > world.now:
        world.requests[name] = replace(world.requests[name], state=RequestState.APPROVED)


def _revoke(world: World, name: str) -> None:
    world._end(name, EndReason.ENDED_BY_APPROVER)


def _extend(world: World, name: str) -> None:
    request = world.requests[name]
    if request.state is RequestState.APPROVED and request.ends_at > world.now:
        world.requests[name] = replace(request, ends_at=request.ends_at + timedelta(seconds=300))


def _lose(world: World, name: str) -> None:
    """The machine was started again: nothing of what ran is left, nor known."""
    row = world.rows.get(session_id(name))
    if row is not None and row.state is not SessionState.OPENING:
        world.agent.pop(row.id, None)
        world.served.pop(row.id, None)


def _enter(world: World, name: str) -> None:
    row = world.rows.get(session_id(name))
    if row is not None and row.state is SessionState.READY and world.requests[name].state is RequestState.APPROVED:
        key = f"c-{len(world.connections)}"
        world.connections[key] = OpenConnection(key, row.id, False, True, START + timedelta(hours=2), False)


def _rogue(world: World, name: str) -> None:
    """The store was put back from a copy: the agent runs something that nobody has written down."""
    if world.agent_is_here:
        world.agent["s-rogue"] = SessionSeen("s-rogue", RuntimeState.READY, (world.now + timedelta(hours=1)).timestamp())


def _stall(world: World, name: str) -> None:
    world.stalled_since = world.stalled_since or world.now


def _resume(world: World, name: str) -> None:
    world.stalled_since = None


def _toggle_agent(world: World, name: str) -> None:
    world.agent_is_here = not world.agent_is_here
    world.is_agent_fresh = True


def _toggle_egress(world: World, name: str) -> None:
    if world.egress_is_here:
        world.egress_is_here = False
    else:
        world.restart_egress()


ACTS: tuple[Callable[[World, str], None], ...] = (
    *(_approve, _revoke, _extend, _lose, _enter, _rogue, _stall, _resume, _toggle_agent, _toggle_egress),
    lambda world, name: world.work(),
    lambda world, name: world.fail(session_id(name)),
    lambda world, name: world.disabled.add(world.requests[name].person),
)

an_act = st.tuples(st.just("act"), st.integers(0, len(ACTS) - 1), st.sampled_from(NAMES))
a_wait = st.tuples(st.just("wait"), st.sampled_from([1, 31, 120, 301, 700]), st.just(""))
a_round = st.tuples(st.just("round"), st.one_of(st.none(), st.integers(0, 6)), st.just(""))
a_history = st.lists(st.one_of(an_act, a_wait, a_round, a_round), max_size=40)


def play(history: list[tuple[str, int | None, str]], *, is_running: bool) -> World:
    """From a world where nothing was granted yet, or from one where two sessions run and people are in them."""
    world = World(requests={name: a_request(name, starts=120 * (i // 2), ends=600 + 120 * i) for i, name in enumerate(NAMES)})
    if is_running:
        for name in NAMES[:2]:
            _approve(world, name)
        world.settle()
        for name in NAMES[:2]:
            _enter(world, name)
    for what, number, name in history:
        match what:
            case "act":
                assert number is not None
                ACTS[number](world, name)
            case "wait":
                world.wait(number or 0)
            case _:
                world.run_control(number)
        assert_nothing_outlives_its_grant(world)
        assert_steps_are_safe(world)
    return world


def assert_nothing_outlives_its_grant(world: World) -> None:
    assert all(count == 1 for count in world.created.values()), "one grant, one session"
    for seen in world.agent.values():
        assert seen.state in planning.RUNTIME_OVER or seen.ends_at > world.now.timestamp()


def assert_steps_are_safe(world: World) -> None:
    """What closes comes first and is the same without the log; what opens waits for it; nothing is forgotten before it was written down."""
    found = planning.plan(world.facts())
    ranks = [steps.ORDER.index(type(step)) for step in found]
    assert ranks == sorted(ranks)
    stalled = planning.plan(replace(world.facts(), log=LogHealth(200.0, 200.0)))
    closing = (steps.CutConnection, steps.EndSession, steps.DropEgress)
    if world.stalled_since is None:
        assert [step for step in found if isinstance(step, closing)] == [step for step in stalled if isinstance(step, closing)]
    assert not [step for step in stalled if isinstance(step, (steps.OpenSession, steps.CreateSession, steps.Thaw, steps.ServeEgress))]
    forgotten = [step.session for step in found if isinstance(step, steps.Forget)]
    assert all(session not in world.rows or world.rows[session].state in states.OVER for session in forgotten)


def wanted(world: World) -> set[str]:
    def is_wanted(request: Request) -> bool:
        return request.state is RequestState.APPROVED and request.starts_at <= world.now < request.ends_at

    return {session_id(request.id) for request in world.requests.values() if is_wanted(request)}


@given(a_history, st.booleans())
@settings(max_examples=300, deadline=None)
def test_control_may_be_killed_between_any_two_steps_and_always_converges(history: list[tuple[str, int | None, str]], is_running: bool) -> None:  # noqa: FBT001
    world = play(history, is_running=is_running)
    world.settle()
    assert_nothing_outlives_its_grant(world)
    assert set(world.agent) == wanted(world) == set(world.served)
    assert all(seen.state is RuntimeState.READY for seen in world.agent.values())
    assert {row.id for row in world.rows.values() if row.state not in states.OVER} == wanted(world)
    for request in world.requests.values():
        assert request.state is not RequestState.APPROVED or request.ends_at > world.now
        assert request.person not in world.disabled or session_id(request.id) not in world.agent
    assert all(c.is_cut for c in world.connections.values() if c.session not in wanted(world))
    assert all(seen.ends_at == world.requests[request_id(seen.session)].ends_at.timestamp() == world.served[seen.session] for seen in world.agent.values())
