"""C2SP signed notes: text and signatures to bytes and back, and the Ed25519 keys that make and check them. No I/O.

A note is UTF-8 without control characters but newlines: text that ends in a newline, an empty line, then lines `— name base64(key id ‖ signature)`.
The signature covers the text. A key id is the first four bytes of SHA-256(name ‖ 0x0A ‖ type ‖ public key).
https://c2sp.org/signed-note
"""

import base64
import binascii
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = 0x01
LIMIT_BYTES = 131_072  # sixteen ML-DSA-44 lines (3.3 kB each) and more
LIMIT_SIGNATURES = 100
_DASH = "\N{EM DASH} "
_SEED_BYTES = 32


class MalformedNote(ValueError):
    """The bytes are no signed note of the wanted kind."""


class UnverifiedNote(ValueError):
    """A well-formed note that no wanted key signed, or whose signature by a wanted key is false."""


@dataclass(frozen=True, slots=True)
class Signature:
    name: str
    key_id: bytes  # 4 bytes
    signature: bytes

    @property
    def line(self) -> str:
        return f"{_DASH}{self.name} {_to_base64(self.key_id + self.signature)}\n"


@dataclass(frozen=True, slots=True)
class UnverifiedText:
    """A note as it was read; its signatures were not looked at."""

    text: str  # ends in a newline
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public Ed25519 key and the name it signs under."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        return key_id(self.name, ED25519, self.public)

    @property
    def vkey(self) -> str:
        return render_vkey(self.name, ED25519, self.public)

    def has_signed(self, text: str, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private Ed25519 key and the name it signs under. Its text form is Go's `PRIVATE+KEY+name+id+key`."""

    name: str
    seed: bytes

    def __repr__(self) -> str:
        return f"SigningKey({self.name!r})"

    @property
    def verifier(self) -> Verifier:
        return Verifier(self.name, Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw())

    def sign(self, text: str) -> Signature:
        key = Ed25519PrivateKey.from_private_bytes(self.seed)
        return Signature(self.name, self.verifier.key_id, key.sign(text.encode()))

    @property
    def secret_text(self) -> str:
        return f"PRIVATE+KEY+{self.name}+{self.verifier.key_id.hex()}+{_to_base64(bytes([ED25519]) + self.seed)}"

    @classmethod
    def parse(cls, secret_text: str) -> Self:
        """Raises MalformedNote; its message never holds the text."""
        name, found_id, key = _key_parts(secret_text.removeprefix("PRIVATE+KEY+"))
        if not secret_text.startswith("PRIVATE+KEY+") or len(key) != 1 + _SEED_BYTES or key[0] != ED25519:
            raise MalformedNote("not a private Ed25519 note key")
        found = cls(name, key[1:])
        if found.verifier.key_id != found_id:
            raise MalformedNote("the private key's id does not fit")
        return found


def key_id(name: str, kind: int, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def render_vkey(name: str, kind: int, public: bytes) -> str:
    """`name+hex(key id)+base64(type ‖ public key)`."""
    return f"{name}+{key_id(name, kind, public).hex()}+{_to_base64(bytes([kind]) + public)}"


def parse_vkey(unverified: str) -> Verifier:
    """An Ed25519 verifier key. Raises MalformedNote."""
    name, found_id, key = _key_parts(unverified)
    if len(key) != 1 + _SEED_BYTES or key[0] != ED25519:
        raise MalformedNote("not an Ed25519 verifier key")
    if key_id(name, ED25519, key[1:]) != found_id:
        raise MalformedNote("the verifier key's id does not fit its name and key")
    return Verifier(name, key[1:])


def _key_parts(unverified: str) -> tuple[str, bytes, bytes]:
    parts = unverified.split("+", 2)
    if len(parts) != 3 or not is_key_name(parts[0]) or len(parts[1]) != 8 or parts[1] != parts[1].lower():
        raise MalformedNote("not of the form name+id+key")
    try:
        return parts[0], bytes.fromhex(parts[1]), from_base64(parts[2])
    except ValueError as error:
        raise MalformedNote("not of the form name+id+key") from error


def is_key_name(unverified: str) -> bool:
    """Not empty, no space of any kind, no plus sign, no control character."""
    return unverified != "" and not any(c == "+" or c.isspace() or unicodedata.category(c) == "Cc" for c in unverified)


def render_note(text: str, signatures: Collection[Signature]) -> bytes:
    assert text.endswith("\n")
    assert signatures
    return (text + "\n" + "".join(signature.line for signature in signatures)).encode()


def parse_note(unverified: bytes) -> UnverifiedText:
    """Raises MalformedNote."""
    if len(unverified) > LIMIT_BYTES:
        raise MalformedNote("longer than a note may be")
    try:
        decoded = unverified.decode()
    except UnicodeDecodeError as error:
        raise MalformedNote("not UTF-8") from error
    if any(c != "\n" and (c < " " or c == "\x7f") for c in decoded):
        raise MalformedNote("a control character")
    text, parted, block = decoded.rpartition("\n\n")
    if not parted or not block.endswith("\n"):
        raise MalformedNote("no block of signatures that ends in a newline")
    lines = block[:-1].split("\n")
    if len(lines) > LIMIT_SIGNATURES:
        raise MalformedNote("more signatures than a note may have")
    return UnverifiedText(text + "\n", tuple(_signature(line) for line in lines))


def open_note(unverified: bytes, verifier: Verifier) -> str:
    """The text of a note that `verifier` signed, exactly once. Signatures by other keys are ignored. Raises MalformedNote, UnverifiedNote."""
    found = parse_note(unverified)
    own = [s for s in found.signatures if (s.name, s.key_id) == (verifier.name, verifier.key_id)]
    if not own:
        raise UnverifiedNote(f"no signature by {verifier.name}")
    if not all(verifier.has_signed(found.text, s.signature) for s in own):
        raise UnverifiedNote(f"a false signature by {verifier.name}")
    if len(own) > 1:
        raise UnverifiedNote(f"more than one signature by {verifier.name}")
    return found.text


def _signature(line: str) -> Signature:
    name, parted, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not parted or not is_key_name(name):
        raise MalformedNote("a signature line that is none")
    content = from_base64(encoded)
    if len(content) < 5:
        raise MalformedNote("a signature without content")
    return Signature(name, content[:4], content[4:])


def _to_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def from_base64(unverified: str) -> bytes:
    """Canonical standard base64 with padding, nothing else. Raises MalformedNote."""
    try:
        content = base64.b64decode(unverified, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedNote("not base64") from error
    if _to_base64(content) != unverified:
        raise MalformedNote("base64 that is not canonical")
    return content
