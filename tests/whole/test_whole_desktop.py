"""The journey of a desktop room: two people, two browsers, a real room whose desktop is seen, typed into and pasted into, and what the auditor then reads.

What happened inside is read back through a second connection, the room's own terminal. Told in order; each step is what a person does and sees.
"""

import base64
import contextlib
import io
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from tests.whole.browsers import approve, ask, asked, chromium, signed_in
from tests.whole.system import Prompt, Whole, until, whole
from tests.whole.viewer import Viewer
from websockets.exceptions import ConnectionClosed

from sekisho.programs.folders import give
from sekisho.runtime.undo import survivors

pytestmark = [pytest.mark.root, pytest.mark.browser]

PANEL, BADGE = (20, 32, 47), (199, 62, 58)  # the panel's ground, and the room's name on it
PANEL_HEIGHT = 44
TERMINAL, FILES = 210, 108  # where the panel's buttons are, from its left
WHITE = (250, 250, 250)
REASON = "秋のキャンペーンの宛先を CRM に登録する"
PASTED = '検索語: 山田 太郎 ①㈱ 𠮷野家 が é 👩‍💻\t"引用" \\ ¥\n二行目 <b>&amp;'
CUT_SECONDS = 2


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with whole(tmp_path_factory.mktemp("desktop") / "state") as made:
        yield made
        made.stop()


@pytest.fixture(scope="module")
def browser():
    with chromium() as launched:
        yield launched


@dataclass
class Room:
    """A desktop that somebody looks at, and the terminal beside it."""

    page: Page
    prompt: Prompt

    def picture(self) -> Image.Image:
        """What the person sees of the room."""
        box = self.page.locator("#desktop canvas").bounding_box()
        return Image.open(io.BytesIO(self.page.screenshot(clip=box))).convert("RGB")

    def windows(self) -> str:
        """Their titles."""
        return self.prompt.run("for w in $(xprop -root _NET_CLIENT_LIST | grep -o '0x[0-9a-f]*'); do xprop -id $w _NET_WM_NAME; done")

    def waits_for(self, title: str) -> None:
        until(f"a window {title}", lambda: title in self.windows())

    def inside_of_window(self) -> tuple[int, int, int, int]:
        """The place of the window that has the keyboard, without its frame: left, top, right, bottom."""
        told = self.prompt.run("xwininfo -id $(xprop -root _NET_ACTIVE_WINDOW | grep -o '0x[0-9a-f]*')")
        left, top, width, height = (int(re.search(rf"{name}:\s+(-?\d+)", told)[1]) for name in ("upper-left X", "upper-left Y", "Width", "Height"))
        return left, top, left + width, top + height

    def saved(self, path: str) -> str:
        """What the editor saves now: a program asks for the clipboard and goes on, so what was pasted may be there a little later."""
        self.page.keyboard.press("Control+s")
        return base64.b64decode(self.prompt.run(f"base64 -w0 {path}")).decode()


def share(picture: Image.Image, colour: tuple[int, int, int], *, tolerance: int = 12) -> float:
    """Of all pixels, how many have that colour; a photograph's way of sending it changes it a little."""
    colours = picture.getcolors(1 << 24)
    alike = (count for count, found in colours if all(abs(one - other) <= tolerance for one, other in zip(found, colour, strict=True)))
    return sum(alike) / (picture.width * picture.height)


def is_desktop(picture: Image.Image) -> bool:
    """A panel with the room's name at the bottom, and above it a wallpaper, which is a picture of many colours."""
    width, height = picture.size
    panel = picture.crop((0, height - PANEL_HEIGHT, width, height))
    colours = picture.crop((0, 0, width, height - PANEL_HEIGHT)).getcolors(1 << 24)
    return share(panel, PANEL) > 0.5 and share(panel, BADGE) > 0.02 and len(colours) > 100 and max(colours)[0] < width * height / 2


def enter(page: Page, system: Whole, session: str) -> None:
    """As a person does, on the portal; until the picture is there."""
    page.goto(system.origin + "/")
    page.locator(f"#enter-desktop-{session}").click()
    page.wait_for_url("https://rooms.localhost:*/desktop*")
    page.wait_for_function("() => document.getElementById('notice').hidden && document.querySelector('#desktop canvas')?.clientWidth > 0")


def start_by_typing(room: Room, command: str, title: str) -> None:
    """In a terminal of the desktop's own, opened from the panel."""
    height = room.page.viewport_size["height"]
    room.page.mouse.click(TERMINAL, height - PANEL_HEIGHT // 2)
    room.waits_for("campaign: /data")
    room.page.keyboard.type(command + " & exit\n")
    room.waits_for(title)


def paste(page: Page, text: str) -> None:
    page.locator("#paste").click()
    page.locator("#paste-text").fill(text)
    page.locator("#paste-put").click()


def own_clipboard(page: Page, act: str) -> str:
    """What the person's own clipboard does, asked from a page that may: none of the rooms' pages may."""
    with_it = page.context.new_page()
    try:
        with_it.goto(page.portal)
        with_it.bring_to_front()
        return with_it.evaluate(act)
    finally:
        with_it.close()
        page.bring_to_front()


def take_screenshot(page: Page) -> None:
    """The picture of the READMEs: `SEKISHO_SCREENSHOTS=docs/images`."""
    if shots := os.environ.get("SEKISHO_SCREENSHOTS"):
        page.screenshot(path=Path(shots) / "desktop.png")


def test_the_whole_way_of_a_desktop(system: Whole, browser):
    operator = signed_in(system, browser, "hanako", "ja-JP")
    approver = signed_in(system, browser, "taro", "en-US")
    operator.portal = system.origin + "/"
    operator.context.grant_permissions(["clipboard-read", "clipboard-write"])

    ask(operator, system, reason=REASON, ticket="MKT-42")
    request = asked(operator)
    session = "s-" + request[2:]
    approve(approver, system, request, reason=REASON)

    # the operator comes in and sees a desktop: panel, the room's name, wallpaper
    enter(operator, system, session)
    client = system.client("hanako")
    room = Room(operator, system.enter(client, session))
    until("the desktop is seen", lambda: is_desktop(room.picture()))
    expect(operator.locator("#title")).to_have_text("Campaign data")
    uid_base = json.loads((system.state / "agent" / "sessions" / f"{session}.json").read_text())["uid_base"]

    # the files are there, with Japanese names; an editor with one of them comes up, and what is typed on the page arrives in it
    room.prompt.run("touch /data/覚え書き.txt")
    start_by_typing(room, "mousepad $(ls -t | head -1)", "/data/覚え書き.txt - Mousepad")
    place = until("the editor is shown", lambda: share(room.picture().crop(found := room.inside_of_window()), WHITE) > 0.3 and found)
    blank = share(room.picture().crop(place), (0, 0, 0), tolerance=60)
    operator.keyboard.type('Typed on the page: "Q1" <100%> ~|\\@\n')
    until("what was typed is seen", lambda: share(room.picture().crop(place), (0, 0, 0), tolerance=60) > blank)

    # a paste with Japanese in it arrives byte for byte
    paste(operator, PASTED)
    expect(operator.locator("#spoken")).to_contain_text("Ctrl+V")
    operator.keyboard.press("Control+v")
    wanted = 'Typed on the page: "Q1" <100%> ~|\\@\n' + PASTED
    until("it is saved", lambda: room.saved("/data/覚え書き.txt").removesuffix("\n") == wanted)

    # one that is too long goes nowhere, and says so; whoever sends it past the page is refused all the same
    paste_over_the_limit(operator, Viewer(system, *system.ticket(client, session, kind="desktop")))

    # what is copied inside stays inside
    own_clipboard(operator, "navigator.clipboard.writeText('前からあったもの')")
    for keys in ("Control+a", "Control+c", "Control+End", "Enter", "Control+v"):
        operator.keyboard.press(keys)
    until("copying works inside", lambda: room.saved("/data/覚え書き.txt").count("二行目") == 2)
    assert own_clipboard(operator, "navigator.clipboard.readText()") == "前からあったもの"

    # closing the browser only disconnects: whoever comes back finds the windows as they were
    operator.goto("about:blank")
    enter(operator, system, session)
    assert "/data/覚え書き.txt - Mousepad" in room.windows()
    until(
        "the editor is as it was", lambda: share(room.picture().crop(place), WHITE) > 0.3 and share(room.picture().crop(place), (0, 0, 0), tolerance=60) > blank
    )

    # the one listed site answers in the room's browser, which trusts it; no other name does
    start_by_typing(room, "firefox-esr https://crm.sekisho-demo.test/", "Demo CRM — Mozilla Firefox")
    assert "Could not resolve host" in room.prompt.run("curl -sS https://example.com/")
    take_screenshot(operator)

    # the approver extends it, and ends it: each is on the page at once
    approver.goto(f"{system.origin}/requests/{request}")
    approver.fill("#duration", "30m")
    approver.locator("form[action$='/extend'] button").click()
    expect(operator.locator("#spoken")).to_contain_text("終了時刻が変更されました", timeout=CUT_SECONDS * 1000)
    expect(operator.locator("#left")).to_contain_text("1:2")
    approver.goto(f"{system.origin}/requests/{request}/end")
    approver.locator("main form button").first.click()
    expect(operator.locator("#notice-text")).to_contain_text("承認者が部屋を終了し、部屋は破棄されました。", timeout=CUT_SECONDS * 1000)
    expect(operator.locator("#notice-reason")).to_contain_text("ended-by-approver")
    expect(operator.locator("#desktop canvas")).to_have_count(0)
    until("nothing is left of it", lambda: system.leftovers(session) == [] and not survivors(uid_base, system.installation.run / "s" / session))
    assert operator.faults == []
    assert approver.faults == []
    assert_the_log_tells_it(system, request, session)


def paste_over_the_limit(page: Page, other: Viewer) -> None:
    page.locator("#paste").click()
    page.locator("#paste-text").fill("関" * 21_846)
    expect(page.locator("#paste-answer")).to_have_text("2 バイト長すぎます。短くするか、分けて渡してください。")
    expect(page.locator("#paste-put")).to_be_disabled()
    page.locator("#paste-shut").click()
    number = other.paste("x" * 65_537)
    assert other.answer(number) == "paste-too-long"
    assert other.sentence(number) == "One paste may have at most 65536 bytes of UTF-8; this one has 65537. Paste it in parts."
    other.close()


def assert_the_log_tells_it(system: Whole, request: str, session: str) -> None:
    auditor = system.client("aoi")
    until("the log says it was destroyed", lambda: [e for e in system.entries(auditor, session=session) if e["kind"] == "session.destroyed"])
    story = system.entries(auditor, request=request)
    kinds = [entry["kind"] for entry in story]
    wanted = (
        "request.made", "request.approved", "session.opening", "session.created", "files.staged", "session.ready", "entry.allowed", "connection.opened",
        "clipboard.pasted", "paste.refused", "connection.closed", "name.reached", "name.refused", "grant.extended", "grant.ended", "session.ended",
        "session.destroyed",
    )  # fmt: skip
    assert [kind for kind in wanted if kind not in kinds] == []
    opened = [(entry["by"], entry["channel"]) for entry in story if entry["kind"] == "connection.opened"]
    assert opened == [("hanako", "desktop"), ("hanako", "terminal"), ("hanako", "desktop"), ("hanako", "desktop")]
    closed = [(entry["channel"], entry["reason"]) for entry in story if entry["kind"] == "connection.closed"]
    assert sorted(closed) == [("desktop", "disconnected"), ("desktop", "disconnected"), ("desktop", "ended-by-approver"), ("terminal", "ended-by-approver")]
    pasted = [entry["details"] for entry in story if entry["kind"] == "clipboard.pasted"]
    assert [(each["characters"], each["bytes"]) for each in pasted] == [(len(PASTED), len(PASTED.encode()))]
    refused = [(entry["reason"], entry["details"]["bytes"]) for entry in story if entry["kind"] == "paste.refused"]
    assert refused == [("paste-too-long", 65_537)]
    assert "山田" not in json.dumps(story, ensure_ascii=False), "how much was pasted, never what"
    (certificate,) = [entry["details"]["certificate"] for entry in story if entry["kind"] == "session.destroyed"]
    assert certificate["clean"]
    assert system.verified().size >= len(story)


def test_nobody_else_comes_in_and_leaving_by_the_page_destroys_the_room(system: Whole, browser):
    operator = signed_in(system, browser, "oliver", "en-US")
    approver = signed_in(system, browser, "grace", "en-US")
    ask(operator, system, reason="monthly report of the campaign", ticket="MKT-43")
    request = asked(operator)
    session = "s-" + request[2:]
    approve(approver, system, request, reason="monthly report of the campaign")

    enter(operator, system, session)
    room = Room(operator, system.enter(system.client("oliver"), session))
    until("the desktop is seen", lambda: is_desktop(room.picture()))
    room.page.mouse.click(FILES, room.page.viewport_size["height"] - PANEL_HEIGHT // 2)
    room.waits_for("data")

    # neither who approved it nor who has a ticket that was used comes in
    assert system.client("grace").post(f"/api/sessions/{session}/enter", json={"kind": "desktop"}).json()["reason"] == "not-yours"
    _, ticket = system.ticket(system.client("oliver"), session, kind="desktop")
    mine, theirs = operator.context.new_page(), approver.context.new_page()
    mine.goto(f"https://rooms.localhost:{system.port + 1}/desktop#{ticket}")
    expect(mine.locator("#person")).to_have_text("oliver")
    theirs.goto(f"https://rooms.localhost:{system.port + 1}/desktop#{ticket}")
    expect(theirs.locator("#notice-text")).to_have_text("This entry ticket was used already or is too old. Enter again from the portal.")
    expect(theirs.locator("#desktop canvas")).to_have_count(0)

    # leaving is asked about, then ends every window of it
    operator.locator("#leave").click()
    operator.locator("#leave-dialog button[value=leave]").click()
    for page in (operator, mine):
        expect(page.locator("#notice-text")).to_have_text("You left. The room is being destroyed.")
        expect(page.locator("#desktop canvas")).to_have_count(0)
    until("nothing is left of it", lambda: system.leftovers(session) == [])
    operator.locator("#notice-link").click()
    expect(operator.locator("main")).to_contain_text("Campaign data")
    assert operator.faults == []


@pytest.mark.long
def test_whoever_only_looks_is_idle_and_whoever_types_is_not(system: Whole):
    """A page asks for the picture all the time by itself, which is nobody's doing."""
    rooms, idle_seconds = system.installation.rooms, 60
    (rooms / "still.toml").write_text((rooms / "campaign.toml").read_text().replace("[access]", '[access]\nidle = { end = "1m" }'))
    give(rooms / "still.toml", 0, system.installation.store_group, 0o640)
    operator, approver = system.client("hanako"), system.client("taro")
    until("the room is known", lambda: "still" in {room["name"] for room in operator.get("/api/rooms").json()["rooms"]})
    session = system.grant(operator, approver, room="still")
    system.wait_state(operator, session, "ready")
    viewer = Viewer(system, *system.ticket(operator, session, kind="desktop"))
    begun = typed = time.monotonic()
    while not is_ended(viewer):
        if time.monotonic() < begun + idle_seconds + 10:
            viewer.key(ord("a"))
            typed = time.monotonic()
    assert viewer.ended == {"reason": "idle"}
    assert idle_seconds - 1 < time.monotonic() - typed < idle_seconds + 10
    until("nothing is left of it", lambda: system.leftovers(session) == [])
    viewer.close()


def is_ended(viewer: Viewer) -> bool:
    """Looks once more, and listens for a moment."""
    with contextlib.suppress(ConnectionClosed):
        viewer.pixel(2, 2)
    with contextlib.suppress(TimeoutError):
        viewer.wait_end(seconds=0.5)
        return True
    return False
