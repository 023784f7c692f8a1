"""RFB messages as tests write them: what a server or a client says, and what of it goes on. Strategies make lawful ones of every kind."""

import itertools
import struct

from hypothesis import strategies as st

from sekisho.gateway.desktop import wire
from sekisho.gateway.desktop.from_browser import FromBrowser
from sekisho.gateway.desktop.from_server import ClipboardWord, FromServer
from sekisho.gateway.desktop.wire import Frame
from sekisho.gateway.wire import MalformedMessage

FRAME = Frame(64, 48)
NOTHING = struct.pack(">4Hi", 0, 0, 0, 0, 0)
HELD_LIMIT_BYTES = 5_000
Expected = tuple[bytes, list[int]]  # what goes on, and the flags that the clipboard hears


def update(*rectangles: bytes, count: int | None = None) -> bytes:
    return struct.pack(">BxH", 0, len(rectangles) if count is None else count) + b"".join(rectangles)


def rectangle(encoding: int, data: bytes = b"", *, x: int = 0, y: int = 0, width: int = 8, height: int = 8) -> bytes:
    return struct.pack(">4Hi", x, y, width, height, encoding) + data


def compact(length: int) -> bytes:
    """Tight's length in one to three bytes."""
    if length < 1 << 7:
        return bytes((length,))
    if length < 1 << 14:
        return bytes((length & 0x7F | 0x80, length >> 7))
    return bytes((length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14))


def cut_text(text: bytes, *, kind: int = 3) -> bytes:
    return struct.pack(">B3xi", kind, len(text)) + text


def extended(flags: int, body: bytes = b"", *, kind: int = 3) -> bytes:
    return struct.pack(">B3xiI", kind, -(4 + len(body)), flags) + body


def fence(flags: int, data: bytes) -> bytes:
    return struct.pack(">B3xIB", 248, flags, len(data)) + data


def heard(stream: FromServer, *parts: bytes) -> Expected:
    items = [item for part in parts for item in stream.feed(part)]
    return b"".join(item for item in items if isinstance(item, bytes)), [item.flags for item in items if isinstance(item, ClipboardWord)]


def typed(stream: FromBrowser, *parts: bytes) -> tuple[bytes, bool]:
    found = [stream.feed(part) for part in parts]
    return b"".join(each.content for each in found), any(each.is_active for each in found)


def parts_of(content: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(content), *(cut % (len(content) + 1) for cut in cuts)})
    return [content[a:b] for a, b in itertools.pairwise(places)]


def changed(content: bytes, changes: list) -> bytes:
    """With some bytes set, cut out or added."""
    found = bytearray(content)
    for place, how, value in changes:
        at = place % (len(found) + 1)
        if how == "set":
            found[at : at + 1] = bytes((value,))
        elif how == "cut":
            del found[at : at + value]
        else:
            found[at:at] = bytes((value, value))
    return bytes(found)


def swallow(stream: FromServer | FromBrowser, content: bytes, step: int) -> None:
    """It is understood, or refused by the one error, and little is held back on the way."""
    held = "_buffer" if isinstance(stream, FromServer) else "_rest"
    try:
        for at in range(0, len(content), step):
            stream.feed(content[at : at + step])
            assert len(getattr(stream, held)) <= HELD_LIMIT_BYTES
    except MalformedMessage:
        return


def _sized(draw: st.DrawFn, count: int) -> bytes:
    """So many bytes, of which only the beginning is worth choosing."""
    head = draw(st.binary(max_size=min(count, 20)))
    return head + bytes(count - len(head))


def _tight(draw: st.DrawFn, width: int, height: int) -> bytes:
    control = draw(st.integers(0, 9))
    resets = draw(st.integers(0, 15))
    head = bytes((control << 4 | resets,))
    if control == 8:
        return head + b"rgb"
    size = width * height * 3
    if control == 9:
        size = 99
    elif control & 4:
        colours = draw(st.sampled_from([None, 2, 3, 256]))
        if colours:
            head += bytes((1, colours - 1)) + bytes(3 * colours)
            size = (width + 7) // 8 * height if colours == 2 else width * height
        else:
            head += bytes((draw(st.sampled_from([0, 2])),))
    if size < 12 and control < 8:
        return head + bytes(size)
    length = draw(st.sampled_from([0, 1, 127, 128, 300, 16_383, 16_384, 20_000]))
    return head + compact(length) + _sized(draw, length)


def _hextile(draw: st.DrawFn, width: int, height: int) -> bytes:
    out, has_background = [], False
    for y in range(0, height, 16):
        for x in range(0, width, 16):
            area = min(16, width - x) * min(16, height - y)
            if draw(st.booleans()):
                out.append(bytes((1,)) + _sized(draw, area * 4))
                has_background = False
                continue
            mask = draw(st.sampled_from([0, 2, 4, 8, 6, 12, 14, 24, 26])) | (0 if has_background else 2)
            has_background = True
            tile = bytes((mask,)) + bytes(4 * bool(mask & 2) + 4 * bool(mask & 4))
            if mask & 8:
                count = draw(st.integers(0, 5))
                tile += bytes((count,)) + bytes(count * (6 if mask & 16 else 2))
            out.append(tile)
    return b"".join(out)


@st.composite
def data_rectangles(draw: st.DrawFn) -> bytes:
    width, height = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    x, y = draw(st.integers(0, FRAME.width - width)), draw(st.integers(0, FRAME.height - height))
    encoding = draw(st.sampled_from([wire.RAW, wire.COPY_RECT, wire.HEXTILE, wire.TIGHT, wire.ZRLE]))
    match encoding:
        case wire.RAW:
            data = _sized(draw, width * height * 4)
        case wire.COPY_RECT:
            data = struct.pack(">HH", draw(st.integers(0, FRAME.width - width)), draw(st.integers(0, FRAME.height - height)))
        case wire.HEXTILE:
            data = _hextile(draw, width, height)
        case wire.TIGHT:
            data = _tight(draw, width, height)
        case _:
            length = draw(st.integers(0, 200))
            data = struct.pack(">I", length) + _sized(draw, length)
    return rectangle(encoding, data, x=x, y=y, width=width, height=height)


@st.composite
def other_rectangles(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """One that is no picture, and what goes on of it. The frame keeps its size."""
    match draw(st.sampled_from(["cursor", "led", "qemu", "size", "extended", "failed", "name"])):
        case "cursor":
            width, height = draw(st.integers(0, 20)), draw(st.integers(0, 20))
            whole = rectangle(wire.CURSOR, bytes(width * height * 4 + (width + 7) // 8 * height), x=3, y=70, width=width, height=height)
        case "led":
            whole = rectangle(wire.LED_STATE, draw(st.binary(min_size=1, max_size=1)), width=0, height=0)
        case "qemu":
            whole = rectangle(wire.QEMU_KEY, width=0, height=0)
        case "size":
            whole = rectangle(wire.DESKTOP_SIZE, width=FRAME.width, height=FRAME.height)
        case "extended":
            screens = draw(st.integers(0, 3))
            whole = rectangle(wire.EXTENDED_DESKTOP_SIZE, bytes((screens, 0, 0, 0)) + bytes(16 * screens), width=FRAME.width, height=FRAME.height)
        case "failed":
            whole = rectangle(wire.EXTENDED_DESKTOP_SIZE, bytes((1, 0, 0, 0)) + bytes(16), x=1, y=3, width=9999, height=0)
        case _:
            name = draw(st.binary(max_size=30))
            return rectangle(wire.DESKTOP_NAME, struct.pack(">I", len(name)) + name, width=0, height=0), NOTHING
    return whole, whole


@st.composite
def updates(draw: st.DrawFn) -> tuple[bytes, Expected]:
    pairs = draw(st.lists(data_rectangles().map(lambda whole: (whole, whole)) | other_rectangles(), max_size=4))
    is_open = draw(st.booleans())
    count = 65_535 if is_open else None
    if is_open:
        pairs.append((rectangle(wire.LAST_RECT, width=0, height=0),) * 2)
    return update(*(said for said, _ in pairs), count=count), (update(*(shown for _, shown in pairs), count=count), [])


SERVER_OTHERS = st.one_of(
    st.just((b"\x02", (b"\x02", []))),
    st.just((bytes((150,)), (bytes((150,)), []))),
    st.builds(fence, st.integers(0, 2**32 - 1), st.binary(max_size=64)).map(lambda said: (said, (said, []))),
    st.binary(max_size=40).map(lambda text: (cut_text(text), (b"", []))),
    st.builds(lambda flags, body: (extended(flags, body), (b"", [flags])), st.integers(0, 2**32 - 1), st.binary(max_size=40)),
    st.just((b"\xfa\x00\x01\x01", (b"", []))),
    st.just((b"\xff\x01\x00\x01", (b"", []))),
    st.binary(max_size=40).map(lambda sound: (struct.pack(">BBHI", 255, 1, 2, len(sound)) + sound, (b"", []))),
)
SERVER_STREAMS = st.lists(updates() | SERVER_OTHERS, max_size=6)


def _set_encodings(asked: list[int]) -> tuple[bytes, bytes]:
    kept = list(dict.fromkeys(each for each in asked if each in wire.ENCODINGS))
    return wire.render_set_encodings(asked), wire.render_set_encodings([*kept, wire.EXTENDED_CLIPBOARD])


_PASSED = st.one_of(
    st.binary(min_size=9, max_size=9).map(lambda rest: b"\x03" + rest),
    st.binary(min_size=7, max_size=7).map(lambda rest: b"\x04" + rest),
    st.binary(min_size=5, max_size=5).map(lambda rest: b"\x05" + rest),
    st.binary(min_size=9, max_size=9).map(lambda rest: bytes((150,)) + rest),
    st.binary(min_size=10, max_size=10).map(lambda rest: b"\xff\x00" + rest),
    st.builds(fence, st.integers(0, 2**32 - 1), st.binary(max_size=64)),
)
_DROPPED = st.one_of(
    st.just(wire.render_set_pixel_format()),
    st.binary(max_size=40).map(lambda text: cut_text(text, kind=6)),
    st.builds(lambda flags, body: extended(flags, body, kind=6), st.integers(0, 2**32 - 1), st.binary(max_size=40)),
    st.binary(min_size=3, max_size=3).map(lambda rest: b"\xfa" + rest),
    st.sampled_from([b"\xff\x01\x00\x00", b"\xff\x01\x00\x01", b"\xff\x01\x00\x02" + bytes(6)]),
)
BROWSER_STREAMS = st.lists(
    _PASSED.map(lambda said: (said, said))
    | _DROPPED.map(lambda said: (said, b""))
    | st.lists(st.sampled_from([*sorted(wire.ENCODINGS), -307, -316, 21, wire.EXTENDED_CLIPBOARD]), max_size=30).map(_set_encodings),
    max_size=8,
)
