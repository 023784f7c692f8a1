"""The pages as people use them: ask, decide, enter, leave, read the log, mind the people. In both languages, by keyboard, with hostile text."""

import re
from datetime import timedelta

import pytest
from markupsafe import escape
from sqlalchemy import update
from tests.portal.portal_house import ORIGIN, OUTSIDE, ROOMS_ORIGIN, location

from sekisho.portal.language import catalogue
from sekisho.sessions.views import LIMIT
from sekisho.store.tables import requests

ASKED = {"reason": "Weekly export check", "ticket": "MKT-42", "starts": "now", "duration": "1h"}
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> {{ 7*7 }} ' \" &amp; ]]>"


def request_of(house):
    return house.events("request.made")[-1]["request"]


# asking


def test_an_operator_asks_an_approver_approves_the_operator_enters_and_leaves(house):
    operator, approver = house.browser("hanako"), house.browser("taro")
    assert location(operator.post("/rooms/campaign", ASKED)) == "/"
    request = request_of(house)
    assert "waits for approval" in operator.get("/").text
    assert "hanako asks for Campaign data" in approver.get("/decisions").text
    assert location(approver.post(f"/requests/{request}/approve", {"note": "fine"})) == "/decisions"
    session = house.session(request, state="staging", staged_bytes=5_242_880, staged_total_bytes=10_485_760, staged_files=2)
    staging = operator.get("/").text
    assert '<progress max="10485760" value="5242880"' in staging
    assert "5.0 MiB of 10.0 MiB" in staging
    assert "/enter" not in staging
    house.session_is(session, state="ready")
    ready = operator.get("/").text
    assert f'action="/sessions/{session}/enter"' in ready
    assert ready.index('aria-label="Enter desktop of Campaign data"') < ready.index('aria-label="Enter terminal of Campaign data"')
    assert location(operator.post(f"/sessions/{session}/enter", {"kind": "desktop"}), origin=ROOMS_ORIGIN).startswith("/desktop#")
    entered = operator.post(f"/sessions/{session}/enter", {"kind": "terminal"})
    assert entered.status_code == 303
    assert re.fullmatch(re.escape(ROOMS_ORIGIN) + r"/terminal#[A-Za-z0-9_-]{43}", entered.headers["location"])
    assert "Leave Campaign data and end it?" in operator.get(f"/sessions/{session}/leave").text
    assert location(operator.post(f"/sessions/{session}/leave")) == "/"
    kinds = [event["kind"] for event in house.events()]
    assert kinds[-4:] == ["request.approved", "entry.allowed", "entry.allowed", "grant.ended"]
    assert house.nudged >= 4


@pytest.mark.parametrize(
    ("typed", "field", "reason"),
    [
        ({"reason": ""}, "reason", "reason-too-short"),
        ({"reason": "too short"}, "reason", "reason-too-short"),
        ({"reason": "x" * 600}, "reason", "reason-too-long"),
        ({"ticket": "ABC"}, "ticket", "ticket-malformed"),
        ({"duration": "3h"}, "duration", "too-long"),
        ({"duration": "soon"}, "duration", "duration-malformed"),
        ({"duration": ""}, "duration", "duration-malformed"),
        ({"starts": "at", "at": "2026-11-23T13:00"}, "starts", "in-the-past"),
        ({"starts": "at", "at": "2027-11-23T14:00"}, "starts", "too-far-ahead"),
        ({"starts": "at", "at": "2026-11-24T18:30"}, "starts", "outside-hours"),
    ],
)
def test_refused_input_is_told_at_its_field_kept_as_typed_and_logged(house, typed, field, reason):
    form = {**ASKED, **typed}
    answer = house.browser("hanako").post("/rooms/campaign", form)
    assert answer.status_code == 403
    assert f'<p class="word">{reason}</p>' in answer.text
    assert f'id="{field}-fault"' in answer.text
    opening = "<fieldset" if field == "starts" else f'id="{field}" '
    assert f"{field}-fault" in re.search(rf'{opening}[^>]*aria-describedby="([^"]*)"', answer.text)[1]
    assert f'value="{form["ticket"]}"' in answer.text
    assert f'value="{form["duration"]}"' in answer.text
    assert form["reason"][:50] in answer.text
    event = house.events("request.refused")[-1]
    assert (event["by"], event["reason"], event["room"]) == ("hanako", reason, "campaign")


def test_a_start_is_typed_in_the_rooms_own_zone(house):
    house.browser("hanako").post("/rooms/campaign", {**ASKED, "starts": "at", "at": "2026-11-24T10:00"})
    assert house.events("request.made")[-1]["details"]["starts_at"] == "2026-11-24T01:00:00Z"


@pytest.mark.parametrize("at", ["", "tomorrow", "2026-13-40T99:99", "0001-01-01T00:00"])
def test_a_time_that_is_none_is_told_at_its_field(house, at):
    answer = house.browser("hanako").post("/rooms/campaign", {**ASKED, "starts": "at", "at": at})
    assert answer.status_code == 422
    assert 'id="starts-fault"' in answer.text
    assert not house.events("request.made")


def test_from_outside_the_place_a_room_says_why_not_and_so_does_asking(house):
    browser = house.browser("hanako", address=OUTSIDE)
    assert f"You come from {OUTSIDE}, which is not in security-area." in browser.get("/").text
    answer = browser.post("/rooms/campaign", ASKED)
    assert answer.status_code == 403
    assert "outside-place" in answer.text


def test_a_room_that_is_not_there_is_refused_whatever_its_name(house):
    browser = house.browser("hanako")
    assert "no-such-room" in browser.get("/rooms/nothing").text
    assert "no-such-room" in browser.post("/rooms/nothing", ASKED).text
    assert browser.get("/rooms/%00").status_code == 422
    assert browser.get("/rooms/..%2F..%2Fetc").status_code == 404


def test_a_new_room_file_is_there_at_once(house):
    text = (house.rooms / "campaign.toml").read_text().replace("Campaign data", "Autumn campaign")
    (house.rooms / "campaign.toml").write_text(text)
    assert "Autumn campaign" in house.browser("hanako").get("/").text


# deciding


def test_ones_own_request_shows_why_one_cannot_decide_on_it(house):
    (house.rooms / "open.toml").write_text((house.rooms / "campaign.toml").read_text().replace('["group:security"]', '["group:marketing"]'))
    request = house.ask("hanako", room="open")
    mine = house.browser("hanako").get("/decisions").text
    assert "Nobody decides on their own request." in mine
    assert f"/requests/{request}/approve" not in mine
    assert f"/requests/{request}/approve" in house.browser("jiro").get("/decisions").text


def test_a_denial_without_a_note_is_refused_and_shown_on_the_request(house):
    request = house.ask()
    answer = house.browser("taro").post(f"/requests/{request}/deny", {"note": "  "})
    assert answer.status_code == 403
    assert "Say why: a denial needs a note." in answer.text
    assert "Weekly export check" in answer.text
    house.browser("taro").post(f"/requests/{request}/deny", {"note": "Ask again after the audit"})
    assert "Ask again after the audit" in house.browser("hanako").get(f"/requests/{request}").text


def test_an_approver_sees_what_is_in_the_room_before_deciding(house):
    inside = """
[clipboard]
in = false
[[files]]
from = "file:exports/2026"
to = "/data/exports"
[egress]
allow = ["www.example.com:443", "*.example.org:8443"]
[targets]
orders = "orders.internal:5432"
"""
    (house.rooms / "campaign.toml").write_text((house.rooms / "campaign.toml").read_text() + inside)
    request = house.ask()
    for path in ("/decisions", f"/requests/{request}"):
        shown = house.browser("taro").get(path).text
        assert "file:exports/2026 in /data/exports" in shown
        assert all(f"<code>{name}</code>" in shown for name in ("www.example.com:443", "*.example.org:8443", "orders.internal:5432"))
        assert "nothing may be pasted in, and nothing leaves by clipboard" in shown
        assert "desktop, terminal" in shown
    (listed,) = house.program("taro").get("/api/requests").json()["requests"]
    assert listed["files"] == [{"source": "file:exports/2026", "to": "/data/exports"}]
    assert listed["names"] == ["www.example.com:443", "*.example.org:8443", "orders.internal:5432"]
    assert listed["paste_in"] is False


def test_files_are_seen_to_arrive_and_why_they_could_not_with_what_to_try_until_one_asks_again(house):
    request = house.grant()
    session = house.session(request, state="staging")
    browser = house.browser("hanako")
    bare = re.search("<progress[^>]*>", browser.get("/").text)[0]
    assert "value" not in bare, "nobody knows yet how much there is"
    assert 'aria-label="Files arriving in Campaign data"' in bare
    house.session_is(session, staged_bytes=1_048_576, staged_total_bytes=4_194_304, staged_files=1)
    for path in ("/fragments/mine", f"/fragments/requests/{request}"):
        shown = browser.get(path).text
        assert '<progress max="4194304" value="1048576"' in shown
        assert "1.0 MiB of 4.0 MiB" in shown
        assert 'hx-trigger="every 2s"' in shown
    over = "the source has 9 bytes and the room takes 8 (limits.data in the room's file)"
    house.session_is(session, state="failed", why=over)
    with house.store.writing() as tx:
        tx.execute(update(requests).where(requests.c.id == request).values(state="ended", end_reason="files-failed"))
    for path in ("/", f"/requests/{request}"):
        browser.cookies["__Host-sekisho-language"] = "ja"
        japanese = browser.get(path).text
        del browser.cookies["__Host-sekisho-language"]
        english = browser.get(path).text
        assert "The room was not opened: the files could not be fetched." in english
        assert escape(over) in english
        assert "its file must allow more (limits.data)" in english
        assert 'href="/rooms/campaign"' in english
        words = catalogue("ja")
        assert words.say("mine.failed", why=words.say("end-reason.files-failed")) in japanese
        assert f'<p lang="en">{escape(over)}</p>' in japanese
        assert words.say("end-hint.files-failed") in japanese
    house.clock.time += timedelta(minutes=1)
    house.ask()
    assert "The room was not opened" not in browser.get("/").text


def test_a_failure_is_no_news_any_more_once_its_time_is_over(house):
    request = house.grant()
    house.session(request, state="failed", why="gone")
    with house.store.writing() as tx:
        tx.execute(update(requests).where(requests.c.id == request).values(state="ended", end_reason="open-failed"))
    house.clock.time += timedelta(minutes=59, seconds=59)
    browser = house.browser("hanako")
    assert f'id="card-{request}"' in browser.get("/").text
    house.clock.time += timedelta(seconds=1)
    assert f'id="card-{request}"' not in browser.get("/").text


def test_a_part_of_a_page_that_one_may_not_see_any_more_makes_the_page_load_again(house):
    request = house.ask()
    answer = house.browser("jiro").get(f"/fragments/requests/{request}", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Refresh"]) == (403, "true")


def test_an_approver_extends_and_ends_what_runs(house):
    request = house.grant()
    house.session(request)
    approver = house.browser("taro")
    assert f'href="/requests/{request}/end"' in approver.get("/decisions").text
    assert location(approver.post(f"/requests/{request}/extend", {"duration": "30m"})) == "/decisions"
    assert "15:30" in house.browser("hanako").get("/").text
    refused = approver.post(f"/requests/{request}/extend", {"duration": "5h"})
    assert (refused.status_code, "too-long" in refused.text) == (403, True)
    assert "End Campaign data for hanako?" in approver.get(f"/requests/{request}/end").text
    assert location(approver.post(f"/requests/{request}/end")) == "/decisions"
    assert "ended by an approver" in house.browser("hanako").get("/requests").text


def test_a_grant_that_has_not_begun_can_be_given_back(house):
    house.browser("hanako").post("/rooms/campaign", {**ASKED, "starts": "at", "at": "2026-11-24T10:00"})
    request = request_of(house)
    house.browser("taro").post(f"/requests/{request}/approve")
    operator = house.browser("hanako")
    assert f'id="give-back-{request}"' in operator.get("/").text
    assert "Give Campaign data back?" in operator.get(f"/requests/{request}/end").text
    assert location(operator.post(f"/requests/{request}/end")) == "/"


def test_a_request_that_waits_can_be_withdrawn_by_its_person_and_then_the_time_is_free_again(house):
    request = house.ask()
    operator, approver = house.browser("hanako"), house.browser("taro")
    assert f'id="withdraw-{request}"' in operator.get("/").text
    assert f'id="withdraw-{request}"' not in approver.get(f"/requests/{request}").text
    assert "Withdraw the request for Campaign data?" in operator.get(f"/requests/{request}/withdraw").text
    assert "not-your-request" in approver.post(f"/requests/{request}/withdraw").text
    assert location(operator.post(f"/requests/{request}/withdraw")) == "/"
    withdrawn = house.events("request.withdrawn")[-1]
    assert (withdrawn["by"], withdrawn["request"], withdrawn["details"]["places"]) == ("hanako", request, ["security-area"])
    assert "withdrawn" in operator.get("/requests").text
    assert "Nothing waits for a decision." in approver.get("/decisions").text
    assert "already-decided" in approver.post(f"/requests/{request}/approve").text
    assert house.ask() != request


def test_a_failed_session_says_why(house):
    request = house.grant()
    house.session(request, state="failed", why="The image is not there.")
    assert "The image is not there." in house.browser("hanako").get("/").text


def test_what_others_ask_for_does_not_crowd_out_ones_own(house):
    own = house.plant("aoi")
    house.clock.time += timedelta(minutes=1)
    house.plant("jiro", times=LIMIT)
    assert f'id="card-{own}"' in house.browser("aoi").get("/").text


# live parts


def test_a_live_part_says_nothing_until_something_changed(house):
    browser = house.browser("hanako")
    shown = browser.get("/").text
    news = re.search(r'hx-get="(/fragments/mine\?seen=[0-9a-f]+)"', shown)[1]
    assert browser.get(news).status_code == 204
    house.ask("hanako")
    changed = browser.get(news)
    assert changed.status_code == 200
    assert changed.text.startswith('<div id="live-fragments-mine"')
    assert "waits for approval" in changed.text
    assert re.search(r"seen=([0-9a-f]+)", changed.text)[1] not in news


def test_the_queue_says_that_it_changed_and_is_not_redrawn_under_a_note_being_written(house):
    approver = house.browser("taro")
    shown = approver.get("/decisions").text
    news = re.search(r'hx-get="(/fragments/queue/[0-9a-f]+\?seen=[0-9a-f]+)"', shown)[1]
    assert approver.get(news).status_code == 204
    house.ask("hanako")
    changed = approver.get(news)
    assert "The list has changed." in changed.text
    assert "<input" not in changed.text


def test_running_sessions_keep_themselves_current(house):
    approver = house.browser("taro")
    news = re.search(r'hx-get="(/fragments/running\?seen=[0-9a-f]+)"', approver.get("/decisions").text)[1]
    request = house.grant()
    house.session(request)
    assert "Weekly export check" in approver.get(news).text


# hostile text, both languages, by keyboard


def test_what_people_write_is_text_and_never_markup(house):
    request = house.plant("hanako", reason=HOSTILE)
    house.session(house.plant("hanako", state="approved", reason=HOSTILE), why=HOSTILE)
    house.publish()
    for name, path in (("hanako", "/"), ("hanako", "/requests"), ("hanako", f"/requests/{request}"), ("taro", "/decisions"), ("taro", f"/requests/{request}")):
        text = house.browser(name).get(path).text
        assert "<script>alert" not in text, path
        assert "<img src=x" not in text, path
        assert "{{ 7*7 }}" in text, path
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text, path


@pytest.mark.parametrize(
    ("form", "path"), [({**ASKED, "reason": HOSTILE, "ticket": HOSTILE, "duration": HOSTILE[:60]}, "/rooms/campaign"), ({"name": HOSTILE}, "/sign-in")]
)
def test_what_was_refused_is_shown_again_as_text(house, form, path):
    browser = house.browser("hanako")
    browser.get("/account")
    text = browser.post(path, form).text
    assert "<script>alert" not in text
    assert "onerror=alert(2)&gt;" in text


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("", "/sign-in"),
        ("hanako", "/"),
        ("hanako", "/rooms/campaign"),
        ("hanako", "/requests"),
        ("taro", "/decisions"),
        ("aoi", "/log"),
        ("admin", "/people"),
        ("admin", "/people/hanako/disable"),
        ("hanako", "/account"),
        ("hanako", "/people"),
        ("hanako", "/no/such/page"),
    ],
)
def test_every_page_is_whole_in_both_languages_and_by_keyboard(house, name, path, language):
    house.session(house.grant())
    if path == "/log":
        house.publish()
    browser = house.browser(name)
    browser.cookies["__Host-sekisho-language"] = language
    text = browser.get(path).text
    words = catalogue(language)
    assert f'<html lang="{language}">' in text
    assert f'<a class="skip" href="#main">{words.say("frame.skip")}</a>' in text
    assert text.count("<h1>") == 1
    assert text.count("<main") == 1
    assert "{" not in re.sub(r"data-words=\"[^\"]*\"|content='[^']*'|<pre>.*?</pre>", "", text, flags=re.DOTALL)
    labelled = set(re.findall(r'<label for="([^"]+)"', text))
    for field in re.findall(r"<(?:input|textarea|select)\b[^>]*>", text):
        is_hidden = 'type="hidden"' in field or " hidden" in field or 'type="radio"' in field
        assert is_hidden or "aria-label=" in field or re.search(r'id="([^"]+)"', field)[1] in labelled, field
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids)), [found for found in ids if ids.count(found) > 1]
    for described in re.findall(r'aria-(?:describedby|labelledby)="([^"]+)"', text):
        assert set(described.split()) <= set(ids), described


def test_the_language_follows_the_choice_then_the_person_then_the_browser(house):
    browser = house.browser()
    assert '<html lang="ja">' in browser.get("/sign-in", headers={"Accept-Language": "ja,en;q=0.5"}).text
    assert '<html lang="en">' in house.browser("hanako").get("/", headers={"Accept-Language": "ja"}).text
    browser = house.browser("hanako")
    assert location(browser.post("/language", {"language": "ja", "back": "/account"})) == "/account"
    assert '<html lang="ja">' in browser.get("/account").text
    browser.post("/language", {"language": "xx", "back": "/account"})
    assert '<html lang="ja">' in browser.get("/account").text


def test_times_say_their_offset_and_are_readable_by_machines(house):
    house.grant()
    text = house.browser("hanako").get("/").text
    assert '<time datetime="2026-11-23T05:00:00Z">Mon 23 Nov 2026 14:00</time>' in text
    assert '<time datetime="2026-11-23T06:00:00Z">15:00 UTC+09:00</time>' in text


# the log


def test_an_auditor_reads_the_log_told_in_sentences_with_each_entry_beside_it(house):
    house.browser("hanako").post("/rooms/campaign", {**ASKED, "ticket": "ABC"})
    house.grant()
    house.publish()
    text = house.browser("aoi").get("/log").text
    assert "hanako asked for campaign from 10.20.0.7 and was refused. The ticket must look like MKT-" in text
    assert re.search(r"taro approved r-[a-z2-7]{10} of hanako for campaign\.", text)
    assert "&#34;kind&#34;: &#34;request.approved&#34;" in text
    assert "sekisho.test/log\n" in text


def test_the_log_is_filtered_and_paged(house):
    for _ in range(60):
        house.browser("hanako").get("/people")
        house.clock.time += timedelta(seconds=30)
    house.publish()
    auditor = house.browser("aoi")
    newest = auditor.get("/log").text
    assert newest.count("<details>") == 50
    earlier = re.search(r'href="(/log\?after=-?\d+)" rel="prev"', newest)[1]
    assert 'rel="next"' in auditor.get(earlier).text
    first = auditor.get("/log", params={"person": "hanako", "after": -1}).text
    assert first.count("<details>") == 50
    assert "person=hanako" in re.search(r'href="([^"]+)" rel="next"', first)[1]
    assert auditor.get("/log", params={"person": "nobody"}).text.count("<details>") == 0
    assert auditor.get("/log", params={"after": "-99999999999999999999"}).status_code == 200


def test_a_log_that_is_not_there_yet_is_told_so(house):
    assert "There is no checkpoint yet." in house.browser("aoi").get("/log").text


# people


def test_an_administrator_adds_a_person_and_shows_the_link_once(house):
    admin = house.browser("admin")
    made = admin.post("/people", {"name": "nami", "display": "Nami", "groups": "marketing, security", "language": "ja"})
    assert made.status_code == 200
    link = re.search(re.escape(ORIGIN) + r"(/link/[A-Za-z0-9_-]{43})", made.text)[1]
    assert link not in admin.get("/people").text
    newcomer = house.browser()
    newcomer.get(link)
    assert newcomer.post(link).status_code == 303
    assert newcomer.get("/").status_code == 200
    assert house.events("person.added")[-1]["details"] == {"person": "nami", "groups": ["marketing", "security"]}


@pytest.mark.parametrize(
    ("path", "form", "reason"),
    [
        ("/people", {"name": "Nami!"}, "name-malformed"),
        ("/people", {"name": "hanako"}, "person-exists"),
        ("/people", {"name": "nami", "groups": "so:called"}, "group-malformed"),
        ("/people/nobody/groups", {"groups": "marketing"}, "no-such-person"),
        ("/people/admin/groups", {"groups": "marketing"}, "own-account"),
        ("/people/admin/disable", {}, "own-account"),
        ("/people/nobody/link", {}, "no-such-person"),
    ],
)
def test_what_an_administrator_may_not_do_is_told_and_logged(house, path, form, reason):
    answer = house.browser("admin").post(path, form)
    assert answer.status_code == 403
    assert reason in answer.text
    assert house.events("access.refused")[-1]["reason"] == reason


def test_a_disabled_person_is_out_at_once(house):
    operator = house.browser("hanako")
    assert operator.get("/").status_code == 200
    assert location(house.browser("admin").post("/people/hanako/disable")) == "/people"
    assert operator.get("/").status_code == 303


def test_groups_count_from_the_next_page_on(house):
    operator = house.browser("hanako")
    assert operator.get("/log").status_code == 403
    house.browser("admin").post("/people/hanako/groups", {"groups": "marketing auditors"})
    assert operator.get("/log").status_code == 200
