"""Who may approve, deny, extend and end what: each promise with its reason."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.policy_samples import ADMIN, AOI, GRANT, HANAKO, HOUR, MINUTE, NOW, REQUEST, ROOM, TARO, approval, room

from sekisho.model.people import Person
from sekisho.model.reasons import Reason, sentence
from sekisho.model.session import Request, RequestState
from sekisho.policy.approve import DecisionFacts, ExtensionFacts, decide_approve, decide_deny, decide_end, decide_extend, decide_leave, decide_withdraw
from sekisho.policy.second_factor import PROOF_LIFE, Proof
from sekisho.policy.verdict import Allow, Deny

FACTS = DecisionFacts(person=TARO, request=REQUEST, room=ROOM, is_room_in_force=True, note="", now=NOW)
ASKING = room(second_factor=True)
PROVEN = Proof(is_enrolled=True, at=NOW)
BOTH = Person("hanako", frozenset({"marketing", "security", "administrators", "auditors"}))


def facts(**changed: object) -> DecisionFacts:
    return replace(FACTS, **changed)  # type: ignore[arg-type]


def asked(state: RequestState, **changed: object) -> Request:
    return replace(REQUEST, state=state, **changed)  # type: ignore[arg-type]


_SHARED: list[tuple[str, DecisionFacts, Reason | None]] = [
    ("their own, whatever groups they are in", facts(person=BOTH), Reason.OWN_REQUEST),
    ("their own, listed by name", facts(person=HANAKO, room=approval(by=("person:hanako",))), Reason.OWN_REQUEST),
    ("not among the approvers", facts(person=Person("grace", frozenset({"marketing"}))), Reason.NOT_APPROVER),
    ("an administrator is no approver", facts(person=ADMIN), Reason.NOT_APPROVER),
    ("an auditor is no approver", facts(person=AOI), Reason.NOT_APPROVER),
    ("nobody is listed", facts(room=approval(by=())), Reason.NOT_APPROVER),
    ("granted already", facts(request=asked(RequestState.APPROVED)), Reason.ALREADY_DECIDED),
    ("denied already", facts(request=asked(RequestState.DENIED)), Reason.ALREADY_DECIDED),
    ("withdrawn already", facts(request=asked(RequestState.WITHDRAWN)), Reason.ALREADY_DECIDED),
    ("expired already", facts(request=asked(RequestState.EXPIRED)), Reason.ALREADY_DECIDED),
    ("ended already", facts(request=asked(RequestState.ENDED)), Reason.ALREADY_DECIDED),
    ("its time is over", facts(now=NOW + HOUR), Reason.ALREADY_DECIDED),
    ("a note too long", facts(note="a" * 501), Reason.NOTE_TOO_LONG),
    ("a note with a control character", facts(note="no\x1b[1m"), Reason.TEXT_MALFORMED),
]
_APPROVE: list[tuple[str, DecisionFacts, Reason | None]] = [
    ("as it should be", FACTS, None),
    ("with a note", facts(note="seen with the owner"), None),
    ("just before its time is over", facts(now=NOW + HOUR - timedelta(microseconds=1)), None),
    ("the room's file is another now", facts(request=replace(REQUEST, room_digest="e" * 64)), Reason.ROOM_FILE_CHANGED),
    ("there is no such room any more", facts(is_room_in_force=False), Reason.ROOM_FILE_CHANGED),
    ("the asker was disabled", facts(is_person_disabled=True), Reason.PERSON_DISABLED),
    ("the same approver twice", facts(request=replace(REQUEST, approvals=("taro",)), room=approval(needed=2)), Reason.ALREADY_DECIDED),
    ("another approver", facts(request=replace(REQUEST, approvals=("grace",)), room=approval(needed=2)), None),
    ("without a second factor where the room asks for one", facts(room=ASKING), Reason.SECOND_FACTOR_MISSING),
    ("with one that this sign-in did not prove", facts(room=ASKING, proof=Proof(is_enrolled=True, at=None)), Reason.SECOND_FACTOR_OLD),
    ("with one proven too long ago", facts(room=ASKING, proof=Proof(is_enrolled=True, at=NOW - PROOF_LIFE)), Reason.SECOND_FACTOR_OLD),
    ("with one proven", facts(room=ASKING, proof=PROVEN), None),
    ("with one proven, their own", facts(room=ASKING, proof=PROVEN, person=BOTH), Reason.OWN_REQUEST),
]
_DENY: list[tuple[str, DecisionFacts, Reason | None]] = [
    ("with a note", facts(note="not this week"), None),
    ("without", FACTS, Reason.NOTE_MISSING),
    ("with blanks", facts(note="  "), Reason.NOTE_MISSING),
    ("although the room's file is another now", facts(note="no", request=replace(REQUEST, room_digest="e" * 64)), None),
    ("although there is no such room any more", facts(note="no", is_room_in_force=False), None),
    ("although the room asks for a second factor", facts(note="no", room=ASKING), None),
    ("although they approved before", facts(note="no", request=replace(REQUEST, approvals=("taro",))), None),
]


def _reason(verdict: Allow | Deny) -> Reason | None:
    if isinstance(verdict, Deny):
        assert "?" not in sentence(verdict.reason, verdict.facts), "every fact of the sentence is filled"
        return verdict.reason
    return None


@pytest.mark.parametrize(("given_facts", "reason"), [row[1:] for row in _SHARED + _APPROVE], ids=[row[0] for row in _SHARED + _APPROVE])
def test_an_approval_is_decided_with_its_reason(given_facts: DecisionFacts, reason: Reason | None):
    assert _reason(decide_approve(given_facts)) == reason


@pytest.mark.parametrize(("given_facts", "reason"), [row[1:] for row in _SHARED + _DENY], ids=[row[0] for row in _SHARED + _DENY])
def test_a_denial_is_decided_with_its_reason(given_facts: DecisionFacts, reason: Reason | None):
    noted = given_facts if given_facts.note or reason is Reason.NOTE_MISSING else replace(given_facts, note="no")
    assert _reason(decide_deny(noted)) == reason


EXTENSION = ExtensionFacts(person=TARO, request=GRANT, room=ROOM, is_room_in_force=True, duration=30 * MINUTE, others=(GRANT,), now=NOW)
_NEXT = replace(GRANT, id="r-bbbbbbbbbb", starts_at=NOW + 80 * MINUTE, ends_at=NOW + 100 * MINUTE)
_EXTEND: list[tuple[str, ExtensionFacts, Reason | None]] = [
    ("as it should be", EXTENSION, None),
    ("up to the longest", replace(EXTENSION, duration=HOUR), None),
    ("beyond it, counted from the start", replace(EXTENSION, duration=61 * MINUTE), Reason.TOO_LONG),
    ("as long as a number goes", replace(EXTENSION, duration=timedelta.max - HOUR), Reason.TOO_LONG),
    ("by nothing", replace(EXTENSION, duration=timedelta(0)), Reason.DURATION_MALFORMED),
    ("backwards", replace(EXTENSION, duration=-30 * MINUTE), Reason.DURATION_MALFORMED),
    ("their own", replace(EXTENSION, person=BOTH), Reason.OWN_REQUEST),
    ("not among the approvers", replace(EXTENSION, person=ADMIN), Reason.NOT_APPROVER),
    ("it is over", replace(EXTENSION, now=NOW + HOUR), Reason.NOT_RUNNING),
    ("it was ended", replace(EXTENSION, request=replace(GRANT, state=RequestState.ENDED)), Reason.NOT_RUNNING),
    ("it is not granted", replace(EXTENSION, request=REQUEST), Reason.NOT_RUNNING),
    ("the room's file is another now", replace(EXTENSION, request=replace(GRANT, room_digest="e" * 64)), Reason.ROOM_FILE_CHANGED),
    ("there is no such room any more", replace(EXTENSION, is_room_in_force=False), Reason.ROOM_FILE_CHANGED),
    ("beyond the hours", replace(EXTENSION, request=replace(GRANT, starts_at=NOW + 6 * HOUR, ends_at=NOW + 7 * HOUR)), Reason.OUTSIDE_HOURS),
    ("without a second factor where the room asks for one", replace(EXTENSION, room=ASKING), Reason.SECOND_FACTOR_MISSING),
    ("with one proven", replace(EXTENSION, room=ASKING, proof=PROVEN), None),
    ("into the person's next grant", replace(EXTENSION, others=(GRANT, _NEXT)), Reason.OVERLAPPING),
]


@pytest.mark.parametrize(("extension", "reason"), [row[1:] for row in _EXTEND], ids=[row[0] for row in _EXTEND])
def test_an_extension_is_decided_with_its_reason(extension: ExtensionFacts, reason: Reason | None):
    assert _reason(decide_extend(extension)) == reason


@pytest.mark.parametrize(
    ("person", "request_", "now", "reason"),
    [
        (HANAKO, REQUEST, NOW, None),
        (HANAKO, asked(RequestState.PENDING, approvals=("taro",)), NOW, None),
        (TARO, REQUEST, NOW, Reason.NOT_YOUR_REQUEST),
        (ADMIN, REQUEST, NOW, Reason.NOT_YOUR_REQUEST),
        (HANAKO, GRANT, NOW, Reason.ALREADY_DECIDED),
        (HANAKO, asked(RequestState.DENIED), NOW, Reason.ALREADY_DECIDED),
        (HANAKO, asked(RequestState.WITHDRAWN), NOW, Reason.ALREADY_DECIDED),
        (HANAKO, asked(RequestState.EXPIRED), NOW, Reason.ALREADY_DECIDED),
        (HANAKO, asked(RequestState.ENDED), NOW, Reason.ALREADY_DECIDED),
        (HANAKO, REQUEST, NOW + HOUR, Reason.ALREADY_DECIDED),
    ],
)
def test_a_request_is_taken_back_by_its_person_alone_and_only_while_it_waits(person: Person, request_: Request, now: datetime, reason: Reason | None):
    assert _reason(decide_withdraw(person, request_, now)) == reason


_END = [
    ("by its person", HANAKO, GRANT, None),
    ("by an approver", TARO, GRANT, None),
    ("by an administrator", ADMIN, GRANT, None),
    ("by an auditor", AOI, GRANT, Reason.NOT_APPROVER),
    ("by somebody", Person("grace"), GRANT, Reason.NOT_APPROVER),
    ("before it began", TARO, replace(GRANT, starts_at=NOW + MINUTE), None),
    ("what is over", TARO, replace(GRANT, ends_at=NOW), Reason.NOT_RUNNING),
    ("what was ended", HANAKO, replace(GRANT, state=RequestState.ENDED), Reason.NOT_RUNNING),
    ("what is not granted", HANAKO, REQUEST, Reason.NOT_RUNNING),
]


@pytest.mark.parametrize(("person", "grant", "reason"), [row[1:] for row in _END], ids=[row[0] for row in _END])
def test_an_end_is_decided_with_its_reason(person: Person, grant: Request, reason: Reason | None):
    assert _reason(decide_end(person, grant, ROOM, NOW)) == reason


def test_a_grant_can_be_ended_although_its_room_is_not_known_any_more():
    assert isinstance(decide_end(HANAKO, GRANT, None, NOW), Allow)
    assert isinstance(decide_end(ADMIN, GRANT, None, NOW), Allow)
    assert isinstance(decide_end(TARO, GRANT, None, NOW), Deny)


def test_only_its_person_leaves_a_session():
    assert decide_leave(HANAKO, GRANT, NOW) == Allow("own")
    assert decide_leave(TARO, GRANT, NOW) == Deny(Reason.NOT_YOURS)
    assert _reason(decide_leave(HANAKO, GRANT, NOW + HOUR)) is Reason.NOT_RUNNING


_GROUPS = st.frozensets(st.sampled_from(["marketing", "security", "administrators", "auditors", "x"]))
_APPROVERS = st.lists(st.sampled_from(["group:security", "group:marketing", "group:administrators", "person:hanako", "person:taro"]), unique=True).map(tuple)


@given(groups=_GROUPS, by=_APPROVERS, people=_APPROVERS)
def test_nobody_ever_decides_on_their_own_request(groups: frozenset[str], by: tuple[str, ...], people: tuple[str, ...]):
    wanted = replace(approval(by=by), access=room(people=people).access)
    own = Person(REQUEST.person, groups)
    assert decide_approve(facts(person=own, room=wanted)) == Deny(Reason.OWN_REQUEST)
    assert decide_deny(facts(person=own, room=wanted, note="no")) == Deny(Reason.OWN_REQUEST)
    assert decide_extend(replace(EXTENSION, person=own, room=wanted)) == Deny(Reason.OWN_REQUEST)


@given(groups=_GROUPS, by=_APPROVERS, data=st.data())
def test_taking_away_groups_or_approvers_never_lets_anybody_decide(groups: frozenset[str], by: tuple[str, ...], data: st.DataObject):
    fewer = frozenset(group for group in groups if data.draw(st.booleans()))
    fewer_by = tuple(entry for entry in by if data.draw(st.booleans()))
    if isinstance(decide_approve(facts(person=Person("taro", groups), room=approval(by=by))), Deny):
        assert isinstance(decide_approve(facts(person=Person("taro", fewer), room=approval(by=fewer_by))), Deny)
