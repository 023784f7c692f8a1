"""Entries: canonical, closed, bounded, and read back exactly."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.audit.audit_yard import event

from sekisho.audit.entry import EntryTooLong, EntryUnfit, MalformedEntry, entry_bytes, parse_entry
from sekisho.audit.wire import Accepted, MalformedPacket, Refused, parse_answer, parse_append, render_answer, render_appends
from sekisho.model.event import ENTRY_LIMIT_BYTES, Event, EventKind

AT = datetime(2026, 1, 2, 3, 4, 5, 60, tzinfo=UTC)
GOOD = entry_bytes(event(), producer="agent", number=1, prev="")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-(2.0**53) + 1, 2.0**53 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def nested(depth: int) -> object:
    return [nested(depth - 1)] if depth else 0


def test_an_entry_is_the_canonical_form_of_its_event():
    tokyo = AT.astimezone(timezone(timedelta(hours=9)))
    made = entry_bytes(Event(EventKind.SIGNED_IN, tokyo, by="花子", address="192.0.2.1"), producer="store", number=2, prev="0" * 64)
    assert made.decode() == (
        '{"address":"192.0.2.1","at":"2026-01-02T03:04:05.000060Z","by":"花子","kind":"signed-in","number":"2","prev":"' + "0" * 64 + '","producer":"store"}'
    )


@settings(max_examples=80, deadline=None)
@given(details=st.dictionaries(st.text(max_size=8), json_values, max_size=4), by=st.text(max_size=10), number=st.integers(1, 2**63 - 1))
def test_every_event_reads_back_as_it_was_written(details, by, number):
    made = entry_bytes(Event(EventKind.FILES_STAGED, AT, by=by, details=details), producer="agent", number=number, prev="")
    entry = parse_entry(made)
    assert (entry.producer, entry.number, entry.prev) == ("agent", number, "")
    assert entry.fields.get("by", "") == by
    assert json.loads(json.dumps(entry.fields.get("details", {}))) == json.loads(made).get("details", {})


@pytest.mark.parametrize(
    "details", [{"n": 2**53}, {"n": 2.0**60}, {"n": float("nan")}, {"n": float("inf")}, {1: 2}, {"deep": nested(30)}, {"t": "\ud800"}, {"o": object()}]
)
def test_what_canonical_json_cannot_say_is_refused(details):
    with pytest.raises(EntryUnfit):
        entry_bytes(Event(EventKind.FILES_STAGED, AT, details=details), producer="agent", number=1, prev="")


def test_an_entry_is_bounded_by_the_length_field_of_a_bundle():
    extra = len(entry_bytes(event(padding=1), producer="agent", number=1, prev="")) - 1
    assert len(entry_bytes(event(padding=ENTRY_LIMIT_BYTES - extra), producer="agent", number=1, prev="")) == ENTRY_LIMIT_BYTES
    with pytest.raises(EntryTooLong):
        entry_bytes(event(padding=ENTRY_LIMIT_BYTES - extra + 1), producer="agent", number=1, prev="")


def changed(**fields: object) -> bytes:
    import rfc8785

    return rfc8785.dumps({name: value for name, value in {**json.loads(GOOD), **fields}.items() if value is not None})


@pytest.mark.parametrize(
    "unverified",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        GOOD + b" ",
        b" " + GOOD,
        GOOD[:-1],
        GOOD.replace(b'"room"', b'"r\\u006fom"'),
        GOOD.replace(b'{"at"', b'{"at":"","at"'),
        b"[" * 60_000,
        b'{"n":' + b"9" * 5000 + b"}",
        b"\xff",
        changed(kind=None),
        changed(prev=None),
        changed(extra="x"),
        changed(room=""),
        changed(room=1),
        changed(number=1),
        changed(number="01"),
        changed(number="0"),
        changed(number="9223372036854775808"),
        changed(producer="Agent"),
        changed(producer="../x"),
        changed(prev="0" * 63),
        changed(prev="A" * 64),
        changed(at="2026-01-02T03:04:05Z"),
        changed(at="2026-01-02T03:04:05.000060+00:00"),
        changed(details={}),
        changed(details="x"),
        changed(reason="x" * ENTRY_LIMIT_BYTES),
    ],
)
def test_anything_but_a_canonical_entry_is_malformed(unverified):
    with pytest.raises(MalformedEntry):
        parse_entry(unverified)
    assert parse_entry(GOOD).number == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 2**63 - 1), st.binary(min_size=1, max_size=300)), max_size=30), st.integers(400, 2000))
def test_appends_round_trip_in_packets_of_bounded_size(entries, limit):
    packets = render_appends(entries, limit_bytes=limit)
    assert [item for packet in packets for item in parse_append(packet).entries] == entries
    assert all(len(packet) <= limit for packet in packets)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.binary(max_size=40).map(b"\x01".__add__))
def test_hostile_packets_are_a_statement_or_a_named_error(unverified):
    for parse in (parse_append, parse_answer):
        try:
            parse(unverified)
        except MalformedPacket:
            continue


def test_answers_round_trip_and_a_reason_is_cut():
    assert parse_answer(render_answer(Accepted(7))) == Accepted(7)
    assert parse_answer(render_answer(Refused(7, "a" * 900))) == Refused(7, "a" * 500)
    assert parse_answer(render_answer(Refused(0, "為" * 300)))
