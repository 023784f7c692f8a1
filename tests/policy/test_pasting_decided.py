"""What may be pasted into a room: each promise with its reason."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.policy_samples import ELSEWHERE, GRANT, HOUR, NOW, OFFICE, PLACES, ROOM, TARO, caller

from sekisho.model.reasons import Reason, sentence
from sekisho.model.room import Clipboard
from sekisho.model.session import RequestState, SessionState
from sekisho.policy.clipboard import PASTE_LIMIT_BYTES, PASTES_IN_WINDOW, PasteFacts, decide_paste
from sekisho.policy.enter import EnterFacts, decide_enter
from sekisho.policy.verdict import Allow, Deny

INSIDE = EnterFacts(caller=caller(), is_disabled=False, grant=GRANT, room=ROOM, session=SessionState.READY, kind="terminal", places=PLACES, now=NOW)
FACTS = PasteFacts(INSIDE, size_bytes=1, recent=0)
NO_PASTE = replace(ROOM, clipboard=Clipboard(paste_in=False))


def inside(**changed: object) -> PasteFacts:
    return replace(FACTS, inside=replace(INSIDE, **changed))  # type: ignore[arg-type]


_TABLE: list[tuple[str, PasteFacts, Reason | None]] = [
    ("as it should be", FACTS, None),
    ("as much as may be", replace(FACTS, size_bytes=PASTE_LIMIT_BYTES), None),
    ("a byte more", replace(FACTS, size_bytes=PASTE_LIMIT_BYTES + 1), Reason.PASTE_TOO_LONG),
    ("nothing", replace(FACTS, size_bytes=0), Reason.PASTE_EMPTY),
    ("less than nothing", replace(FACTS, size_bytes=-1), Reason.PASTE_EMPTY),
    ("the last of a minute", replace(FACTS, recent=PASTES_IN_WINDOW - 1), None),
    ("one more", replace(FACTS, recent=PASTES_IN_WINDOW), Reason.PASTE_TOO_OFTEN),
    ("a room that takes nothing", inside(room=NO_PASTE), Reason.PASTE_NOT_ALLOWED),
    ("a room that takes nothing, too much", replace(inside(room=NO_PASTE), size_bytes=1 << 30), Reason.PASTE_NOT_ALLOWED),
    ("frozen", inside(session=SessionState.FROZEN), Reason.SESSION_FROZEN),
    ("ending", inside(session=SessionState.ENDING), Reason.SESSION_NOT_READY),
    ("no grant", inside(grant=None), Reason.NO_GRANT),
    ("ended", inside(grant=replace(GRANT, state=RequestState.ENDED)), Reason.TIME_OVER),
    ("time over", inside(now=NOW + HOUR), Reason.TIME_OVER),
    ("another's", inside(caller=caller(TARO)), Reason.NOT_YOURS),
    ("disabled", inside(is_disabled=True), Reason.PERSON_DISABLED),
    ("from outside the place", inside(caller=caller(address=ELSEWHERE)), Reason.OUTSIDE_PLACE),
    ("a kind that is not offered", inside(kind="desktop"), Reason.KIND_NOT_OFFERED),
]


@pytest.mark.parametrize(("facts", "reason"), [row[1:] for row in _TABLE], ids=[row[0] for row in _TABLE])
def test_a_paste_is_decided_with_its_reason(facts: PasteFacts, reason: Reason | None):
    verdict = decide_paste(facts)
    assert (verdict.reason if isinstance(verdict, Deny) else None) == reason
    if isinstance(verdict, Deny):
        assert "?" not in sentence(verdict.reason, verdict.facts), "every fact of the sentence is filled"


_ANY = st.builds(
    PasteFacts,
    inside=st.builds(
        replace,
        st.just(INSIDE),
        caller=st.sampled_from([caller(), caller(TARO), caller(address=ELSEWHERE)]),
        grant=st.one_of(st.none(), st.sampled_from([replace(GRANT, state=state) for state in RequestState])),
        room=st.sampled_from([None, ROOM, NO_PASTE]),
        session=st.one_of(st.none(), st.sampled_from(SessionState)),
        kind=st.sampled_from(["terminal", "desktop"]),
        places=st.sampled_from([PLACES, ()]),
    ),
    size_bytes=st.integers(-1, PASTE_LIMIT_BYTES + 2),
    recent=st.integers(0, PASTES_IN_WINDOW + 1),
)


@given(facts=_ANY)
def test_who_may_not_come_in_pastes_nothing_and_what_may_be_is_within_every_limit(facts: PasteFacts):
    if isinstance(decide_paste(facts), Allow):
        assert isinstance(decide_enter(facts.inside), Allow)
        assert facts.inside.caller.address == OFFICE
        assert facts.inside.room == ROOM
        assert 0 < facts.size_bytes <= PASTE_LIMIT_BYTES
        assert facts.recent < PASTES_IN_WINDOW


@given(facts=_ANY)
def test_more_text_more_often_into_a_stricter_room_is_never_let_in(facts: PasteFacts):
    if isinstance(decide_paste(facts), Deny) and facts.size_bytes > 0:
        for less in (
            replace(facts, size_bytes=facts.size_bytes + 1),
            replace(facts, recent=facts.recent + 1),
            replace(facts, inside=replace(facts.inside, room=NO_PASTE)),
            replace(facts, inside=replace(facts.inside, grant=None)),
            replace(facts, inside=replace(facts.inside, places=())),
        ):
            assert isinstance(decide_paste(less), Deny)
