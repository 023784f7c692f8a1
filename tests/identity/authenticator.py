"""An authenticator app, as a phone has one: it knows an address that it read, and the time. Written from RFC 4226 §5.3 and RFC 6238 §4 alone, so that it
is another implementation than the one that checks its codes.
"""

import hashlib
import hmac
from base64 import b32decode
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

STEP = timedelta(seconds=30)


def secret_of(uri: str) -> bytes:
    return b32decode(parse_qs(urlsplit(uri).query)["secret"][0])


def code_at(secret: bytes, moment: datetime) -> str:
    counter = int(moment.timestamp()) // 30
    digest = hmac.digest(secret, counter.to_bytes(8, "big"), hashlib.sha1)
    offset = digest[19] & 0xF
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 1_000_000:06}"
