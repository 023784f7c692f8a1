"""An X client for tests, run as a program: `x_painter.py DISPLAY RRGGBB` fills the screen with one colour and prints what it meets, one JSON line each.

{"size": [width, height]} of the screen, at first and whenever it changes; {"key": keysym's name, "is_down": …}; {"button": number, "x": …, "y": …}.
Plain Xlib through ctypes, so that no X program has to be installed.
"""

import ctypes
import json
import sys
from ctypes import POINTER, Structure, Union, byref, c_char_p, c_int, c_long, c_uint, c_ulong, c_void_p

KEY_PRESS, KEY_RELEASE, BUTTON_PRESS, MAP_NOTIFY, CONFIGURE_NOTIFY = 2, 3, 4, 19, 22  # X.h
KEYS_AND_BUTTONS, STRUCTURE = 0b111, 1 << 17
OVERRIDE_REDIRECT = 1 << 9
BIG_ENOUGH = 8192


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


def main(name: str, colour: int) -> None:
    xlib = load()
    display = xlib.XOpenDisplay(name.encode())
    assert display, f"no display {name}"
    root = xlib.XDefaultRootWindow(display)
    window = xlib.XCreateSimpleWindow(display, root, 0, 0, BIG_ENOUGH, BIG_ENOUGH, 0, 0, colour)
    xlib.XChangeWindowAttributes(display, window, OVERRIDE_REDIRECT, byref(Attributes(override_redirect=1)))
    xlib.XSelectInput(display, root, STRUCTURE)
    xlib.XSelectInput(display, window, KEYS_AND_BUTTONS | STRUCTURE)
    xlib.XMapRaised(display, window)
    event = Event()
    while True:
        xlib.XNextEvent(display, byref(event))
        match event.type:
            case 19:
                xlib.XSetInputFocus(display, window, 1, 0)
                say(size=[xlib.XDisplayWidth(display, 0), xlib.XDisplayHeight(display, 0)])
            case 22 if event.configure.window == root:
                say(size=[event.configure.width, event.configure.height])
            case 2 | 3:
                keysym = xlib.XLookupKeysym(byref(event), 0)
                say(key=(xlib.XKeysymToString(keysym) or b"").decode(), is_down=event.type == KEY_PRESS)
            case 4:
                say(button=event.input.detail, x=event.input.x, y=event.input.y)
            case 34:  # MappingNotify: the server gave a keysym a key
                xlib.XRefreshKeyboardMapping(byref(event))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2], 16))
