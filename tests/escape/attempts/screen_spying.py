"""Getting the clipboard out, and seeing another session's keys and pixels. One side shows things, the other looks."""

import os
import struct
import time
from pathlib import Path

from .attempt import attempt, must
from .x11 import Refusal

SELECTIONS = ("PRIMARY", "SECONDARY", "CLIPBOARD")
MARKS = (0xC0FFEE, 0xFACADE)
_CREATE_WINDOW, _MAP_WINDOW, _CHANGE_PROPERTY, _SET_OWNER, _SEND_EVENT, _QUERY_KEYMAP, _GET_IMAGE = 1, 8, 18, 22, 25, 44, 73
_SELECTION_NOTIFY, _SELECTION_REQUEST, _GENERIC_EVENT = 31, 30, 35
_ATOM, _STRING, _CUT_BUFFER = 4, 31, 9
_BACKGROUND, _UNMANAGED, _EVENTS = 0x2, 0x200, 0x800
_SELECT_EVENTS, _QUERY_VERSION, _RAW_KEY_PRESS, _ALL_MASTERS = 46, 47, 13, 1  # XInput 2
_LONG = 1 << 20


def window(display, colour, width=200, height=200):
    """Shown, in the corner, above all others."""
    made = display.new()
    values = struct.pack("<III", colour, 1, 0)
    display.do(_CREATE_WINDOW, 0, struct.pack("<IIhhHHHHII", made, display.root, 0, 0, width, height, 0, 1, 0, _BACKGROUND | _UNMANAGED | _EVENTS) + values)
    display.do(_MAP_WINDOW, 0, struct.pack("<I", made))
    return made


def _property(display, *, target, name, kind, form, content):
    display.send(_CHANGE_PROPERTY, 0, struct.pack("<IIIB3xI", target, name, kind, form, len(content) * 8 // form) + content)


class _Owner:
    """Owns every selection, and gives it away in whatever form it is asked for; a text too long for one property as INCR (ICCCM 2.7.2)."""

    def __init__(self, display, secret):
        self._display = display
        self._secret = secret
        self._window = window(display, 0, 1, 1)
        self._atoms = {name: display.atom(name) for name in ("TARGETS", "UTF8_STRING", "TEXT", "INCR", "text/plain;charset=utf-8", *SELECTIONS)}
        self.asked = 0

    def own(self):
        for name in SELECTIONS:
            self._display.send(_SET_OWNER, 0, struct.pack("<III", self._window, self._atoms[name], 0))
        for number in range(8):
            _property(self._display, target=self._display.root, name=_CUT_BUFFER + number, kind=_STRING, form=8, content=self._secret)
        self._display.sync()

    def serve(self, seconds, until=None):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not (until and Path(until).exists()):
            event = self._display.event(min(left, 0.02))
            if event and event[0] & 0x7F == _SELECTION_REQUEST:
                self._give(*struct.unpack_from("<IIIIII", event, 4))

    def _give(self, moment, _owner, requestor, selection, target, place):
        self.asked += 1
        place = place or target
        if target == self._atoms["TARGETS"]:
            offered = [self._atoms[name] for name in ("TARGETS", "UTF8_STRING", "TEXT", "text/plain;charset=utf-8")] + [_STRING]
            kind, form, content = _ATOM, 32, struct.pack(f"<{len(offered)}I", *offered)
        elif len(self._secret) > _LONG:
            kind, form, content = self._atoms["INCR"], 32, struct.pack("<I", len(self._secret))
        else:
            kind, form, content = target, 8, self._secret
        _property(self._display, target=requestor, name=place, kind=kind, form=form, content=content)
        notice = struct.pack("<BxHIIIII", _SELECTION_NOTIFY, 0, moment, requestor, selection, target, place)
        self._display.send(_SEND_EVENT, 0, struct.pack("<II", requestor, 0) + notice.ljust(32, b"\0"))


@attempt
def offer_the_clipboard(display, secret, length, looked):
    """By every selection and every cut buffer, again and again, and then show a mark: whatever was sent on by itself came before it. When the one who looks
    has seen it and asked in turn (the file `looked` is there), show another mark: whatever was asked for came before that."""
    display.ask(display.opcode("BIG-REQUESTS"), 0)
    owner = _Owner(display, (secret * (int(length) // len(secret) + 1))[: int(length)].encode())
    for _ in range(10):
        owner.own()
        owner.serve(0.05)
    window(display, MARKS[0])
    owner.serve(20, until=looked)
    owner.serve(0.3)
    window(display, MARKS[1])
    owner.serve(20, until=f"{looked}-again")
    return f"offered, and asked for {owner.asked} times"


@attempt
def show_a_colour(display, colour):
    """Not an attempt: what another session must not see."""
    window(display, int(colour, 16), display.width, display.height)
    Path("/tmp", "shown").touch()
    display.event(3600)


@attempt
def see_a_colour(display, colour):
    """The whole of the own screen."""
    image = display.ask(_GET_IMAGE, 2, struct.pack("<IhhHHI", display.root, 0, 0, display.width, display.height, 0xFFFF_FFFF))
    found = int(colour, 16) in {pixel & 0xFFFFFF for (pixel,) in struct.iter_unpack("<I", image[32 : 32 + 4 * display.width * display.height])}
    return must(not found, f"{display.width} x {display.height} pixels", "another session's picture is on this screen")


@attempt
def log_keys(display, into):
    """Every way to see keys that are not for oneself: raw events of all devices, and the keyboard's state, asked again and again."""
    major = display.opcode("XInputExtension")
    display.ask(major, _QUERY_VERSION, struct.pack("<HH", 2, 2))
    for device in (0, _ALL_MASTERS):
        try:
            display.do(major, _SELECT_EVENTS, struct.pack("<IH2xHHI", display.root, 1, device, 1, 1 << _RAW_KEY_PRESS))
        except Refusal:
            must(device == 0, "", "no raw events of the own keyboard")
    Path(into).write_text("")
    with Path(into).open("a") as file:
        while True:
            event = display.event(0.02)
            if event and event[0] & 0x7F == _GENERIC_EVENT:
                file.write(f"{struct.unpack_from('<I', event, 16)[0]}\n")
            elif any(pressed := display.ask(_QUERY_KEYMAP)[8:40]):
                file.write(f"{pressed.hex()}\n")
            file.flush()
            os.sched_yield()
