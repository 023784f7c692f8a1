"""What may be asked for: each promise with its reason."""

from dataclasses import replace
from datetime import time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy.policy_samples import ELSEWHERE, GRANT, HANAKO, HOUR, MINUTE, NOW, OFFICE, PLACES, REQUEST, ROOM, TARO, VPN, WORKDAYS, approval, caller, room

from sekisho.model.people import Person
from sekisho.model.reasons import Reason, sentence
from sekisho.model.room import Hours, Place
from sekisho.policy.request import RequestFacts, decide_request, decide_room
from sekisho.policy.verdict import Allow, Deny

FACTS = RequestFacts(
    caller=caller(),
    room=ROOM,
    room_name="campaign",
    reason="Export of last week",
    ticket="MKT-42",
    starts_at=NOW,
    duration=HOUR,
    places=PLACES,
    others=(),
    now=NOW,
)


def facts(**changed: object) -> RequestFacts:
    return replace(FACTS, **changed)  # type: ignore[arg-type]


_LATER = replace(REQUEST, id="r-bbbbbbbbbb", starts_at=NOW + HOUR, ends_at=NOW + 2 * HOUR)
_ROWS: list[tuple[str, RequestFacts, Reason | None]] = [
    ("as it should be", FACTS, None),
    ("no such room", facts(room=None, room_name="nope"), Reason.NO_SUCH_ROOM),
    ("not among its people", facts(caller=caller(TARO)), Reason.NOT_LISTED),
    ("listed by name", facts(caller=caller(TARO), room=room(people=("person:taro",))), None),
    ("a group of another's name", facts(caller=caller(Person("marketing"))), Reason.NOT_LISTED),
    ("an empty list of people", facts(room=room(people=())), Reason.NOT_LISTED),
    ("from outside the place", facts(caller=caller(address=ELSEWHERE)), Reason.OUTSIDE_PLACE),
    ("from another place", facts(caller=caller(address=VPN)), Reason.OUTSIDE_PLACE),
    ("an empty list of places", facts(room=room(places=())), Reason.OUTSIDE_PLACE),
    ("a place that is not set up", facts(room=room(places=("moon",))), Reason.OUTSIDE_PLACE),
    ("no places set up", facts(places=()), Reason.OUTSIDE_PLACE),
    ("an address that is none", facts(caller=caller(address="localhost")), Reason.OUTSIDE_PLACE),
    ("mapped into IPv6", facts(caller=caller(address=f"::ffff:{OFFICE}")), None),
    ("from IPv6", facts(caller=caller(address="2001:db8:1::9")), None),
    ("an empty reason", facts(reason=""), Reason.REASON_TOO_SHORT),
    ("a reason of blanks", facts(reason=" " * 40), Reason.REASON_TOO_SHORT),
    ("nine characters", facts(reason="a" * 9), Reason.REASON_TOO_SHORT),
    ("ten characters", facts(reason="a" * 10), None),
    ("Japanese, with its space", facts(reason="先週のエクスポート\N{IDEOGRAPHIC SPACE}確認"), None),
    ("a reason too long", facts(reason="a" * 501), Reason.REASON_TOO_LONG),
    ("a control character", facts(reason="Export of last\x1b[2Jweek"), Reason.TEXT_MALFORMED),
    ("a mark that turns the text round", facts(reason="Export of last \N{RIGHT-TO-LEFT OVERRIDE} week"), Reason.TEXT_MALFORMED),
    ("half a surrogate pair", facts(reason="Export of last \ud800 week"), Reason.TEXT_MALFORMED),
    ("no ticket", facts(ticket=""), Reason.TICKET_MALFORMED),
    ("a ticket of another form", facts(ticket="OPS-42"), Reason.TICKET_MALFORMED),
    ("a ticket with something after it", facts(ticket="MKT-42; rm"), Reason.TICKET_MALFORMED),
    ("a ticket with a line after it", facts(ticket="MKT-42\n"), Reason.TICKET_MALFORMED),
    ("a ticket in another script's digits", facts(ticket="MKT-\N{ARABIC-INDIC DIGIT FOUR}"), Reason.TICKET_MALFORMED),
    ("a ticket too long", facts(ticket="MKT-" + "1" * 200), Reason.TICKET_MALFORMED),
    ("no ticket where none is asked for", facts(room=approval(ticket=None), ticket=""), None),
    ("any ticket where none is asked for", facts(room=approval(ticket=None), ticket="see chat"), None),
    ("a ticket that is no text", facts(room=approval(ticket=None), ticket="a\0"), Reason.TEXT_MALFORMED),
    ("nothing at all", facts(duration=timedelta(0)), Reason.DURATION_MALFORMED),
    ("less than a minute", facts(duration=timedelta(seconds=59)), Reason.DURATION_MALFORMED),
    ("less than nothing", facts(duration=-HOUR), Reason.DURATION_MALFORMED),
    ("a minute", facts(duration=MINUTE), None),
    ("as long as may be", facts(duration=2 * HOUR), None),
    ("longer", facts(duration=2 * HOUR + timedelta(seconds=1)), Reason.TOO_LONG),
    ("as long as a number goes", facts(duration=timedelta.max), Reason.TOO_LONG),
    ("half a minute ago is now", facts(starts_at=NOW - timedelta(seconds=30)), None),
    ("in the past", facts(starts_at=NOW - 2 * MINUTE), Reason.IN_THE_PAST),
    ("tomorrow", facts(starts_at=NOW + 24 * HOUR), None),
    ("too far ahead", facts(starts_at=NOW + timedelta(days=31)), Reason.TOO_FAR_AHEAD),
    ("ends as the hours end", facts(starts_at=NOW + 6 * HOUR, now=NOW), None),
    ("ends after the hours", facts(starts_at=NOW + 6 * HOUR + MINUTE), Reason.OUTSIDE_HOURS),
    ("on Saturday", facts(starts_at=NOW + timedelta(days=3)), Reason.OUTSIDE_HOURS),
    ("overlaps what is pending", facts(others=(REQUEST,)), Reason.OVERLAPPING),
    ("overlaps what is granted", facts(others=(GRANT,), starts_at=NOW + 59 * MINUTE), Reason.OVERLAPPING),
    ("before another", facts(others=(_LATER,)), None),
    ("after another", facts(others=(_LATER,), starts_at=NOW + 2 * HOUR), None),
]


@pytest.mark.parametrize(("asked", "reason"), [row[1:] for row in _ROWS], ids=[row[0] for row in _ROWS])
def test_a_request_is_decided_with_its_reason(asked: RequestFacts, reason: Reason | None):
    verdict = decide_request(asked)
    assert (verdict.reason if isinstance(verdict, Deny) else None) == reason
    if isinstance(verdict, Deny):
        assert "?" not in sentence(verdict.reason, verdict.facts).replace("MKT", ""), "every fact of the sentence is filled"


def test_what_allowed_is_named_for_the_log():
    assert decide_request(FACTS) == Allow("group:marketing place:office")


def test_a_pattern_that_backtracks_for_long_is_given_little_to_work_on():
    slow = approval(ticket=r"\d*\d*\d*X")
    assert isinstance(decide_request(facts(room=slow, ticket="1" * 128)), Deny)


_GROUPS = st.frozensets(st.sampled_from(["marketing", "security", "operations", "administrators"]))
_PLACE_NAMES = st.lists(st.sampled_from(["office", "vpn", "moon"]), max_size=3, unique=True).map(tuple)
_ENTRIES = st.lists(st.sampled_from(["group:marketing", "group:security", "person:hanako", "person:taro"]), max_size=3, unique=True).map(tuple)
_HOURS = st.one_of(
    st.none(),
    st.builds(
        Hours,
        weekdays=st.frozensets(st.integers(0, 6)),
        starts=st.builds(time, st.integers(0, 23), st.sampled_from([0, 30])),
        ends=st.builds(time, st.integers(0, 23), st.sampled_from([0, 30])),
        zone=st.sampled_from(["Asia/Tokyo", "Europe/Berlin", "UTC"]),
    ),
)


@st.composite
def _asked(draw: st.DrawFn) -> RequestFacts:
    who = replace(HANAKO, groups=draw(_GROUPS))
    wanted = room(people=draw(_ENTRIES), places=draw(_PLACE_NAMES), hours=draw(_HOURS))
    starts = NOW + draw(st.integers(0, 60 * 24 * 7)) * MINUTE
    return facts(
        caller=caller(who, draw(st.sampled_from([OFFICE, VPN, ELSEWHERE, "junk"]))), room=wanted, starts_at=starts, duration=draw(st.integers(1, 120)) * MINUTE
    )


def _less(asked: RequestFacts, draw: st.DataObject) -> RequestFacts:
    """The same with something taken away: a group, an entry, a place, a day, a network, some of the longest time."""
    wanted = asked.room
    assert wanted is not None
    access = wanted.access
    who = replace(asked.caller.person, groups=draw.draw(_subset(asked.caller.person.groups)))
    kept = [entry for entry in access.people if draw.draw(st.booleans())]
    kept_places = [place for place in access.places if draw.draw(st.booleans())]
    hours = access.hours
    if hours is not None:
        hours = replace(hours, weekdays=draw.draw(_subset(hours.weekdays)))
    elif draw.draw(st.booleans()):
        hours = WORKDAYS
    longest = draw.draw(st.sampled_from([access.longest, HOUR, MINUTE]))
    places = [Place(place.name, tuple(network for network in place.networks if draw.draw(st.booleans()))) for place in asked.places]
    narrower = replace(wanted, access=replace(access, people=tuple(kept), places=tuple(kept_places), hours=hours, longest=longest))
    return replace(asked, caller=replace(asked.caller, person=who), room=narrower, places=places)


def _subset(whole: frozenset) -> st.SearchStrategy[frozenset]:
    return st.frozensets(st.sampled_from(sorted(whole))) if whole else st.just(whole)


@settings(max_examples=200, deadline=None)
@given(asked=_asked(), draw=st.data())
def test_taking_away_never_turns_a_refusal_into_leave(asked: RequestFacts, draw: st.DataObject):
    if isinstance(decide_request(asked), Deny):
        assert isinstance(decide_request(_less(asked, draw)), Deny)


@settings(max_examples=100, deadline=None)
@given(asked=_asked())
def test_who_may_not_ask_for_the_room_at_all_may_not_ask_for_it_at_any_time(asked: RequestFacts):
    assert asked.room is not None
    if isinstance(decide_room(asked.caller, asked.room, asked.places), Deny):
        assert isinstance(decide_request(asked), Deny)
