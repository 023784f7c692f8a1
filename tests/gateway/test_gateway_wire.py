"""The WebSocket's messages: round trips, and one named error for everything else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.gateway import wire
from sekisho.gateway.terminal import wire as terminal_wire
from sekisho.gateway.terminal.pasting import PasteRefuser

SIZES = st.builds(terminal_wire.Size, st.integers(1, terminal_wire.COLUMNS_LIMIT), st.integers(1, terminal_wire.ROWS_LIMIT))
TEXTS = st.text(max_size=20)
SECONDS = st.floats(0, 1e11)
HELLOS = st.builds(terminal_wire.Hello, st.text(st.characters(codec="ascii"), min_size=1, max_size=60), SIZES)
CLIENT = st.builds(terminal_wire.Resize, SIZES) | st.just(wire.Leave())
SERVER = (
    st.builds(wire.Admitted, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, SECONDS, SECONDS, TEXTS, st.booleans())
    | st.builds(wire.Extended, SECONDS)
    | st.builds(wire.Refused, TEXTS, TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=3))
    | st.builds(wire.Ended, TEXTS)
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
KEYS = ("ticket", "columns", "rows", "resize", "leave", "admitted", "extended", "ended", "refused")
LIKELY = st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, ANYTHING))


@given(HELLOS)
def test_a_first_message_survives_the_wire(hello: terminal_wire.Hello) -> None:
    assert terminal_wire.parse_hello(terminal_wire.render_hello(hello)) == hello


@given(CLIENT)
def test_a_clients_message_survives_the_wire(message: terminal_wire.FromClient) -> None:
    assert terminal_wire.parse_client(terminal_wire.render_client(message)) == message


@given(SERVER)
def test_a_servers_message_survives_the_wire(message: wire.FromServer) -> None:
    assert wire.parse_server(wire.render_server(message)) == message


@given(st.text(max_size=200) | ANYTHING.map(json.dumps) | LIKELY.map(json.dumps))
def test_anything_else_is_one_named_error(text: str) -> None:
    for parse in (terminal_wire.parse_hello, terminal_wire.parse_client, wire.parse_server):
        try:
            parse(text)
        except wire.MalformedMessage:
            continue


TOO_MUCH = [
    "[" * 100_000,
    '{"resize":[' + "9" * 5000 + ",1]}",
    '{"ticket":"' + "x" * 300 + '","columns":80,"rows":24}',
    '{"resize":[true,1]}',
    '{"resize":[80.0,24]}',
]


@pytest.mark.parametrize("text", TOO_MUCH)
def test_lengths_and_kinds_are_bounded(text: str) -> None:
    for parse in (terminal_wire.parse_hello, terminal_wire.parse_client):
        with pytest.raises(wire.MalformedMessage):
            parse(text)


@pytest.mark.parametrize("number", ["1e999", "NaN", "Infinity", "-Infinity", "1" + "0" * 400, "true", '"1"'])
def test_an_end_is_a_finite_number(number: str) -> None:
    with pytest.raises(wire.MalformedMessage):
        wire.parse_server(f'{{"extended":{{"ends_at":{number}}}}}')


@given(st.integers(), st.integers())
def test_a_client_with_an_odd_screen_sends_a_size_that_is_taken(columns: int, rows: int) -> None:
    terminal_wire.parse_client(terminal_wire.render_client(terminal_wire.Resize(terminal_wire.clamp(columns, rows))))


PASTE_PARTS = st.lists(st.sampled_from([b"\x1b[200~", b"\x1b[201~", b"\x1b", b"[", b"2", b"0", b"typed", b"\x1b[A", "日本".encode()]), max_size=10)


@given(PASTE_PARTS)
def test_bracketed_paste_never_comes_through(parts: list[bytes]) -> None:
    typed = b"".join(parts)
    kept = PasteRefuser().feed(typed)
    assert b"\x1b[200~" not in kept
    assert len(kept) <= len(typed)


@given(st.binary(max_size=30).filter(lambda typed: b"\x1b" not in typed), st.integers(2, 5), st.integers(1, 5))
def test_only_what_is_between_the_marks_is_taken_out(text: bytes, begin_cut: int, end_cut: int) -> None:
    refuser = PasteRefuser()
    stream = [b"a" + b"\x1b[200~"[:begin_cut], b"\x1b[200~"[begin_cut:] + text + b"\x1b[201~"[:end_cut], b"\x1b[201~"[end_cut:] + b"b"]
    assert b"".join(map(refuser.feed, stream)) == b"ab"


def test_a_typed_escape_is_not_held_back() -> None:
    refuser = PasteRefuser()
    assert refuser.feed(b"\x1b") == b"\x1b"
    assert refuser.feed(b":q\r") == b":q\r"
