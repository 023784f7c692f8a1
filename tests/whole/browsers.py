"""People at their browsers: a real Chromium, a context of one's own for each person, and the pages of the portal as they use them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright
from tests.whole.system import PASSWORD, Whole

CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MILLISECONDS = 30_000


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        yield launched
        launched.close()


def signed_in(system: Whole, browser: Browser, name: str, locale: str, *, width: int = 1280, height: int = 800) -> Page:
    """A browser of one's own, signed in by link, with a password set. `faults` of the page are what went wrong in it."""
    context = browser.new_context(ignore_https_errors=True, viewport={"width": width, "height": height}, locale=locale)
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    page = context.new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda message: page.faults.append(message.text) if message.type == "error" and "Content Security Policy" in message.text else None)
    page.goto(system.links.pop(name))
    page.locator("main button").click()
    page.fill("#new", PASSWORD)
    page.fill("#again", PASSWORD)
    page.locator("main form:has(#new) button").click()
    page.wait_for_url("**/account?done=*")
    return page


def ask(page: Page, system: Whole, *, reason: str, ticket: str, duration: str = "1h") -> None:
    page.goto(f"{system.origin}/rooms/campaign")
    page.eval_on_selector("#reason", "field => field.form.noValidate = true")  # the server's answer is what is asked about
    page.fill("#reason", reason)
    page.fill("#ticket", ticket)
    page.fill("#duration", duration)
    page.locator("main form:has(#reason) button").click()
    page.wait_for_load_state()


def asked(page: Page) -> str:
    """The request that was just made."""
    return re.search(r"r-[a-z2-7]{10}", page.content())[0]


def approve(page: Page, system: Whole, request: str, *, reason: str) -> None:
    page.goto(system.origin + "/decisions")
    page.get_by_text(reason).first.wait_for()
    page.locator(f"form[action='/requests/{request}/approve'] button.first").click()
    page.wait_for_load_state()
