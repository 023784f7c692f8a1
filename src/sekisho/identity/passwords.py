"""Passwords, kept as Argon2id strings (RFC 9106 §4, second recommended option: 64 MiB) and never otherwise."""

import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

_HASHER = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
_AT_ONCE = threading.BoundedSemaphore(2)  # each takes 64 MiB: who floods the sign-in page waits in line instead of taking the memory
_DUMMY = "$argon2id$v=19$m=65536,t=3,p=4$2nGzsElfSaAVhFGsqXz1cA$g1RSqJfJvXo9oVyeQTYsnzN4dSCRnHz7DoK2DQRFpRo"  # of nothing; only the time it takes is wanted


def hash_password(password: str) -> str:
    with _AT_ONCE:
        return _HASHER.hash(_normal(password))


def matches(password: str, stored: str | None) -> bool:
    """Is it the password of this hash? For a person who has none, or does not exist (None), it takes as long and the answer is no."""
    with _AT_ONCE:
        try:
            _HASHER.verify(stored or _DUMMY, _normal(password))
        except (VerificationError, InvalidHashError):
            return False
    return stored is not None


def _normal(password: str) -> bytes:
    """The same characters typed on two keyboards are the same password (RFC 8265 §4.2 uses a normal form for this too)."""
    return unicodedata.normalize("NFKC", password).encode(errors="surrogatepass")
