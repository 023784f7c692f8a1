"""Second factors on the pages and over the API: set up at the account, asked for at sign-in, given again on the way into a room that asks."""

import re
from datetime import timedelta
from html import unescape

import pytest
from tests.identity.authenticator import STEP, code_at, secret_of
from tests.portal.portal_house import CAMPAIGN, Browser, House, location

from sekisho.identity.people import issue_sign_in_link
from sekisho.policy.second_factor import PROOF_LIFE
from sekisho.portal.way_on import page_of

PASSWORD = "correct horse battery"


def asking(house: House) -> House:
    (house.rooms / "campaign.toml").write_text(CAMPAIGN.replace("[access]", "[access]\nsecond_factor = true"))
    house.book.refresh()
    return house


def with_password(house: House, name: str = "hanako") -> Browser:
    house.give_password(name, PASSWORD)
    return house.browser(name)


def next_code(house: House, secret: bytes) -> str:
    house.clock.time += STEP
    return code_at(secret, house.now)


def enrolled(house: House, name: str = "hanako") -> tuple[Browser, bytes, list[str]]:
    """As a person does it: reads the page, types the code."""
    browser = with_password(house, name)
    shown = browser.post("/account/second-factor", {"password": PASSWORD})
    secret = secret_of(unescape(re.search(r'href="(otpauth:[^"]+)"', shown.text)[1]))
    done = browser.post("/account/second-factor/confirm", {"code": code_at(secret, house.now)})
    assert done.status_code == 200, done.text
    return browser, secret, re.findall(r"<li>([0-9-]+)</li>", done.text)


def test_the_account_shows_the_secret_once_and_the_recovery_codes_once(house):
    browser = with_password(house)
    assert "Set up a second factor" in browser.get("/account").text
    refused = browser.post("/account/second-factor", {"password": "wrong"})
    assert refused.status_code == 403
    assert 'aria-describedby="password-hint password-fault" aria-invalid="true"' in refused.text
    shown = browser.post("/account/second-factor", {"password": PASSWORD})
    assert "no-store" in shown.headers["cache-control"]
    assert "<svg" in shown.text
    assert " style=" not in shown.text, "what the policy of the page would not draw"
    uri = unescape(re.search(r'href="(otpauth:[^"]+)"', shown.text)[1])
    assert uri.startswith("otpauth://totp/Sekisho%20sekisho.localhost:hanako?")
    again = browser.post("/account/second-factor/confirm", {"code": "000000"})
    assert again.status_code == 403
    assert "otpauth:" not in again.text
    assert 'inputmode="numeric"' in again.text
    assert 'autocomplete="one-time-code"' in again.text
    done = browser.post("/account/second-factor/confirm", {"code": code_at(secret_of(uri), house.now)})
    codes = re.findall(r"<li>([0-9-]+)</li>", done.text)
    assert len(codes) == 10
    account = browser.get("/account").text
    assert not any(code in account for code in codes)
    assert "Recovery codes left" in account


def test_who_has_no_password_yet_is_told_to_set_one_first(house):
    page = house.browser("hanako").get("/account").text
    assert "Set a password first" in page
    assert 'action="/account/second-factor"' not in page


def test_signing_in_asks_for_the_code_and_leads_where_one_wanted_to_go(house):
    _, secret, codes = enrolled(house)
    browser = house.browser()
    browser.get("/sign-in")
    asked = browser.post("/sign-in", {"name": "hanako", "password": PASSWORD, "next": "/requests"})
    assert asked.status_code == 200
    assert "__Host-sekisho" not in browser.cookies
    assert browser.get("/").status_code == 303, "nobody is signed in yet"
    step = re.search(r'name="step" value="([^"]+)"', asked.text)[1]
    wrong = browser.post("/sign-in/code", {"step": step, "code": "000000", "next": "/requests"})
    assert wrong.status_code == 403
    assert 'aria-describedby="code-hint code-fault" aria-invalid="true"' in wrong.text
    right = browser.post("/sign-in/code", {"step": step, "code": next_code(house, secret), "next": "/requests"})
    assert location(right) == "/requests"
    assert browser.get("/").status_code == 200
    late = house.browser()
    late.get("/sign-in")
    assert "Begin again" in late.post("/sign-in/code", {"step": step, "code": codes[0]}).text


def test_a_link_leads_through_the_code_to_the_account(house):
    _, _, codes = enrolled(house)
    browser = house.browser()
    link = f"/link/{issue_sign_in_link(house.store, by=None, name='hanako', now=house.now)}"
    browser.get(link)
    asked = browser.post(link)
    step = re.search(r'name="step" value="([^"]+)"', asked.text)[1]
    assert location(browser.post("/sign-in/code", {"step": step, "code": codes[0], "next": "/account"})) == "/account"


def test_a_room_that_asks_leads_to_the_account_or_to_the_code_and_back_to_the_button(house):
    asking(house)
    session = house.session(house.plant("hanako", state="approved"))
    bare = house.browser("hanako").post(f"/sessions/{session}/enter", {"kind": "terminal"})
    assert bare.status_code == 403
    assert '<a class="button" href="/account">' in bare.text
    browser, secret, _ = enrolled(house)
    other = house.browser()
    other.cookies["__Host-sekisho"] = house.sign_in("hanako")
    refused = other.post(f"/sessions/{session}/enter", {"kind": "terminal"})
    back = f"/requests/r-{session[2:]}"
    assert f'href="/second-factor?next={back}"' in refused.text
    form = other.get(f"/second-factor?next={back}")
    assert f'name="next" value="{back}"' in form.text
    assert "code-wrong" in other.post("/second-factor", {"code": "000000", "next": back}).text
    assert location(other.post("/second-factor", {"code": next_code(house, secret), "next": back})) == back
    assert f'action="/sessions/{session}/enter"' in other.get(back).text
    assert other.post(f"/sessions/{session}/enter", {"kind": "terminal"}).headers["location"].startswith("https://rooms.localhost:8444/")
    assert browser.post(f"/sessions/{session}/enter", {"kind": "terminal"}).status_code == 303, "the sign-in that confirmed it has proven it"


def test_an_approver_is_asked_too_and_comes_back_to_the_request(house):
    asking(house)
    request = house.plant("hanako")
    _, secret, _ = enrolled(house, "taro")
    browser = house.browser()
    browser.cookies["__Host-sekisho"] = house.sign_in("taro")
    assert 'href="/second-factor?next=/decisions"' in browser.get("/decisions").text
    refused = browser.post(f"/requests/{request}/approve")
    assert refused.status_code == 403
    assert f'href="/second-factor?next=/requests/{request}"' in refused.text
    browser.post("/second-factor", {"code": next_code(house, secret), "next": f"/requests/{request}"})
    assert browser.post(f"/requests/{request}/approve").status_code == 303
    assert house.events("request.approved")[-1]["by"] == "taro"


@pytest.mark.parametrize("next_", ["https://evil.example/", "//evil.example", "/account?x=1"])
def test_the_code_leads_nowhere_else(house, next_):
    browser, secret, _ = enrolled(house)
    assert 'name="next" value="/"' in browser.get("/second-factor", params={"next": next_}).text
    assert location(browser.post("/second-factor", {"code": next_code(house, secret), "next": next_})) == "/"


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/requests/r-aaaaaaaaaa/approve", "/requests/r-aaaaaaaaaa"),
        ("/sessions/s-aaaaaaaaaa/enter", "/requests/r-aaaaaaaaaa"),
        ("/sessions/s-aaaaaaaaaa/enter/desktop", "/requests/r-aaaaaaaaaa"),
        ("/decisions", "/decisions"),
        ("/", "/"),
        ("//evil.example", "/"),
    ],
)
def test_the_page_of_a_button_is_found_from_what_it_sends_to(path, page):
    assert page_of(path) == page


def test_removing_and_new_recovery_codes_need_both(house):
    browser, secret, codes = enrolled(house)
    refused = browser.post("/account/second-factor/remove", {"password": PASSWORD, "code": "000000"})
    assert refused.status_code == 403
    assert "code-fault" in refused.text
    renewed = browser.post("/account/second-factor/recovery-codes", {"password": PASSWORD, "code": next_code(house, secret)})
    assert not set(re.findall(r"<li>([0-9-]+)</li>", renewed.text)) & set(codes)
    removed = browser.post("/account/second-factor/remove", {"password": PASSWORD, "code": next_code(house, secret)})
    assert location(removed) == "/account?done=factor-removed"
    assert "The second factor is removed." in browser.get("/account?done=factor-removed").text


def test_an_administrator_sees_who_has_one_and_resets_it_after_one_question(house):
    enrolled(house)
    admin = house.browser("admin")
    page = admin.get("/people").text
    assert page.count("/second-factor/reset") == 1
    assert "Reset the second factor of hanako?" in admin.get("/people/hanako/second-factor/reset").text
    assert location(admin.post("/people/hanako/second-factor/reset")) == "/people"
    assert "/second-factor/reset" not in admin.get("/people").text
    assert house.browser("hanako").get("/").status_code == 303, "the sign-ins ended"
    own = admin.post("/people/admin/second-factor/reset")
    assert "own-second-factor" in own.text


def test_a_room_that_asks_says_so_before_anybody_asks_for_it(house):
    asking(house)
    browser = house.browser("hanako")
    assert "asked for when you enter" in browser.get("/").text
    assert "You have none yet: set one up." in browser.get("/rooms/campaign").text
    assert house.program("hanako").get("/api/rooms").json()["rooms"][0]["second_factor"] is True


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_page_of_it_speaks_both_languages(house, language):
    browser, secret, _ = enrolled(house)
    browser.cookies["__Host-sekisho-language"] = language
    said = {"en": "Second factor", "ja": "二要素認証"}[language]
    assert said in browser.get("/account").text
    assert {"en": "Give a code", "ja": "確認コードを入力"}[language] in browser.get("/second-factor").text
    wrong = browser.post("/second-factor", {"code": code_at(secret, house.now)})
    assert {"en": "This code was used already.", "ja": "この確認コードは使用済みです。"}[language] in wrong.text


# over the API


def test_a_program_gives_name_password_and_code_at_once(house):
    _, secret, _ = enrolled(house)
    program = Browser(house.app)
    told = {"name": "hanako", "password": PASSWORD}
    asked = program.send("POST", "/api/sign-in", json=told)
    assert (asked.status_code, asked.json()["reason"]) == (403, "code-asked")
    wrong = program.send("POST", "/api/sign-in", json={**told, "code": "000000"})
    assert (wrong.status_code, wrong.json()["reason"]) == (403, "code-wrong")
    made = program.send("POST", "/api/sign-in", json={**told, "code": next_code(house, secret)})
    assert made.status_code == 200
    program.headers = {"Authorization": f"Bearer {made.json()['token']}"}
    factor = program.get("/api/me").json()["second_factor"]
    assert (factor["enrolled"], factor["recovery_codes"]) == (True, 10)
    assert factor["proven_at"] == house.now.isoformat().replace("+00:00", "Z")


def test_a_token_enters_a_room_that_asks_as_long_as_its_proof_is_young(house):
    asking(house)
    _, secret, _ = enrolled(house)
    session = house.session(house.plant("hanako", state="approved"))
    program = house.program("hanako")
    refused = program.send("POST", f"/api/sessions/{session}/enter", json={"kind": "terminal"})
    assert refused.json()["reason"] == "second-factor-old"
    assert refused.json()["facts"] == {"room": "campaign", "most": "12h"}
    assert program.send("POST", "/api/second-factor/confirm", json={"code": next_code(house, secret)}).status_code == 200
    assert program.send("POST", f"/api/sessions/{session}/enter", json={"kind": "terminal"}).status_code == 200
    assert timedelta(hours=12) == PROOF_LIFE


def test_what_is_shown_once_over_the_api_is_a_secret_that_apps_read(house):
    with_password(house)
    program = house.program("hanako")
    shown = program.send("POST", "/api/second-factor/enrol", json={"password": PASSWORD}).json()
    code = code_at(secret_of(shown["uri"]), house.now)
    assert shown["secret"] in shown["uri"]
    assert len(program.send("POST", "/api/second-factor/enrol/confirm", json={"code": code}).json()["recovery_codes"]) == 10
    secret = secret_of(shown["uri"])
    both = {"password": PASSWORD, "code": next_code(house, secret)}
    assert len(program.send("POST", "/api/second-factor/recovery-codes", json=both).json()["recovery_codes"]) == 10
    both["code"] = next_code(house, secret)
    assert program.send("POST", "/api/second-factor/remove", json=both).status_code == 200
