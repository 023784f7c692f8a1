"""Is a form really from a page of ours? Two answers that must both be yes: the browser's own word on where it comes from, and a token that only our pages hold.

The token is derived from the cookie's secret, so it is per sign-in, needs no storage and dies with it. Pages before sign-in use a cookie of their own.
"""

import hashlib
import hmac
from collections.abc import Mapping

FIELD = "form_token"
HEADER = "X-Sekisho-Form"
STATE_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def form_token(secret: str) -> str:
    """What every form of this sign-in carries. Nothing about `secret` can be learned from it (HMAC-SHA-256)."""
    return hmac.new(secret.encode(), b"sekisho form", hashlib.sha256).hexdigest()


def is_form_token(found: str, *, secret: str) -> bool:
    return secret != "" and hmac.compare_digest(found.encode(), form_token(secret).encode())


def is_from_our_origin(headers: Mapping[str, str], *, origin: str) -> bool:
    """Whether the browser says that a page of `origin` sent this (Fetch Metadata; RFC 6454).

    Sec-Fetch-Site decides where it is sent. `Origin: null` is what a browser writes under our own no-referrer policy, so it proves nothing alone. A client that
    sends neither header is no browser of today, and is refused: a script uses a token.
    """
    site = headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    found = headers.get("origin")
    if found in (None, "null"):
        return site == "same-origin"
    return found == origin
