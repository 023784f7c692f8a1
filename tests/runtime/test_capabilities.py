"""Capabilities: each opens once, for the kind it was registered for, to those who may open that kind."""

import hashlib
import secrets

import pytest

from sekisho.runtime.capabilities import Capabilities
from sekisho.runtime.protocol import OpenKind, Register

GATEWAY = frozenset({OpenKind.DESKTOP, OpenKind.TERMINAL})
EGRESS = frozenset({OpenKind.EGRESS})


def registered(capabilities: Capabilities, kind: OpenKind, *, expires_at: float = 10.0) -> str:
    secret = secrets.token_bytes(32)
    digest = hashlib.sha256(secret).hexdigest()
    capabilities.register(Register(1, digest, "s-one", kind, "hanako", expires_at), now=0.0)
    return secret.hex()


@pytest.mark.parametrize("kind", sorted(GATEWAY))
def test_who_may_open_two_kinds_opens_each_by_a_capability_of_that_kind(kind: OpenKind):
    capabilities = Capabilities()
    opened = capabilities.redeem(registered(capabilities, kind), GATEWAY, now=1.0)
    assert opened is not None
    assert (opened.session, opened.kind) == ("s-one", kind)


@pytest.mark.parametrize(
    ("kind", "kinds", "now"),
    [
        (OpenKind.DESKTOP, EGRESS, 1.0),
        (OpenKind.EGRESS, GATEWAY, 1.0),
        (OpenKind.DESKTOP, frozenset(), 1.0),
        (OpenKind.DESKTOP, GATEWAY, 10.0),
    ],
)
def test_a_capability_of_another_kind_or_too_late_opens_nothing_and_is_used_up(kind: OpenKind, kinds: frozenset[OpenKind], now: float):
    capabilities = Capabilities()
    secret = registered(capabilities, kind)
    assert capabilities.redeem(secret, kinds, now=now) is None
    assert capabilities.redeem(secret, frozenset(OpenKind), now=1.0) is None


@pytest.mark.parametrize("shown", ["", "zz", "00", "0" * 62, "00" * 32])
def test_what_was_never_registered_opens_nothing(shown: str):
    assert Capabilities().redeem(shown, frozenset(OpenKind), now=0.0) is None
