"""Signing in and staying signed in: cookies, forms that are proven, tokens, links, passwords, and where a form may lead back to."""

import pytest
from tests.portal.portal_house import INSIDE, OUTSIDE, Browser, location

from sekisho.identity.people import add_person, issue_sign_in_link
from sekisho.portal.inputs import own_path

PASSWORD = "correct horse battery"
FROM_US = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}


def cookie_line(answer, name):
    return next(line for line in answer.headers.get_list("set-cookie") if line.startswith(f"{name}="))


def newcomer(house, name="nami"):
    add_person(house.store, by=None, name=name, groups=["marketing"], language="ja", now=house.now)
    return issue_sign_in_link(house.store, by=None, name=name, now=house.now)


def test_a_link_leads_to_a_password_and_then_to_the_rooms(house):
    secret = newcomer(house)
    browser = house.browser()
    assert browser.get(f"/link/{secret}").status_code == 200
    used = browser.post(f"/link/{secret}")
    assert location(used) == "/account?done=first-password"
    assert "パスワードを設定" in browser.get("/account?done=first-password").text  # the person's own language
    assert location(browser.post("/account/password", {"new": PASSWORD, "again": PASSWORD})) == "/account?done=password-set"
    assert browser.get("/").status_code == 200
    browser.post("/sign-out")
    assert "__Host-sekisho" not in browser.cookies
    browser.get("/sign-in")
    assert location(browser.post("/sign-in", {"name": "nami", "password": PASSWORD, "next": "/account"})) == "/account"


def test_looking_at_a_link_uses_nothing_up_and_using_it_does(house):
    secret = newcomer(house)
    first, second = house.browser(), house.browser()
    for _ in range(3):
        assert first.get(f"/link/{secret}").status_code == 200
    assert first.post(f"/link/{secret}").status_code == 303
    second.get(f"/link/{secret}")
    again = second.post(f"/link/{secret}")
    assert again.status_code == 403
    assert "link-used-or-old" in again.text


def test_the_cookie_is_for_this_host_alone_and_out_of_reach_of_scripts(house):
    secret = newcomer(house)
    browser = house.browser()
    browser.get(f"/link/{secret}")
    line = cookie_line(browser.post(f"/link/{secret}"), "__Host-sekisho").lower()
    assert all(part in line for part in ("; secure", "; httponly", "; samesite=lax", "; path=/", "max-age="))
    assert "domain" not in line


def test_a_wrong_password_says_no_more_than_that(house):
    browser = house.browser()
    browser.get("/sign-in")
    unknown = browser.post("/sign-in", {"name": "nobody", "password": "x" * 20})
    known = browser.post("/sign-in", {"name": "hanako", "password": "x" * 20})
    assert unknown.status_code == known.status_code == 403
    assert "The name or the password is wrong." in unknown.text
    assert "The name or the password is wrong." in known.text
    assert 'value="hanako"' in known.text
    assert "x" * 20 not in known.text


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({"new": "short", "again": "short"}, "password-too-short"),
        ({"new": "x" * 300, "again": "x" * 300}, "password-too-long"),
        ({"new": PASSWORD, "again": PASSWORD, "old": "not it at all"}, "wrong-password"),
    ],
)
def test_a_password_that_is_refused_says_why_at_its_field(house, form, reason):
    browser = house.browser("hanako")
    if reason == "wrong-password":
        browser.post("/account/password", {"new": PASSWORD, "again": PASSWORD})
    answer = browser.post("/account/password", form)
    assert answer.status_code == 403
    assert reason in answer.text
    assert 'aria-invalid="true"' in answer.text


def test_two_different_passwords_are_not_even_tried(house):
    answer = house.browser("hanako").post("/account/password", {"new": PASSWORD, "again": PASSWORD + "x"})
    assert answer.status_code == 422
    assert "The two are not the same." in answer.text
    assert not house.events("password.set")


# forms


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        (FROM_US, ""),
        (FROM_US, "0" * 64),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, None),
        ({"Origin": "https://rooms.localhost:8444", "Sec-Fetch-Site": "same-site"}, None),
        ({"Origin": "null"}, None),
        ({}, None),
    ],
)
def test_a_form_that_is_not_from_a_page_of_ours_does_nothing(house, headers, token):
    browser = house.browser("hanako")
    form = {"reason": "Weekly export check", "ticket": "MKT-42", "duration": "1h", "form_token": browser.form_token if token is None else token}
    answer = browser.send("POST", "/rooms/campaign", data=form, headers=headers)
    assert answer.status_code == 403
    assert "forged-form" in answer.text
    assert not house.events("request.made")
    refused = house.events("access.refused")[-1]
    assert (refused["by"], refused["reason"], refused["details"]["path"]) == ("hanako", "forged-form", "/rooms/{name}")


def test_another_sign_ins_token_is_no_proof(house):
    answer = house.browser("hanako").send("POST", "/sign-out", data={"form_token": house.browser("taro").form_token}, headers=FROM_US)
    assert answer.status_code == 403


def test_nobody_is_signed_in_from_a_foreign_page(house):
    """Login forgery: without the form cookie of our own sign-in page nothing is even tried."""
    answer = house.browser().send("POST", "/sign-in", data={"name": "hanako", "password": PASSWORD}, headers=FROM_US)
    assert answer.status_code == 403
    assert not house.events("sign-in.refused")


def test_a_cookie_changes_nothing_through_the_api_without_the_forms_header(house):
    browser = house.browser("hanako")
    asked = {"room": "campaign", "reason": "Weekly export check", "ticket": "MKT-42", "duration_seconds": 600}
    bare = browser.send("POST", "/api/requests", json=asked, headers=FROM_US)
    assert (bare.status_code, bare.json()["reason"]) == (403, "forged-form")
    token = browser.get("/api/me").json()["form_token"]
    assert browser.send("POST", "/api/requests", json=asked, headers={**FROM_US, "X-Sekisho-Form": token}).status_code == 201


def test_a_token_is_no_cookie_and_a_cookie_no_token(house):
    token, cookie = house.sign_in("hanako", kind="token"), house.sign_in("hanako", kind="cookie")
    as_cookie, as_token = Browser(house.app), Browser(house.app, headers={"Authorization": f"Bearer {cookie}"})
    as_cookie.cookies["__Host-sekisho"] = token
    assert as_cookie.get("/").status_code == 303
    assert as_token.get("/api/me").status_code == 401


def test_a_token_is_not_taken_from_a_page(house):
    assert house.program("hanako").get("/").status_code == 303


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Basic aGFuYWtvOng=", "Bearer a b", "Bearer " + "x" * 4_000, "Bearer \x80"])
def test_a_malformed_credential_is_none(house, header):
    browser = house.browser("hanako")  # its cookie does not help: who says a token means it
    answer = browser.send("GET", "/api/me", headers={"Authorization": header.encode("latin-1")})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_program_signs_in_and_out(house):
    browser = house.browser("hanako")
    browser.post("/account/password", {"new": PASSWORD, "again": PASSWORD})
    made = Browser(house.app).send("POST", "/api/sign-in", json={"name": "hanako", "password": PASSWORD})
    assert made.status_code == 200
    assert made.json()["person"] == {"name": "hanako", "display": "hanako", "groups": ["marketing"], "language": "en"}
    program = Browser(house.app, headers={"Authorization": f"Bearer {made.json()['token']}"})
    assert program.get("/api/me").json()["address"] == INSIDE
    assert program.send("POST", "/api/sign-out").status_code == 200
    assert program.get("/api/me").status_code == 401


# where it leads back to


@pytest.mark.parametrize(
    "unverified",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/%2Fevil.example",
        "javascript:alert(1)",
        "/account?x=//evil.example",
        "/account#x",
        "/a\r\nSet-Cookie: x=1",
        "/../x",
        "/a/../../x",
        "account",
        "",
        "/" + "a" * 500,
    ],
)
def test_nothing_leads_out_of_the_portal(house, unverified):
    assert own_path(unverified) == "/"
    browser = house.browser()
    assert 'name="next" value="/"' in browser.get("/sign-in", params={"next": unverified}).text
    assert location(browser.post("/language", {"language": "ja", "back": unverified[:250]})) == "/"


@pytest.mark.parametrize("path", ["/", "/account", "/rooms/campaign", "/requests/r-abcdefghij"])
def test_a_page_of_ours_is_come_back_to(house, path):
    assert own_path(path) == path
    assert location(house.browser().get(path)) == ("/sign-in" if path == "/" else f"/sign-in?next={path}")


def test_a_part_of_a_page_makes_its_page_load_again_once_nobody_is_signed_in(house):
    answer = house.browser().get("/fragments/mine", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["hx-refresh"]) == (401, "true")


# refusals at the door


def test_refusals_at_the_door_are_counted_together_beyond_a_rate(house):
    browser = house.browser("hanako")
    for _ in range(25):
        assert browser.get("/people").status_code == 403
    assert len(house.events("access.refused")) == 10
    house.clock.time = house.now.replace(minute=2)
    browser.get("/people")
    assert house.events("access.refused")[-1]["details"]["more"] == 15


def test_the_log_never_sees_a_secret_of_an_address(house):
    secret = newcomer(house)
    house.browser(address=OUTSIDE).send("POST", f"/link/{secret}")
    event = house.events("access.refused")[-1]
    assert secret not in str(event)
    assert event["details"]["path"] == "/link/{secret}"
