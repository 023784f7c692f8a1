"""The words: canonical host names, strict messages, reasons with their sentences, ids."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.model import messages
from sekisho.model.errors import Trouble
from sekisho.model.event import EventKind
from sekisho.model.hostname import parse_host_name
from sekisho.model.messages import MalformedMessage
from sekisho.model.reasons import SENTENCES, Reason, sentence
from sekisho.model.session import request_id, session_id

# host names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("example.com", "example.com"),
        ("WWW.Example.COM.", "www.example.com"),
        ("xn--r8jz45g.xn--zckzah", "xn--r8jz45g.xn--zckzah"),
        ("1.example.com", "1.example.com"),
        ("a" * 63 + ".com", "a" * 63 + ".com"),
    ],
)
def test_a_host_name_has_one_form(text: str, name: str):
    assert parse_host_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "localhost",
        "example.com..",
        ".example.com",
        "a..b",
        "-a.com",
        "a-.com",
        "a_b.com",
        "exa mple.com",
        "example.com\n",
        "example.com\0",
        "例え.jp",
        "example\u3002com",
        "ex\u0430mple.com",
        "*.example.com",
        "a" * 64 + ".com",
        "a." * 127 + "com",
        "127.0.0.1",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "a.0x7f",
        "a.0x",
        "1.2.3.4.",
        "[::1]",
        "::1",
        "example.com:443",
    ],
)
def test_what_is_no_host_name_or_is_an_address_in_disguise_is_none(text: str):
    assert parse_host_name(text) is None


@given(text=st.text(alphabet=st.characters(), max_size=300))
def test_the_form_of_a_host_name_is_its_own_form(text: str):
    name = parse_host_name(text)
    if name is not None:
        assert parse_host_name(name) == name
        assert len(name) <= 253
        assert name == text.lower().removesuffix(".")


# messages


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Inner:
    number: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Outer:
    VERB: ClassVar[str] = "outer"
    colour: Colour
    ratio: float
    is_on: bool
    inner: Inner
    many: tuple[Inner, ...] = ()
    maybe: str | None = None


SAMPLE = Outer(Colour.RED, 0.5, is_on=True, inner=Inner(1, "日本"), many=(Inner(2), Inner(3, "x")), maybe="y")


def _changed(**fields: object) -> bytes:
    found = json.loads(messages.render(SAMPLE))
    return json.dumps({**found, **fields}).encode()


def test_a_message_reads_back_as_it_was_written():
    assert messages.parse(messages.render(SAMPLE), (Outer,)) == SAMPLE


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b"x" * 200_000,
        _changed(verb="other"),
        _changed(verb=None),
        _changed(verb=["outer"]),
        _changed(extra=1),
        _changed(colour="blue"),
        _changed(colour=1),
        _changed(ratio="0.5"),
        _changed(ratio=True),
        _changed(is_on=1),
        _changed(inner=None),
        _changed(inner={}),
        _changed(inner={"number": True}),
        _changed(inner={"number": 1.0}),
        _changed(inner={"number": 1, "more": 2}),
        _changed(many={}),
        _changed(many=[1]),
        _changed(maybe=7),
    ],
)
def test_what_is_not_exactly_a_message_is_one_named_error(packet: bytes):
    with pytest.raises(MalformedMessage):
        messages.parse(packet, (Outer,))


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200)
@given(fields=st.dictionaries(st.sampled_from(["verb", "colour", "ratio", "is_on", "inner", "many", "maybe", "x"]), _VALUES))
def test_any_json_is_a_message_or_one_named_error(fields: dict[str, object]):
    try:
        parsed = messages.parse(_changed(**fields), (Outer,))
    except MalformedMessage:
        return
    again = messages.parse(messages.render(parsed), (Outer,))
    assert again == parsed or parsed.ratio != parsed.ratio


@settings(max_examples=100)
@given(packet=st.binary(max_size=200))
def test_any_bytes_are_a_message_or_one_named_error(packet: bytes):
    try:
        messages.parse(packet, (Outer,))
    except MalformedMessage:
        return


# reasons, events, ids, trouble


def test_every_reason_has_a_sentence_of_its_own_and_a_stable_form():
    assert set(SENTENCES) == set(Reason)
    assert len(set(SENTENCES.values())) == len(SENTENCES)
    for word in [*Reason, *EventKind]:
        assert word.value == word.value.lower()
        assert not set(word.value) - set("abcdefghijklmnopqrstuvwxyz-.")


def test_a_missing_fact_does_not_hide_a_refusal():
    assert sentence(Reason.TOO_LONG, {"room": "campaign"}) == "campaign may be used for ? at most; you asked for ?."


@given(facts=st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=4), reason=st.sampled_from(Reason))
def test_no_fact_breaks_a_sentence(facts: dict[str, str], reason: Reason):
    assert sentence(reason, facts)


def test_a_session_has_the_id_of_its_request():
    assert session_id("r-abc") == "s-abc"
    assert request_id(session_id("r-abc")) == "r-abc"


def test_trouble_says_what_was_found_what_was_expected_and_what_to_try():
    assert str(Trouble("ref", "it broke", expected="a", found="b", hint="c")) == "it broke; expected a; found b. Try: c"
    assert str(Trouble("ref", "it broke")) == "it broke"
