"""The terminal's page in a real headless Chromium, against the real gateway and a real bash."""

import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvloop
from playwright.async_api import Page, async_playwright, expect
from tests.gateway.rooms_host import PORTAL, RoomsHost, rooms_host, until

from sekisho.gateway.timings import Timings
from sekisho.sessions.doorway import Cut, Extended

pytestmark = pytest.mark.browser
SESSION = "s-aaaaaaaaaa"
PATIENCE_MS = 15_000


@dataclass
class Tab:
    page: Page
    complaints: list[str] = field(default_factory=list)

    async def sees(self, text: str) -> None:
        await expect(self.page.locator(".xterm-rows")).to_contain_text(text, timeout=PATIENCE_MS)

    async def type(self, text: str) -> None:
        await self.page.keyboard.insert_text(text)
        await self.page.keyboard.press("Enter")


@contextlib.asynccontextmanager
async def browser_at(host: RoomsHost, ticket: str, *, locale: str = "en-US") -> AsyncIterator[Tab]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = await browser.new_context(ignore_https_errors=True, locale=locale, viewport={"width": 1100, "height": 600})
        tab = Tab(await context.new_page())
        tab.page.on("console", lambda message: tab.complaints.append(message.text) if message.type in ("error", "warning") else None)
        tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
        try:
            await tab.page.goto(f"{host.origin}/terminal#{ticket}")
            yield tab
        finally:
            await context.close()
            await browser.close()


def tell(tmp_path: Path, story: Callable[[RoomsHost], Awaitable[None]]) -> None:
    async def told() -> None:
        async with rooms_host(tmp_path, timings=Timings(answer=3.0, reason=0.05)) as host:
            await story(host)

    uvloop.run(told())


def test_the_page_opens_the_terminal_in_the_persons_language_and_takes_japanese_under_a_strict_policy(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        async with browser_at(host, host.control.issue()) as tab:
            await tab.sees("room$")
            assert await tab.page.evaluate("location.hash") == ""
            await expect(tab.page.locator("#title")).to_have_text("Campaign data")
            await expect(tab.page.locator("#person")).to_have_text("hanako")
            await expect(tab.page.locator("#leave")).to_have_text("退室")
            await expect(tab.page.locator("#left")).to_contain_text("残り時間 59:")
            await tab.type("echo $((6*7)) 関所の部屋")
            await tab.sees("42 関所の部屋")
            await tab.type("printf '\\033[38;2;12;34;56mtrue colour\\033[0m\\n'")
            coloured = tab.page.locator(".xterm-rows span", has_text="true colour").last
            await expect(coloured).to_have_css("color", "rgb(12, 34, 56)")
            await tab.type("stty size")
            await expect(tab.page.locator(".xterm-rows > div", has_text=re.compile(r"^3\d 1[12]\d\s*$"))).to_be_visible()  # the whole window
            assert tab.complaints == []

    tell(tmp_path, story)


def test_nothing_can_be_selected_or_copied_and_paste_goes_in_as_one_bracketed_piece(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        async with browser_at(host, host.control.issue()) as tab:
            await tab.sees("room$")
            await tab.page.mouse.move(20, 60)
            await tab.page.mouse.down()
            await tab.page.mouse.move(500, 200, steps=4)
            await tab.page.mouse.up()
            await tab.page.mouse.dblclick(30, 60)
            assert await tab.page.evaluate("getSelection().toString()") == ""
            assert await tab.page.locator(".xterm-selection div").count() == 0
            copied = """() => { const event = new ClipboardEvent('copy', {bubbles: true, cancelable: true, clipboardData: new DataTransfer()});
                document.querySelector('.xterm-helper-textarea').dispatchEvent(event);
                return [event.defaultPrevented, event.clipboardData.getData('text/plain')]; }"""
            assert await tab.page.evaluate(copied) == [True, ""]
            await tab.type("cat -v")
            paste = """(text) => { const data = new DataTransfer(); data.setData('text/plain', text);
                const event = new ClipboardEvent('paste', {bubbles: true, cancelable: true, clipboardData: data});
                document.querySelector('.xterm-helper-textarea').dispatchEvent(event); }"""
            await tab.page.evaluate(paste, "first\nse\u001b[201~cond\n")
            await tab.sees("se[201~cond")
            await tab.page.keyboard.press("Control+c")
            await tab.sees("^C")
            await tab.page.evaluate(paste, "echo not\necho run\u001b[201~\necho yet")
            await tab.sees("echo run[201~")
            assert await tab.page.locator(".xterm-rows > div", has_text="not").filter(has_not_text="echo").count() == 0, "bracketed: nothing ran"

    tell(tmp_path, story)


def test_a_lost_network_is_said_and_the_page_comes_back_by_itself_with_what_was_shown(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        async with browser_at(host, host.control.issue()) as tab:
            await tab.sees("room$")
            await tab.type("echo be$((1+1))fore")
            await tab.sees("be2fore")
            await tab.page.evaluate(
                "() => { const send = WebSocket.prototype.send; WebSocket.prototype.send = function () { this.close(); WebSocket.prototype.send = send; }; }"
            )
            await tab.page.keyboard.press("a")
            await expect(tab.page.locator("#notice-text")).to_contain_text("再接続", timeout=PATIENCE_MS)
            await until(lambda: len(host.control.redeemed) == 2, "entered again")
            await expect(tab.page.locator("#notice")).to_be_hidden(timeout=PATIENCE_MS)
            await tab.sees("be2fore")
            await tab.type("echo af$((1+1))ter")
            await tab.sees("af2ter")

    tell(tmp_path, story)


def test_a_cut_blanks_the_terminal_says_why_and_leads_back_to_the_portal(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        async with browser_at(host, host.control.issue()) as tab:
            await tab.sees("room$")
            host.control.tell(Cut("c-1", "ended-by-approver"))
            await expect(tab.page.locator("#notice-text")).to_have_text("承認者が部屋を終了し、部屋は破棄されました。", timeout=PATIENCE_MS)
            await expect(tab.page.locator("#notice-reason")).to_have_text("(ended-by-approver)")
            await expect(tab.page.locator("#notice-link")).to_have_attribute("href", PORTAL)
            await expect(tab.page.locator(".xterm-rows")).not_to_contain_text("room$")
            assert tab.complaints == []

    tell(tmp_path, story)


def test_a_refused_ticket_shows_its_sentence_in_the_browsers_language(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        async with browser_at(host, "nothing", locale="ja-JP") as tab:
            await expect(tab.page.locator("#notice-text")).to_contain_text("使用済みか期限切れ", timeout=PATIENCE_MS)
        async with browser_at(host, "nothing", locale="en-US") as tab:
            await expect(tab.page.locator("#notice-text")).to_contain_text("was used already or is too old", timeout=PATIENCE_MS)
            await expect(tab.page.locator("#notice-link")).to_be_focused()

    tell(tmp_path, story)


def test_leaving_asks_first_and_works_by_keyboard_alone(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        async with browser_at(host, host.control.issue()) as tab:
            await tab.sees("room$")
            await tab.page.keyboard.press("Control+Alt+Home")
            await expect(tab.page.locator("#reader")).to_be_focused()
            await tab.page.keyboard.press("Tab")
            await tab.page.keyboard.press("Enter")
            await expect(tab.page.locator("#leave-dialog")).to_be_visible()
            await tab.page.keyboard.press("Escape")
            await expect(tab.page.locator("#leave-dialog")).to_be_hidden()
            assert not host.control.closed
            await tab.page.locator("#leave").click()
            await tab.page.keyboard.press("Tab")
            await tab.page.keyboard.press("Enter")
            await expect(tab.page.locator("#notice-text")).to_contain_text("退室しました", timeout=PATIENCE_MS)
            await until(lambda: host.control.closed and host.control.closed[0].left, "left")

    tell(tmp_path, story)


def test_the_countdown_is_spoken_and_a_screen_reader_can_read_the_lines(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        async with browser_at(host, host.control.issue(ends_at=datetime.now(UTC).timestamp() + 595)) as tab:
            await tab.sees("room$")
            await expect(tab.page.locator("#spoken")).to_have_text("この部屋はあと 10 分で終了します。", timeout=PATIENCE_MS)
            await expect(tab.page.locator("#left")).to_have_class("soon")
            host.control.tell(Extended(SESSION, datetime.now(UTC).timestamp() + 7200))
            await expect(tab.page.locator("#left")).to_contain_text("1:59:")
            await tab.page.locator("#reader").click()
            await expect(tab.page.locator("#reader")).to_have_attribute("aria-pressed", "true")
            await expect(tab.page.locator(".xterm-accessibility-tree")).to_contain_text("room$")
            assert await tab.page.evaluate("getComputedStyle(document.querySelector('.xterm-accessibility-tree')).userSelect") == "none"
            assert json.dumps(tab.complaints) == "[]"

    tell(tmp_path, story)
