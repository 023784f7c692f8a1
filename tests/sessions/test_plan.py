"""Single promises of the plan, each in the smallest world that shows it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sekisho.model.session import EndReason, Request, RequestState, Session, SessionState
from sekisho.runtime.protocol import RuntimeState, SessionSeen
from sekisho.sessions import steps
from sekisho.sessions.plan import Facts, LogHealth, OpenConnection, Served, next_instant, plan

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
GRANT = Request("r-one", "campaign", "d", "hanako", "why", "", "10.0.0.7", NOW, NOW - HOUR, NOW + HOUR, RequestState.APPROVED)
ROW = Session("s-one", "r-one", "campaign", "hanako", SessionState.READY, NOW - HOUR, NOW + HOUR, staged_bytes=7)
SEEN = SessionSeen("s-one", RuntimeState.READY, GRANT.ends_at.timestamp(), staged_bytes=7)
CONNECTION = OpenConnection("c-one", "s-one", is_cut=False, is_signed_in=True, sign_in_expires_at=NOW + HOUR, is_disabled=False)
IN_STEP = Facts(
    now=NOW,
    requests=(GRANT,),
    sessions={"s-one": ROW},
    seen={"s-one": SEEN},
    served=Served({"s-one": GRANT.ends_at.timestamp()}, is_told=True),
    connections=(CONNECTION,),
    disabled=frozenset(),
    log=LogHealth(0.0, 0.0),
)
FROZEN = replace(IN_STEP, sessions={"s-one": replace(ROW, state=SessionState.FROZEN)}, seen={"s-one": replace(SEEN, state=RuntimeState.FROZEN)})


def test_a_world_in_step_needs_nothing() -> None:
    assert plan(IN_STEP) == ()


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (replace(IN_STEP, sessions={}, seen={}), (steps.OpenSession,)),
        (replace(IN_STEP, sessions={}, seen={}, log=LogHealth(31, 0)), ()),
        (replace(IN_STEP, sessions={}, seen=None), ()),
        (replace(IN_STEP, sessions={"s-one": replace(ROW, state=SessionState.OPENING)}, seen={}), (steps.CreateSession,)),
        (replace(IN_STEP, sessions={"s-one": replace(ROW, state=SessionState.OPENING)}, seen={}, log=LogHealth(31, 0)), ()),
        (replace(IN_STEP, log=LogHealth(31, 31)), (steps.Freeze,)),
        (replace(IN_STEP, log=LogHealth(3600, 29)), ()),
        (replace(IN_STEP, log=LogHealth(301, 301)), (steps.CutConnection, steps.EndSession, steps.DropEgress, steps.RecordOver, steps.RecordState)),
        (replace(IN_STEP, seen={"s-one": replace(SEEN, state=RuntimeState.CREATING, staged_bytes=0)}), ()),
        (replace(IN_STEP, seen={"s-one": replace(SEEN, staged_bytes=9)}), (steps.RecordState,)),
        (replace(IN_STEP, served=Served({}, is_told=True)), (steps.ServeEgress,)),
        (replace(IN_STEP, served=Served({}, is_told=False)), (steps.KeepEgress,)),
        (replace(IN_STEP, served=None), ()),
        (FROZEN, (steps.Thaw,)),
        (replace(FROZEN, log=LogHealth(31, 0)), ()),
        (replace(IN_STEP, connections=(replace(CONNECTION, is_signed_in=False),)), (steps.CutConnection,)),
        (replace(IN_STEP, connections=(replace(CONNECTION, sign_in_expires_at=NOW),)), (steps.CutConnection,)),
        (replace(IN_STEP, connections=(replace(CONNECTION, is_disabled=True),)), (steps.CutConnection,)),
        (replace(IN_STEP, connections=(replace(CONNECTION, is_signed_in=False, is_cut=True),)), ()),
    ],
)
def test_each_difference_has_its_step(facts: Facts, expected: tuple[type, ...]) -> None:
    assert tuple(type(step) for step in plan(facts)) == expected


@pytest.mark.parametrize(("state", "reason"), [(SessionState.FAILED, EndReason.OPEN_FAILED), (SessionState.DESTROYED, EndReason.ROOM_STOPPED)])
def test_a_grant_whose_session_is_over_is_ended_and_never_opened_again(state: SessionState, reason: EndReason) -> None:
    facts = replace(IN_STEP, sessions={"s-one": replace(ROW, state=state)}, seen={}, served=None, connections=())
    assert plan(facts) == (steps.RecordOver("r-one", reason),)


def test_a_grant_that_has_not_begun_wants_nothing_yet() -> None:
    later = replace(GRANT, starts_at=NOW + timedelta(seconds=1))
    facts = replace(IN_STEP, requests=(later,), sessions={}, seen={}, served=None, connections=())
    assert plan(facts) == ()
    assert next_instant(facts) == later.starts_at


def test_what_egress_serves_for_nobody_is_dropped() -> None:
    served = Served({"s-one": GRANT.ends_at.timestamp(), "s-stray": 0.0}, is_told=True)
    assert plan(replace(IN_STEP, served=served)) == (steps.DropEgress("s-stray"),)
