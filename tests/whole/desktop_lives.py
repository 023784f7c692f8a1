"""A desktop session's life, step by step: as `lives`, with a screen that somebody looks at, and a paste that is brought to its middle and left there."""

import contextlib
import os
import signal
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from tests.whole.lives import House, Life, let_in, until_same
from tests.whole.system import until
from tests.whole.viewer import Viewer
from websockets.exceptions import ConnectionClosed

from sekisho.runtime import uids

STEPS = ("drawing", "looking", "pasting", "ending")
KILLED = ("portal", "control", "audit", "gateway", "egress", "agent", "shim", "screen", "up")
SHOWN, SHOWN_AFTER = (12, 134, 56), (201, 37, 94)
PASTED = "検索語: 関所 𠮷"
_PAINTER = (Path(__file__).parents[1] / "gateway" / "x_painter.py").read_text()

# What a program of the room pastes now, in hexadecimal. GTK asks for it as an editor does; the image has no tool for it.
_CLIPBOARD = """\
import ctypes
gtk, gdk = ctypes.CDLL("libgtk-3.so.0"), ctypes.CDLL("libgdk-3.so.0")
gtk.gtk_init(None, None)
gdk.gdk_atom_intern.restype = gtk.gtk_clipboard_get.restype = ctypes.c_void_p
gtk.gtk_clipboard_wait_for_text.restype = ctypes.c_char_p
board = gtk.gtk_clipboard_get(ctypes.c_void_p(gdk.gdk_atom_intern(b"CLIPBOARD", 0)))
print((gtk.gtk_clipboard_wait_for_text(ctypes.c_void_p(board)) or b"").hex())
"""


@dataclass
class DesktopLife(Life):
    viewer: Viewer | None = None
    pasting: int = 0  # the number of the paste that is under way
    _stopped: list[int] = field(default_factory=list)

    def screens(self) -> list[int]:
        """The processes of its Xvnc, known by their uid."""
        found = []
        for process in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if process.name.isdigit() and process.stat().st_uid == self.uid_base + uids.SCREEN:
                    found.append(int(process.name))
        return found

    def look(self) -> Viewer:
        """Come in to the desktop; whoever looked before is away."""
        self.look_away()
        self.viewer = let_in(lambda: Viewer(self.whole, *self.whole.ticket(self.house.operator, self.session, kind="desktop")))
        return self.viewer

    def come_in(self) -> None:
        """To the terminal, to see what is inside, and to the desktop."""
        self.enter()
        self.look()

    def look_away(self) -> None:
        if self.viewer is not None:
            self.viewer.close()

    def close(self) -> None:
        super().close()
        self.look_away()

    def draw(self, colour: tuple[int, int, int]) -> None:
        """A program of the room comes up, fills the screen with a colour and takes the keyboard; the person sees it."""
        self.put("/tmp/painter.py", _PAINTER)
        self.prompt.run("(python3 /tmp/painter.py :0 {:02x}{:02x}{:02x} > /tmp/met 2>&1 &)".format(*colour))
        self.assert_shows(colour)

    def assert_shows(self, colour: tuple[int, int, int]) -> None:
        until_same(lambda: self.viewer.pixel(2, 2), colour)

    def assert_hears(self, letter: str) -> None:
        """What is typed arrives in the program that drew last."""
        self.viewer.key(ord(letter))
        until("the key arrives", lambda: f'"key": "{letter}"' in self.prompt.run("cat /tmp/met"))

    def clipboard(self) -> str:
        """What a program of the room would paste."""
        self.put("/tmp/clipboard.py", _CLIPBOARD)
        return bytes.fromhex(self.prompt.run("python3 /tmp/clipboard.py 2> /dev/null")).decode()

    def begin_paste(self) -> None:
        """Leave it in its middle: control has written down that it may be, and waits for the log, which goes no further before `go_on`."""
        (audit,) = self.whole.pids("audit")
        os.kill(audit, signal.SIGSTOP)
        self._stopped.append(audit)
        self.pasting = self.viewer.paste(PASTED)
        until("control wrote it down", self._is_written)

    def go_on(self) -> None:
        for audit in self._stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(audit, signal.SIGCONT)
        self._stopped.clear()

    def told_of_paste(self) -> str:
        """What the person was told of it; nothing, if the gateway died with the answer."""
        with contextlib.suppress(ConnectionClosed):
            return self.viewer.answer(self.pasting)
        return ""

    def logged_pastes(self) -> list[str]:
        """What the log has of this session's pastes, as of now."""
        mine = [entry["kind"] for entry in self.house.log() if entry.get("session") == self.session]
        return [kind for kind in mine if kind in {"clipboard.pasted", "paste.refused"}]

    def _is_written(self) -> bool:
        path = self.whole.state / "db" / "sekisho.sqlite"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            found = database.execute("select count(*) from outbox where event like '%clipboard.pasted%' and event like ?", (f"%{self.session}%",))
            return found.fetchone()[0] > 0


def live_until(house: House, step: str) -> DesktopLife:
    """A desktop's session at a step of its life, no further."""
    life = DesktopLife(house, house.grant(room="seen"))
    house.shim_of(life.session)
    life.remember()
    if step == "drawing":  # nobody is let in before the screen serves and the room runs
        until("its screen runs", life.screens)
        return life
    life.wait("ready")
    life.come_in()
    life.draw(SHOWN)
    if step == "pasting":
        life.begin_paste()
    if step == "ending":
        life.viewer.leave()
    return life


def kill(house: House, name: str, life: DesktopLife) -> None:
    if name == "screen":
        for pid in life.screens():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    elif name == "up":
        house.whole.process.kill()
        life.go_on()  # what is stopped hears nothing of its parent's death
        house.kill(name)
    else:
        house.kill(name, life.session)
    life.go_on()
