"""Who may enter and stay: each promise with its reason."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.policy_samples import ADMIN, ELSEWHERE, GRANT, HANAKO, HOUR, NOW, OFFICE, PLACES, ROOM, TARO, VPN, caller, room

from sekisho.model.people import Person
from sekisho.model.reasons import Reason, sentence
from sekisho.model.session import RequestState, SessionState
from sekisho.policy.enter import EnterFacts, decide_enter, decide_stay
from sekisho.policy.second_factor import NO_PROOF, PROOF_LIFE, Proof
from sekisho.policy.verdict import Allow, Deny

ASKING = room(second_factor=True)
PROVEN = Proof(is_enrolled=True, at=NOW)
SECOND = timedelta(seconds=1)
FACTS = EnterFacts(caller=caller(), is_disabled=False, grant=GRANT, room=ROOM, session=SessionState.READY, kind="terminal", places=PLACES, now=NOW)


def facts(**changed: object) -> EnterFacts:
    return replace(FACTS, **changed)  # type: ignore[arg-type]


def granted(**changed: object) -> EnterFacts:
    return facts(grant=replace(GRANT, **changed))  # type: ignore[arg-type]


_STAY: list[tuple[str, EnterFacts, Reason | None]] = [
    ("as it should be", FACTS, None),
    ("no grant", facts(grant=None), Reason.NO_GRANT),
    ("a room that cannot be read", facts(room=None), Reason.NO_GRANT),
    ("pending", granted(state=RequestState.PENDING), Reason.NO_GRANT),
    ("denied", granted(state=RequestState.DENIED), Reason.NO_GRANT),
    ("withdrawn", granted(state=RequestState.WITHDRAWN), Reason.NO_GRANT),
    ("expired", granted(state=RequestState.EXPIRED), Reason.NO_GRANT),
    ("ended", granted(state=RequestState.ENDED), Reason.TIME_OVER),
    ("another's", facts(caller=caller(TARO)), Reason.NOT_YOURS),
    ("an administrator, for another", facts(caller=caller(ADMIN)), Reason.NOT_YOURS),
    ("disabled", facts(is_disabled=True), Reason.PERSON_DISABLED),
    ("too early", facts(now=NOW - timedelta(microseconds=1)), Reason.NOT_YET),
    ("at the start", facts(now=NOW), None),
    ("just before the end", facts(now=NOW + HOUR - timedelta(microseconds=1)), None),
    ("at the end", facts(now=NOW + HOUR), Reason.TIME_OVER),
    ("another file than was granted", facts(room=replace(ROOM, digest="e" * 64)), Reason.ROOM_FILE_CHANGED),
    ("put out of the group since", facts(caller=caller(Person("hanako"))), Reason.NOT_LISTED),
    ("from outside the place", facts(caller=caller(address=ELSEWHERE)), Reason.OUTSIDE_PLACE),
    ("from another place", facts(caller=caller(address=VPN)), Reason.OUTSIDE_PLACE),
    ("no places at all", facts(room=room(places=())), Reason.OUTSIDE_PLACE),
    ("no second factor where the room asks for none", facts(proof=NO_PROOF), None),
    ("no second factor where the room asks for one", facts(room=ASKING), Reason.SECOND_FACTOR_MISSING),
    ("one that this sign-in never proved", facts(room=ASKING, proof=Proof(is_enrolled=True, at=None)), Reason.SECOND_FACTOR_OLD),
    ("one proven just now", facts(room=ASKING, proof=Proof(is_enrolled=True, at=NOW)), None),
    ("one proven just within its life", facts(room=ASKING, proof=Proof(is_enrolled=True, at=NOW - PROOF_LIFE + SECOND)), None),
    ("one proven too long ago", facts(room=ASKING, proof=Proof(is_enrolled=True, at=NOW - PROOF_LIFE)), Reason.SECOND_FACTOR_OLD),
    ("a proof of a factor that is gone", facts(room=ASKING, proof=Proof(is_enrolled=False, at=NOW)), Reason.SECOND_FACTOR_MISSING),
    ("from outside the place, with a proof", facts(room=ASKING, proof=PROVEN, caller=caller(address=ELSEWHERE)), Reason.OUTSIDE_PLACE),
    ("a kind that is not offered", facts(kind="desktop"), Reason.KIND_NOT_OFFERED),
    ("no kind", facts(kind=""), Reason.KIND_NOT_OFFERED),
    ("a room that offers none", facts(room=replace(ROOM, kinds=())), Reason.KIND_NOT_OFFERED),
]
_ENTER = [
    ("not opened yet", facts(session=None), Reason.SESSION_NOT_READY),
    ("opening", facts(session=SessionState.OPENING), Reason.SESSION_NOT_READY),
    ("staging", facts(session=SessionState.STAGING), Reason.SESSION_NOT_READY),
    ("frozen", facts(session=SessionState.FROZEN), Reason.SESSION_FROZEN),
    ("ending", facts(session=SessionState.ENDING), Reason.SESSION_NOT_READY),
    ("destroyed", facts(session=SessionState.DESTROYED), Reason.SESSION_NOT_READY),
    ("failed", facts(session=SessionState.FAILED), Reason.SESSION_NOT_READY),
]


def _reason(verdict: Allow | Deny) -> Reason | None:
    if isinstance(verdict, Deny):
        assert "?" not in sentence(verdict.reason, verdict.facts), "every fact of the sentence is filled"
        return verdict.reason
    return None


@pytest.mark.parametrize(("given_facts", "reason"), [row[1:] for row in _STAY + _ENTER], ids=[row[0] for row in _STAY + _ENTER])
def test_entry_is_decided_with_its_reason(given_facts: EnterFacts, reason: Reason | None):
    assert _reason(decide_enter(given_facts)) == reason


@pytest.mark.parametrize(("given_facts", "reason"), [row[1:] for row in _STAY], ids=[row[0] for row in _STAY])
def test_who_is_inside_is_asked_the_same(given_facts: EnterFacts, reason: Reason | None):
    assert _reason(decide_stay(given_facts)) == reason


@pytest.mark.parametrize("state", [None, *SessionState])
def test_a_session_that_is_frozen_for_a_while_cuts_nobody(state: SessionState | None):
    assert isinstance(decide_stay(facts(session=state)), Allow)


_ANY = st.builds(
    EnterFacts,
    caller=st.builds(
        caller,
        st.builds(Person, st.sampled_from(["hanako", "taro"]), st.frozensets(st.sampled_from(["marketing", "security"]))),
        st.sampled_from([OFFICE, VPN, ELSEWHERE]),
    ),
    is_disabled=st.booleans(),
    grant=st.one_of(st.none(), st.sampled_from([replace(GRANT, state=state) for state in RequestState])),
    room=st.one_of(st.none(), st.sampled_from([ROOM, room(places=("vpn",)), room(people=("person:taro",)), replace(ROOM, digest="e" * 64), ASKING])),
    session=st.one_of(st.none(), st.sampled_from(SessionState)),
    kind=st.sampled_from(["terminal", "desktop", ""]),
    places=st.sampled_from([PLACES, PLACES[:1], ()]),
    now=st.integers(-90, 90).map(lambda minutes: NOW + timedelta(minutes=minutes)),
    proof=st.builds(Proof, is_enrolled=st.booleans(), at=st.one_of(st.none(), st.integers(-1000, 60).map(lambda minutes: NOW + timedelta(minutes=minutes)))),
)


@given(any_facts=_ANY)
def test_who_is_let_in_has_a_running_grant_of_their_own_for_this_very_room(any_facts: EnterFacts):
    if isinstance(decide_enter(any_facts), Allow):
        grant = any_facts.grant
        assert grant is not None
        assert any_facts.room is not None
        assert grant.state is RequestState.APPROVED
        assert grant.person == any_facts.caller.person.name == HANAKO.name
        assert grant.room_digest == any_facts.room.digest
        assert grant.starts_at <= any_facts.now < grant.ends_at
        assert any_facts.session is SessionState.READY
        assert any_facts.caller.address != ELSEWHERE
        assert not any_facts.is_disabled
        assert not any_facts.room.access.second_factor or (any_facts.proof.is_enrolled and any_facts.proof.at is not None)


@given(any_facts=_ANY)
def test_taking_away_groups_places_or_the_grant_never_lets_anybody_in(any_facts: EnterFacts):
    if isinstance(decide_enter(any_facts), Deny):
        less_person = replace(any_facts.caller, person=replace(any_facts.caller.person, groups=frozenset()))
        for less in (
            replace(any_facts, places=()),
            replace(any_facts, caller=less_person),
            replace(any_facts, grant=None),
            replace(any_facts, is_disabled=True),
            replace(any_facts, proof=NO_PROOF),
        ):
            assert isinstance(decide_enter(less), Deny)
