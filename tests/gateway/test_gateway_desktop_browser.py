"""The desktop's page in a real headless Chromium, with the real gateway and a real Xvnc behind it."""

import contextlib
import io
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvloop
from PIL import Image
from playwright.async_api import Browser, Page, WebSocketRoute, async_playwright, expect
from tests.gateway.desktop_host import COLOUR, SESSION, DesktopHost, desktop_host
from tests.gateway.rooms_host import PORTAL, until

from sekisho.gateway.app import STATIC
from sekisho.model.reasons import Reason
from sekisho.model.session import EndReason
from sekisho.sessions.doorway import Cut, Extended, Fact

WORDS = json.loads((STATIC / "words.json").read_text(encoding="utf-8"))
pytestmark = pytest.mark.browser
PATIENCE_MS = 15_000
BAR_HEIGHT = 42
NOT_OURS = (
    "willReadFrequently",  # Chromium's advice to noVNC on how to keep a canvas whose size changes
    "Got data while disconnected",  # noVNC goes on, after its end, with what it had put off until a picture was drawn
)


@dataclass
class Tab:
    page: Page
    complaints: list[str] = field(default_factory=list)

    def complain(self, text: str) -> None:
        if not any(each in text for each in NOT_OURS):
            self.complaints.append(text)

    async def pixel(self, x: int, y: int) -> tuple[int, ...]:
        picture = Image.open(io.BytesIO(await self.page.screenshot()))
        return picture.convert("RGB").getpixel((x, y))

    async def sees_the_room(self) -> None:
        await expect(self.page.locator("#notice")).to_be_hidden(timeout=PATIENCE_MS)
        await self.page.wait_for_function(
            """colour => { const canvas = document.querySelector('#desktop canvas'); if (!canvas || !canvas.width) return false;
            const pixel = canvas.getContext('2d').getImageData(canvas.width - 5, canvas.height - 5, 1, 1).data;
            return colour.every((value, at) => Math.abs(pixel[at] - value) <= 3); }""",
            arg=list(COLOUR),
            timeout=PATIENCE_MS,
        )

    async def says(self, text: str) -> None:
        await expect(self.page.locator("#spoken")).to_contain_text(text, timeout=PATIENCE_MS)

    async def notices(self, text: str) -> None:
        await expect(self.page.locator("#notice-text")).to_contain_text(text, timeout=PATIENCE_MS)


def garble(route: WebSocketRoute) -> None:
    """Let text through, and make nonsense of pictures."""
    server = route.connect_to_server()
    server.on_message(lambda message: route.send(message if isinstance(message, str) else b"HTTP/1.1 200 OK\r\n\r\n"))


@dataclass
class Story:
    host: DesktopHost
    browser: Browser

    @contextlib.asynccontextmanager
    async def tab(
        self, ticket: str | None = None, *, locale: str = "en-US", width: int = 1100, height: int = 600, has_own_clock: bool = False, is_garbled: bool = False
    ) -> AsyncIterator[Tab]:
        context = await self.browser.new_context(ignore_https_errors=True, locale=locale, viewport={"width": width, "height": height})
        tab = Tab(await context.new_page())
        tab.page.on("console", lambda message: tab.complain(message.text) if message.type in ("error", "warning") else None)
        tab.page.on("pageerror", lambda error: tab.complain(str(error)))
        try:
            if has_own_clock:
                await tab.page.clock.install()
            if is_garbled:
                await tab.page.route_web_socket("**/desktop/ws", garble)
            await tab.page.goto(f"{self.host.origin}/desktop#{self.host.control.issue() if ticket is None else ticket}")
            yield tab
        finally:
            await context.close()

    @contextlib.asynccontextmanager
    async def room(self, **more: object) -> AsyncIterator[Tab]:
        """A tab that shows the room, in English."""
        async with self.tab(self.host.control.issue(language="en"), **more) as tab:
            await tab.sees_the_room()
            yield tab


def tell(tmp_path: Path, story: Callable[[Story], Awaitable[None]], *, more: tuple[str, ...] = ()) -> None:
    async def told() -> None:
        async with desktop_host(tmp_path, more=more) as host, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            try:
                await story(Story(host, browser))
            finally:
                await browser.close()

    uvloop.run(told())


def test_the_page_shows_the_room_in_the_whole_window_and_in_the_persons_language_under_a_strict_policy(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.tab() as tab:
            await tab.sees_the_room()
            for x, y in ((2, BAR_HEIGHT + 2), (550, 320), (1097, 597)):
                found = await tab.pixel(x, y)
                assert all(abs(value - wanted) <= 3 for value, wanted in zip(found, COLOUR, strict=True)), (x, y, found)
            assert told.host.room.size == [1100, 600 - BAR_HEIGHT]
            assert await tab.page.evaluate("location.hash") == ""
            assert await tab.page.evaluate("document.documentElement.lang") == "ja"
            await expect(tab.page.locator("#title")).to_have_text("Campaign data")
            await expect(tab.page.locator("#person")).to_have_text("hanako")
            await expect(tab.page.locator("#leave")).to_have_text("退室")
            await expect(tab.page.locator("#left")).to_contain_text("残り時間 59:")
            assert tab.complaints == []

    tell(tmp_path, story)


def test_photographs_and_the_rooms_pointer_are_drawn_under_the_policy(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.room() as tab:
            shown = """() => { const pixels = document.querySelector('#desktop canvas').getContext('2d').getImageData(64, 64, 256, 256).data;
                return new Set(new Uint32Array(pixels.buffer)).size > 1000; }"""
            await tab.page.wait_for_function(shown, timeout=PATIENCE_MS)
            await expect(tab.page.locator("#desktop canvas")).to_have_css("cursor", re.compile(r'^url\("data:image/png'))
            assert tab.complaints == []

    tell(tmp_path, story)


def test_keys_and_the_mouse_reach_the_room_and_tab_is_the_rooms_too(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.room() as tab:
            await expect(tab.page.locator("#desktop canvas")).to_be_focused()
            await tab.page.keyboard.type("ab")
            await tab.page.keyboard.press("Tab")
            await tab.page.keyboard.press("Control+v")
            await until(lambda: told.host.room.pressed() == ["a", "b", "Tab", "Control_L", "v"], "typed")
            await tab.page.mouse.click(300, 200)
            await until(lambda: {"button": 1, "x": 300, "y": 200 - BAR_HEIGHT} in told.host.room.met, "clicked")
            assert tab.complaints == []

    tell(tmp_path, story)


def test_the_room_follows_the_windows_size(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.room() as tab:
            for width, height in ((1400, 800), (360, 640)):
                await tab.page.set_viewport_size({"width": width, "height": height})
                await until(lambda: told.host.room.size == [width, height - BAR_HEIGHT], f"resized to {width}")  # noqa: B023  asked now
                await tab.sees_the_room()

    tell(tmp_path, story)


def test_a_room_that_keeps_its_size_is_scaled_into_the_window(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.room(width=400, height=500) as tab:
            box = await tab.page.locator("#desktop canvas").bounding_box()
            assert box
            assert (box["width"], box["height"]) == (400, 300)
            assert told.host.room.size == [640, 480]
            await tab.page.mouse.click(box["x"] + 200, box["y"] + 150)
            await until(lambda: {"button": 1, "x": 320, "y": 240} in told.host.room.met, "clicked where it was seen")

    tell(tmp_path, story, more=("-AcceptSetDesktopSize=0",))


def test_one_key_leads_from_the_desktop_to_the_bar_and_back_and_no_key_stays_down_in_the_room(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.room() as tab:
            await tab.page.keyboard.press("Control+Alt+Home")
            await expect(tab.page.locator("#paste")).to_be_focused()
            await until(lambda: told.host.room.pressed() == ["Control_L", "Alt_L"], "the modifiers only")
            await until(lambda: not told.host.room.held(), "released")
            await tab.page.keyboard.press("Control+Alt+Home")
            await expect(tab.page.locator("#desktop canvas")).to_be_focused()
            await tab.page.locator("#hide").click()
            await expect(tab.page.locator("#bar")).to_be_hidden()
            await expect(tab.page.locator("#desktop canvas")).to_be_focused()
            await until(lambda: told.host.room.size == [1100, 600], "the whole window")
            await expect(tab.page.locator("#show-bar")).to_contain_text("Time left 59:")
            await tab.page.keyboard.press("Control+Alt+Home")
            await expect(tab.page.locator("#paste")).to_be_focused()
            await tab.page.locator("#hide").click()
            await tab.page.locator("#show-bar").click()
            await expect(tab.page.locator("#bar")).to_be_visible()
            assert tab.complaints == []

    tell(tmp_path, story)


def test_keys_that_the_browser_keeps_for_itself_are_pressed_in_the_room_from_a_panel(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.room() as tab:
            for label, keys in (
                ("Alt+Tab", ["Alt_L", "Tab"]),
                ("Ctrl+W", ["Control_L", "w"]),
                ("Zenkaku/Hankaku", ["Zenkaku_Hankaku"]),
                ("Super", ["Super_L"]),
            ):
                told.host.room.met.clear()
                await tab.page.locator("#keys").click()
                await expect(tab.page.locator("#keys")).to_have_attribute("aria-expanded", "true")
                await tab.page.locator("#keys-panel button", has_text=label).click()
                await until(lambda: told.host.room.pressed() == keys and not told.host.room.held(), label)  # noqa: B023  asked now
                await expect(tab.page.locator("#keys-panel")).to_be_hidden()
                await expect(tab.page.locator("#desktop canvas")).to_be_focused()
            await tab.page.locator("#keys").click()
            await tab.page.keyboard.press("Escape")
            await expect(tab.page.locator("#keys")).to_be_focused()

    tell(tmp_path, story)


def test_the_full_screen_is_entered_and_left(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.room() as tab:
            await tab.page.locator("#full").click()
            await expect(tab.page.locator("#full")).to_have_attribute("aria-pressed", "true")
            await expect(tab.page.locator("#desktop canvas")).to_be_focused()
            await tab.page.locator("#full").click()
            await expect(tab.page.locator("#full")).to_have_attribute("aria-pressed", "false")
            assert tab.complaints == []

    tell(tmp_path, story)


def test_a_lost_network_is_said_and_the_page_comes_back_by_itself(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.tab() as tab:
            await tab.sees_the_room()
            told.host.rooms.lose_network()
            await tab.notices("再接続しています")
            await until(lambda: len(told.host.control.redeemed) == 2, "entered again")
            await tab.sees_the_room()
            await tab.page.keyboard.type("x")
            await until(lambda: "x" in told.host.room.pressed(), "typed")
            assert tab.complaints == []
            await tab.page.context.set_offline(True)
            await tab.notices("再接続しています")
            await expect(tab.page.locator("#desktop")).to_have_class("stale")
            await tab.page.context.set_offline(False)
            await tab.sees_the_room()
            await expect(tab.page.locator("#desktop")).not_to_have_class("stale")
            await tab.page.keyboard.type("y")
            await until(lambda: "y" in told.host.room.pressed(), "typed")

    tell(tmp_path, story)


def test_a_room_that_answers_nothing_any_more_is_noticed_while_somebody_works_and_entered_again(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.tab(has_own_clock=True) as tab:
            await tab.sees_the_room()
            await tab.page.clock.fast_forward(40_000)
            await tab.page.keyboard.type("a")
            await until(lambda: "a" in told.host.room.pressed(), "typed")
            await tab.page.clock.fast_forward(40_000)
            await expect(tab.page.locator("#notice")).to_be_hidden()
            assert len(told.host.control.redeemed) == 1, "silence alone is no loss"
            with told.host.room.frozen():
                await tab.page.keyboard.type("b")
                await tab.page.clock.fast_forward(16_000)
                await tab.page.clock.fast_forward(11_000)
                await until(lambda: len(told.host.control.redeemed) == 2, "entered again")
            await tab.sees_the_room()

    tell(tmp_path, story)


def test_leaving_asks_first_by_keyboard_alone_and_is_said_again_after_a_lost_network(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.tab() as tab:
            await tab.sees_the_room()
            await tab.page.keyboard.press("Control+Alt+Home")
            await tab.page.locator("#leave").focus()
            await tab.page.keyboard.press("Enter")
            await expect(tab.page.locator("#leave-dialog")).to_contain_text("部屋の中のすべてが破棄されます")
            await tab.page.keyboard.press("Escape")
            await expect(tab.page.locator("#leave-dialog")).to_be_hidden()
            assert not told.host.control.closed
            await tab.page.locator("#leave").click()
            told.host.rooms.lose_network()
            await tab.page.keyboard.press("Tab")
            await tab.page.keyboard.press("Enter")
            await tab.notices("退室しました")
            await until(lambda: told.host.control.closed and told.host.control.closed[-1].left, "left")
            await expect(tab.page.locator("#notice-link")).to_have_attribute("href", PORTAL)
            await expect(tab.page.locator("#desktop canvas")).to_have_count(0)

    tell(tmp_path, story)


def test_every_end_takes_the_picture_away_says_why_and_leads_back_to_the_portal(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        for reason in EndReason:
            before = len(told.host.control.redeemed)
            async with told.tab() as tab:
                await tab.sees_the_room()
                connection = f"c-{2 * before + 1}"  # every entry has a ticket for the way back, and so a number
                told.host.control.tell(Cut(connection, reason))
                await tab.notices(WORDS["ja"]["ended"][reason])
                await expect(tab.page.locator("#notice-reason")).to_have_text(f"({reason})")
                await expect(tab.page.locator("#notice-link")).to_be_focused()
                await expect(tab.page.locator("canvas")).to_have_count(0)
                await expect(tab.page.locator("#tools")).to_be_hidden()
                assert tab.complaints == []

    tell(tmp_path, story)


def test_a_refused_entry_says_why_in_the_browsers_language(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.tab("nothing", locale="ja-JP") as tab:
            await tab.notices("使用済みか期限切れ")
        async with told.tab("nothing") as tab:
            await tab.notices("was used already or is too old")
            await expect(tab.page.locator("#notice-link")).to_be_focused()
        told.host.control.refusal = (Reason.TIME_OVER, (Fact("ends", "15:00"),))
        async with told.tab(locale="ja-JP") as tab:
            await tab.notices("許可は 15:00 に終わりました。")
        async with told.tab("") as tab:
            await tab.notices("only from the portal")

    tell(tmp_path, story)


def test_what_is_no_picture_ends_the_connection_with_a_sentence_and_not_with_a_blank_page(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.tab(told.host.control.issue(language="en"), is_garbled=True) as tab:
            await tab.notices("not a picture")
            await expect(tab.page.locator("#notice-link")).to_be_focused()
            await until(lambda: told.host.control.closed, "closed")
            assert len(told.host.control.redeemed) == 1, "it is not tried again and again"

    tell(tmp_path, story)


def test_text_goes_in_through_the_box_and_it_says_what_to_press_next(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.room() as tab:
            await tab.page.keyboard.press("Control+Alt+Home")
            await tab.page.keyboard.press("Enter")
            await expect(tab.page.locator("#paste-text")).to_be_focused()
            await tab.page.keyboard.insert_text("関所 <b>&amp;\n\u0007")
            await expect(tab.page.locator("#paste-count")).to_have_text("17 of 65,536 bytes")
            await tab.page.keyboard.press("Control+a")
            await tab.page.keyboard.press("Control+x")
            await expect(tab.page.locator("#paste-put")).to_be_disabled()
            await tab.page.keyboard.press("Control+v")  # the browser's own, with nothing in its way
            await tab.page.locator("#paste-put").click()
            await tab.says("Now press Ctrl+V in the room.")
            assert await told.host.room.pasted() == "関所 <b>&amp;\n\u0007"
            await expect(tab.page.locator("#paste-box")).to_be_hidden()
            await expect(tab.page.locator("#paste-text")).to_have_value("")
            await expect(tab.page.locator("#desktop canvas")).to_be_focused()
            assert tab.complaints == []

    tell(tmp_path, story)


def test_a_refused_paste_shows_its_sentence_beside_the_text_and_a_lost_answer_is_no_success(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.tab() as tab:
            await tab.sees_the_room()
            await tab.page.locator("#paste").click()
            await tab.page.locator("#paste-text").fill("検索語")
            told.host.control.paste_refusal = Reason.LOG_UNAVAILABLE
            await tab.page.keyboard.press("Control+Enter")
            await expect(tab.page.locator("#paste-answer")).to_have_text(WORDS["ja"]["refused"]["log-unavailable"])
            await expect(tab.page.locator("#paste-text")).to_have_value("検索語")
            await expect(tab.page.locator("#paste-put")).to_be_enabled()
            told.host.control.holds_pastes = True
            await tab.page.locator("#paste-put").click()
            await expect(tab.page.locator("#paste-answer")).to_have_text(WORDS["ja"]["pasteWaiting"])
            told.host.rooms.lose_network()
            await expect(tab.page.locator("#paste-answer")).to_have_text(WORDS["ja"]["pasteLost"])
            await tab.sees_the_room()
            await expect(tab.page.locator("#paste-text")).to_be_focused()
            told.host.control.holds_pastes, told.host.control.paste_refusal = False, None
            await tab.page.locator("#paste-put").click()
            await expect(tab.page.locator("#paste-box")).to_be_hidden()
            assert await told.host.room.pasted() == "検索語"

    tell(tmp_path, story)


def test_the_limit_is_counted_in_bytes_and_what_is_too_long_is_not_sent(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.room() as tab:
            await tab.page.locator("#paste").click()
            await tab.page.locator("#paste-text").fill("関" * 21_845 + "é")
            await expect(tab.page.locator("#paste-answer")).to_contain_text("Too long by 1 bytes")
            await expect(tab.page.locator("#paste-text")).to_have_attribute("aria-invalid", "true")
            await expect(tab.page.locator("#paste-put")).to_be_disabled()
            await tab.page.keyboard.press("Control+Enter")
            await tab.page.locator("#paste-text").fill("関" * 21_845 + "e")
            await expect(tab.page.locator("#paste-answer")).to_have_text("")
            await expect(tab.page.locator("#paste-put")).to_be_enabled()
            assert told.host.control.pastes == []
            await tab.page.keyboard.press("Escape")
            await expect(tab.page.locator("#paste-box")).to_be_hidden()
            await expect(tab.page.locator("#paste-text")).to_have_value("")
            await tab.page.locator("#paste").click()
            await tab.page.locator("#paste-text").fill('"' * 65_536)  # as much as goes, and twice as much on the way
            await tab.page.locator("#paste-put").click()
            await tab.says("Now press Ctrl+V in the room.")
            assert await told.host.room.pasted() == '"' * 65_536

    tell(tmp_path, story)


PASTE = """text => { const data = new DataTransfer(); data.setData('text/plain', text);
    const event = new ClipboardEvent('paste', {bubbles: true, cancelable: true, clipboardData: data});
    document.querySelector('#desktop canvas').dispatchEvent(event); return event.defaultPrevented; }"""


def test_a_paste_that_the_browser_gives_to_the_desktop_opens_the_box_with_its_text(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.room() as tab:
            assert await tab.page.evaluate(PASTE, "from the menu")
            await expect(tab.page.locator("#paste-text")).to_have_value("from the menu")
            await expect(tab.page.locator("#paste-put")).to_be_focused()
            assert told.host.control.pastes == [], "only who presses the button hands it over"
            await tab.page.keyboard.press("Enter")
            await tab.says("Now press Ctrl+V in the room.")
            assert await told.host.room.pasted() == "from the menu"

    tell(tmp_path, story)


def test_a_room_that_takes_no_paste_says_so_on_the_button_and_why_when_it_is_pressed(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.tab(told.host.control.issue(language="en", paste_in=False)) as tab:
            await tab.sees_the_room()
            await expect(tab.page.locator("#paste")).to_have_text("Paste is off")
            await expect(tab.page.locator("#paste")).to_have_attribute("aria-disabled", "true")
            await tab.page.locator("#paste").focus()
            await tab.page.keyboard.press("Enter")
            await tab.says("the room's file does not allow it")
            await tab.page.evaluate(PASTE, "from the menu")
            await expect(tab.page.locator("#paste-box")).to_be_hidden()
            await expect(tab.page.locator("#paste-text")).to_have_value("")

    tell(tmp_path, story)


def test_the_time_that_is_left_is_warned_of_and_an_extension_is_shown(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.tab(told.host.control.issue(language="en", ends_at=datetime.now(UTC).timestamp() + 595)) as tab:
            await tab.sees_the_room()
            await tab.says("The room ends in 10 min.")
            await expect(tab.page.locator("#spoken")).to_be_visible()
            await expect(tab.page.locator("#left")).to_have_class("soon")
            told.host.control.tell(Extended(SESSION, datetime.now(UTC).timestamp() + 7200))
            await tab.says("The end of the room was moved.")
            await expect(tab.page.locator("#left")).to_contain_text("1:59:")

    tell(tmp_path, story)


def test_what_a_local_input_method_swallows_is_answered_with_a_hint(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.room() as tab:
            press = """() => document.querySelector('#desktop canvas').dispatchEvent(
                new KeyboardEvent('keydown', {key: 'Process', code: 'KeyK', keyCode: 229, bubbles: true, cancelable: true}))"""
            await tab.page.evaluate(press)
            await tab.says("Your own input method is on")

    tell(tmp_path, story)


def test_no_picture_can_be_saved_from_the_context_menu_and_nothing_is_printed(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.room() as tab:
            for target in ("#desktop canvas", "#desktop"):
                prevented = f"""() => {{ const event = new MouseEvent('contextmenu', {{bubbles: true, cancelable: true}});
                    document.querySelector('{target}').dispatchEvent(event); return event.defaultPrevented; }}"""
                assert await tab.page.evaluate(prevented)
            await tab.page.emulate_media(media="print")
            await expect(tab.page.locator("body")).to_be_hidden()

    tell(tmp_path, story)


def test_on_a_narrow_window_the_bar_folds_into_a_menu_with_everything_in_it(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.room(width=360, height=640) as tab:
            await expect(tab.page.locator("#tools")).to_be_hidden()
            await expect(tab.page.locator("#left")).to_be_in_viewport(ratio=1)
            await tab.page.keyboard.press("Control+Alt+Home")
            await expect(tab.page.locator("#menu")).to_be_focused()
            await tab.page.keyboard.press("Enter")
            await expect(tab.page.locator("#menu")).to_have_attribute("aria-expanded", "true")
            for name in ("paste", "keys", "full", "help", "hide", "leave"):
                await expect(tab.page.locator(f"#{name}")).to_be_in_viewport(ratio=1)
            await tab.page.keyboard.press("Escape")
            await expect(tab.page.locator("#menu")).to_be_focused()
            await tab.page.locator("#menu").click()
            await tab.page.locator("#paste").click()
            await expect(tab.page.locator("#tools")).to_be_hidden()
            await expect(tab.page.locator("#paste-put")).to_be_in_viewport(ratio=1)
            assert await tab.page.evaluate("document.documentElement.scrollWidth") == 360

    tell(tmp_path, story)


NAMED = {"button", "link", "textbox", "dialog", "application", "group", "region", "RootWebArea"}


def test_every_control_has_a_name_a_place_in_the_order_and_references_that_lead_somewhere(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.room() as tab:
            protocol = await tab.page.context.new_cdp_session(tab.page)
            seen: set[str] = set()
            for opener in ("", "#paste", "#keys", "#help", "#leave"):
                if opener:
                    await tab.page.locator(opener).click()
                for node in (await protocol.send("Accessibility.getFullAXTree"))["nodes"]:
                    role, name = node.get("role", {}).get("value", ""), node.get("name", {}).get("value", "")
                    if role in NAMED and not node["ignored"]:
                        seen.add(name)
                        assert name.strip(), node
                if opener in ("#paste", "#keys", "#help"):
                    await tab.page.keyboard.press("Escape")
            assert seen >= {"Paste", "Leave and destroy", "Text for the room", "Paste into the room", "The room's tools"}
            assert any(name.startswith("Desktop of the room") for name in seen)
            await tab.page.keyboard.press("Escape")
            await expect(tab.page.locator("#desktop canvas")).to_be_focused()
            await tab.page.locator("#paste").focus()
            order = []
            for _ in range(7):
                order.append(await tab.page.evaluate("document.activeElement.id || document.activeElement.tagName"))
                await tab.page.keyboard.press("Tab")
            assert order == ["paste", "keys", "full", "help", "hide", "leave", "CANVAS"]
            dangling = """() => [...document.querySelectorAll('[aria-controls], [aria-labelledby], [aria-describedby]')].flatMap(element =>
                ['aria-controls', 'aria-labelledby', 'aria-describedby'].flatMap(name => (element.getAttribute(name) ?? '').split(' ')))
                .filter(id => id && !document.getElementById(id))"""
            assert await tab.page.evaluate(dangling) == []
            assert await tab.page.evaluate("document.querySelectorAll('[id]').length === new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size")

    tell(tmp_path, story)
