"""What of a room's output reaches a terminal: a table, and the laws that hold for any bytes and any cut."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.gateway.terminal.replay import Replay
from sekisho.gateway.terminal.screening import STRING_LIMIT, Piece, Screener, is_answer


def screened(output: bytes) -> bytes:
    return b"".join(piece.content for piece in Screener().feed(output))


PASSES = [
    b"plain text\r\n\ttab\b\x07",
    "関所の部屋 — 日本語".encode(),
    b"\x1b[1;31mred\x1b[0m\x1b[38;2;1;2;3m\x1b[38:5:1m",
    b"\x1b[2J\x1b[H\x1b[10;20H\x1b[K\x1b[?J\x1b[3A\x1b[5`\x1b[2L\x1b[4r\x1b[s\x1b[u\x1b[12b",
    b"\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[?1;7h\x1b[4h\x1b[4l\x1b[?1002;1006h",
    b"\x1b7\x1b8\x1b=\x1b>\x1bM\x1bc\x1b(0lqk\x1b(B\x1b#8\x0e\x0f",
    b"\x1b[6n\x1b[5n\x1b[c\x1b[0c\x1b[>c\x1b[?2026$p",
    b"\x1b[5 q\x1b[!p",
]


@pytest.mark.parametrize("output", PASSES)
def test_what_draws_passes_unchanged(output: bytes) -> None:
    assert screened(output) == output


DROPS = [
    # why, output, what is left of it
    ("clipboard out, OSC 52", b"a\x1b]52;c;c2VjcmV0\x07b", b"ab"),
    ("the same, ended by ST", b"a\x1b]52;c;c2VjcmV0\x1b\\b", b"ab"),
    ("the same, by C1 introducer", "a\x9d52;c;c2VjcmV0\x9cb".encode(), b"a52;c;c2VjcmV0b"),
    ("the same, inside a tmux passthrough", b"a\x1bPtmux;\x1b\x1b]52;c;c2VjcmV0\x07\x1b\\b", b"ab"),
    ("a link that carries data out when clicked", b"\x1b]8;;https://evil.example/?q=secret\x07here\x1b]8;;\x07", b"here"),
    ("window title, and the report that types it", b"\x1b]0;rm -rf ~\x07\x1b[21t", b""),
    ("icon and window operations", b"\x1b[8;1;1t\x1b[3;9999;9999t\x1b[18t\x1b[22;0t", b""),
    ("colour query and file transfer (iTerm2)", b"\x1b]11;?\x07\x1b]1337;File=name=eA==:aGk=\x07", b""),
    ("notifications", b"\x1b]9;hello\x07\x1b]777;notify;a;b\x07\x1b]99;;hi\x1b\\", b""),
    ("user-defined keys", b"\x1bP0;1|17/0a726d202d7266207e0a\x1b\\", b""),
    ("terminfo and setting requests", b"\x1bP+q544e\x1b\\\x1bP$qm\x1b\\", b""),
    ("pictures", b"\x1bPq#0;2;0;0;0#0!10~\x1b\\\x1b_Gf=24;AAAA\x1b\\", b""),
    ("privacy message, start of string", b"\x1b^x\x1b\\\x1bXy\x1b\\.", b"."),
    ("printing", b"\x1b[5i\x1b[4i\x1b[?5i", b""),
    ("answerback", b"a\x05b", b"ab"),
    ("keyboard lock, local echo", b"\x1b[2h\x1b[12l\x1b[20h", b""),
    ("reading the screen back", b"\x1b[1;1;1;1;10;10*y", b""),
    ("other reports", b"\x1b[x\x1b[=c\x1b[>q\x1b[?15n\x1b[?26n\x1bZ", b""),
    ("8-bit controls, other character sets", b"\x1b G\x1b%@\x1b%G\x1b-A\x1bN\x1bn", b""),
    ("key encodings of other terminals", b"\x1b[>4;2m\x1b[>1u\x1b[?u\x1b[=1u", b""),
    ("modes that are not listed, beside one that is", b"\x1b[?25;80;1005h", b"\x1b[?25h"),
    ("a repetition that keeps a terminal busy", b"x\x1b[99999b", b"x"),
    ("a number beyond every terminal", b"\x1b[4294967295A", b""),
    ("C0 inside a sequence, read differently by terminals", b"\x1b[3\x0a1m", b"\n1m"),
    ("an escape inside a sequence", b"\x1b[3\x1b[1m", b"\x1b[1m"),
    ("cancelled string", b"\x1b]52;c;x\x18y", b"y"),
    ("bytes that are not UTF-8", b"a\xff\xc3(b", "a\ufffd\ufffd(b".encode()),
    ("raw C1 bytes", b"a\x9b5n\x9d52;c;x\x07", "a\ufffd5n\ufffd52;c;x\x07".encode()),
    ("screen's title", b"\x1bkname\x1b\\", b"name"),
    ("control characters that draw nothing", b"a\x00\x11\x13\x7fb", b"ab"),
]


@pytest.mark.parametrize(("why", "output", "left"), DROPS)
def test_what_is_not_for_drawing_is_taken_out(why: str, output: bytes, left: bytes) -> None:
    assert screened(output) == left, why


def test_a_string_that_never_ends_gives_the_terminal_back_and_holds_nothing() -> None:
    screener = Screener()
    assert screener.feed(b"\x1b]52;" + b"A" * (STRING_LIMIT - 4)) == []
    assert screener.feed(b"A") == []
    assert screener.feed(b"back")[0].content == b"back"


FRAGMENTS = st.sampled_from([*PASSES, *[output for _, output, _ in DROPS], b"\x1b", b"\x1b[", b"\x1b]", b"\x1bP", b"\x1b\\", b"\x07", b"\x9c", b"\n"])
STREAMS = st.lists(FRAGMENTS | st.binary(max_size=8) | st.text(max_size=4).map(str.encode), max_size=12).map(b"".join)
STRICT = re.compile(r"[^\x00-\x1f\x7f-\x9f]|[\x07-\x0f]|\x1b[78=>DEHMc]|\x1b[()*+][0AB]|\x1b#[34568]|\x1b\[[?>]?[0-9:;]*[ !$]?[@A-Za-z`]")


@given(STREAMS)
def test_only_whole_permitted_sequences_come_out_of_any_bytes(output: bytes) -> None:
    for piece in Screener().feed(output):
        text = piece.content.decode()  # whole characters
        assert re.fullmatch(f"(?:{STRICT.pattern})*", text), text
        assert piece.asks == bool(re.search(r"\x1b\[(?:[?>]?[0-9]*[cn]|\?[0-9;:]*\$p)", text))


@given(STREAMS, st.data())
def test_the_cut_of_the_stream_makes_no_difference(output: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(output)), max_size=5)))
    screener = Screener()
    parts = [screener.feed(output[start:end]) for start, end in zip([0, *cuts], [*cuts, len(output)], strict=True)]
    assert b"".join(piece.content for pieces in parts for piece in pieces) == screened(output)


@given(STREAMS)
def test_what_was_screened_passes_unchanged(output: bytes) -> None:
    assert screened(screened(output)) == screened(output)


def test_queries_come_in_pieces_of_their_own() -> None:
    pieces = Screener().feed(b"a\x1b[6nb\x1b[c")
    assert [(piece.content, piece.asks) for piece in pieces] == [(b"a", False), (b"\x1b[6n", True), (b"b", False), (b"\x1b[c", True)]


@pytest.mark.parametrize(
    ("typed", "is_the_terminals"),
    [
        (b"\x1b[12;40R", True),
        (b"\x1b[?62;22c", True),
        (b"\x1b[0n", True),
        (b"\x1b[?2026;2$y", True),
        (b"\x1b[I", True),
        (b"x", False),
        (b"\x1b[A", False),
        (b"", False),
    ],
)
def test_an_answer_of_the_terminal_is_told_from_typing(typed: bytes, *, is_the_terminals: bool) -> None:
    assert is_answer(typed) is is_the_terminals


def test_a_replay_starts_at_a_line_with_the_modes_of_that_moment() -> None:
    screener, replay = Screener(), Replay(limit_bytes=40)
    for output in [b"gone\r\n\x1b[?2004h", b"torn line\r\nsecond line\r\n", b"third \x1b[?25l", b"line"]:
        for piece in screener.feed(output):
            replay.add(piece)
    assert replay.is_cut
    assert replay.render() == b"\x1b[?2004hsecond line\r\nthird \x1b[?25lline"


def test_a_replay_of_a_full_screen_program_enters_its_screen_first() -> None:
    screener, replay = Screener(), Replay(limit_bytes=10)
    for output in [b"\x1b[?1049h\x1b[?25l\x1b[H", b"text\nof the screen", b"more"]:
        for piece in screener.feed(output):
            replay.add(piece)
    assert replay.render() == b"\x1b[?1049h\x1b[?25lmore"


@given(st.lists(STREAMS, max_size=20), st.integers(1, 64))
def test_a_replay_is_bounded_and_never_asks(outputs: list[bytes], limit: int) -> None:
    screener, replay, longest = Screener(), Replay(limit_bytes=limit), 0
    for output in outputs:
        for piece in screener.feed(output):
            replay.add(piece)
            longest = max(longest, len(piece.content))
    rendered = replay.render()
    assert len(rendered) <= max(limit, longest) + 200
    assert not re.search(rb"\x1b\[(?:[>]?0?c|\??[56]n|\?[0-9;:]*\$p)", rendered)
    assert all(not piece.asks for piece in Screener().feed(rendered))


def test_an_empty_replay_is_nothing() -> None:
    replay = Replay()
    replay.add(Piece(b"\x1b[6n", frozenset(), asks=True))
    assert replay.render() == b""
