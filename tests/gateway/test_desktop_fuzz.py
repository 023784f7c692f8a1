"""Whatever comes, the parsers say "not yet", give a value or raise their one error, and hold back little."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gateway.rfb import BROWSER_STREAMS, FRAME, SERVER_STREAMS, changed, swallow

from sekisho.gateway.desktop import messages
from sekisho.gateway.desktop.from_browser import FromBrowser
from sekisho.gateway.desktop.from_server import FromServer
from sekisho.gateway.desktop.handshake import with_browser, with_server
from sekisho.gateway.wire import MalformedMessage

NUMBERS = [0, 1, 2, 3, 5, 7, 8, 16, 127, 128, 150, 248, 250, 255]
BYTES = st.binary(max_size=200) | st.lists(st.sampled_from(NUMBERS), max_size=200).map(bytes)
CHANGES = st.lists(st.tuples(st.integers(0, 1 << 20), st.sampled_from(["set", "cut", "add"]), st.integers(0, 255)), min_size=1, max_size=4)


@given(BYTES, st.integers(1, 50))
def test_random_bytes(content: bytes, step: int) -> None:
    swallow(FromServer(FRAME), content, step)
    swallow(FromBrowser(), content, step)
    for handshake in (with_server(), with_browser(FRAME, name="room")):
        try:
            handshake.feed(content)
        except MalformedMessage:
            continue


@given(SERVER_STREAMS, CHANGES, st.integers(1, 200))
def test_a_lawful_server_with_something_changed(pairs: list, changes: list, step: int) -> None:
    swallow(FromServer(FRAME), changed(b"".join(said for said, _ in pairs), changes), step)


@given(BROWSER_STREAMS, CHANGES, st.integers(1, 200))
def test_a_lawful_browser_with_something_changed(pairs: list, changes: list, step: int) -> None:
    swallow(FromBrowser(), changed(b"".join(said for said, _ in pairs), changes), step)


@given(st.sampled_from([b"\x03", b"\x00\x00\xff\xff", b"\xff\x01\x00\x02", b"\xf8", b"\x00\x00\x00\x09" + bytes(11) + b"\x05"]), st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_a_server_that_announces_much_fills_no_memory(beginning: bytes, seed: int) -> None:
    rest = random.Random(seed).randbytes(20_000)  # noqa: S311  a reproducible stream, no secret
    swallow(FromServer(FRAME), beginning + rest, 1_000)


@given(st.text(max_size=100) | st.sampled_from(['{"paste":{"number":1,"text":"x"}}', '{"leave":true}', '{"ticket":"t"}']), CHANGES)
def test_text_that_is_no_message_is_one_named_error(text: str, changes: list) -> None:
    for unverified in (text, changed(text.encode(), changes).decode(errors="replace")):
        for parse in (messages.parse_hello, messages.parse_client):
            try:
                parse(unverified)
            except MalformedMessage:
                continue


PASTES = [
    # text of the client, what it is read as
    ('{"paste":{"number":1,"text":"日本語\\r\\n"}}', messages.Paste(1, "日本語\r\n")),
    ('{"paste":{"number":0,"text":""}}', messages.Paste(0, "")),
    ('{"leave":true}', messages.Leave()),
    ('{"paste":{"number":-1,"text":"x"}}', None),
    ('{"paste":{"number":true,"text":"x"}}', None),
    ('{"paste":{"number":1.0,"text":"x"}}', None),
    ('{"paste":{"number":9007199254740992,"text":"x"}}', None),
    ('{"paste":{"number":1,"text":1}}', None),
    ('{"paste":{"number":1,"text":"a\\u0000b"}}', None),
    ('{"paste":{"number":1,"text":"\\ud800"}}', None),
    ('{"paste":{"number":1,"text":"x","more":1}}', None),
    ('{"paste":{"number":1,"text":"x"},"leave":true}', None),
    ('{"leave":false}', None),
    ('{"resize":[80,24]}', None),
    ('{"paste":{"number":1,"text":"' + "x" * 400_000 + '"}}', None),
]


@pytest.mark.parametrize(("text", "meant"), PASTES, ids=[row[0][:50] for row in PASTES])
def test_a_clients_text_is_read_strictly(text: str, meant: messages.FromClient | None) -> None:
    if meant is None:
        with pytest.raises(MalformedMessage):
            messages.parse_client(text)
        return
    assert messages.parse_client(text) == meant


def test_a_paste_of_the_largest_size_fits_however_json_writes_it() -> None:
    import json

    for text in ("x" * messages.PASTE_LIMIT_BYTES, "\x01" * messages.PASTE_LIMIT_BYTES, "語" * (messages.PASTE_LIMIT_BYTES // 3)):
        for is_ascii in (True, False):
            said = json.dumps({"paste": {"number": 1, "text": text}}, ensure_ascii=is_ascii)
            assert len(said.encode()) <= messages.CLIENT_TEXT_LIMIT_BYTES
            assert messages.parse_client(said) == messages.Paste(1, text)


@pytest.mark.parametrize("text", ["{}", '{"ticket":"t","columns":80,"rows":24}', '{"ticket":""}', '{"ticket":"' + "x" * 300 + '"}', "[]", "x" * 2_000])
def test_a_first_message_is_a_ticket_alone(text: str) -> None:
    assert messages.parse_hello('{"ticket":"t"}') == messages.Hello("t")
    with pytest.raises(MalformedMessage):
        messages.parse_hello(text)
