"""The portal in a real Chromium: its policy lets its own pages work and nothing else, what lives keeps itself current, and a keyboard is enough."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from tests.identity.authenticator import STEP, code_at, secret_of
from tests.portal import portal_house
from tests.portal.portal_house import House
from tests.portal.test_portal_serve import served

PORT = 18_951
ORIGIN = f"https://sekisho.localhost:{PORT}"

pytestmark = pytest.mark.browser


@pytest.fixture
def town(tmp_path, monkeypatch) -> Iterator[House]:
    """A house on a port of its own, whose places are where the browser is, and whose clock says what theirs does."""
    monkeypatch.setattr(portal_house, "ORIGIN", ORIGIN)
    monkeypatch.setattr(portal_house, "ROOMS_ORIGIN", f"https://rooms.localhost:{PORT}")
    monkeypatch.setattr(portal_house, "PLACES", (portal_house.Place("security-area", ("127.0.0.0/8", "10.20.0.0/16")),))
    monkeypatch.setattr(portal_house, "CAMPAIGN", portal_house.CAMPAIGN.replace("hours =", "#"))
    house = House(tmp_path)
    house.clock.time = datetime.now(UTC)  # browsers count down by their own
    with served(house.app, tmp_path, PORT):
        yield house
    house.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(town, chromium) -> Iterator[object]:
    """Opens a page as somebody; whatever the browser complains of fails the test."""
    complaints: list[str] = []
    contexts = []

    def open_as(name: str, path: str) -> Page:
        context = chromium.new_context(ignore_https_errors=True, locale="en-US")
        contexts.append(context)
        if name:
            cookie = {"name": "__Host-sekisho", "value": town.sign_in(name), "url": ORIGIN, "secure": True, "httpOnly": True}
            context.add_cookies([cookie])
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if "status of 4" not in message.text else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(ORIGIN + path)
        return page

    yield open_as
    for context in contexts:
        context.close()
    assert not complaints


def test_a_request_is_asked_for_and_approved_by_keyboard_alone(town, visit):
    operator = visit("hanako", "/rooms/campaign")
    operator.get_by_label("Reason").focus()
    operator.keyboard.type("Weekly export check")
    operator.keyboard.press("Tab")
    operator.keyboard.type("ABC")
    operator.keyboard.press("Enter")
    operator.wait_for_url(f"{ORIGIN}/rooms/campaign")
    alert = operator.get_by_role("alert")
    alert.wait_for()
    assert alert.evaluate("element => element === document.activeElement")
    assert operator.get_by_label("Reason").input_value() == "Weekly export check"
    operator.get_by_label("Ticket").fill("MKT-42")
    operator.keyboard.press("Enter")
    operator.wait_for_url(f"{ORIGIN}/")
    approver = visit("taro", "/decisions")
    approver.get_by_label("Note").focus()
    approver.keyboard.type("fine")
    approver.keyboard.press("Tab")
    approver.keyboard.press("Enter")
    approver.get_by_text("Nothing waits for a decision.").wait_for()
    assert town.events("request.approved")[-1]["by"] == "taro"


def test_the_first_key_leads_to_the_content(visit):
    page = visit("hanako", "/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_a_session_becomes_ready_under_the_eyes_of_its_person_and_keeps_the_focus(town, visit):
    request = town.plant("hanako", state="approved")
    session = town.session(request, state="staging", staged_bytes=1_000_000, staged_total_bytes=4_000_000)
    page = visit("hanako", "/")
    page.get_by_text("files arriving").first.wait_for()
    assert page.get_by_role("progressbar").get_attribute("value") == "1000000"
    leave = page.get_by_role("link", name="Leave and end Campaign data")
    leave.focus()
    town.session_is(session, state="ready", staged_bytes=4_000_000)
    page.get_by_role("button", name="Enter terminal of Campaign data").wait_for()
    assert leave.evaluate("element => element === document.activeElement")
    page.wait_for_function("document.getElementById('announcer').textContent === 'Campaign data: ready.'")
    assert page.get_by_role("timer").inner_text().endswith("left")


def test_entering_leads_to_the_rooms_with_the_ticket_behind_the_hash(town, visit):
    session = town.session(town.plant("hanako", state="approved"))
    page = visit("hanako", "/")
    sent = []
    page.route(f"https://rooms.localhost:{PORT}/**", lambda route: (sent.append(route.request.url), route.fulfill(body="a room")))
    page.get_by_role("button", name="Enter terminal of Campaign data").click()
    page.wait_for_url(f"https://rooms.localhost:{PORT}/terminal*")
    assert len(page.evaluate("location.hash")) == 44
    assert town.events("entry.allowed")[-1]["session"] == session


def test_a_note_that_is_being_written_outlives_news_of_the_queue(town, visit):
    town.plant("hanako")
    page = visit("taro", "/decisions")
    page.get_by_label("Note").fill("half a sent")
    town.plant("jiro")
    page.locator("#queue-state").wait_for()
    assert page.get_by_label("Note").input_value() == "half a sent"


def test_everything_works_without_javascript(town, chromium):
    context = chromium.new_context(ignore_https_errors=True, java_script_enabled=False)
    context.add_cookies([{"name": "__Host-sekisho", "value": town.sign_in("hanako"), "url": ORIGIN, "secure": True, "httpOnly": True}])
    page = context.new_page()
    page.goto(f"{ORIGIN}/rooms/campaign")
    page.get_by_label("Reason").fill("Weekly export check")
    page.get_by_label("Ticket").fill("MKT-42")
    page.get_by_role("button", name="Send the request").click()
    page.wait_for_url(f"{ORIGIN}/")
    assert page.get_by_text("waits for approval").count() == 1
    session = town.session(town.plant("hanako", state="approved"))
    page.reload()
    page.get_by_role("link", name="Leave and end Campaign data").click()
    page.get_by_role("button", name="Leave and end").click()
    page.wait_for_url(f"{ORIGIN}/")
    assert town.events("grant.ended")[-1]["session"] == session
    context.close()


def test_a_second_factor_is_set_up_asked_for_at_sign_in_and_given_again_on_the_way_into_a_room(town, visit):
    (town.rooms / "campaign.toml").write_text(portal_house.CAMPAIGN.replace("[access]", "[access]\nsecond_factor = true"))
    town.give_password("hanako", "correct horse battery")
    page, before = visit("hanako", "/account"), visit("hanako", "/account")
    page.get_by_role("textbox", name="Password", exact=True).fill("correct horse battery")
    page.keyboard.press("Enter")
    code = page.get_by_role("img", name="QR code of the secret.")
    code.wait_for()
    drawn = code.locator("svg").bounding_box()
    assert drawn["width"] == drawn["height"] > 150
    secret = secret_of(page.get_by_role("link", name="Open in the authenticator app").get_attribute("href"))
    page.get_by_label("Code", exact=True).fill(code_at(secret, town.now))
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Recovery codes").wait_for()
    assert page.get_by_role("listitem").filter(has_text=re.compile(r"^\d{4}(-\d{4}){5}$")).count() == 10

    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Name").fill("hanako")
    page.get_by_label("Password").fill("correct horse battery")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Your code").wait_for()
    assert page.get_by_label("Code", exact=True).evaluate("element => element === document.activeElement")
    page.keyboard.type("000000\n")
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert alert.evaluate("element => element === document.activeElement")
    assert page.get_by_label("Code", exact=True).get_attribute("aria-invalid") == "true"
    town.clock.time += STEP
    page.get_by_label("Code", exact=True).fill(code_at(secret, town.now))
    page.keyboard.press("Enter")
    page.wait_for_url(f"{ORIGIN}/")

    session = town.session(town.plant("hanako", state="approved"))
    before.goto(ORIGIN)  # signed in before there was a factor: it has proven nothing
    before.get_by_role("button", name="Enter terminal of Campaign data").click()
    before.get_by_role("link", name="Give a code").click()
    town.clock.time += STEP
    before.get_by_label("Code", exact=True).fill(code_at(secret, town.now))
    before.keyboard.press("Enter")
    before.wait_for_url(f"{ORIGIN}/requests/r-{session[2:]}")
    before.route(f"https://rooms.localhost:{PORT}/**", lambda route: route.fulfill(body="a room"))
    before.get_by_role("button", name="Enter terminal of Campaign data").click()
    before.wait_for_url(f"https://rooms.localhost:{PORT}/terminal*")
    assert town.events("entry.allowed")[-1]["session"] == session
