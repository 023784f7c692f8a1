"""`sekisho verify` on logs that the audit parts wrote: whole, and with one byte changed; from a folder, and from a portal that needs no belief."""

import json
from pathlib import Path

import pytest
from tests.audit.audit_yard import LogOnDisk, chain
from tests.cli.conftest import Sekisho
from tests.cli.installation import Installation

from sekisho.audit.note import SigningKey

ENTRIES = 300  # a full tile and a part of one


@pytest.fixture
def log(tmp_path: Path) -> LogOnDisk:
    log = LogOnDisk(tmp_path)
    log.append(chain(ENTRIES), steps=[100, 260])
    return log


def change_a_byte(log: LogOnDisk) -> None:
    bundle = log.directory / "tile" / "entries" / "000"
    content = bytearray(bundle.read_bytes())
    content[-20] ^= 1
    bundle.write_bytes(content)


def test_a_whole_log_is_said_to_be_whole_without_anybody_being_signed_in(log: LogOnDisk, sekisho: Sekisho) -> None:
    said = sekisho("verify", "--state", str(log.directory.parent))
    assert said.code == 0, said.err
    assert f"whole: {ENTRIES} entries" in said.out
    assert sekisho("verify", str(log.directory), "--vkey", log.vkey, "--json").json["size"] == ENTRIES


def test_any_changed_byte_names_the_first_entry_at_fault_and_is_exit_code_1(log: LogOnDisk, sekisho: Sekisho) -> None:
    change_a_byte(log)
    said = sekisho("verify", str(log.directory))
    assert said.code == 1
    assert "NOT whole: entry 255 (tile/entries/000)" in said.out
    said = sekisho("verify", str(log.directory), "--json")
    assert (said.code, json.loads(said.out)["whole"], json.loads(said.out)["index"]) == (1, False, 255)


def test_another_key_is_not_believed_and_a_missing_one_says_what_to_give(log: LogOnDisk, sekisho: Sekisho, tmp_path: Path) -> None:
    other = SigningKey(log.vkey.partition("+")[0], bytes(32)).verifier.vkey
    said = sekisho("verify", str(log.directory), "--vkey", other)
    assert said.code == 1
    assert "NOT whole" in said.out
    for nonsense in (log.vkey.replace("sekisho.test/log", "sekisho.test/lag", 1), "nonsense+key", "/etc/hosts"):
        said = sekisho("verify", str(log.directory), "--vkey", nonsense)
        assert said.code == 1
        assert "neither a verifier key nor a file with one" in said.err, "it is the key that is wrong, not the log"
    said = sekisho("verify", str(tmp_path / "nothing"))
    assert said.code == 1
    assert "Try: give the log's folder, or --vkey" in said.err


def test_a_portals_log_is_fetched_and_checked_here(log: LogOnDisk, signed_in: Installation, sekisho: Sekisho) -> None:
    signed_in.api.log = log.directory
    said = sekisho("verify", signed_in.url, "--vkey", log.vkey)
    assert said.code == 0, said.err
    assert f"{ENTRIES} entries" in said.out
    change_a_byte(log)
    assert sekisho("verify", signed_in.url, "--vkey", log.vkey).code == 1
    said = sekisho("verify", signed_in.url)
    assert "--vkey" in said.err
    said = sekisho("verify", "https://elsewhere.example", "--vkey", log.vkey)
    assert said.code == 1
    assert "you are signed in to" in said.err


def test_a_portal_that_withholds_a_file_is_found_out(log: LogOnDisk, signed_in: Installation, sekisho: Sekisho) -> None:
    signed_in.api.log = log.directory
    (log.directory / "tile" / "entries" / "000").unlink()
    said = sekisho("verify", signed_in.url, "--vkey", log.vkey)
    assert said.code == 1
    assert "does not give all files" in said.err
