"""RFB as the gateway speaks it: a dialogue for each message and direction, and laws for all of them together."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.rfb import (
    BROWSER_STREAMS,
    FRAME,
    NOTHING,
    SERVER_STREAMS,
    compact,
    cut_text,
    extended,
    fence,
    heard,
    parts_of,
    rectangle,
    typed,
    update,
)

from sekisho.gateway.desktop import wire
from sekisho.gateway.desktop.from_browser import FromBrowser
from sekisho.gateway.desktop.from_server import FromServer
from sekisho.gateway.desktop.handshake import Handshake, with_browser, with_server
from sekisho.gateway.desktop.wire import Frame
from sekisho.gateway.wire import MalformedMessage

CLOSE, PASS, DROP = "close", "pass", "drop"
VERSION = b"RFB 003.008\n"
CLIPBOARD = struct.pack(">i", wire.EXTENDED_CLIPBOARD)

SERVER_SAYS = [
    # what it is, what the server says, what becomes of it
    ("an update of nothing", update(), PASS),
    ("colours of a map", b"\x01\x00" + bytes(4), CLOSE),
    ("a bell", b"\x02", PASS),
    ("a cut text", cut_text(b"secret"), DROP),
    ("a cut text of no length", cut_text(b""), DROP),
    ("a cut text that is too long", struct.pack(">B3xi", 3, 1_048_577), CLOSE),
    ("an extended cut text", extended(1 << 28 | 1, b"secret"), DROP),
    ("an extended cut text without flags", struct.pack(">B3xi", 3, -3), CLOSE),
    ("an extended cut text that is too long", struct.pack(">B3xiI", 3, -1_048_577, 1), CLOSE),
    ("the longest length there is", struct.pack(">B3xiI", 3, -(1 << 31), 1), CLOSE),
    ("the end of continuous updates", bytes((150,)), PASS),
    ("a fence", fence(0x80000001, b"x" * 64), PASS),
    ("a fence that is too long", fence(0x80000001, b"x" * 65), CLOSE),
    ("a power button", b"\xfa\x00\x01\x01", DROP),
    ("the beginning of a sound", b"\xff\x01\x00\x01", DROP),
    ("a sound", struct.pack(">BBHI", 255, 1, 2, 5) + b"sound", DROP),
    ("a sound that is too long", struct.pack(">BBHI", 255, 1, 2, 1 << 30), CLOSE),
    ("an unknown QEMU message", b"\xff\x02\x00\x00", CLOSE),
    ("an unknown message", b"\x04", CLOSE),
]

RECTANGLES = [
    # what it is, the rectangle, what becomes of its update
    ("raw", rectangle(wire.RAW, bytes(256)), PASS),
    ("raw to the last pixel", rectangle(wire.RAW, bytes(4), x=63, y=47, width=1, height=1), PASS),
    ("raw beyond the right", rectangle(wire.RAW, bytes(4), x=64, y=47, width=1, height=1), CLOSE),
    ("raw beyond the bottom", rectangle(wire.RAW, bytes(4), x=63, y=48, width=1, height=1), CLOSE),
    ("raw of no width", rectangle(wire.RAW, width=0), CLOSE),
    ("raw of no height", rectangle(wire.RAW, height=0), CLOSE),
    ("a copy", rectangle(wire.COPY_RECT, struct.pack(">HH", 56, 40)), PASS),
    ("a copy from beyond the right", rectangle(wire.COPY_RECT, struct.pack(">HH", 57, 40)), CLOSE),
    ("a copy from beyond the bottom", rectangle(wire.COPY_RECT, struct.pack(">HH", 56, 41)), CLOSE),
    ("hextile, one raw tile", rectangle(wire.HEXTILE, b"\x01" + bytes(256)), PASS),
    ("hextile with every part", rectangle(wire.HEXTILE, b"\x1a" + bytes(4) + b"\x02" + bytes(12)), PASS),
    ("hextile without a background", rectangle(wire.HEXTILE, b"\x00"), CLOSE),
    ("hextile without a background after a raw tile", rectangle(wire.HEXTILE, b"\x01" + bytes(512) + b"\x00", width=32), CLOSE),
    ("hextile with a foreground and coloured subrectangles", rectangle(wire.HEXTILE, b"\x1e" + bytes(9)), CLOSE),
    ("hextile with an unknown bit", rectangle(wire.HEXTILE, b"\x22" + bytes(4)), CLOSE),
    ("hextile outside the frame", rectangle(wire.HEXTILE, b"\x02" + bytes(4), x=60), CLOSE),
    ("tight, one colour", rectangle(wire.TIGHT, b"\x80rgb"), PASS),
    ("tight, JPEG", rectangle(wire.TIGHT, b"\x90" + compact(300) + bytes(300)), PASS),
    ("tight, copied", rectangle(wire.TIGHT, b"\x0f" + compact(20_000) + bytes(20_000)), PASS),
    ("tight, copied, by name", rectangle(wire.TIGHT, b"\x40\x00" + compact(2) + bytes(2)), PASS),
    ("tight, gradient", rectangle(wire.TIGHT, b"\x70\x02" + compact(127) + bytes(127)), PASS),
    ("tight, two colours", rectangle(wire.TIGHT, b"\x40\x01\x01" + bytes(6) + bytes(8)), PASS),
    ("tight, two colours, small", rectangle(wire.TIGHT, b"\x40\x01\x01" + bytes(6) + bytes(2), width=9, height=1), PASS),
    ("tight, many colours", rectangle(wire.TIGHT, b"\x40\x01\xff" + bytes(768) + compact(3) + bytes(3)), PASS),
    ("tight, small", rectangle(wire.TIGHT, b"\x00" + bytes(9), width=3, height=1), PASS),
    ("tight, one colour in a palette", rectangle(wire.TIGHT, b"\x40\x01\x00" + bytes(3)), CLOSE),
    ("tight, an unknown filter", rectangle(wire.TIGHT, b"\x40\x03"), CLOSE),
    ("tight, PNG", rectangle(wire.TIGHT, b"\xa0\x00"), CLOSE),
    ("tight, not compressed", rectangle(wire.TIGHT, b"\xe0\x00"), CLOSE),
    ("zrle", rectangle(wire.ZRLE, struct.pack(">I", 5) + b"abcde"), PASS),
    ("zrle without end", rectangle(wire.ZRLE, struct.pack(">I", 1 << 31)), CLOSE),
    ("a cursor", rectangle(wire.CURSOR, bytes(9 * 2 * 4 + 4), width=9, height=2), PASS),
    ("no cursor", rectangle(wire.CURSOR, width=0, height=0), PASS),
    ("the largest cursor", rectangle(wire.CURSOR, bytes(256 * 256 * 4 + 32 * 256), width=256, height=256), PASS),
    ("a cursor that is too wide", rectangle(wire.CURSOR, width=257, height=1), CLOSE),
    ("a cursor that is too high", rectangle(wire.CURSOR, width=1, height=257), CLOSE),
    ("lamps of a keyboard", rectangle(wire.LED_STATE, b"\x07", width=0, height=0), PASS),
    ("QEMU keys are known", rectangle(wire.QEMU_KEY, width=0, height=0), PASS),
    ("a size", rectangle(wire.DESKTOP_SIZE, width=800, height=600), PASS),
    ("a size of nothing", rectangle(wire.DESKTOP_SIZE, width=800, height=0), CLOSE),
    ("a size out of bounds", rectangle(wire.DESKTOP_SIZE, width=16_385, height=600), CLOSE),
    ("screens", rectangle(wire.EXTENDED_DESKTOP_SIZE, b"\x02\0\0\0" + bytes(32), width=800, height=600), PASS),
    ("too many screens", rectangle(wire.EXTENDED_DESKTOP_SIZE, b"\x11\0\0\0", width=800, height=600), CLOSE),
    ("screens that were refused", rectangle(wire.EXTENDED_DESKTOP_SIZE, b"\x01\0\0\0" + bytes(16), x=1, y=1, width=0, height=0), PASS),
    ("a name that is too long", rectangle(wire.DESKTOP_NAME, struct.pack(">I", 4_097)), CLOSE),
    *((f"encoding {encoding}", rectangle(encoding, bytes(64)), CLOSE) for encoding in (2, 4, 6, 21, 50, -240, -257, -260, -314, -316, 0x574D5664, -26, 3)),
]

BROWSER_SAYS = [
    # what it is, what the browser says, what becomes of it, whether a person did something
    ("the pixel format that is pinned", wire.render_set_pixel_format(), DROP, False),
    ("another pixel format", b"\x00" + bytes(19), CLOSE, False),
    ("colours of a map", b"\x01" + bytes(5), CLOSE, False),
    ("encodings that can be measured", wire.render_set_encodings([7, 1, -223]), wire.render_set_encodings([7, 1, -223, wire.EXTENDED_CLIPBOARD]), False),
    ("encodings of every kind", wire.render_set_encodings([21, 7, -307, -316, 7, 50]), wire.render_set_encodings([7, wire.EXTENDED_CLIPBOARD]), False),
    ("no encodings", wire.render_set_encodings([]), wire.render_set_encodings([wire.EXTENDED_CLIPBOARD]), False),
    ("too many encodings", struct.pack(">BxH", 2, 257), CLOSE, False),
    ("a request for an update", struct.pack(">BB4H", 3, 1, 0, 0, 64, 48), PASS, False),
    ("a key", struct.pack(">BBxxI", 4, 1, 0x61), PASS, True),
    ("the pointer", struct.pack(">BBHH", 5, 1, 9, 9), PASS, True),
    ("a cut text", cut_text(b"typed", kind=6), DROP, False),
    ("a cut text that is too long", struct.pack(">B3xi", 6, 1_048_577), CLOSE, False),
    ("an extended cut text", extended(1 << 28 | 1, b"text", kind=6), DROP, False),
    ("an extended cut text that is too long", struct.pack(">B3xi", 6, -(1 << 31)), CLOSE, False),
    ("continuous updates", struct.pack(">BB4H", 150, 1, 0, 0, 64, 48), PASS, False),
    ("a fence", fence(1, b"x" * 64), PASS, False),
    ("a fence that is too long", fence(1, b"x" * 65), CLOSE, False),
    ("the power button", b"\xfa\x00\x01\x02", DROP, False),
    ("a key by its place", struct.pack(">BBHII", 255, 0, 1, 0x61, 30), PASS, True),
    ("sound, on", b"\xff\x01\x00\x00", DROP, False),
    ("sound, its format", b"\xff\x01\x00\x02" + bytes(6), DROP, False),
    ("an unknown QEMU message", b"\xff\x02\x00\x00", CLOSE, False),
    ("an unknown sound", b"\xff\x01\x00\x03", CLOSE, False),
    *((f"message {kind}", bytes((kind,)), CLOSE, False) for kind in (7, 16, 20, 21, 80, 127, 128, 151, 249, 252, 253, 254)),
]


def test_the_pinned_format_is_what_novnc_asks_for() -> None:
    assert wire.PIXEL_FORMAT.hex() == "2018000100ff00ff00ff000810000000"


@pytest.mark.parametrize(("what", "said", "fate"), SERVER_SAYS, ids=[row[0] for row in SERVER_SAYS])
def test_what_a_server_says_passes_is_dropped_or_closes(what: str, said: bytes, fate: str) -> None:
    if fate == CLOSE:
        with pytest.raises(MalformedMessage):
            FromServer(FRAME).feed(said)
        return
    shown, flags = heard(FromServer(FRAME), said + b"\x02")
    assert shown == (said if fate == PASS else b"") + b"\x02", "and what follows is understood"
    assert flags == ([1 << 28 | 1] if "extended" in what else [])


@pytest.mark.parametrize(("what", "said", "fate"), RECTANGLES, ids=[row[0] for row in RECTANGLES])
def test_a_rectangle_passes_whole_or_closes(what: str, said: bytes, fate: str) -> None:
    whole = update(said) + b"\x02"
    if fate == CLOSE:
        with pytest.raises(MalformedMessage):
            FromServer(FRAME).feed(whole)
        return
    assert heard(FromServer(FRAME), whole) == (whole, [])


def test_a_tight_rectangle_is_at_most_2048_wide_unless_it_has_one_colour_or_is_a_picture() -> None:
    wide = {"width": 2_049, "height": 1}
    for data in (b"\x80rgb", b"\x90\x01x"):
        heard(FromServer(Frame(4_000, 10)), update(rectangle(wire.TIGHT, data, **wide)))
    with pytest.raises(MalformedMessage):
        FromServer(Frame(4_000, 10)).feed(update(rectangle(wire.TIGHT, b"\x00\x01x", **wide)))


def test_a_name_is_taken_out_and_the_count_still_holds() -> None:
    picture = rectangle(wire.TIGHT, b"\x80rgb")
    said = update(picture, rectangle(wire.DESKTOP_NAME, struct.pack(">I", 6) + b"secret", width=0, height=0), picture) + b"\x02"
    assert heard(FromServer(FRAME), said) == (update(picture, NOTHING, picture) + b"\x02", [])


def test_rectangles_lie_in_the_frame_that_was_told_last() -> None:
    stream, low = FromServer(FRAME), rectangle(wire.TIGHT, b"\x80rgb", y=90)
    heard(stream, update(rectangle(wire.DESKTOP_SIZE, width=100, height=100), low))
    heard(stream, update(rectangle(wire.EXTENDED_DESKTOP_SIZE, b"\x01\0\0\0" + bytes(16), x=1, y=1, width=10, height=10), low))
    assert stream.frame == Frame(100, 100), "what was refused is not so"
    heard(stream, update(rectangle(wire.EXTENDED_DESKTOP_SIZE, b"\x01\0\0\0" + bytes(16), x=1, width=10, height=10)))
    with pytest.raises(MalformedMessage):
        stream.feed(update(low))


def test_an_update_of_unknown_length_ends_at_its_last_rectangle() -> None:
    picture, last = rectangle(wire.TIGHT, b"\x80rgb"), rectangle(wire.LAST_RECT, width=0, height=0)
    whole = update(picture, picture, last, count=65_535) + b"\x02"
    assert heard(FromServer(FRAME), whole) == (whole, [])


def test_an_update_that_goes_on_and_on_closes() -> None:
    stream, picture = FromServer(FRAME), rectangle(wire.RAW, bytes(64 * 48 * 4), width=64, height=48)
    stream.feed(update(count=65_535))
    with pytest.raises(MalformedMessage):
        stream.feed(picture * 1_000)


def test_a_large_rectangle_goes_on_as_it_comes_and_is_not_held() -> None:
    stream = FromServer(Frame(3_840, 2_400))
    beginning = update(rectangle(wire.RAW, width=3_840, height=2_400))
    assert heard(stream, beginning) == (beginning, [])
    assert heard(stream, bytes(1_000)) == (bytes(1_000), [])


@pytest.mark.parametrize("row", BROWSER_SAYS, ids=lambda row: row[0])
def test_what_a_browser_says_passes_is_rewritten_is_dropped_or_closes(row: tuple[str, bytes, str | bytes, bool]) -> None:
    _, said, fate, is_active = row
    if fate == CLOSE:
        with pytest.raises(MalformedMessage):
            FromBrowser().feed(said)
        return
    update_request = struct.pack(">BB4H", 3, 0, 1, 2, 3, 4)
    goes_on = {PASS: said, DROP: b""}.get(fate, fate)  # type: ignore[arg-type]
    assert typed(FromBrowser(), said + update_request) == (goes_on + update_request, is_active)


SIZES = [
    # asked for, given
    ((1_280, 800), (1_280, 800)),
    ((1, 1), (320, 200)),
    ((65_535, 65_535), (3_840, 2_400)),
]


@pytest.mark.parametrize(("asked", "given"), SIZES)
def test_a_desktop_has_one_screen_within_bounds(asked: tuple[int, int], given: tuple[int, int]) -> None:
    screens = struct.pack(">I4HI", 7, 0, 0, *asked, 9) + struct.pack(">I4HI", 8, 5, 5, 10, 10, 0)
    said = struct.pack(">BxHHBx", 251, *asked, 2) + screens
    wanted = struct.pack(">BxHHBx", 251, *given, 1) + struct.pack(">I4HI", 7, 0, 0, *given, 9)
    assert typed(FromBrowser(), said) == (wanted, False)


def test_a_desktop_without_a_screen_closes() -> None:
    with pytest.raises(MalformedMessage):
        FromBrowser().feed(struct.pack(">BxHHBx", 251, 800, 600, 0))


def test_only_whole_messages_go_on() -> None:
    stream = FromBrowser()
    assert typed(stream, struct.pack(">BBHH", 5, 0, 1, 2) + b"\x04\x01") == (struct.pack(">BBHH", 5, 0, 1, 2), True)
    assert typed(stream, bytes(5)) == (b"", False)
    assert typed(stream, b"\x61") == (b"\x04\x01" + bytes(5) + b"\x61", True)


@given(SERVER_STREAMS, st.lists(st.integers(0, 1 << 20), max_size=12))
def test_a_lawful_server_is_understood_however_its_bytes_are_cut(pairs: list, cuts: list[int]) -> None:
    said = b"".join(said for said, _ in pairs)
    shown = b"".join(shown for _, (shown, _) in pairs)
    flags = [flag for _, (_, flags) in pairs for flag in flags]
    assert heard(FromServer(FRAME), said) == (shown, flags)
    assert heard(FromServer(FRAME), *parts_of(said, cuts)) == (shown, flags)


@given(SERVER_STREAMS, st.integers(0, 1 << 20), st.lists(st.integers(0, 1 << 20), max_size=5))
def test_what_has_gone_on_at_any_moment_depends_on_the_bytes_alone(pairs: list, end: int, cuts: list[int]) -> None:
    said = b"".join(said for said, _ in pairs)
    said = said[: end % (len(said) + 1)]
    whole = heard(FromServer(FRAME), said)
    assert heard(FromServer(FRAME), *parts_of(said, cuts)) == whole
    assert b"".join(shown for _, (shown, _) in pairs).startswith(whole[0]), "and is the beginning of a well-formed stream"


@given(BROWSER_STREAMS, st.lists(st.integers(0, 1 << 20), max_size=12))
def test_a_lawful_browser_is_understood_however_its_bytes_are_cut(pairs: list, cuts: list[int]) -> None:
    said, goes_on = b"".join(said for said, _ in pairs), b"".join(goes_on for _, goes_on in pairs)
    assert typed(FromBrowser(), said)[0] == goes_on
    assert typed(FromBrowser(), *parts_of(said, cuts)) == typed(FromBrowser(), said)


def talk(handshake: Handshake, said: bytes) -> bytes:
    """Byte by byte, as the slowest network."""
    return b"".join(handshake.feed(said[at : at + 1]) for at in range(len(said)))


def server_init(width: int = 1_024, height: int = 768, name: bytes = b"room:1 (somebody)") -> bytes:
    return struct.pack(">HH", width, height) + b"\x20\x18\x00\x01\x00\xff\x00\xff\x00\xff\x10\x08\x00\x00\x00\x00" + struct.pack(">I", len(name)) + name


def test_the_server_is_greeted_shares_and_is_told_the_pixel_format() -> None:
    handshake = with_server()
    assert handshake.feed(b"") == b""
    assert talk(handshake, VERSION) == VERSION
    assert talk(handshake, b"\x03\x02\x01\x10") == b"\x01"
    assert talk(handshake, b"\0\0\0\0") == b"\x01"
    assert talk(handshake, server_init()) == wire.render_set_pixel_format()
    assert (handshake.result, handshake.rest) == (Frame(1_024, 768), b"")


def test_what_follows_a_handshake_is_kept_for_what_follows_it() -> None:
    handshake = with_server()
    said = VERSION + b"\x01\x01" + bytes(4) + server_init() + b"\x02\x02"
    assert handshake.feed(said) == VERSION + b"\x01\x01" + wire.render_set_pixel_format()
    assert handshake.rest == b"\x02\x02"


ODD_SERVERS = [
    b"RFB 003.003\n",
    b"HTTP/1.1 400",
    VERSION + b"\x00\x00\x00\x00\x00",
    VERSION + b"\x02\x02\x10",
    VERSION + b"\x01\x01\x00\x00\x00\x01",
    VERSION + b"\x01\x01" + bytes(4) + server_init(width=0),
    VERSION + b"\x01\x01" + bytes(4) + server_init(height=16_385),
    VERSION + b"\x01\x01" + bytes(4) + struct.pack(">HH16xI", 10, 10, 4_097),
]


@pytest.mark.parametrize("said", ODD_SERVERS)
def test_a_server_of_another_kind_is_not_spoken_with(said: bytes) -> None:
    with pytest.raises(MalformedMessage):
        with_server().feed(said)


@pytest.mark.parametrize("shared", [b"\x00", b"\x01"])
def test_the_browser_is_offered_no_security_but_its_own_and_the_pinned_format(shared: bytes) -> None:
    handshake = with_browser(Frame(1_024, 768), name="キャンペーン")
    assert handshake.feed(b"") == VERSION
    assert talk(handshake, VERSION) == b"\x01\x01"
    assert talk(handshake, b"\x01") == b"\0\0\0\0"
    name = "キャンペーン".encode()
    assert talk(handshake, shared) == struct.pack(">HH", 1_024, 768) + wire.PIXEL_FORMAT + struct.pack(">I", len(name)) + name
    assert handshake.result == Frame(1_024, 768)


@pytest.mark.parametrize("said", [b"RFB 003.007\n", VERSION + b"\x10", VERSION + b"\x02"])
def test_a_browser_that_wants_something_else_is_not_spoken_with(said: bytes) -> None:
    handshake = with_browser(FRAME, name="room")
    with pytest.raises(MalformedMessage):
        handshake.feed(said)
