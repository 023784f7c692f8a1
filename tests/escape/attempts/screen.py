"""What an X client asks of the screen itself: to change its switches, to connect somewhere, to end, to let others in, to tell of the machine."""

import socket
import struct
from contextlib import suppress

from .attempt import Breach, attempt, must
from .x11 import Display, Gone, Refusal, cookie

# What a desktop needs. Each further one is reviewed first: X-Resource told process numbers of the machine.
EXTENSIONS = {
    "BIG-REQUESTS", "Composite", "DAMAGE", "GLX", "Generic Event Extension", "Present", "RANDR", "RECORD", "RENDER", "SHAPE", "SYNC", "VNC-EXTENSION",
    "XC-MISC", "XFIXES", "XINERAMA", "XInputExtension", "XKEYBOARD", "XTEST",
}  # fmt: skip
_SET, _GET, _LIST, _CONNECT = 0, 1, 3, 7  # TigerVNC's own extension, unix/xserver/hw/vnc/vncExt.c
_SET_FONT_PATH, _LIST_EXTENSIONS, _CHANGE_HOSTS, _SET_ACCESS_CONTROL, _KILL_CLIENT, _NO_OPERATION = 51, 99, 109, 111, 113, 127
_USE, _KEYBOARD_BY_NAME, _CORE_KEYBOARD, _EVERY_PART, _SYMBOLS = 0, 23, 0x100, 0xFF, 0x0C  # XKB
_SERVERS_OWN = 0x2000_0000  # the bit of an id that the server made for a client


def refused_by_the_screen(table, *, by):
    """`table`: name -> (act, arguments…). Each is answered by one of the errors `by`."""
    said = []
    for name, (act, *arguments) in table.items():
        try:
            act(*arguments)
        except Gone as gone:
            raise Breach(f"{name} ended the connection: {gone}") from gone
        except Refusal as refusal:
            said.append(f"{name} {must(str(refusal) in by, str(refusal), f'{name} failed by {refusal}, which shows nothing')}")
        else:
            raise Breach(f"{name} succeeded")
    return ", ".join(said)


def _parameters(display):
    reply = display.ask(display.opcode("VNC-EXTENSION"), _LIST)
    names, offset = [], 32
    for _ in range(struct.unpack_from("<H", reply, 8)[0]):
        names.append(reply[offset + 1 : offset + 1 + reply[offset]].decode())
        offset += 1 + reply[offset]
    return names


def _parameter(display, name):
    reply = display.ask(display.opcode("VNC-EXTENSION"), _GET, struct.pack("<B3x", len(name)) + name.encode())
    return reply[32 : 32 + struct.unpack_from("<H", reply, 10)[0]] if reply[1] else None


@attempt
def every_switch_of_the_screen(display):
    """The clipboard's among them, and the list of those that may be changed; `vncconfig -set` is this request."""
    names = _parameters(display)
    before = {name: _parameter(display, name) for name in names}
    must({"SendCutText", "SendPrimary", "AllowOverride", "desktop", "AcceptCutText"} <= set(names), "", f"there is another set: {names}")
    taken = []
    for name in names:
        for value in ("0", "1", "x", "SendCutText,SendPrimary,desktop"):
            order = f"{name}={value}".encode()
            taken += [order] if display.ask(display.opcode("VNC-EXTENSION"), _SET, struct.pack("<B3x", len(order)) + order)[1] else []
    must(not taken, "", f"it took {taken}")
    changed = [name for name in names if _parameter(display, name) != before[name]]
    return must(not changed, f"{len(names)} stay", f"changed: {changed}")


@attempt
def a_connection_out_of_the_screen(display, facts):
    """`vncconfig -connect`: the screen would show itself to somebody who listens, in the room, on the machine, anywhere."""
    with socket.create_server(("0.0.0.0", 5500)) as listener:  # noqa: S104  the attempt
        listener.setblocking(False)
        hosts = (
            "127.0.0.1::5500",
            "198.18.0.1::5500",
            f"127.0.0.1::{facts.port}",
            "169.254.169.254::80",
            "192.0.2.1::80",
            "localhost::5500",
            "example.org::80",
        )
        for host in hosts:
            reply = display.ask(display.opcode("VNC-EXTENSION"), _CONNECT, struct.pack("<BB2x", len(host), 0) + host.encode())
            must(not reply[1], "", f"it connects to {host}")
        try:
            listener.accept()
        except BlockingIOError:
            return f"none of {len(hosts)}"
    raise Breach("the screen connected into the room")


@attempt
def cut_whoever_looks(display, _how):
    """An empty address is `vncconfig -disconnect`."""
    display.ask(display.opcode("VNC-EXTENSION"), _CONNECT, bytes(4))
    return "cut"


@attempt
def ending_the_screens_own(display):
    """XKillClient on what belongs to no client but the server."""
    own = {"the root": display.root, "its colours": display.colormap, "client 0": 1, "client 0's": _SERVERS_OWN | 1, "nobody's": display.base + 0x1F_FFFF}
    table = {name: (display.do, _KILL_CLIENT, 0, struct.pack("<I", each)) for name, each in own.items()}
    answer = refused_by_the_screen(table, by={"Value"})
    display.do(_KILL_CLIENT, 0, struct.pack("<I", 0))  # "all temporary": of clients that are gone
    return f"{answer}, and it lives {must(Display().root == display.root, '', 'the screen began anew')}"


@attempt
def another_cookie(display):
    name, content = cookie()
    wrong = bytes(byte ^ 1 for byte in content)
    auths = {
        "none": (b"", b""),
        "a wrong one": (name, wrong),
        "a short one": (name, content[:-1]),
        "a long one": (name, content + b"\0"),
        "an empty one": (name, b""),
        "another kind": (b"XDM-AUTHORIZATION-1", content),
        "a made-up kind": (b"SUN-DES-1", content),
        "no kind": (b"", content),
    }
    taken = []
    for what, auth in auths.items():
        try:
            Display(auth=auth)
            taken.append(what)
        except Refusal:
            continue
    return must(not taken, f"{len(auths)} kinds", f"it took {taken}")


@attempt
def cookie_of_another_session(display, content):
    return refused_by_the_screen({"it": (lambda: Display(auth=(cookie()[0], bytes.fromhex(content))),)}, by={"Invalid MIT-MAGIC-COOKIE-1 key"})


@attempt
def extensions_that_no_desktop_needs(display):
    reply = display.ask(_LIST_EXTENSIONS)
    names, offset = set(), 32
    for _ in range(reply[1]):
        names.add(reply[offset + 1 : offset + 1 + reply[offset]].decode())
        offset += 1 + reply[offset]
    must(names <= EXTENSIONS, "", f"more than expected: {names - EXTENSIONS}")
    known = {display.opcode(name) for name in names}
    table = {str(number): (display.do, number) for number in range(128, 256) if number not in known}
    refused_by_the_screen(table, by={"Request"})
    return f"{len(names)} extensions, and none hidden"


@attempt
def process_numbers_of_the_machine(display):
    """X-Resource tells who a client is, by its number where the screen stands."""
    return refused_by_the_screen({"X-Resource": (display.opcode, "X-Resource")}, by={"no X-Resource"})


@attempt
def memory_by_number_or_by_descriptor(display):
    """MIT-SHM would have the screen map what the room names or hands over. Handed over all the same, with a request that takes none, it is not taken."""
    answer = refused_by_the_screen({"MIT-SHM": (display.opcode, "MIT-SHM")}, by={"no MIT-SHM"})
    display.do(_NO_OPERATION, 0, b"", [0])
    return answer


@attempt
def folders_of_the_machine_by_font_path(display, facts):
    """A font path is refused if it is not there: an oracle for what is, on the machine of whoever serves."""
    folders = [
        "/etc",
        "/root",
        "/home",
        "/var",
        "/proc",
        "/run",
        "/sys",
        "/usr/local",
        "/usr/share/fonts",
        "/usr/share/doc",
        "/usr/src",
        "/usr/lib",
        *facts.paths,
    ]
    paths = [
        *folders,
        *(f"catalogue:{folder}" for folder in folders if folder != "/usr/lib"),
        "unix/:7100",
        "tcp/127.0.0.1:7100",
        f"tcp/127.0.0.1:{facts.port}",
    ]
    paths = [path for path in paths if len(path) < 256]
    table = {path: (display.do, _SET_FONT_PATH, 0, struct.pack("<H2xB", 1, len(path)) + path.encode()) for path in paths}
    refused_by_the_screen(table, by={"Value"})
    return f"{len(paths)} paths"


def _compiles(display, **parts):
    """Whether the screen makes a keyboard of these parts (XkbGetKbdByName, The X Keyboard Extension, 16.3.11): it runs xkbcomp for that, through a shell."""
    whole = {"keycodes": "evdev+aliases(qwerty)", "types": "complete", "compat": "complete", "symbols": "pc+jp", "geometry": "pc(pc105)"} | parts
    names = b"".join(bytes([len(name)]) + name.encode() for name in ("", *whole.values()))
    major = display.opcode("XKEYBOARD")
    display.ask(major, _USE, struct.pack("<HH", 1, 0))
    reply = display.ask(major, _KEYBOARD_BY_NAME, struct.pack("<HHHBx", _CORE_KEYBOARD, _EVERY_PART, _EVERY_PART, 0) + names)
    return struct.unpack_from("<H", reply, 12)[0] & _SYMBOLS != 0


@attempt
def a_shell_through_a_keymap(display):
    must(_compiles(display), "", "not even a Japanese keyboard can be had")
    said = []
    for name in (
        "`sleep 9`",
        "$(sleep 9)",
        'pc";sleep 9;"',
        "pc\nsleep 9",
        "../../../../own/authority",
        "/own/authority",
        "../../../../../etc/passwd",
        "pc+jp(x",
    ):
        try:
            must(not _compiles(display, symbols=name), "", f"{name} gave a keyboard")
        except Gone as gone:
            raise Breach(f"{name}: {gone}") from gone
        except Refusal as refusal:
            said.append(str(refusal))
    return f"no keyboard, {len(said)} of them errors"


@attempt
def let_everybody_in(display, wanted):
    """Not an attempt but what makes others': as far as the screen is concerned whoever comes may enter, without a cookie. It is the person's own to say, so
    nobody else may be able to come."""
    for family, address in ((0, bytes([127, 0, 0, 1])), (6, bytes(15) + b"\1"), (5, b"localuser\0root")):
        with suppress(Refusal):
            display.do(_CHANGE_HOSTS, 0, struct.pack("<BxH", family, len(address)) + address)
    display.do(_SET_ACCESS_CONTROL, wanted != "everybody")
    return wanted
