"""Every command against an API over real TLS under a `.localhost` name: what it asks, what it says, how it fails."""

import json
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from tests.cli.conftest import Sekisho
from tests.cli.installation import Installation, a_request, a_session, moment

ROOM = {
    "name": "campaign", "title": "Campaign data", "description": "", "kinds": ["terminal"], "hours": "", "places": ["office"], "longest_seconds": 7200,
    "ticket": "MKT-\\d+", "second_factor": False,
    "reason_characters": 10, "approvers": ["group:security"], "needed": 1, "may_request": True, "reason": "", "sentence": "",
}  # fmt: skip


def test_a_sign_in_is_kept_where_only_its_owner_reads_it_and_ends_with_logout(here: Installation, sekisho: Sekisho, tmp_path: Path) -> None:
    said = sekisho("login", "hanako", "--url", here.url, "--ca", str(here.authority), "--password-stdin", "--json", typed="correct horse battery\n")
    assert said.json["person"]["name"] == "hanako"
    kept = tmp_path / "config" / "sekisho" / "sign-in.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert json.loads(kept.read_text())["token"] in here.api.tokens
    assert "horse" not in kept.read_text()
    assert sekisho("whoami", "--json").json["person"]["groups"] == ["marketing"]
    assert sekisho("logout").code == 0
    assert not kept.exists()
    assert not here.api.tokens
    said = sekisho("rooms")
    assert (said.code, said.err) == (1, "sekisho: nobody is signed in here.\nTry: sekisho login\n")


def test_the_printed_fingerprint_is_enough_to_trust_the_installation_and_another_one_is_not(here: Installation, sekisho: Sekisho) -> None:
    fingerprint = x509.load_pem_x509_certificate(here.authority.read_bytes()).fingerprint(hashes.SHA256()).hex(":").upper()
    said = sekisho("login", "hanako", "--url", here.url, "--fingerprint", fingerprint, "--password-stdin", typed="correct horse battery\n")
    assert said.code == 0, said.err
    said = sekisho("login", "hanako", "--url", here.url, "--fingerprint", fingerprint.replace("A", "B").replace("1", "2"), "--password-stdin", typed="secret\n")
    assert said.code == 1
    assert "shows no certificate with this fingerprint" in said.err
    assert all(body.get("password") != "secret" for _, _, body in here.api.asked), "nothing was sent"


def test_an_unknown_certificate_is_refused_with_what_to_try(here: Installation, sekisho: Sekisho, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sekisho.cli.people.DEFAULT_STATE", Path("/nonexistent"))
    said = sekisho("login", "hanako", "--url", here.url, "--password-stdin", typed="x\n")
    assert said.code == 1
    assert "is not believed" in said.err
    assert "--fingerprint" in said.err
    assert not here.api.asked


def test_a_wrong_password_is_refused_with_its_reason(here: Installation, sekisho: Sekisho) -> None:
    said = sekisho("login", "hanako", "--url", here.url, "--ca", str(here.authority), "--password-stdin", typed="wrong\n")
    assert (said.code, said.err) == (1, "Refused (wrong-password): The name or the password is wrong.\n")


def test_rooms_say_why_not(signed_in: Installation, sekisho: Sekisho) -> None:
    signed_in.api.rooms = [
        ROOM,
        ROOM | {"name": "safe", "second_factor": True},
        ROOM | {"name": "vault", "may_request": False, "reason": "not-listed", "sentence": "You are not among the people of vault: group:x."},
    ]
    said = sekisho("rooms")
    assert "campaign  Campaign data  terminal  2h       always  yes" in said.out, said.out
    assert "yes; entering asks for a second factor" in said.out
    assert "You are not among the people of vault" in said.out
    assert sekisho("rooms", "--json").json["rooms"][2]["reason"] == "not-listed"


def test_a_request_prints_its_id_alone_and_sends_what_was_said(signed_in: Installation, sekisho: Sekisho) -> None:
    said = sekisho("request", "campaign", "--for", "1h30m", "--reason", "last week's export", "--ticket", "MKT-42", "--at", "2030-01-02T14:00:00+09:00")
    assert (said.code, said.out) == (0, "r-aaaaaaaaaa\n")
    _, _, body = signed_in.api.asked[-1]
    assert body == {"room": "campaign", "reason": "last week's export", "ticket": "MKT-42", "starts_at": "2030-01-02T14:00:00+09:00", "duration_seconds": 5400}
    sekisho("request", "campaign", "--for", "1h", "--reason", "again", "--at", "14:00")
    assert signed_in.api.asked[-1][2]["starts_at"][10:16] == "T14:00"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("request", "campaign", "--for", "soon", "--reason", "x"), "a length of time is written like 30m"),
        (("request", "campaign", "--for", "1h", "--reason", "x", "--at", "tomorrow"), "a moment is written like 14:00"),
        (("request", "campaign", "--for", "1h"), "--reason"),
        (("deny", "r-aaaaaaaaaa"), "--note"),
        (("approve", "../people"), "a request's id looks like"),
        (("log", "--since", "yore"), "a moment is written"),
        (("nonsense",), "nonsense"),
        (("enter", "campaign"), "no terminal"),
    ],
)
def test_what_cannot_be_understood_is_exit_code_2_and_reaches_nobody(signed_in: Installation, sekisho: Sekisho, arguments: tuple[str, ...], part: str) -> None:
    before = len(signed_in.api.asked)
    said = sekisho(*arguments)
    assert said.code == 2
    assert part in " ".join(said.err.replace("│", " ").split())
    assert len(signed_in.api.asked) == before


@pytest.mark.parametrize(
    ("arguments", "act", "body", "told"),
    [
        (("approve", "r-aaaaaaaaaa"), "approve", {"note": ""}, "r-aaaaaaaaaa is approved."),
        (("approve", "s-aaaaaaaaaa", "--note", "fine"), "approve", {"note": "fine"}, "r-aaaaaaaaaa is approved."),
        (("deny", "r-aaaaaaaaaa", "--note", "no"), "deny", {"note": "no"}, "r-aaaaaaaaaa is denied."),
        (("withdraw", "r-aaaaaaaaaa"), "withdraw", {}, "r-aaaaaaaaaa is withdrawn."),
        (("extend", "r-aaaaaaaaaa", "--for", "30m"), "extend", {"duration_seconds": 1800}, "r-aaaaaaaaaa now lasts until"),
        (("end", "s-aaaaaaaaaa"), "end", {}, "r-aaaaaaaaaa is ended."),
    ],
)
def test_a_decision_is_sent_and_told(signed_in: Installation, sekisho: Sekisho, *, arguments: tuple[str, ...], act: str, body: dict, told: str) -> None:
    signed_in.api.requests = [a_request(state="pending")]
    said = sekisho(*arguments)
    assert said.code == 0
    assert told in said.err
    assert signed_in.api.asked[-1] == ("POST", f"/api/requests/r-aaaaaaaaaa/{act}", body)


def test_a_refusal_prints_sentence_and_reason_and_is_exit_code_1(signed_in: Installation, sekisho: Sekisho) -> None:
    signed_in.api.refusal = {"reason": "own-request", "sentence": "Nobody decides on their own request.", "facts": {}}
    said = sekisho("approve", "r-aaaaaaaaaa")
    assert (said.code, said.out, said.err) == (1, "", "Refused (own-request): Nobody decides on their own request.\n")


def test_an_unknown_request_and_an_ended_sign_in_say_what_to_try(signed_in: Installation, sekisho: Sekisho) -> None:
    said = sekisho("approve", "r-bbbbbbbbbb")
    assert said.code == 1
    assert "sekisho requests" in said.err
    signed_in.api.tokens.clear()
    said = sekisho("sessions")
    assert said.code == 1
    assert said.err.startswith("Refused (not-signed-in)")
    assert "sekisho login" in said.err


def test_a_portal_that_is_away_is_said_in_two_lines(signed_in: Installation, sekisho: Sekisho, tmp_path: Path) -> None:
    kept = tmp_path / "config" / "sekisho" / "sign-in.json"
    kept.write_text(kept.read_text().replace(signed_in.url, "https://sekisho.localhost:9"))
    said = sekisho("rooms")
    assert said.code == 1
    assert said.err.splitlines()[1] == "Try: is the address right, and `sekisho up` running?"


def test_what_others_wrote_cannot_act_on_the_terminal(signed_in: Installation, sekisho: Sekisho) -> None:
    signed_in.api.requests = [a_request(reason="\x1b]52;c;eA==\x07\u202eevil\u2069 [bold]日本語", may_decide=True)]
    said = sekisho("requests")
    assert "\x1b" not in said.out
    assert "\u202e" not in said.out
    assert "\\x1b]52;c;eA==\\x07\\u{202e}evil\\u{2069} [bold]日本語" in said.out
    assert sekisho("requests", "--json").json["requests"][0]["reason"].startswith("\x1b]52")


def test_sessions_show_what_runs(signed_in: Installation, sekisho: Sekisho) -> None:
    signed_in.api.sessions = [a_session(staged_files=3, staged_bytes=1_500_000, connections=2)]
    said = sekisho("sessions")
    assert "3 files, 1.5 MB" in said.out
    assert sekisho("sessions", "--json").json["sessions"][0]["connections"] == 2


def test_open_prints_the_page_with_its_ticket(signed_in: Installation, sekisho: Sekisho) -> None:
    signed_in.api.sessions = [a_session()]
    said = sekisho("open", "campaign", "--print")
    assert said.out == f"{signed_in.host.origin}/terminal#ticket-1\n"


def test_open_leads_to_the_desktop_where_there_is_one_and_to_what_was_asked_for(signed_in: Installation, sekisho: Sekisho) -> None:
    signed_in.api.sessions = [a_session(kinds=["desktop", "terminal"])]
    assert sekisho("open", "campaign", "--print").out == f"{signed_in.host.origin}/desktop#ticket-1\n"
    assert sekisho("open", "campaign", "--print", "--kind", "terminal").out == f"{signed_in.host.origin}/terminal#ticket-2\n"
    signed_in.api.sessions = [a_session(kinds=["desktop"])]
    said = sekisho("open", "campaign", "--print", "--kind", "terminal")
    assert said.code == 1
    assert said.err == ("Refused (kind-not-offered): campaign offers desktop, not terminal. `sekisho open campaign` shows what it offers, in the browser.\n")


@pytest.mark.parametrize(
    ("requests", "sessions", "told"),
    [
        ([], [], "Refused (no-grant): You have no grant for campaign."),
        ([a_request(state="pending")], [], "Refused (no-grant): r-aaaaaaaaaa for campaign waits for approval."),
        ([a_request(starts_at=moment(hours=1), ends_at=moment(hours=2))], [], "Refused (not-yet): Your grant starts at"),
        ([], [a_session(is_mine=False)], "Refused (no-grant)"),
        ([], [a_session(state="failed", why="The image is missing.")], "Refused (session-not-ready): campaign is failed: The image is missing."),
        ([], [a_session(state="frozen")], "Refused (session-frozen)"),
        ([], [a_session(state="destroyed", ends_at=moment(hours=-1))], "Refused (no-grant)"),
    ],
)
def test_where_there_is_nothing_to_enter_it_says_why(signed_in: Installation, sekisho: Sekisho, requests: list, sessions: list, told: str) -> None:
    signed_in.api.requests, signed_in.api.sessions = requests, sessions
    said = sekisho("open", "campaign", "--print")
    assert said.code == 1
    assert told in said.err


def test_the_log_is_a_line_an_entry_and_pages_through_it(signed_in: Installation, sekisho: Sekisho) -> None:
    entry = {"at": "2025-11-01T05:00:00.000000Z", "kind": "request.made", "by": "hanako", "address": "127.0.0.1", "room": "campaign", "request": "r-aaaaaaaaaa"}
    chain = {"producer": "store", "prev": ""}
    signed_in.api.entries = [{"index": index, **entry, **chain, "number": str(index + 1), "details": {"reason": "a\nb"}} for index in range(1_200)]
    said = sekisho("log", "--room", "campaign")
    lines = said.out.splitlines()
    assert len(lines) == 1_200
    assert "request.made" in lines[7]
    assert "hanako@127.0.0.1  campaign r-aaaaaaaaaa" in lines[7]
    assert '{"reason": "a\\nb"}' in lines[7]
    found = sekisho("log", "--json", "--since", "2h").json["entries"]
    assert [each["index"] for each in found] == list(range(1_200))
    assert signed_in.api.asked[-1][2]["since"]
