"""Randomness, always from the operating system's generator."""

import base64
import hashlib
import secrets


def token() -> str:
    """A secret of 256 bits, URL-safe text. Only its `fingerprint` is ever stored."""
    return secrets.token_urlsafe(32)


def fingerprint(secret: str) -> str:
    """SHA-256, hex: what is stored of a token and looked up by. Of any text: JSON brings half surrogate pairs too."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def secret_bytes(count: int) -> bytes:
    """A secret that a key or a code is made from."""
    return secrets.token_bytes(count)


def digits(count: int) -> str:
    """That many decimal digits, each number of them as likely as any other."""
    return f"{secrets.randbelow(10**count):0{count}}"


def identifier(prefix: str) -> str:
    """`prefix` and 10 characters of lower-case base32: 50 bits, no secret, only a name."""
    return prefix + base64.b32encode(secrets.token_bytes(7)).decode().lower()[:10]


def cookie() -> bytes:
    """128 bits: MIT-MAGIC-COOKIE-1, between an X server and its clients."""
    return secrets.token_bytes(16)


def capability() -> tuple[str, str]:
    """A one-time capability: 256 bits in hex, and the SHA-256 (hex) of those bytes, which alone is registered with the agent."""
    secret = secrets.token_bytes(32)
    return secret.hex(), hashlib.sha256(secret).hexdigest()
