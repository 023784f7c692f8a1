"""Codes: those of an authenticator app (TOTP, RFC 6238: SHA-1, 6 digits, 30 seconds, which is what every app knows), and recovery codes.

All are digits, so that one field with a numeric keyboard takes either. Nothing here knows the database.
"""

import unicodedata
from datetime import datetime

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor import InvalidToken
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from sekisho.system import randomness

CODE_DIGITS = 6
RECOVERY_DIGITS = 24  # 79 bits: what is kept of them cannot be tried out
_STEP_SECONDS = 30
_SECRET_BYTES = 20  # RFC 4226 §4: 160 bits
_GROUP = 4
_SEPARATORS = str.maketrans("", "", " -\N{EN DASH}\t")


def new_secret() -> bytes:
    return randomness.secret_bytes(_SECRET_BYTES)


def provisioning_uri(secret: bytes, *, person: str, issuer: str) -> str:
    """What an app reads from a QR code: an `otpauth:` address in Google Authenticator's Key URI Format, which wants %20 where forms write a plus."""
    return _totp(secret).get_provisioning_uri(person, issuer).replace("+", "%20")


def matching_step(code: str, secret: bytes, *, now: datetime) -> int | None:
    """The time step that the code is of: the present one, the one before or the one after (RFC 6238 §5.2). Each is compared, in constant time."""
    totp, present = _totp(secret), int(now.timestamp()) // _STEP_SECONDS
    return max((step for step in (present - 1, present, present + 1) if _is_code_of(totp, code, step)), default=None)


def new_recovery_codes(count: int) -> tuple[str, ...]:
    return tuple(randomness.digits(RECOVERY_DIGITS) for _ in range(count))


def render_recovery_code(code: str) -> str:
    """In groups, as people read and type it."""
    return "-".join(code[start : start + _GROUP] for start in range(0, len(code), _GROUP))


def recovery_fingerprint(code: str, *, person: str) -> str:
    """What is kept of a recovery code: different for each person."""
    return randomness.fingerprint(f"{person} {code}")


def parse_code(typed: str) -> str:
    """The digits of what somebody typed, full-width ones and separators too; "" for what is no code at all."""
    plain = unicodedata.normalize("NFKC", typed[:128]).translate(_SEPARATORS)
    return plain if plain.isascii() and plain.isdigit() and len(plain) in (CODE_DIGITS, RECOVERY_DIGITS) else ""


def _totp(secret: bytes) -> TOTP:
    return TOTP(secret, CODE_DIGITS, SHA1(), _STEP_SECONDS)  # noqa: S303  HMAC-SHA-1 is sound (RFC 6194 §3.3), and what apps know


def _is_code_of(totp: TOTP, code: str, step: int) -> bool:
    try:
        totp.verify(code.encode(), step * _STEP_SECONDS)
    except InvalidToken:
        return False
    return True
