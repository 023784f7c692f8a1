"""The API as programs use it: its shapes, its refusals, its description, and that no secret is ever in any of it."""

import json

import pytest
from tests.portal.portal_house import OUTSIDE, ROOMS_ORIGIN, Browser

from sekisho.audit.verify import Verified, verify_log
from sekisho.portal.api.bodies import RequestShown, RoomShown, SessionShown

ASKED = {"room": "campaign", "reason": "Weekly export check", "ticket": "MKT-42", "starts_at": None, "duration_seconds": 3_600}


def test_the_way_of_a_request_through_the_api(house):
    operator, approver = house.program("hanako"), house.program("taro")
    made = operator.send("POST", "/api/requests", json=ASKED)
    assert made.status_code == 201
    request = made.json()["id"]
    assert (made.json()["state"], made.json()["is_mine"], made.json()["may_decide"]) == ("pending", True, False)
    (waiting,) = approver.get("/api/requests", params={"state": "pending"}).json()["requests"]
    assert (waiting["id"], waiting["may_decide"], waiting["room_title"]) == (request, True, "Campaign data")
    approved = approver.send("POST", f"/api/requests/{request}/approve", json={"note": "fine"}).json()
    assert (approved["state"], approved["approvals"], approved["decided_by"], approved["note"]) == ("approved", ["taro"], "taro", "fine")
    session = house.session(request)
    (listed,) = operator.get("/api/sessions").json()["sessions"]
    assert (listed["id"], listed["state"], listed["is_mine"], listed["may_end"]) == (session, "ready", True, True)
    entered = operator.send("POST", f"/api/sessions/{session}/enter", json={"kind": "terminal"}).json()
    assert entered["page"] == f"{ROOMS_ORIGIN}/terminal#{entered['ticket']}"
    assert entered["websocket"] == "wss://rooms.localhost:8444/terminal/ws"
    entered = operator.send("POST", f"/api/sessions/{session}/enter", json={"kind": listed["kinds"][0]}).json()
    assert entered["page"] == f"{ROOMS_ORIGIN}/desktop#{entered['ticket']}"
    assert entered["websocket"] == "wss://rooms.localhost:8444/desktop/ws"
    refused = operator.send("POST", f"/api/sessions/{session}/enter", json={"kind": "page"})
    assert (refused.status_code, refused.json()["reason"]) == (403, "kind-not-offered")
    assert approver.send("POST", f"/api/requests/{request}/extend", json={"duration_seconds": 600}).json()["ends_at"] == "2026-11-23T06:10:00Z"
    assert approver.send("POST", f"/api/requests/{request}/end", json={}).json()["end_reason"] == "ended-by-approver"
    assert operator.send("POST", f"/api/sessions/{session}/leave").status_code == 403


def test_rooms_say_what_they_ask_for_and_why_not(house):
    campaign, vault = house.program("hanako").get("/api/rooms").json()["rooms"]
    assert campaign == {
        "name": "campaign",
        "title": "Campaign data",
        "description": "Last week's campaign exports.",
        "kinds": ["desktop", "terminal"],
        "hours": "Mon-Fri 09:00-19:00 Asia/Tokyo",
        "places": ["security-area"],
        "longest_seconds": 7_200,
        "ticket": "MKT-\\d+",
        "second_factor": False,
        "reason_characters": 10,
        "approvers": ["group:security"],
        "needed": 1,
        "may_request": True,
        "reason": "",
        "sentence": "",
    }
    assert (vault["may_request"], vault["reason"]) == (False, "outside-place")
    assert vault["sentence"] == "You come from 10.20.0.7, which is not in home-office. Connect from there and try again."


FIELDS = {
    RoomShown: "name title description kinds hours places longest_seconds ticket second_factor reason_characters approvers needed may_request reason sentence",
    RequestShown: "id room room_title person reason ticket address asked_at starts_at ends_at state approvals needed decided_by note end_reason "
    "kinds files names paste_in may_decide may_withdraw is_mine",
    SessionShown: "id request room person kinds state starts_at ends_at staged_bytes staged_total_bytes staged_files why connections is_mine may_end",
}


@pytest.mark.parametrize("shape", FIELDS)
def test_the_fields_are_those_that_the_command_line_relies_on(shape):
    assert list(shape.model_fields) == FIELDS[shape].split()


def test_a_refusal_is_a_word_a_sentence_and_its_facts_in_the_language_that_is_accepted(house):
    program = house.program("hanako")
    asked = {**ASKED, "ticket": "ABC"}
    refused = program.send("POST", "/api/requests", json=asked)
    assert refused.status_code == 403
    assert refused.json() == {
        "reason": "ticket-malformed",
        "sentence": "The ticket must look like MKT-\\d+; found ABC.",
        "facts": {"expected": "MKT-\\d+", "found": "ABC"},
    }
    japanese = program.send("POST", "/api/requests", json=asked, headers={"Accept-Language": "ja"})
    assert japanese.json()["sentence"].startswith("チケット番号は")


def test_who_is_not_signed_in_is_told_so(house):
    answer = Browser(house.app).get("/api/rooms")
    assert answer.status_code == 401
    assert answer.json() == {"reason": "not-signed-in", "sentence": "You are not signed in. Sign in and try again.", "facts": {}}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/sign-in", {"name": "hanako", "password": ["hush-hush"]}),
        ("/api/sign-in", {"name": "hanako", "password": "hush-hush", "extra": "hush-hush"}),
        ("/api/sign-in", {"name": "hanako", "password": "hush-hush" * 1_000}),
        ("/api/sign-in", {"hush-hush": "hush-hush"}),
        ("/api/sign-in", "hush-hush"),
    ],
)
def test_what_is_malformed_is_named_and_never_repeated(house, path, body):
    answer = Browser(house.app).send("POST", path, json=body)
    assert answer.status_code == 422
    assert answer.json()["malformed"]
    assert not any("hush-hush" in item["what"] for item in answer.json()["malformed"])


@pytest.mark.parametrize("content", [b"{", b'{"name": "hush-hush", ', b"\xff\xfe", b"[" * 20_000])
def test_what_is_no_json_is_malformed(house, content):
    answer = Browser(house.app).send("POST", "/api/sign-in", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert "hush-hush" not in answer.text


@pytest.mark.parametrize("text", ["a\x00b", "line\nbreak", "\u202ereversed", "x" * 600])
def test_text_that_cannot_be_shown_is_refused_by_the_policy_and_breaks_nothing(house, text):
    program = house.program("hanako")
    assert program.send("POST", "/api/requests", json={**ASKED, "reason": "Weekly export " + text}).status_code in (201, 403)
    assert program.send("POST", "/api/requests", json={**ASKED, "room": text}).status_code in (403, 422)
    assert Browser(house.app).send("POST", "/api/sign-in", json={"name": text, "password": text}).status_code in (403, 422)
    assert house.program("admin").send("POST", "/api/people", json={"name": "nami", "display": text, "groups": [text]}).status_code in (403, 422)


def test_half_a_surrogate_pair_is_malformed(house):
    content = json.dumps({**ASKED, "reason": "\ud800 and some more text"}).encode()
    assert house.program("hanako").send("POST", "/api/requests", content=content, headers={"Content-Type": "application/json"}).status_code == 422


@pytest.mark.parametrize("starts_at", ["2026-11-24T10:00:00", "tomorrow", 5e300, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_start_without_an_offset_or_out_of_all_bounds_breaks_nothing(house, starts_at):
    assert house.program("hanako").send("POST", "/api/requests", json={**ASKED, "starts_at": starts_at}).status_code in (403, 422)


@pytest.mark.parametrize("path", ["/api/requests/r-00000000!0/approve", "/api/requests/x/approve", "/api/sessions/s-/enter", "/api/people/A%00/link"])
def test_a_malformed_name_in_an_address_is_malformed(house, path):
    assert house.program("admin").send("POST", path, json={}).status_code == 422


def test_a_request_that_one_may_not_see_and_one_that_is_not_there_look_the_same(house):
    request = house.ask("hanako")
    program = house.program("jiro")
    unseen = program.send("POST", f"/api/requests/{request}/approve", json={"note": ""})
    assert unseen.status_code == 403
    assert house.program("jiro").get("/api/requests").json() == {"requests": []}


# the log


def test_an_auditor_reads_entries_and_verifies_the_files_without_the_server(house, tmp_path):
    house.grant()
    house.publish()
    auditor = house.program("aoi")
    log = auditor.get("/api/log", params={"person": "hanako", "limit": 5}).json()
    assert log["size"] == len(house.events())
    assert {entry["details"].get("person") or entry["by"] for entry in log["entries"]} == {"hanako"}
    assert len(log["entries"]) == 5
    later = auditor.get("/api/log", params={"after": log["size"] - 2}).json()["entries"]
    assert [entry["index"] for entry in later] == [log["size"] - 1]
    copy = tmp_path / "copy"
    for path in sorted(found.relative_to(house.log).as_posix() for found in house.log.rglob("*") if found.is_file()):
        answer = auditor.get(f"/api/log/files/{path}")
        if path == "checkpoint" or path.startswith("tile/"):
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            (copy / path).write_bytes(answer.content)
        else:
            assert answer.status_code == 404, path
    vkey = (house.log / "log.vkey").read_text().strip()
    assert isinstance(verify_log(copy, vkey=vkey), Verified)


@pytest.mark.parametrize(
    "path", ["../store.sqlite", "..%2fstore.sqlite", "tile/../../audit.key", "log.sqlite", "tile/0/000.p/0", "tile/0/x000/000", "signed", ""]
)
def test_no_other_file_is_handed_out(house, path):
    house.publish()
    assert house.program("aoi").get(f"/api/log/files/{path}").status_code in (404, 405)


def test_a_log_that_cannot_be_read_is_told_so(house):
    answer = house.program("aoi").get("/api/log")
    assert (answer.status_code, answer.json()["reason"]) == (503, "log-unreadable")


# secrets


def test_no_secret_is_in_any_answer_but_the_one_that_gives_it(house):
    house.browser("hanako").post("/account/password", {"new": "correct horse battery", "again": "correct horse battery"})
    request = house.grant()
    session = house.session(request)
    ticket = house.program("hanako").send("POST", f"/api/sessions/{session}/enter", json={"kind": "terminal"}).json()["ticket"]
    link = house.program("admin").send("POST", "/api/people/jiro/link").json()["url"].rpartition("/")[2]
    house.publish()
    secrets = [ticket, link, "correct horse battery", "$argon2", *(made.secret for made in house.signed_in.values())]
    for name in ("hanako", "taro", "admin", "aoi"):
        program = house.program(name)
        for path in ("/api/me", "/api/rooms", "/api/requests", "/api/sessions", "/api/log", "/api/people", "/api/openapi.json"):
            text = program.get(path).text
            assert not [secret for secret in secrets if secret in text], path
            assert "fingerprint" not in text
            assert '"password_hash"' not in text
    assert not [secret for secret in secrets if secret in json.dumps(house.events())]


# the description


def test_the_description_covers_every_route_and_explains_its_refusals(house):
    described = Browser(house.app).get("/api/openapi.json").json()
    from sekisho.portal.app import routers

    paths = {route.path.replace(":path", "") for router in routers() for route in router.routes if route.path.startswith("/api/")} - {"/api/openapi.json"}
    assert set(described["paths"]) == paths
    for operations in described["paths"].values():
        for operation in operations.values():
            assert {"401", "403", "422"} <= set(operation["responses"])
            assert operation["responses"]["403"]["content"]["application/json"]["schema"]["$ref"].endswith("/Refusal")


def test_a_page_that_is_not_there_is_json_for_programs(house):
    assert Browser(house.app, address=OUTSIDE).get("/api/nothing").json() == {"status": 404}
