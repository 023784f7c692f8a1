"""The whole way of a desktop: the page's noVNC in a real Chromium, the real gateway, a real Xvnc, and a program in the room."""

import asyncio
from pathlib import Path

import pytest
import uvloop
from playwright.async_api import async_playwright, expect
from tests.gateway.rooms_host import rooms_host, until

from sekisho.gateway.timings import Timings

pytestmark = pytest.mark.browser
PATIENCE_MS = 15_000
GREENISH = 0x0C8638
IS_WIDE = "() => document.querySelector('#desktop canvas')?.width === 1000"
SHOWS = """colour => { const canvas = document.querySelector('#desktop canvas'); if (!canvas || !canvas.width) return false;
const pixel = canvas.getContext('2d').getImageData(10, 10, 1, 1).data;
return colour.every((value, at) => Math.abs(pixel[at] - value) <= 3); }"""


def test_a_person_sees_types_and_pastes_in_a_browser(tmp_path: Path) -> None:
    async def story() -> None:
        async with rooms_host(tmp_path, timings=Timings(answer=3.0, reason=0.05)) as host, async_playwright() as playwright:
            program = host.agent.desktop().screen.program()
            browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            context = await browser.new_context(ignore_https_errors=True, viewport={"width": 1_000, "height": 600})
            page = await context.new_page()
            try:
                await page.goto(f"{host.origin}/desktop#{host.control.issue(language='en')}")
                await page.wait_for_function(IS_WIDE, timeout=PATIENCE_MS)  # the room took the window's size
                program.fill(0, 0, 640, 480, GREENISH)
                program.sync()
                await page.wait_for_function(SHOWS, arg=[0x0C, 0x86, 0x38], timeout=PATIENCE_MS)
                await page.mouse.move(100, 200)
                await page.keyboard.press("a")
                await asyncio.to_thread(program.event, 2)
                await page.locator("#paste").click()
                await page.locator("#paste-text").fill("関所\n検索語")
                await page.locator("#paste-put").click()
                await expect(page.locator("#paste-box")).to_be_hidden(timeout=PATIENCE_MS)
                assert await asyncio.to_thread(program.paste) == "関所\n検索語"
                program.own_clipboard("a secret of the room")
                host.agent.desktop().stop()
                await until(lambda: host.control.closed, "the room stopped")
                await expect(page.locator("#notice")).to_be_visible(timeout=PATIENCE_MS)
            finally:
                await context.close()
                await browser.close()

    uvloop.run(story())
