"""The secrets of second factors at rest: readable only with a key that lies beside the database, never in it (decision 0014).

AES-256 in Galois/Counter Mode (NIST SP 800-38D) with a fresh nonce of 96 bits for each secret, bound to its person: moved to another person's row, it
does not open.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sekisho.model.errors import Trouble
from sekisho.system import randomness

KEY_BYTES = 32
_NONCE_BYTES = 12


class FactorCipher:
    def __init__(self, key: bytes) -> None:
        assert len(key) == KEY_BYTES
        self._aead = AESGCM(key)

    def encrypt(self, secret: bytes, *, person: str) -> bytes:
        nonce = randomness.secret_bytes(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, secret, person.encode())

    def decrypt(self, stored: bytes, *, person: str) -> bytes:
        """Raises Trouble `second-factor-unreadable`."""
        try:
            return self._aead.decrypt(stored[:_NONCE_BYTES], stored[_NONCE_BYTES:], person.encode())
        except (InvalidTag, ValueError) as error:
            hint = "restore the portal's second-factor.key; else have an administrator reset the factor"
            raise Trouble("second-factor-unreadable", f"the second factor of {person} was not encrypted with this installation's key", hint=hint) from error
