"""The log, told to people."""

import pytest

from sekisho.audit.reading import LogEntry
from sekisho.model.event import EventKind
from sekisho.portal.language import LANGUAGES, catalogue
from sekisho.portal.telling import tell

ENTRY = {
    "at": "2026-11-23T05:00:00.123456Z",
    "by": "hanako",
    "address": "10.20.0.7",
    "channel": "page",
    "room": "campaign",
    "request": "r-abcdefghij",
    "session": "s-abcdefghij",
    "details": {"person": "jiro", "name": "crm.example.com"},
}


def told(kind, *, language="en", **fields):
    return tell(LogEntry(7, {**ENTRY, "kind": str(kind), **fields}), catalogue(language))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", EventKind)
def test_every_kind_of_event_is_told_without_a_gap(kind, language):
    entry = told(kind, language=language, reason="outside-place")
    assert "?" not in entry.sentence.replace("{", "") or kind.endswith(".refused")
    assert str(kind) not in entry.sentence
    assert entry.is_refusal == kind.endswith(".refused")


@pytest.mark.parametrize(
    ("kind", "fields", "sentence"),
    [
        ("signed-in", {}, "hanako signed in from 10.20.0.7."),
        ("session.destroyed", {"by": ""}, "s-abcdefghij was destroyed, and what was destroyed is in the entry."),
        ("grant.ended", {"reason": "time-over", "by": ""}, "The system ended r-abcdefghij of jiro for campaign: the time is over."),
        ("person.disabled", {"by": "admin"}, "admin disabled jiro."),
        ("name.reached", {}, "s-abcdefghij was allowed to reach crm.example.com."),
        (
            "name.refused",
            {"reason": "name-not-listed"},
            "s-abcdefghij tried to reach crm.example.com and was refused. crm.example.com is not among the names this room may reach.",
        ),
        (
            "request.refused",
            {"reason": "too-long", "details": {"facts": {"room": "campaign", "longest": "2h", "found": "3h"}}},
            "hanako asked for campaign from 10.20.0.7 and was refused. campaign may be used for 2 h at most; you asked for 3 h.",
        ),
        ("something.newer", {}, "something.newer"),
    ],
)
def test_an_entry_is_told_as_a_sentence(kind, fields, sentence):
    assert told(kind, **fields).sentence == sentence


@pytest.mark.parametrize("fields", [{}, {"kind": 7}, {"kind": "signed-in", "at": "yesterday"}, {"kind": "request.refused", "reason": "x", "details": "text"}])
def test_an_entry_of_any_shape_is_told_somehow(fields):
    entry = tell(LogEntry(0, fields), catalogue("ja"))
    assert entry.raw.startswith("{")
    assert isinstance(entry.sentence, str)
