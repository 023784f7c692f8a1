"""The rooms' pages: the checks in front of them, the headers on them, and that every word has both languages."""

import json
import ssl
from pathlib import Path

import httpx
import pytest
from tests.gateway.rooms_host import HOST, PORTAL, RoomsHost, with_rooms_host

from sekisho.gateway.app import STATIC
from sekisho.model.reasons import SENTENCES
from sekisho.model.session import EndReason
from sekisho.policy.caller_address import caller_address, parse_networks

WORDS = json.loads((STATIC / "words.json").read_text(encoding="utf-8"))


async def get(host: RoomsHost, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(verify=host.trust) as client:
        url = f"https://127.0.0.1:{host.port}{path}"
        return await client.get(url, headers={"Host": f"{HOST}:{host.port}", **headers}, extensions={"sni_hostname": HOST})


def test_the_page_allows_nothing_inline_keeps_nothing_and_sets_no_cookie(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        first, second = await get(host, "/terminal"), await get(host, "/terminal", Cookie="a=b")
        policy = first.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert f"connect-src 'self' wss://{HOST}:{host.port}" in policy
        assert "unsafe" not in policy
        assert policy != second.headers["content-security-policy"], "a nonce is used once"
        assert f'data-portal="{PORTAL}"' in first.text
        for page in (first, second):
            assert page.headers["cache-control"] == "no-store"
            assert page.headers["referrer-policy"] == "no-referrer"
            assert "set-cookie" not in page.headers

    with_rooms_host(tmp_path, story)


def test_the_desktops_page_allows_nothing_more_than_pictures_that_are_data(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        page = await get(host, "/desktop")
        wanted = f"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' wss://{HOST}:{host.port}; img-src 'self' data:; "
        assert page.headers["content-security-policy"] == wanted + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        assert "clipboard-read=(), clipboard-write=()" in page.headers["permissions-policy"]
        assert page.headers["cache-control"] == "no-store"
        assert "set-cookie" not in page.headers
        assert f'data-portal="{PORTAL}"' in page.text
        assert (await get(host, "/static/vendor/novnc/core/rfb.js")).status_code == 200

    with_rooms_host(tmp_path, story)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 303), ("/static/terminal.js", 200), ("/static/words.json", 200), ("/static/../app.py", 404), ("/static/%2e%2e/app.py", 404), ("/nothing", 404)],
)
def test_each_path_answers_with_the_headers_of_this_host(tmp_path: Path, path: str, status: int) -> None:
    async def story(host: RoomsHost) -> None:
        found = await get(host, path)
        assert found.status_code == status
        assert found.headers["cache-control"] == "no-store"
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["content-security-policy"].startswith("default-src 'none'")

    with_rooms_host(tmp_path, story)


@pytest.mark.parametrize("name", ["evil.example", "rooms.localhost", "rooms.localhost:1", ""])
def test_another_host_name_is_not_served(tmp_path: Path, name: str) -> None:
    async def story(host: RoomsHost) -> None:
        assert (await get(host, "/terminal", Host=name)).status_code == 421

    with_rooms_host(tmp_path, story)


def test_plain_http_is_not_spoken(tmp_path: Path) -> None:
    async def story(host: RoomsHost) -> None:
        async with httpx.AsyncClient() as client:
            with pytest.raises(httpx.TransportError):
                await client.get(f"http://127.0.0.1:{host.port}/terminal")
        assert isinstance(host.trust, ssl.SSLContext)

    with_rooms_host(tmp_path, story)


ADDRESSES = [
    # peer, forwarded, listed proxies, the caller
    ("192.0.2.1", [], [], "192.0.2.1"),
    ("192.0.2.1", ["10.0.0.1"], [], "192.0.2.1"),
    ("192.0.2.1", ["10.0.0.1"], ["192.0.2.0/24"], "10.0.0.1"),
    ("192.0.2.1", ["6.6.6.6, 10.0.0.1"], ["192.0.2.0/24"], "10.0.0.1"),
    ("192.0.2.1", ["6.6.6.6", "10.0.0.1, 192.0.2.2"], ["192.0.2.0/24"], "10.0.0.1"),
    ("192.0.2.1", ["10.0.0.1, nonsense"], ["192.0.2.0/24"], "192.0.2.1"),
    ("::ffff:192.0.2.1", [], [], "192.0.2.1"),
    ("::ffff:192.0.2.1", ["2001:db8::5"], ["192.0.2.1"], "2001:db8::5"),
    ("fe80::1%eth0", [], [], ""),
    ("", ["10.0.0.1"], ["0.0.0.0/0"], ""),
]


@pytest.mark.parametrize(("peer", "forwarded", "trusted", "caller"), ADDRESSES)
def test_the_callers_address_is_what_listed_proxies_say_and_nothing_else(peer: str, forwarded: list[str], trusted: list[str], caller: str) -> None:
    assert caller_address(peer=peer, forwarded=forwarded, trusted=parse_networks(trusted)) == caller


def test_every_word_and_every_end_is_in_both_languages() -> None:
    assert WORDS["en"].keys() == WORDS["ja"].keys()
    for words in WORDS.values():
        assert words["ended"].keys() == set(EndReason)
        assert all(words["ended"].values())
    assert {reason for reason in SENTENCES if reason.startswith("paste-")} <= set(WORDS["ja"]["refused"]) <= set(SENTENCES)


def test_a_japanese_sentence_uses_only_facts_that_the_english_one_knows() -> None:
    import re

    for reason, text in WORDS["ja"]["refused"].items():
        known = set(re.findall(r"\{(\w+)\}", next(sentence for each, sentence in SENTENCES.items() if each == reason)))
        assert set(re.findall(r"\{(\w+)\}", text)) <= known, reason


def test_every_word_that_a_page_asks_for_exists_and_every_word_is_asked_for() -> None:
    import re

    text = "".join(path.read_text(encoding="utf-8") for path in (*STATIC.parent.glob("*.html"), *STATIC.glob("*.js")))
    words = WORDS["en"].keys() - {"ended", "refused"}
    assert set(re.findall(r'(?:data-word=|data-label=|say\()"(\w+)"', text)) <= words
    assert {word for word in words if f'"{word}"' not in text} == set()


def test_a_text_fills_the_same_places_in_both_languages() -> None:
    import re

    for name, text in WORDS["en"].items():
        if isinstance(text, str):
            assert set(re.findall(r"\{(\w+)\}", text)) == set(re.findall(r"\{(\w+)\}", WORDS["ja"][name])), name
