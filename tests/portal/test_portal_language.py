"""Two languages that say the same things: the catalogues, and which of them a visitor gets."""

import re
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho import portal
from sekisho.model.event import EventKind
from sekisho.model.reasons import SENTENCES, Reason
from sekisho.model.session import EndReason, RequestState, SessionState
from sekisho.portal.language import LANGUAGES, catalogue, choose_language


def placeholders(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_both_catalogues_have_the_same_keys():
    assert catalogue("en").sentences.keys() == catalogue("ja").sentences.keys()


@pytest.mark.parametrize("key", sorted(catalogue("en").sentences))
def test_a_sentence_has_the_same_placeholders_in_both_languages(key):
    assert placeholders(catalogue("ja").sentences[key]) == placeholders(catalogue("en").sentences[key])


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "key",
    [f"reason.{reason}" for reason in Reason]
    + [f"end-reason.{reason}" for reason in EndReason]
    + [f"event.{kind}" for kind in EventKind]
    + [f"state.{state}" for state in (*RequestState, *SessionState)],
)
def test_every_reason_ending_event_and_state_can_be_said(language, key):
    assert catalogue(language).say(key).strip()


def test_the_english_reasons_are_those_of_the_model():
    assert all(catalogue("en").sentences[f"reason.{reason}"] == text for reason, text in SENTENCES.items())


@pytest.mark.parametrize(
    ("chosen", "accepted", "expected"),
    [
        ("", "", "en"),
        ("", "ja", "ja"),
        ("", "ja-JP,ja;q=0.9,en;q=0.8", "ja"),
        ("", "en;q=0.5, ja;q=0.9", "ja"),
        ("", "fr, de", "en"),
        ("", "fr;q=1, ja;q=0.1", "ja"),
        ("", "ja;q=0", "en"),
        ("", "ja;q=x", "en"),
        ("en", "ja", "en"),
        ("ja", "en", "ja"),
        ("xx", "ja", "ja"),
    ],
)
def test_the_language_is_the_chosen_one_or_the_best_accepted(chosen, accepted, expected):
    assert choose_language(chosen=chosen, accepted=accepted) == expected


@settings(max_examples=100)
@given(accepted=st.text(max_size=100))
def test_any_accept_language_gives_a_language_of_ours(accepted):
    assert choose_language(chosen="", accepted=accepted) in LANGUAGES


def test_a_missing_fact_shows_as_a_question_mark_and_hides_nothing():
    assert catalogue("en").say("reason.no-such-room") == "There is no room named ?. `sekisho rooms` lists them."


PORTAL = Path(portal.__file__).parent
SPOKEN = re.compile(r"""(?:\bt|\bsay)\(\s*["']([a-z-]+\.[A-Za-z-]+)["']""")
BY_PREFIX = (
    "nav.",
    "enter.",
    "kind.",
    "reason.",
    "end-reason.",
    "end-hint.",
    "event.",
    "state.",
    "fact.",
    "end.",
    "leave.",
    "withdraw.",
    "give-back.",
    "disable.",
    "reset.",
    "log.",
    "account.",
    "absent.",
    "malformed.",
    "broken.",
)


def test_every_sentence_that_is_said_is_there_and_every_one_that_is_there_is_said():
    sources = [path.read_text() for pattern in ("**/*.py", "**/*.html") for path in PORTAL.glob(pattern)]
    said = {key for source in sources for key in SPOKEN.findall(source)}
    known = set(catalogue("en").sentences)
    assert said <= known
    assert {key for key in known - said if not key.startswith(BY_PREFIX)} == set()
