"""A room that asks for a second factor, in a whole installation: real clocks, the portal's key as `sekisho up` made it, control at the door."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from tests.identity.authenticator import code_at, secret_of
from tests.whole.system import PASSWORD, Prompt, Whole, until, whole

pytestmark = pytest.mark.root


@pytest.fixture
def system(tmp_path: Path):
    with whole(tmp_path / "state") as made:
        path = made.installation.rooms / "campaign.toml"
        path.write_text(path.read_text().replace("[access]", "[access]\nsecond_factor = true"))
        yield made
        made.stop()


def enrolled(client: httpx.Client) -> list[str]:
    """From now on this client's sign-in has proven a second factor; the recovery codes."""
    uri = client.post("/api/second-factor/enrol", json={"password": PASSWORD}).json()["uri"]
    done = client.post("/api/second-factor/enrol/confirm", json={"code": code_at(secret_of(uri), datetime.now(UTC))})
    assert done.status_code == 200, done.text
    return done.json()["recovery_codes"]


def reason(answer: httpx.Response) -> str:
    return answer.json()["reason"]


def test_nobody_approves_or_enters_without_a_code_and_a_reset_cuts_whoever_is_in(system: Whole):
    hanako, taro, admin, aoi = (system.client(name) for name in ("hanako", "taro", "admin", "aoi"))
    until("the room asks for it", lambda: next(room for room in hanako.get("/api/rooms").json()["rooms"] if room["name"] == "campaign")["second_factor"])
    asked = {"room": "campaign", "reason": "weekly campaign upload", "ticket": "MKT-42", "starts_at": None, "duration_seconds": 3600}
    request = hanako.post("/api/requests", json=asked).json()["id"]
    assert reason(taro.post(f"/api/requests/{request}/approve", json={"note": ""})) == "second-factor-missing"
    enrolled(taro)
    assert taro.post(f"/api/requests/{request}/approve", json={"note": ""}).status_code == 200

    session = f"s-{request[2:]}"
    system.wait_state(hanako, session, "ready")
    enter = f"/api/sessions/{session}/enter"
    assert reason(hanako.post(enter, json={"kind": "terminal"})) == "second-factor-missing"
    codes = enrolled(hanako)
    inside: Prompt = system.enter(hanako, session)
    assert inside.run("echo $((6 * 7))") == "42"
    assert reason(system.client().post("/api/sign-in", json={"name": "hanako", "password": PASSWORD})) == "code-asked"
    assert system.client().post("/api/sign-in", json={"name": "hanako", "password": PASSWORD, "code": codes[0]}).status_code == 200

    assert admin.post("/api/people/hanako/second-factor/reset").status_code == 200
    assert inside.wait_end().get("reason") == "not-signed-in"
    inside.close()
    again = system.client("hanako")
    assert reason(again.post(enter, json={"kind": "terminal"})) == "second-factor-missing"

    key = system.installation.factor_key.stat()
    assert (key.st_uid, stat.S_IMODE(key.st_mode)) == (system.installation.uid("portal"), 0o400)
    told = [entry["kind"] for entry in system.entries(aoi) if entry.get("by") in ("hanako", "admin") and "second-factor" in entry["kind"]]
    assert told == ["second-factor.begun", "second-factor.enrolled", "second-factor.reset"]
    assert again.post(f"/api/requests/{request}/end").status_code == 200
