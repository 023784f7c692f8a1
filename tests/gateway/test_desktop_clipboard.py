"""The gateway as the clipboard's peer: text goes in when it was allowed and is asked for, and at no other time; nothing comes out."""

import struct
import zlib

from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.rfb import extended

from sekisho.gateway.desktop.clipboard import ClipboardPeer

TEXT, CAPS, REQUEST, PEEK, NOTIFY, PROVIDE = 1, 1 << 24, 1 << 25, 1 << 26, 1 << 27, 1 << 28
SERVER_CAPS = 0x1F000001  # as TigerVNC says them
OUR_CAPS = extended(SERVER_CAPS, struct.pack(">I", 0), kind=6)
NOTIFIED = extended(NOTIFY | TEXT, kind=6)


def provided(answer: bytes) -> str:
    kind, length, flags = struct.unpack_from(">B3xiI", answer)
    assert (kind, -length, flags) == (6, len(answer) - 8, PROVIDE | TEXT)
    content = zlib.decompress(answer[12:])
    (size,) = struct.unpack_from(">I", content)
    assert size == len(content) - 4
    assert content.endswith(b"\0")
    return content[4:-1].decode()


def test_caps_are_answered_with_a_text_of_no_size() -> None:
    assert ClipboardPeer().hear(SERVER_CAPS) == OUR_CAPS


def test_an_allowed_text_is_announced_and_given_when_it_is_asked_for_as_often_as_it_is() -> None:
    peer = ClipboardPeer()
    peer.hear(SERVER_CAPS)
    assert peer.paste("日本語\nと\r\n英語\rend") == NOTIFIED
    for _ in range(2):
        assert provided(peer.hear(REQUEST | TEXT)) == "日本語\r\nと\r\n英語\r\nend"


def test_a_request_before_any_paste_gets_nothing() -> None:
    peer = ClipboardPeer()
    peer.hear(SERVER_CAPS)
    assert peer.hear(REQUEST | TEXT) == b""
    assert peer.hear(PEEK) == extended(NOTIFY, kind=6), "nothing to be had"


def test_a_request_for_another_format_gets_nothing() -> None:
    peer = ClipboardPeer()
    peer.hear(SERVER_CAPS)
    peer.paste("text")
    assert peer.hear(REQUEST | 4) == b""
    assert peer.hear(PEEK) == NOTIFIED


def test_a_paste_waits_for_a_server_that_has_not_said_its_caps() -> None:
    peer = ClipboardPeer()
    assert peer.paste("early") == b""
    assert peer.hear(SERVER_CAPS) == OUR_CAPS + NOTIFIED
    assert provided(peer.hear(REQUEST | TEXT)) == "early"


def test_what_the_server_tells_of_its_own_clipboard_gets_no_answer() -> None:
    peer = ClipboardPeer()
    peer.hear(SERVER_CAPS)
    assert [peer.hear(flags) for flags in (NOTIFY | TEXT, PROVIDE | TEXT, NOTIFY, TEXT, 0)] == [b""] * 5


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=2_000))
def test_any_text_arrives_with_its_lines(text: str) -> None:
    peer = ClipboardPeer()
    peer.hear(SERVER_CAPS)
    peer.paste(text)
    given = provided(peer.hear(REQUEST | TEXT))
    assert given.replace("\r\n", "\n") == text.replace("\r\n", "\n").replace("\r", "\n")


@given(st.lists(st.integers(0, 2**32 - 1), max_size=20))
def test_nothing_is_ever_provided_that_was_not_allowed(words: list[int]) -> None:
    peer = ClipboardPeer()
    for flags in words:
        answer = peer.hear(flags)
        assert answer in (b"", OUR_CAPS, extended(NOTIFY, kind=6))
