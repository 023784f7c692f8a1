"""The desktop's page in a real headless Chromium, with a real Xvnc behind it."""

import contextlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvloop
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright, expect
from tests.gateway.desktop_host import COLOUR, DesktopHost, desktop_host
from tests.gateway.rooms_host import until

pytestmark = pytest.mark.browser
SESSION = "s-aaaaaaaaaa"
PATIENCE_MS = 15_000
BAR_HEIGHT = 42
BROWSERS_OWN = "willReadFrequently"  # Chromium's advice to noVNC on how to keep a canvas whose size changes


@dataclass
class Tab:
    page: Page
    complaints: list[str] = field(default_factory=list)

    def complain(self, text: str) -> None:
        if BROWSERS_OWN not in text:
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


@dataclass
class Story:
    host: DesktopHost
    browser: Browser

    @contextlib.asynccontextmanager
    async def tab(self, ticket: str | None = None, *, locale: str = "en-US", width: int = 1100, height: int = 600, **more: object) -> AsyncIterator[Tab]:
        context = await self.browser.new_context(ignore_https_errors=True, locale=locale, viewport={"width": width, "height": height}, **more)
        tab = Tab(await context.new_page())
        tab.page.on("console", lambda message: tab.complain(message.text) if message.type in ("error", "warning") else None)
        tab.page.on("pageerror", lambda error: tab.complain(str(error)))
        try:
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


def tell(tmp_path: Path, story: Callable[[Story], Awaitable[None]], *, extra: tuple[str, ...] = ()) -> None:
    async def told() -> None:
        async with desktop_host(tmp_path, extra=extra) as host, async_playwright() as playwright:
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
            assert told.host.screen.size == [1100, 600 - BAR_HEIGHT]
            assert await tab.page.evaluate("location.hash") == ""
            assert await tab.page.evaluate("document.documentElement.lang") == "ja"
            await expect(tab.page.locator("#title")).to_have_text("Campaign data")
            await expect(tab.page.locator("#person")).to_have_text("hanako")
            await expect(tab.page.locator("#leave")).to_have_text("退室")
            await expect(tab.page.locator("#left")).to_contain_text("残り時間 59:")
            assert tab.complaints == []

    tell(tmp_path, story)


def test_keys_and_the_mouse_reach_the_room_and_tab_is_the_rooms_too(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.room() as tab:
            await expect(tab.page.locator("#desktop canvas")).to_be_focused()
            await tab.page.keyboard.type("ab")
            await tab.page.keyboard.press("Tab")
            await tab.page.keyboard.press("Control+v")
            await until(lambda: told.host.screen.keys() == ["a", "b", "Tab", "Control_L", "v"], "typed")
            await tab.page.mouse.click(300, 200)
            await until(lambda: {"button": 1, "x": 300, "y": 200 - BAR_HEIGHT} in told.host.screen.met, "clicked")
            assert tab.complaints == []

    tell(tmp_path, story)


def test_the_room_follows_the_windows_size(tmp_path: Path) -> None:
    async def story(told: Story) -> None:
        async with told.room() as tab:
            for width, height in ((1400, 800), (360, 640)):
                await tab.page.set_viewport_size({"width": width, "height": height})
                await until(lambda: told.host.screen.size == [width, height - BAR_HEIGHT], f"resized to {width}")  # noqa: B023  asked now
                await tab.sees_the_room()

    tell(tmp_path, story)
