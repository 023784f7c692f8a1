"""Codes as the RFCs have them, as people type them, and as apps read them; and secrets that open only for their person and key."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.identity.authenticator import STEP, code_at, secret_of

from sekisho.identity.cipher import FactorCipher
from sekisho.identity.codes import matching_step, new_recovery_codes, new_secret, parse_code, provisioning_uri, recovery_fingerprint, render_recovery_code
from sekisho.model.errors import Trouble

RFC_SECRET = b"12345678901234567890"
NOW = datetime(2026, 3, 4, 3, 0, 10, tzinfo=UTC)
STEP_NOW = int(NOW.timestamp()) // 30


# RFC 6238 appendix B, the last six of the eight digits
@pytest.mark.parametrize(
    ("second", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (2000000000, "279037"), (20000000000, "353130")],
)
def test_the_codes_of_the_rfc_are_taken_at_their_time(second: int, code: str):
    at = datetime.fromtimestamp(second, UTC)
    assert code_at(RFC_SECRET, at) == code
    assert matching_step(code, RFC_SECRET, now=at) == second // 30


@pytest.mark.parametrize(("steps", "is_taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_code_counts_one_step_before_and_one_after_its_own(steps: int, is_taken: bool):  # noqa: FBT001
    code = code_at(RFC_SECRET, NOW + steps * STEP)
    assert matching_step(code, RFC_SECRET, now=NOW) == (STEP_NOW + steps if is_taken else None)


@given(code=st.text(max_size=10))
def test_whatever_is_no_code_of_now_matches_nothing(code: str):
    good = {code_at(RFC_SECRET, NOW + steps * STEP) for steps in (-1, 0, 1)}
    assert (matching_step(parse_code(code), RFC_SECRET, now=NOW) is None) == (parse_code(code) not in good)


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("123456", "123456"),
        (" 123 456 ", "123456"),
        ("１２３４５６", "123456"),  # noqa: RUF001  what a Japanese keyboard types
        ("1234-5678-9012-3456-7890-1234", "123456789012345678901234"),
        ("12345", ""),
        ("1234567", ""),
        ("12345a", ""),
        ("", ""),
        ("-", ""),
        ("٣" * 6, ""),
        ("1" * 100_000, ""),
        ("\ud800", ""),
    ],
)
def test_what_is_typed_is_a_code_or_nothing(typed: str, code: str):
    assert parse_code(typed) == code


def test_an_app_reads_what_the_key_uri_format_says():
    secret = new_secret()
    uri = provisioning_uri(secret, person="hanako", issuer="Sekisho sekisho.localhost")
    parts = urlsplit(uri)
    assert (parts.scheme, parts.netloc, unquote(parts.path)) == ("otpauth", "totp", "/Sekisho sekisho.localhost:hanako")
    found = {name: value for name, (value,) in parse_qs(parts.query).items()}
    assert found.pop("secret").isalnum(), "Base32 without padding"
    assert found == {"issuer": "Sekisho sekisho.localhost", "algorithm": "SHA1", "digits": "6", "period": "30"}
    assert "+" not in uri, "an app would show it as a plus"
    assert secret_of(uri) == secret


def test_recovery_codes_are_long_all_different_and_kept_for_one_person():
    codes = new_recovery_codes(10)
    assert len(set(codes)) == 10
    for code in codes:
        assert parse_code(render_recovery_code(code)) == code
    assert recovery_fingerprint(codes[0], person="hanako") != recovery_fingerprint(codes[0], person="taro")


def test_a_secret_opens_with_its_own_key_for_its_own_person_unaltered_and_not_otherwise():
    cipher, secret = FactorCipher(b"k" * 32), new_secret()
    stored = cipher.encrypt(secret, person="hanako")
    assert secret not in stored
    assert cipher.encrypt(secret, person="hanako") != stored
    assert cipher.decrypt(stored, person="hanako") == secret
    altered = stored[:-1] + bytes([stored[-1] ^ 1])
    for other, found, person in ((cipher, stored, "taro"), (FactorCipher(b"l" * 32), stored, "hanako"), (cipher, altered, "hanako"), (cipher, b"", "hanako")):
        with pytest.raises(Trouble) as caught:
            other.decrypt(found, person=person)
        assert caught.value.reference == "second-factor-unreadable"
    assert timedelta(seconds=30) == STEP
