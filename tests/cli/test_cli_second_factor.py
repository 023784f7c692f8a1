"""The command line against the real portal over real TLS: a second factor from its first code to its reset by an administrator."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cli.conftest import Said, Sekisho
from tests.identity.authenticator import STEP, code_at, secret_of
from tests.portal import portal_house
from tests.portal.portal_house import House, forget_settled
from tests.portal.test_portal_serve import served

PASSWORD = "correct horse battery"
PORT = 18_953
URL = f"https://sekisho.localhost:{PORT}"
COMMAND = (sys.executable, "-c", "from sekisho.cli.main import main; main()")


@dataclass
class Town:
    house: House
    sekisho: Sekisho

    def run(self, *arguments: str, lines: tuple[str, ...] = ()) -> Said:
        return self.sekisho(*arguments, typed="".join(f"{line}\n" for line in lines))

    def login(self, name: str, *lines: str) -> Said:
        return self.run("login", name, "--url", URL, "--ca", str(self.house.directory / "chain.pem"), "--password-stdin", lines=(PASSWORD, *lines))

    def enrol(self) -> tuple[bytes, list[str]]:
        """The secret that was shown and the recovery codes: read and typed at the other end of a pipe."""
        process = subprocess.Popen((*COMMAND, "second-factor", "enrol", "--password-stdin"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        watch = threading.Timer(30, process.kill)
        watch.start()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{PASSWORD}\n")
            process.stdin.flush()
            uri = next(line for line in process.stdout if line.startswith("otpauth://"))
            out, _ = process.communicate(f"{code_at(secret_of(uri), self.house.now)}\n")
        finally:
            watch.cancel()
        assert process.returncode == 0
        return secret_of(uri), out.split()

    def next_code(self, secret: bytes) -> str:
        """Of the next thirty seconds: each is good once."""
        self.house.clock.time += STEP
        return code_at(secret, self.house.now)


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sekisho: Sekisho) -> Iterator[Town]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.setattr(portal_house, "ORIGIN", URL)
    house = House(tmp_path)
    for name in ("hanako", "admin"):
        house.give_password(name, PASSWORD)
    with served(house.app, tmp_path, PORT):
        yield Town(house, sekisho)
    house.close()


@pytest.fixture(scope="module", autouse=True)
def _no_store_left() -> Iterator[None]:
    yield
    forget_settled()


def test_login_asks_for_a_code_once_there_is_a_second_factor_and_the_token_carries_its_proof(town: Town):
    assert town.login("hanako").code == 0
    assert "no second factor" in town.run("whoami").err
    secret, recovery_codes = town.enrol()
    assert "given at" in town.run("whoami").err, "the code that confirmed it is a proof"
    assert len(recovery_codes) == 10
    town.run("logout")
    assert town.login("hanako", "000000").err.startswith("Refused (code-wrong)")
    assert town.login("hanako").err.startswith("Refused (code-asked)"), "nothing was typed"
    said = town.login("hanako", town.next_code(secret))
    assert said.code == 0, said.err
    assert "given at" in town.run("whoami").err
    town.run("logout")
    assert town.login("hanako", recovery_codes[0]).code == 0
    assert json.loads(town.run("whoami", "--json").out)["second_factor"]["recovery_codes"] == 9


def test_a_code_is_given_again_and_the_factor_taken_away_with_password_and_code(town: Town):
    town.login("hanako")
    secret, recovery_codes = town.enrol()
    said = town.run("second-factor", "confirm", town.next_code(secret))
    assert (said.code, said.err) == (0, "Confirmed.\n")
    fresh = town.run("second-factor", "recovery-codes", "--password-stdin", "--json", lines=(PASSWORD, town.next_code(secret))).json["recovery_codes"]
    assert not set(fresh) & set(recovery_codes)
    assert town.run("second-factor", "remove", "--password-stdin", lines=("wrong", town.next_code(secret))).err.startswith("Refused (wrong-password)")
    assert town.run("second-factor", "remove", "--password-stdin", lines=(PASSWORD, code_at(secret, town.house.now))).code == 0
    assert town.login("hanako").code == 0


def test_an_administrator_resets_anothers_factor_and_never_their_own(town: Town):
    town.login("hanako")
    town.enrol()
    town.login("admin")
    assert town.run("second-factor", "reset", "hanako").code == 0
    assert town.run("second-factor", "reset", "hanako").err.startswith("Refused (no-second-factor)")
    assert town.run("second-factor", "reset", "admin").err.startswith("Refused (own-second-factor)")
    assert town.run("second-factor", "reset", "../sign-out").code == 2
    assert town.login("hanako").code == 0
    assert town.house.events("second-factor.reset")[-1]["details"]["person"] == "hanako"
