"""An X client for tests, run as a program: `x_painter.py DISPLAY RRGGBB` fills the screen with one colour, but for a square of many.

It prints what it meets, one JSON line each:
{"size": [width, height]} of the screen, at first and whenever it changes; {"key": keysym's name, "is_down": …}; {"button": number, "x": …, "y": …}.
Plain Xlib through ctypes, so that no X program has to be installed.
"""

import ctypes
import json
import sys
from ctypes import POINTER, Structure, Union, byref, c_char_p, c_int, c_long, c_uint, c_ulong, c_void_p

KEYS_AND_BUTTONS, EXPOSURE, STRUCTURE = 0b111, 1 << 15, 1 << 17  # X.h
OVERRIDE_REDIRECT = 1 << 9
BIG_ENOUGH = 8192
ARROW = 68  # XC_left_ptr, cursorfont.h
SQUARE = range(64, 320, 4)  # in both directions: what a server sends as a photograph


class Input(Structure):
    """XKeyEvent, XButtonEvent: the same up to `detail`."""

    _fields_ = [
        ("type", c_int), ("serial", c_ulong), ("send_event", c_int), ("display", c_void_p), ("window", c_ulong), ("root", c_ulong), ("subwindow", c_ulong),
        ("time", c_ulong), ("x", c_int), ("y", c_int), ("x_root", c_int), ("y_root", c_int), ("state", c_uint), ("detail", c_uint), ("same_screen", c_int),
    ]  # fmt: skip


class Configure(Structure):
    """XConfigureEvent, up to the size."""

    _fields_ = [
        ("type", c_int), ("serial", c_ulong), ("send_event", c_int), ("display", c_void_p), ("event", c_ulong), ("window", c_ulong),
        ("x", c_int), ("y", c_int), ("width", c_int), ("height", c_int),
    ]  # fmt: skip


class Event(Union):
    _fields_ = [("type", c_int), ("input", Input), ("configure", Configure), ("room", c_long * 24)]


class Attributes(Structure):
    """XSetWindowAttributes, of which only `override_redirect` is used."""

    _fields_ = [("before", c_long * 10), ("do_not_propagate_mask", c_long), ("override_redirect", c_int), ("colormap", c_ulong), ("cursor", c_ulong)]


def load() -> ctypes.CDLL:
    xlib = ctypes.CDLL("libX11.so.6")
    xlib.XOpenDisplay.restype = c_void_p
    xlib.XDefaultRootWindow.argtypes = [c_void_p]
    xlib.XDefaultRootWindow.restype = c_ulong
    xlib.XDisplayWidth.argtypes = xlib.XDisplayHeight.argtypes = [c_void_p, c_int]
    xlib.XCreateSimpleWindow.argtypes = [c_void_p, c_ulong, c_int, c_int, c_uint, c_uint, c_uint, c_ulong, c_ulong]
    xlib.XCreateSimpleWindow.restype = c_ulong
    xlib.XChangeWindowAttributes.argtypes = [c_void_p, c_ulong, c_ulong, POINTER(Attributes)]
    xlib.XSelectInput.argtypes = [c_void_p, c_ulong, c_long]
    xlib.XMapRaised.argtypes = [c_void_p, c_ulong]
    xlib.XCreateFontCursor.argtypes = [c_void_p, c_uint]
    xlib.XCreateFontCursor.restype = c_ulong
    xlib.XDefineCursor.argtypes = [c_void_p, c_ulong, c_ulong]
    xlib.XDefaultGC.argtypes = [c_void_p, c_int]
    xlib.XDefaultGC.restype = c_void_p
    xlib.XSetForeground.argtypes = [c_void_p, c_void_p, c_ulong]
    xlib.XFillRectangle.argtypes = [c_void_p, c_ulong, c_void_p, c_int, c_int, c_uint, c_uint]
    xlib.XSetInputFocus.argtypes = [c_void_p, c_ulong, c_int, c_ulong]
    xlib.XNextEvent.argtypes = [c_void_p, POINTER(Event)]
    xlib.XLookupKeysym.argtypes = [POINTER(Event), c_int]
    xlib.XLookupKeysym.restype = c_ulong
    xlib.XRefreshKeyboardMapping.argtypes = [POINTER(Event)]
    xlib.XKeysymToString.argtypes = [c_ulong]
    xlib.XKeysymToString.restype = c_char_p
    return xlib


def say(**found: object) -> None:
    print(json.dumps(found), flush=True)  # noqa: T201  its output is for the test


def paint_square(xlib: ctypes.CDLL, display: int, window: int) -> None:
    context = xlib.XDefaultGC(display, 0)
    for y in SQUARE:
        for x in SQUARE:
            xlib.XSetForeground(display, context, (x * 7 + y * 13) % 251 << 16 | (x * 3 + y * 5) % 241 << 8 | (x * 11 + y) % 239)
            xlib.XFillRectangle(display, window, context, x, y, 4, 4)


def main(name: str, colour: int) -> None:
    xlib = load()
    display = xlib.XOpenDisplay(name.encode())
    assert display, f"no display {name}"
    root = xlib.XDefaultRootWindow(display)
    window = xlib.XCreateSimpleWindow(display, root, 0, 0, BIG_ENOUGH, BIG_ENOUGH, 0, 0, colour)
    xlib.XChangeWindowAttributes(display, window, OVERRIDE_REDIRECT, byref(Attributes(override_redirect=1)))
    xlib.XDefineCursor(display, window, xlib.XCreateFontCursor(display, ARROW))
    xlib.XSelectInput(display, root, STRUCTURE)
    xlib.XSelectInput(display, window, KEYS_AND_BUTTONS | EXPOSURE | STRUCTURE)
    xlib.XMapRaised(display, window)
    event = Event()
    while True:
        xlib.XNextEvent(display, byref(event))
        match event.type:
            case 2 | 3:  # KeyPress, KeyRelease
                keysym = xlib.XLookupKeysym(byref(event), 0)
                say(key=(xlib.XKeysymToString(keysym) or b"").decode(), is_down=event.type == 2)
            case 4:  # ButtonPress
                say(button=event.input.detail, x=event.input.x, y=event.input.y)
            case 12:  # Expose
                paint_square(xlib, display, window)
            case 19:  # MapNotify
                xlib.XSetInputFocus(display, window, 1, 0)
                say(size=[xlib.XDisplayWidth(display, 0), xlib.XDisplayHeight(display, 0)])
            case 22 if event.configure.window == root:  # ConfigureNotify
                say(size=[event.configure.width, event.configure.height])
            case 34:  # MappingNotify: the server gave a keysym a key
                xlib.XRefreshKeyboardMapping(byref(event))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2], 16))
