"""One-time capabilities: registered by their SHA-256, redeemed once by who shows the secret, for a kind that this asker may open.
Held in memory only: a restart forgets them all."""

import hashlib
from collections.abc import Collection

from sekisho.model.errors import Trouble
from sekisho.runtime.protocol import CAPABILITY_BYTES, OpenKind, Register

_LIMIT = 4096


class Capabilities:
    def __init__(self) -> None:
        self._waiting: dict[str, Register] = {}

    def register(self, order: Register, *, now: float) -> None:
        self._waiting = {digest: each for digest, each in self._waiting.items() if each.expires_at > now}
        if len(self._waiting) >= _LIMIT:
            raise Trouble("too-many-capabilities", f"{_LIMIT} capabilities wait to be redeemed")
        self._waiting[order.capability_sha256] = order

    def redeem(self, capability: str, kinds: Collection[OpenKind], *, now: float) -> Register | None:
        """What it opens, or None. Used up either way."""
        try:
            secret = bytes.fromhex(capability)
        except ValueError:
            return None
        if len(secret) != CAPABILITY_BYTES:
            return None
        order = self._waiting.pop(hashlib.sha256(secret).hexdigest(), None)
        return order if order is not None and order.kind in kinds and order.expires_at > now else None
