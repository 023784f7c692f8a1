"""What holds for every request before anything reads it, and for every answer."""

import asyncio

import httpx
import pytest
from tests.portal.portal_house import ORIGIN, OUTSIDE, PROXY, ROOMS_ORIGIN

from sekisho.portal.guard import BODY_LIMIT_BYTES, HEAD_LIMIT_BYTES, Guard, answer_headers

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    f"form-action 'self' {ROOMS_ORIGIN}; frame-ancestors 'none'; base-uri 'none'"
)


@pytest.mark.parametrize("host", ["evil.example", "sekisho.localhost", "sekisho.localhost:8443.evil.example", "rooms.localhost:8444", ""])
def test_another_host_name_is_misdirected(house, host):
    answer = house.browser("hanako").get("/", headers={"Host": host})
    assert answer.status_code == 421


def test_two_host_names_are_misdirected(house):
    headers = [("Host", "sekisho.localhost:8443"), ("Host", "evil.example")]
    assert send_raw(house.app, headers=headers).status_code == 421


@pytest.mark.parametrize("path", ["/", "/sign-in", "/static/sekisho.css", "/no/such/page", "/api/me", "/api/openapi.json"])
def test_every_answer_has_the_strict_headers(house, path):
    answer = house.browser().get(path)
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in answer.headers


def test_an_answer_that_broke_has_them_too_and_says_nothing_of_why(house, monkeypatch):
    monkeypatch.setattr("sekisho.portal.looking.rooms", _break)
    answer = house.browser("hanako").get("/")
    assert answer.status_code == 500
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["cache-control"] == "no-store"
    assert "hush" not in answer.text


def test_a_program_is_told_that_it_broke_in_json(house, monkeypatch):
    monkeypatch.setattr("sekisho.portal.api.requests.looking.views", _break)
    answer = house.program("hanako").get("/api/requests")
    assert (answer.status_code, answer.json()["reason"]) == (500, "decision-failed")


def _break(*_: object, **__: object) -> None:
    raise RuntimeError("hush")


def test_pages_are_kept_by_no_cache_and_assets_by_all(house):
    assert house.browser("hanako").get("/").headers["cache-control"] == "no-store"
    assert "immutable" in house.browser().get("/static/sekisho.css").headers["cache-control"]


def test_no_page_has_an_inline_script_or_style(house):
    request = house.grant()
    house.session(request)
    for name, path in (("hanako", "/"), ("hanako", "/rooms/campaign"), ("taro", "/decisions"), ("admin", "/people"), ("hanako", "/account")):
        text = house.browser(name).get(path).text
        assert "<style" not in text
        assert " style=" not in text
        assert all("src=" in tag for tag in text.split("<script")[1:])
        assert " onclick" not in text


@pytest.mark.parametrize("name", ["../app.py", "..%2Fapp.py", "vendor/../../app.py", "/etc/passwd", "sekisho.css/", "nothing.css"])
def test_only_the_known_assets_are_served(house, name):
    assert house.browser().get(f"/static/{name}").status_code == 404


def test_a_body_beyond_the_limit_is_refused_however_it_is_sent(house):
    browser = house.browser("hanako")
    too_long = b"x" * (BODY_LIMIT_BYTES + 1)
    assert browser.send("POST", "/rooms/campaign", content=too_long).status_code == 413
    assert send_raw(house.app, method="POST", chunks=[too_long[:40_000], too_long[40_000:]]).status_code == 413


def test_a_head_or_an_address_beyond_its_limit_is_refused(house):
    browser = house.browser("hanako")
    assert browser.get("/", headers={"X-Much": "x" * HEAD_LIMIT_BYTES}).status_code == 431
    assert browser.get("/" + "x" * 5_000).status_code == 414


def test_a_body_that_comes_too_slowly_is_given_up():
    async def slow() -> int:
        async def app(scope, receive, send):
            raise AssertionError("reached")

        async def receive():
            await asyncio.Event().wait()

        sent = []

        async def send(message):
            sent.append(message)

        guard = Guard(app, portal_origin=ORIGIN, headers=answer_headers(ROOMS_ORIGIN), body_limit_seconds=0.01)
        scope = {"type": "http", "headers": [(b"host", b"sekisho.localhost:8443")], "raw_path": b"/", "query_string": b""}
        await guard(scope, receive, send)
        return sent[0]["status"]

    assert asyncio.run(slow()) == 408


def test_no_websocket_is_spoken_here(house):
    async def knock() -> list[dict]:
        sent = []

        async def receive():
            return {"type": "websocket.connect"}

        async def send(message):
            sent.append(message)

        await house.app({"type": "websocket", "path": "/", "headers": [], "query_string": b"", "raw_path": b"/"}, receive, send)
        return sent

    assert [message["type"] for message in asyncio.run(knock())] == ["websocket.close"]


def send_raw(app, *, method="GET", headers=None, chunks=()):
    async def content():
        for chunk in chunks:
            yield chunk

    async def go():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as client:
            request = client.build_request(method, "/", headers=headers, content=content() if chunks else None)
            return await client.send(request)

    return asyncio.run(go())


# from where


def test_a_forged_forwarded_for_moves_nobody_into_a_place(house):
    program = house.program("hanako", address=OUTSIDE)
    answer = program.send("GET", "/api/me", headers={"X-Forwarded-For": "10.20.0.7"})
    assert answer.json()["address"] == OUTSIDE
    asked = {"room": "campaign", "reason": "Weekly export check", "ticket": "MKT-42", "duration_seconds": 600}
    refused = program.send("POST", "/api/requests", headers={"X-Forwarded-For": "10.20.0.7"}, json=asked)
    assert (refused.status_code, refused.json()["reason"]) == (403, "outside-place")


def test_a_listed_proxy_is_believed_about_its_own_caller_only(house):
    program = house.program("hanako", address=PROXY)
    assert program.send("GET", "/api/me", headers={"X-Forwarded-For": f"10.20.0.7, {OUTSIDE}"}).json()["address"] == OUTSIDE
    assert program.send("GET", "/api/me", headers={"X-Forwarded-For": f"{OUTSIDE}, 10.20.0.7"}).json()["address"] == "10.20.0.7"


@pytest.mark.parametrize("header", ["X-Real-IP", "Forwarded", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP"])
def test_no_other_header_says_where_somebody_is(house, header):
    assert house.program("hanako", address=PROXY).send("GET", "/api/me", headers={header: "10.20.0.7"}).json()["address"] == PROXY


def test_a_sign_in_is_good_only_from_the_places_of_sign_in(tmp_path):
    from tests.portal.portal_house import House

    house = House(tmp_path, sign_in_places=("security-area",))
    try:
        assert house.program("hanako").get("/api/me").status_code == 200
        refused = house.program("hanako", address=OUTSIDE).get("/api/me")
        assert (refused.status_code, refused.json()["reason"]) == (403, "outside-place")
        assert house.events("access.refused")[-1]["address"] == OUTSIDE
        page = house.browser("hanako", address=OUTSIDE).get("/")
        assert page.status_code == 403
        assert "outside-place" in page.text
    finally:
        house.close()
