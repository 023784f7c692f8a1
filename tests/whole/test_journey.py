"""The journey of issue and README: two people, two browsers, a real room, and what the auditor then reads. One browser story, told in
order; each step is what a person does and sees."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.whole.browsers import PATIENCE_MILLISECONDS, approve, ask, asked, chromium, signed_in
from tests.whole.system import PASSWORD, SOURCE, Whole, until, whole

pytestmark = [pytest.mark.root, pytest.mark.browser]


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with whole(tmp_path_factory.mktemp("journey") / "state") as made:
        yield made
        made.stop()


@pytest.fixture(scope="module")
def browser():
    with chromium() as launched:
        yield launched


def screen(page: Page) -> str:
    return page.locator(".xterm-rows").inner_text().replace("\xa0", " ")


def typed(page: Page, command: str, expected: str) -> str:
    """Type a command as a person does, and wait until what it prints is on the screen."""
    page.keyboard.type("clear; " + command + "\n")
    expect(page.locator(".xterm-rows")).to_contain_text(expected, timeout=PATIENCE_MILLISECONDS)
    return screen(page)


def take_screenshot(page: Page, path: Path) -> None:
    """The picture of the READMEs: `SEKISHO_SCREENSHOTS=docs/images`."""
    page.keyboard.type("clear\n")
    for command, answer in (
        ("ls -l /data", "340"),
        ("head -4 /data/campaign-46.csv", "C10002"),
        ("curl -s https://crm.sekisho-demo.test/upload --data-binary @/data/campaign-46.csv", "taken: 501"),
        ("curl https://example.com/", "Could not resolve"),
        ("curl -s -x http://127.0.0.1:3128 http://example.com/ | grep '<p'", "name-not-listed"),
    ):
        page.keyboard.type(command + "\n")
        expect(page.locator(".xterm-rows")).to_contain_text(answer)
    page.screenshot(path=path, clip={"x": 0, "y": 0, "width": 1280, "height": 460})


def test_the_whole_way(system: Whole, browser):
    operator = signed_in(system, browser, "hanako", "ja-JP")
    approver = signed_in(system, browser, "taro", "en-US")

    # what may be asked for, and why not the others
    operator.goto(system.origin + "/")
    expect(operator.locator("main")).to_contain_text("Campaign data")
    expect(operator.locator("main")).to_contain_text("あなたは orders を利用できる人")
    expect(operator.locator("main")).to_contain_text("security-area に含まれていません")

    # what is wrong is refused with a sentence, beside what was typed
    for reason, ticket, duration, said in (
        ("", "MKT-42", "1h", "理由は10文字以上"),
        ("weekly upload of the list", "OPS-1", "1h", "MKT-"),
        ("weekly upload of the list", "MKT-42", "3h", "2時間"),
    ):
        ask(operator, system, reason=reason, ticket=ticket, duration=duration)
        expect(operator.locator("[aria-invalid=true]")).to_have_count(1)
        expect(operator.locator("main")).to_contain_text(said)
    expect(operator.locator("#ticket")).to_have_value("MKT-42")

    ask(operator, system, reason="秋のキャンペーンの宛先を CRM に登録する", ticket="MKT-42")
    request = asked(operator)
    session = "s-" + request[2:]

    # nobody approves their own; the approver sees it and says yes
    operator.goto(f"{system.origin}/requests/{request}")
    assert operator.locator("form[action$='/approve']").count() == 0
    approve(approver, system, request, reason="秋のキャンペーンの宛先を CRM に登録する")

    # the operator's page follows by itself; they enter
    operator.goto(system.origin + "/")
    operator.locator(f"#enter-terminal-{session}").click()
    operator.wait_for_url("https://rooms.localhost:*/terminal*")
    expect(operator.locator(".xterm-rows")).to_contain_text("$")
    assert "#" not in operator.url.removesuffix("#"), "the ticket is gone from the address"
    typed(operator, "ls /data", "campaign-46.csv")
    assert "はじめにお読みください.txt" in screen(operator)
    typed(operator, "echo 日本語も打てる | rev", "るて打も語本日")
    typed(operator, "curl -s https://crm.sekisho-demo.test/ | head -c 60", "Demo CRM")
    typed(operator, "curl -s https://crm.sekisho-demo.test/upload --data-binary @/data/campaign-46.csv", "taken: 501 lines")
    typed(operator, "curl -sS https://example.com/", "Could not resolve host")
    typed(operator, "curl -s -x http://127.0.0.1:3128 http://example.com/ | grep -o '<code>.*</code>'", "name-not-listed")
    if shots := os.environ.get("SEKISHO_SCREENSHOTS"):
        take_screenshot(operator, Path(shots) / "session.png")

    # closing the browser only disconnects: the shell is as it was
    typed(operator, "KEPT=still-here; cd /data", "$")
    operator.goto("about:blank")
    operator.goto(system.origin + "/")
    operator.locator(f"#enter-terminal-{session}").click()
    expect(operator.locator(".xterm-rows")).to_contain_text("$")
    typed(operator, "echo $KEPT in $PWD", "still-here in /data")

    # the approver sees who is inside and ends it: the page says so at once, and nothing is left
    approver.goto(system.origin + "/decisions")
    expect(approver.locator(f"#running-{request}")).to_contain_text("hanako")
    approver.locator(f"#end-{request}").click()
    approver.locator("main form button").first.click()
    expect(operator.locator("#notice")).to_be_visible()
    expect(operator.locator("#notice-reason")).to_contain_text("ended-by-approver")
    until("nothing is left of it", lambda: system.leftovers(session) == [])
    assert operator.faults == []
    assert approver.faults == []

    # the auditor reads the story, and the log is whole
    auditor = system.client("aoi")
    until("the log says it was destroyed", lambda: [e for e in system.entries(auditor, session=session) if e["kind"] == "session.destroyed"])
    story = [entry["kind"] for entry in system.entries(auditor, request=request)]
    for kind in (
        "request.made", "request.approved", "session.opening", "session.created", "files.staged", "session.ready", "entry.allowed", "connection.opened",
        "name.reached", "name.refused", "grant.ended", "session.ended", "session.destroyed",
    ):  # fmt: skip
        assert kind in story, kind
    refusals = [entry["reason"] for entry in system.entries(auditor, person="hanako") if entry["kind"] == "request.refused"]
    assert refusals == ["reason-too-short", "ticket-malformed", "too-long"]
    assert system.verified().size >= len(story)


def test_the_same_from_a_shell(system: Whole, tmp_path):
    """`sekisho` as people and scripts use it, each signed in for themselves."""
    for name in ("hanako", "taro", "aoi"):
        if name in system.links:
            system.set_password(name)
        sekisho(system, tmp_path / name, "login", "--url", system.origin, "--ca", str(system.authority), name, "--password-stdin", stdin=PASSWORD + "\n")
    hanako, taro, aoi = (tmp_path / name for name in ("hanako", "taro", "aoi"))

    rooms = json.loads(sekisho(system, hanako, "rooms", "--json"))["rooms"]
    assert {room["name"]: room["may_request"] for room in rooms} == {"campaign": True, "orders": False, "records": False}
    refused = sekisho(system, hanako, "request", "campaign", "--for", "1h", "--reason", "x", "--ticket", "MKT-7", code=1)
    assert "reason-too-short" in refused
    request = sekisho(system, hanako, "request", "campaign", "--for", "30m", "--reason", "weekly campaign upload", "--ticket", "MKT-7").split()[0]
    assert "not-approver" in sekisho(system, hanako, "approve", request, code=1) or "own-request" in sekisho(system, hanako, "approve", request, code=1)
    assert request in sekisho(system, taro, "requests")
    sekisho(system, taro, "approve", request, "--note", "fine")
    assert "hanako" in sekisho(system, taro, "sessions") or request[2:] in sekisho(system, taro, "sessions")
    sekisho(system, hanako, "end", request)
    log = sekisho(system, aoi, "log", "--room", "campaign")
    assert "request.approved" in log or "approved" in log
    assert "not-auditor" in sekisho(system, hanako, "log", code=1)
    assert "c2sp.org/tlog-proof@v1" in sekisho(system, aoi, "log", "--proof", "3", "--vkey", str(system.state / "log" / "log.vkey"))
    vkey = (system.state / "log" / "log.vkey").read_text().strip()
    assert "whole" in sekisho(system, aoi, "verify", str(system.state / "log"), "--vkey", vkey)


def sekisho(system: Whole, home: Path, *arguments: str, stdin: str = "", code: int = 0) -> str:
    """Run the command line as the person whose home this is; gives all that it printed."""
    home.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "HOME": str(home), "XDG_CONFIG_HOME": str(home), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-c", "from sekisho.cli.main import main; main()", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr
