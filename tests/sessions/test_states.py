"""The state tables: no sequence of events leaves them, and what is over stays over."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.model.session import RequestState, SessionState
from sekisho.runtime.protocol import RuntimeState
from sekisho.sessions import states
from sekisho.sessions.states import Impossible, RequestEvent, SessionEvent

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "states.md"


@given(st.lists(st.sampled_from(RequestEvent), max_size=12))
@settings(max_examples=100)
def test_no_sequence_of_acts_leaves_the_table_of_requests(events: list[RequestEvent]) -> None:
    state = RequestState.PENDING
    for event in events:
        try:
            after = states.request_after(state, event)
        except Impossible:
            assert (state, event) not in states.REQUESTS
            continue
        assert state not in states.REQUEST_OVER
        state = after


@given(st.lists(st.sampled_from(SessionEvent), max_size=12))
@settings(max_examples=200)
def test_no_sequence_of_observations_leaves_the_table_of_sessions(events: list[SessionEvent]) -> None:
    state, was_ending = SessionState.OPENING, False
    for event in events:
        try:
            after = states.session_after(state, event)
        except Impossible:
            continue
        if state in states.OVER:
            assert after is state
        if was_ending:
            assert after is SessionState.ENDING or after in states.OVER
        was_ending = was_ending or after is SessionState.ENDING
        state = after


@pytest.mark.parametrize("state", [s for s in SessionState if s not in states.OVER])
@pytest.mark.parametrize("seen", [RuntimeState.ENDING, RuntimeState.DESTROYED, RuntimeState.FAILED])
def test_a_session_can_be_seen_to_end_from_every_state(state: SessionState, seen: RuntimeState) -> None:
    assert states.session_after(state, states.OBSERVED[seen]) == SessionState(seen)


@pytest.mark.parametrize("state", SessionState)
def test_every_session_can_be_ended_and_found_gone_whatever_its_state(state: SessionState) -> None:
    assert states.session_after(state, SessionEvent.END) in {SessionState.ENDING, *states.OVER}
    assert states.session_after(state, SessionEvent.GONE) in states.OVER


def test_a_ready_session_never_goes_back_to_staging() -> None:
    with pytest.raises(Impossible):
        states.session_after(SessionState.READY, SessionEvent.SEEN_STAGING)


@pytest.mark.parametrize("over", sorted(states.REQUEST_OVER))
@pytest.mark.parametrize("event", RequestEvent)
def test_a_request_that_is_over_has_no_way_out(over: RequestState, event: RequestEvent) -> None:
    with pytest.raises(Impossible):
        states.request_after(over, event)


def test_every_state_is_in_its_diagram() -> None:
    page = states.render_states_page()
    for state in (*RequestState, *SessionState):
        assert f" {state}" in page


def test_the_states_page_is_current() -> None:
    assert PAGE.read_text() == states.render_states_page()
