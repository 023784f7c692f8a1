"""Using up the screen: the memory it gives its clients, its clients, its time, its attention. The session feels it, and nobody else does.

`screen_bomb` goes off in a child, for a few seconds at most, and is over with it. `be_on_screen` stays until somebody else ends it.
"""

import os
import signal
import socket
import struct
import time
from contextlib import suppress
from pathlib import Path

from .attempt import attempt, must
from .screen_spying import window
from .x11 import Display, Refusal, socket_path

MIB = 1 << 20
SECONDS = 3.0
_CREATE_WINDOW, _CHANGE_WINDOW, _GRAB_POINTER, _GRAB_KEYBOARD, _GRAB_SERVER = 1, 2, 26, 31, 36
_CHANGE_PROPERTY, _CREATE_PIXMAP, _CREATE_GC, _FILL, _GET_IMAGE, _CREATE_COLORMAP, _CREATE_CURSOR, _BELL = 18, 53, 55, 70, 73, 78, 93, 104
_NO_OPERATION, _CLOSE_DOWN_MODE = 127, 112
_STRING, _NAME = 31, 39
_FAKE_INPUT = 2  # of XTEST
_PICTURE_FORMATS, _GLYPH_SET, _ADD_GLYPHS = 1, 17, 20  # of RENDER
_SET_SCREEN_SIZE = 7  # of RANDR


def _pixmap(display, width, height, depth=24):
    """Every page of it written."""
    made, pen = display.new(), display.new()
    display.send(_CREATE_PIXMAP, depth, struct.pack("<IIHH", made, display.root, width, height))
    display.send(_CREATE_GC, 0, struct.pack("<IIII", pen, made, 0x4, 0xFFFFFFFF))
    display.send(_FILL, 0, struct.pack("<IIhhHH", made, pen, 0, 0, width, height))
    return made


def _until_full(display, act):
    """Until the server says that it has no more to give."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        act()
        if errors := display.sync():
            return f"the screen answers {errors[0]}"
    return "time is up"


def _pixmaps(display):
    return _until_full(display, lambda: _pixmap(display, 2048, 2048))


def _kept_pixmaps(display):
    """They stay when their client is gone (RetainPermanent)."""
    display.do(_CLOSE_DOWN_MODE, 1)
    return _until_full(display, lambda: _pixmap(display, 2048, 2048))


def _windows(display):
    def some():
        for _ in range(500):
            display.send(_CREATE_WINDOW, 0, struct.pack("<IIhhHHHHII", display.new(), display.root, 0, 0, 9, 9, 0, 1, 0, 0))

    return _until_full(display, some)


def _properties(display):
    display.ask(display.opcode("BIG-REQUESTS"), 0)
    content = struct.pack("<IIIB3xI", window(display, 0, 1, 1), _NAME, _STRING, 8, 2 * MIB) + bytes(2 * MIB)
    return _until_full(display, lambda: display.send(_CHANGE_PROPERTY, 2, content))


def _glyphs(display):
    display.ask(display.opcode("BIG-REQUESTS"), 0)
    render = display.opcode("RENDER")
    formats = display.ask(render, _PICTURE_FORMATS)
    eight = next(number for number, kind, depth in struct.iter_unpack("<IBB22x", formats[32 : 32 + 28 * struct.unpack_from("<I", formats, 8)[0]]) if depth == 8)
    glyphs = display.new()
    display.do(render, _GLYPH_SET, struct.pack("<II", glyphs, eight))

    def one():
        head = struct.pack("<IIIHHhhhh", glyphs, 1, display.new(), 1024, 1024, 0, 0, 0, 0)
        display.send(render, _ADD_GLYPHS, head + os.urandom(1024) * 1024)

    return _until_full(display, one)


def _colormaps(display):
    def some():
        for _ in range(200):
            display.send(_CREATE_COLORMAP, 0, struct.pack("<III", display.new(), display.root, display.visual))

    return _until_full(display, some)


def _unread(display):
    """Asking, and never taking the answer: the server keeps it."""
    end = socket.socket(fileno=os.dup(display.fileno()))
    end.settimeout(SECONDS)
    question = struct.pack("<BBHIhhHHI", _GET_IMAGE, 2, 5, display.root, 0, 0, display.width, display.height, 0xFFFF_FFFF)
    with suppress(TimeoutError):
        for _ in range(2000):
            end.sendall(question)
    return "asked, and took nothing"


def _clients(display):
    held = [display]
    try:
        while len(held) < 2000:
            held += [Display()]
    except (Refusal, OSError) as refusal:
        return f"no more after {len(held)}: {refusal}"
    return f"{len(held)} clients"


def _strangers(_display):
    """Connections that never say who they are."""
    held = []
    with suppress(OSError):
        for _ in range(900):
            held.append(socket.socket(socket.AF_UNIX))
            held[-1].settimeout(1)
            held[-1].connect(socket_path())
    return f"{len(held)} connections"


def _descriptors(display):
    """The server takes what comes with a request, and keeps it for one that would want it."""
    for _ in range(600):
        display.send(_NO_OPERATION, 0, b"", [0] * 8)
    return f"sent, {display.sync()}"


def _screen_sizes(display):
    randr = display.opcode("RANDR")
    said = []
    for size in (32767, 16384, 8192):
        try:
            display.do(randr, _SET_SCREEN_SIZE, struct.pack("<IHHII", display.root, size, size, 300, 300))
            said.append(f"{size} taken")
        except Refusal as refusal:
            said.append(f"{size}: {refusal}")
    return ", ".join(said)


def _bells(display):
    for number in range(20_000):
        display.send(_BELL, 100 if number % 2 else 0)
    return f"rung, {display.sync()}"


def _keys(display):
    test = display.opcode("XTEST")
    for number in range(20_000):
        display.send(test, _FAKE_INPUT, struct.pack("<BB2xII8xhh8x", 2 + number % 2, 38, 0, 0, 0, 0))
    return f"pressed, {display.sync()}"


def _cursors(display):
    """Of odd sizes, each shown under the pointer."""
    shown = window(display, 0, display.width, display.height)
    for width, height in ((1, 1), (7, 3), (31, 33), (257, 1), (1, 511), (64, 64), (1000, 999), (2048, 2048)):
        source, made = _pixmap(display, width, height, 1), display.new()
        display.send(_CREATE_CURSOR, 0, struct.pack("<III6H2H", made, source, 0, 65535, 0, 0, 0, 0, 65535, width // 2, height // 2))
        display.send(_CHANGE_WINDOW, 0, struct.pack("<III", shown, 0x4000, made))
        display.sync()
    return "shown"


BOMBS = {
    "pixmaps": _pixmaps,
    "windows": _windows,
    "properties": _properties,
    "glyphs": _glyphs,
    "colormaps": _colormaps,
    "unread answers": _unread,
    "clients": _clients,
    "strangers": _strangers,
    "descriptors": _descriptors,
    "screen sizes": _screen_sizes,
    "bells": _bells,
    "keys": _keys,
    "cursors": _cursors,
}


@attempt
def screen_bomb(display, kind):
    """In a child, which memory may cost its life: first its own, as a browser's would."""
    display.close()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, f"{BOMBS[kind](Display())}".encode())
        except (Refusal, OSError) as error:
            os.write(write, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        said = answer.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    must(said or status == -signal.SIGKILL, "", f"it ended with {status}")
    return said or "killed"


@attempt
def hold_pixmaps(display, megabytes):
    """Not an attempt: what must be counted."""
    for _ in range(int(megabytes)):
        _pixmap(display, 512, 512)
    must(not display.sync(), "", "the screen had no more to give")
    Path("/tmp", "held").touch()
    signal.pause()


@attempt
def be_on_screen(display, kind):
    """What the session must end in spite of."""
    held = STAYING[kind](display)
    Path("/tmp", "hard").touch()
    signal.pause()
    return f"it holds {held}"


def _grab_the_server(display):
    display.do(_GRAB_SERVER)


def _grab_input(display):
    display.ask(_GRAB_POINTER, 0, struct.pack("<IHBBIII", display.root, 0, 0, 0, 0, 0, 0))
    display.ask(_GRAB_KEYBOARD, 0, struct.pack("<IIBB2x", display.root, 0, 0, 0))


def _fill_all_clients(display):
    held = [display]
    with suppress(Refusal, OSError):
        while len(held) < 2000:
            held += [Display()]
    return held


def _never_end_drawing(display):
    """Requests that take the server minutes each: sixteen million pixels, thousands of times over."""
    made, pen = _pixmap(display, 4096, 4096), display.new()
    display.do(_CREATE_GC, 0, struct.pack("<III", pen, made, 0))
    for _ in range(3):
        display.send(_FILL, 0, struct.pack("<II", made, pen) + struct.pack("<hhHH", 0, 0, 4096, 4096) * 5000)


STAYING = {
    "grabbing the server": _grab_the_server,
    "grabbing all input": _grab_input,
    "being all its clients": _fill_all_clients,
    "drawing without end": _never_end_drawing,
    "keeping pixmaps": _kept_pixmaps,
}
