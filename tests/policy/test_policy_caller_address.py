"""Whose address it is: the socket's, or what a listed proxy says, and never what a client wrote."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.policy.caller_address import caller_address, parse_networks

PROXIES = parse_networks(("10.0.0.0/24", "fd00::1"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.7", (), "192.0.2.7"),
        ("192.0.2.7", ("10.1.2.3",), "192.0.2.7"),  # a stranger's word on itself
        ("10.0.0.1", ("192.0.2.7",), "192.0.2.7"),
        ("10.0.0.1", ("198.51.100.9, 192.0.2.7",), "192.0.2.7"),  # what the client forged stands to the left
        ("10.0.0.1", ("198.51.100.9", "192.0.2.7"), "192.0.2.7"),  # the same in two headers
        ("10.0.0.1", ("192.0.2.7, 10.0.0.2",), "192.0.2.7"),  # two listed proxies in a row
        ("10.0.0.1", ("10.0.0.3, 10.0.0.2",), "10.0.0.3"),  # all listed: the first that is known
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("",), "10.0.0.1"),
        ("10.0.0.1", ("192.0.2.7, unknown",), "10.0.0.1"),  # malformed: belief ends
        ("10.0.0.1", ("192.0.2.7:8080",), "10.0.0.1"),
        ("10.0.0.1", ("2130706433",), "10.0.0.1"),
        ("fd00::1", ("2001:db8::5",), "2001:db8::5"),
        ("::ffff:10.0.0.1", ("::ffff:192.0.2.7",), "192.0.2.7"),
        ("fe80::1%eth0", (), ""),
        ("", ("192.0.2.7",), ""),
        ("testclient", ("192.0.2.7",), ""),
    ],
)
def test_the_caller_is_the_rightmost_hop_that_is_not_a_listed_proxy(peer, forwarded, expected):
    assert caller_address(peer=peer, forwarded=forwarded, trusted=PROXIES) == expected


@settings(max_examples=100)
@given(forged=st.lists(st.text(max_size=60), max_size=5))
def test_nothing_that_a_client_sends_moves_its_address(forged):
    assert caller_address(peer="192.0.2.7", forwarded=forged, trusted=PROXIES) == "192.0.2.7"
    assert caller_address(peer="10.0.0.1", forwarded=[*forged, "192.0.2.7"], trusted=PROXIES) == "192.0.2.7"
