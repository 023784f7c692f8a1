"""What the image of a desktop room holds, read from the squashfs file itself, and that its desktop comes up, stays up and types Japanese."""

import io
import json
import os
import re
import shlex
import signal
import subprocess
import time
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.images.squashfs import content, listing

from sekisho.runtime import images
from sekisho.runtime.image_layout import PERSON_ID

pytestmark = pytest.mark.root

APPLICATIONS = "/usr/share/applications"
POLICIES = "/usr/share/firefox-esr/distribution/policies.json"
PATIENCE_SECONDS = 30.0


@pytest.fixture(scope="module")
def entries(desktop):
    return listing(desktop.path)


def text(desktop, path: str) -> str:
    return content(desktop.path, path).decode()


def programs_of(lines: list[str]) -> set[str]:
    """The first word of each command, as a path."""
    words = {shlex.split(line)[0] for line in lines}
    return {word if word.startswith("/") else f"/usr/bin/{word}" for word in words}


def test_it_holds_all_that_the_terminal_image_holds(desktop, built):
    names = {package.partition("=")[0] for package in desktop.packages}
    assert {package.partition("=")[0] for package in built.packages} <= names


def test_it_stays_within_450_megabytes(desktop):
    assert desktop.size_bytes < 450e6


def test_no_file_raises_rights_and_there_is_no_device(desktop, entries):
    assert [path for path, entry in entries.items() if "s" in entry["mode"].lower()] == []
    assert {entry["kind"] for entry in entries.values()} == {"d", "-", "l"}
    facts = subprocess.run(["unsquashfs", "-s", str(desktop.path)], capture_output=True, text=True, check=True).stdout
    assert "Xattrs are not stored" in facts


def test_only_the_person_owns_what_is_the_persons(entries):
    assert {path for path, entry in entries.items() if entry["uid"] == str(PERSON_ID)} == {"/data", "/home/operator"}


@pytest.mark.parametrize(
    "program",
    ["openbox", "tint2", "jgmenu", "hsetroot", "xprop", "dbus-daemon", "fcitx5", "thunar", "xfce4-terminal", "mousepad", "gnumeric", "evince", "ristretto",
     "engrampa", "unar", "7z", "fc-cache", "bash", "python3.11", "curl", "git", "vim.basic"],
)  # fmt: skip
def test_the_program_is_there(entries, program):
    assert entries[f"/usr/bin/{program}"]["mode"] == "rwxr-xr-x"


@pytest.mark.parametrize("program", ["/usr/lib/sekisho/desktop", "/usr/lib/sekisho/open", "/usr/lib/firefox-esr/firefox-esr", "/usr/lib/mozc/mozc_server"])
def test_the_program_with_a_place_of_its_own_may_run(entries, program):
    assert (entries[program]["kind"], entries[program]["mode"]) == ("-", "rwxr-xr-x")


def test_every_file_of_the_definition_is_there_as_it_was_written(desktop, entries):
    recipe = images.definition("desktop").recipe
    for path, file in recipe.files:
        if path not in recipe.leave_out:
            assert entries[path]["size"] == str(len(file.content or b"")), path


def test_machine_id_locales_and_zones_are_there(desktop, entries):
    assert re.fullmatch(r"[0-9a-f]{32}\n", text(desktop, "/etc/machine-id"))
    assert {"/usr/lib/locale/ja_JP.utf8", "/usr/lib/locale/en_US.utf8", "/usr/lib/locale/C.utf8", "/usr/share/zoneinfo/Asia/Tokyo"} <= entries.keys()


@pytest.mark.parametrize(
    "domain", ["openbox", "thunar", "xfce4-terminal", "mousepad", "gnumeric-1.12.55", "evince", "ristretto", "engrampa", "gtk30", "fcitx5", "shared-mime-info"]
)
def test_the_program_speaks_japanese(entries, domain):
    assert f"/usr/share/locale/ja/LC_MESSAGES/{domain}.mo" in entries


def test_firefox_speaks_japanese_and_only_that_extension_is_let_in(desktop, entries):
    (pack,) = (path for path in entries if path.endswith("/langpack-ja@firefox-esr.mozilla.org.xpi"))
    with zipfile.ZipFile(io.BytesIO(content(desktop.path, pack))) as archive:
        assert json.loads(archive.read("manifest.json"))["langpack_id"] == "ja"
    assert json.loads(text(desktop, POLICIES))["policies"]["ExtensionSettings"] == {
        "*": {"installation_mode": "blocked"},
        "langpack-ja@firefox-esr.mozilla.org": {"installation_mode": "allowed"},
    }


def test_firefox_knows_every_policy_and_asks_nobody(desktop):
    policies = json.loads(text(desktop, POLICIES))["policies"]
    with zipfile.ZipFile(io.BytesIO(content(desktop.path, "/usr/lib/firefox-esr/browser/omni.ja"))) as archive:
        schema = json.loads(archive.read("modules/policies/policies-schema.json"))["properties"]
    types = {bool: "boolean", str: "string", dict: "object"}
    known = {name: schema[name].get("type", "string") for name in policies}  # one is an address by reference, that is a string too
    assert [name for name, value in policies.items() if types[type(value)] not in known[name]] == []
    switched_off = {"DisableAppUpdate", "DisableTelemetry", "DisableFirefoxStudies", "DisablePocket", "DisableEncryptedClientHello", "DisableFirefoxAccounts"}
    assert all(policies[name] is True for name in (*switched_off, "DontCheckDefaultBrowser", "SkipTermsOfUse"))
    assert not any(policies[name] for name in ("CaptivePortal", "NetworkPrediction", "OfferToSaveLogins", "PasswordManagerEnabled", "OverrideFirstRunPage"))
    assert policies["DNSOverHTTPS"] == {"Enabled": False, "Locked": True}
    assert policies["Proxy"] == {"Mode": "system", "Locked": True}


def test_the_start_page_is_there_in_both_languages(desktop):
    homepage = json.loads(text(desktop, POLICIES))["policies"]["Homepage"]["URL"]
    page = text(desktop, homepage.removeprefix("file://"))
    assert "Only listed names are reached" in page
    assert "許可された名前だけ" in page
    assert not re.search(r"https?://", page)


def test_whatever_panel_menu_and_files_open_is_there(desktop, entries):
    panel = re.findall(r"^launcher_item_app = (.*)$", text(desktop, "/etc/xdg/tint2/tint2rc"), re.MULTILINE)
    kinds = re.findall(r"=(.*\.desktop)$", text(desktop, "/etc/xdg/mimeapps.list"), re.MULTILINE)
    launchers = {*panel, *(f"{APPLICATIONS}/{name}" for name in kinds)}
    assert launchers <= entries.keys()
    lines = [line.split(",") for language in ("en", "ja") for line in text(desktop, f"/usr/share/sekisho/menu.{language}.csv").splitlines()]
    commands = [fields[1] for fields in lines if len(fields) > 1 and not fields[1].startswith("^")]
    commands += [re.search(r"^Exec=(.*)$", text(desktop, launcher), re.MULTILINE)[1] for launcher in launchers]
    assert programs_of(commands) <= entries.keys()


def test_the_panels_icons_lie_where_its_cache_says(desktop, entries):
    cache = text(desktop, "/usr/share/sekisho/home/cache/tint2/icon.cache")
    assert {line.partition("=")[2] for line in cache.splitlines()} <= entries.keys()


def test_text_in_shift_jis_is_opened_by_what_knows_it(desktop):
    for name in ("gnumeric", "org.xfce.mousepad"):
        assert f"Exec=/usr/lib/sekisho/open {name.rpartition('.')[2]} %F\n" in text(desktop, f"{APPLICATIONS}/{name}.desktop")


def test_files_that_are_parsed_at_start_are_well_formed(desktop):
    for path in ("/etc/xdg/openbox/rc.xml", "/etc/xdg/Thunar/uca.xml", "/etc/fonts/conf.d/30-sekisho.conf"):
        ET.fromstring(text(desktop, path))  # noqa: S314  our own files


def test_nothing_that_draws_by_a_graphics_card_is_there(entries):
    assert [path for path, entry in entries.items() if entry["kind"] == "-" and ("libLLVM" in path or "/dri/" in path)] == []


# From here on the desktop runs: the image read-only, as the person, with a screen of its own.


@dataclass(frozen=True)
class Running:
    process: subprocess.Popen[bytes]

    def first(self) -> int | None:
        """The desktop's first program; with it all the others end. None if it is not there yet."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def inside(self, command: str) -> str:
        """What a command says, run as the person beside the desktop. Empty if it fails, or if there is no desktop yet."""
        if (first := self.first()) is None:
            return ""
        environment = ["HOME=/home/operator", "DISPLAY=:0", "LANG=ja_JP.UTF-8", "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus", "PATH=/usr/bin"]
        enter = ["nsenter", "-t", str(first), "-m", "-p", "-n", "-r", "-S", str(PERSON_ID), "-G", str(PERSON_ID), "env", "-i", *environment]
        return subprocess.run([*enter, "sh", "-c", command], capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS).stdout.strip()

    def until(self, command: str, holds: Callable[[str], object]) -> str:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds(said := self.inside(command)):
            assert time.monotonic() < deadline, f"{command}: {said}"
            time.sleep(0.02)
        return said


# The image read-only and fresh folders in memory over it, as the runtime does; then the person, in namespaces of its own.
_ROOM = """
mount -o loop,ro "$1" "$2"
for folder in data home tmp run dev; do mount -t tmpfs none "$2/$folder"; done
mkdir -p "$2/home/operator" "$2/tmp/.X11-unix" "$2/dev/shm"
chown 1000:1000 "$2/home/operator" "$2/data" "$2/run"
chmod 1777 "$2/tmp" "$2/dev/shm"
mknod -m 666 "$2/dev/null" c 1 3 && mknod -m 666 "$2/dev/urandom" c 1 9
mount -t proc proc "$2/proc"
touch "$2/tmp/.X11-unix/X0" && mount --bind "$3" "$2/tmp/.X11-unix/X0"
ip link set lo up 2>/dev/null || true
exec chroot --userspec=1000:1000 "$2" env -i HOME=/home/operator LANG=ja_JP.UTF-8 PATH=/usr/bin DISPLAY=:0 SEKISHO_ROOM=trial \
  tini -g -- /usr/lib/sekisho/desktop
"""


@pytest.fixture(scope="module")
def screen(tmp_path_factory) -> Iterator[Path]:
    """An X server's socket: Xvnc, reached by nothing else."""
    folder = tmp_path_factory.mktemp("screen")
    reading, writing = os.pipe()
    command = ["Xvnc", "-displayfd", str(writing), "-geometry", "1280x800", "-depth", "24", "-SecurityTypes", "None", "-nolisten", "tcp", "-nolisten", "local",
               "-rfbport", "-1", "-rfbunixpath", str(folder / "rfb"), "-ac"]  # fmt: skip
    process = subprocess.Popen(command, pass_fds=(writing,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        yield Path(f"/tmp/.X11-unix/X{os.read(reading, 16).decode().strip()}")
    finally:
        os.close(reading)
        process.terminate()
        process.wait(PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def running(desktop, screen, tmp_path_factory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("root")
    apart = ["unshare", "--mount", "--pid", "--net", "--ipc", "--fork", "sh", "-ec", _ROOM, "room"]
    process = subprocess.Popen([*apart, str(desktop.path), str(root), str(screen)], stdin=subprocess.DEVNULL)
    room = Running(process)
    try:
        yield room
    finally:
        if (first := room.first()) is not None:
            os.kill(first, signal.SIGKILL)
        process.wait(PATIENCE_SECONDS)


def test_panel_window_manager_and_wallpaper_come_up(running):
    running.until("xprop -root _NET_SUPPORTING_WM_CHECK", lambda said: "0x" in said)
    panel = running.until("xprop -name panel WM_CLASS _NET_WM_WINDOW_TYPE", lambda said: "tint2" in said)
    assert "_NET_WM_WINDOW_TYPE_DOCK" in panel
    running.until("xprop -root _XROOTPMAP_ID", lambda said: "PIXMAP" in said)


def test_japanese_input_comes_up(running):
    ask = "dbus-send --print-reply --dest=org.fcitx.Fcitx5 /controller org.fcitx.Fcitx.Controller1"
    running.until(f"{ask}.InputMethodGroupInfo string:Default", lambda said: '"mozc"' in said)
    running.until("pgrep -x mozc_server", lambda said: said)


def test_a_window_manager_that_dies_is_started_again(running):
    first = running.until("pgrep -x openbox", lambda said: said)
    running.inside(f"kill -9 {first}")
    running.until("pgrep -x openbox", lambda said: said and said != first)
    assert running.process.poll() is None


def test_the_images_font_cache_is_fresh(running):
    running.until("pgrep -x fcitx5", lambda said: said)
    assert running.inside("find ~/.cache/fontconfig -name '*.cache*'") == ""
    assert running.inside("fc-match sans-serif") == 'NotoSansCJK-Regular.ttc: "Noto Sans CJK JP" "Regular"'
    assert "Noto Serif CJK JP" in running.inside("fc-match 'MS Mincho'")
    assert running.inside("find ~/.cache/fontconfig -name '*.cache*'") == ""


def test_text_in_shift_jis_opens_as_a_copy_in_utf_8(running):
    running.inside("printf '\\216\\122\\223\\143\\207\\100' >/data/list.csv; printf plain >/data/plain.csv")
    assert running.inside("/usr/lib/sekisho/open cat /data/list.csv /data/plain.csv") == "山田①plain"
    assert running.inside("ls /data") == "list (UTF-8).csv\nlist.csv\nplain.csv"


def test_names_in_archives_from_japanese_windows_are_read(running):
    maker = """
import zipfile
class Windows(zipfile.ZipInfo):
    def _encodeFilenameFlags(self):
        return self.filename.encode("cp932"), 0
item = Windows("見積書.txt")
item.create_system = 0
with zipfile.ZipFile("/data/from-windows.zip", "w") as archive:
    archive.writestr(item, "x")
"""
    running.inside(f"python3 -c {shlex.quote(maker)}")
    assert "見積書.txt" in running.inside("lsar /data/from-windows.zip")
