"""Addresses and what they are, in every form that can carry another."""

import socket
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.policy.ranges import Reach, innermost, range_of

PUBLIC, PRIVATE, LOOPBACK, NEVER = Reach


@pytest.mark.parametrize(
    ("address", "reach", "name"),
    [
        ("93.184.216.34", PUBLIC, "public"),
        ("1.1.1.1", PUBLIC, "public"),
        ("223.255.255.255", PUBLIC, "public"),
        ("2606:4700::1111", PUBLIC, "public"),
        ("10.0.0.0", PRIVATE, "private"),
        ("172.15.255.255", PUBLIC, "public"),
        ("172.16.0.0", PRIVATE, "private"),
        ("172.31.255.255", PRIVATE, "private"),
        ("192.168.1.1", PRIVATE, "private"),
        ("100.64.0.1", PRIVATE, "carrier-grade NAT"),
        ("100.100.100.200", NEVER, "metadata"),
        ("127.0.0.1", LOOPBACK, "loopback"),
        ("127.255.255.255", LOOPBACK, "loopback"),
        ("0.0.0.0", NEVER, "this network"),  # noqa: S104
        ("0.1.2.3", NEVER, "this network"),
        ("169.254.169.254", NEVER, "metadata"),
        ("169.254.0.1", NEVER, "link-local"),
        ("192.0.0.192", NEVER, "metadata"),
        ("168.63.129.16", NEVER, "metadata"),
        ("192.0.0.8", NEVER, "IETF protocol assignments"),
        ("192.0.2.1", NEVER, "documentation"),
        ("198.51.100.7", NEVER, "documentation"),
        ("203.0.113.66", NEVER, "documentation"),
        ("192.88.99.1", NEVER, "6to4 relay"),
        ("198.18.0.1", NEVER, "benchmarking"),
        ("198.19.255.255", NEVER, "benchmarking"),
        ("198.20.0.0", PUBLIC, "public"),
        ("224.0.0.1", NEVER, "multicast"),
        ("239.255.255.250", NEVER, "multicast"),
        ("240.0.0.1", NEVER, "reserved"),
        ("255.255.255.255", NEVER, "broadcast"),
        ("::", NEVER, "unspecified"),
        ("::1", LOOPBACK, "loopback"),
        ("fe80::1", NEVER, "link-local"),
        ("fec0::1", NEVER, "site-local"),
        ("fd12::1", PRIVATE, "unique local"),
        ("fd00:ec2::254", NEVER, "metadata"),
        ("fd20:ce::254", NEVER, "metadata"),
        ("ff02::1", NEVER, "multicast"),
        ("100::1", NEVER, "discard-only"),
        ("2001:db8::1", NEVER, "documentation"),
        ("3fff::1", NEVER, "documentation"),
        ("2001:2::1", NEVER, "IETF protocol assignments"),
        ("4000::1", NEVER, "unallocated"),
        ("::ffff:93.184.216.34", PUBLIC, "public"),
        ("::ffff:a9fe:a9fe", NEVER, "metadata"),
        ("::ffff:127.0.0.1", LOOPBACK, "loopback"),
        ("::ffff:10.1.2.3", PRIVATE, "private"),
        ("::127.0.0.1", NEVER, "IPv4-compatible of loopback"),
        ("::93.184.216.34", NEVER, "IPv4-compatible of public"),
        ("::ffff:0:127.0.0.1", NEVER, "IPv4-translated of loopback"),
        ("64:ff9b::5db8:d822", PUBLIC, "public"),
        ("64:ff9b::a9fe:a9fe", NEVER, "NAT64 of metadata"),
        ("64:ff9b::10.0.0.1", PRIVATE, "NAT64 of private"),
        ("64:ff9b::127.0.0.1", LOOPBACK, "NAT64 of loopback"),
        ("64:ff9b:1::a9fe:a9fe", NEVER, "NAT64 of metadata"),
        ("64:ff9b:1:a9fe:a9:fe00::", NEVER, "NAT64 of metadata"),  # RFC 6052 with a prefix of 48 bits
        ("2002:a9fe:a9fe::", NEVER, "6to4 of metadata"),
        ("2002:5db8:d822::1", NEVER, "6to4 of public"),
        ("2001:0:5db8:d822:0:0:5601:5601", NEVER, "Teredo of metadata"),
        ("2001:0:a9fe:a9fe::1", NEVER, "Teredo of metadata"),
        ("2606:4700::5efe:a9fe:a9fe", NEVER, "ISATAP of metadata"),
        ("2606:4700::200:5efe:10.0.0.1", NEVER, "ISATAP of private"),
        ("2606:4700::5efe:93.184.216.34", PUBLIC, "public"),
        ("fe80::1%lo", NEVER, "not an address"),
        ("127.1", NEVER, "not an address"),
        ("0177.0.0.1", NEVER, "not an address"),
        ("2130706433", NEVER, "not an address"),
        ("", NEVER, "not an address"),
        ("localhost", NEVER, "not an address"),
    ],
)
def test_every_range_is_known_in_every_form(address: str, reach: Reach, name: str):
    found = range_of(address)
    assert found.reach is reach
    assert found.name == name


@settings(deadline=None)
@given(st.integers(2, 2**32 - 1))  # 0 and 1 in compatible form are :: and ::1
def test_no_form_of_an_ipv4_address_is_freer_than_the_address_itself(number: int):
    plain = range_of(str(IPv4Address(number))).reach
    packed = number.to_bytes(4)
    forms = (
        bytes(10) + b"\xff\xff" + packed,
        bytes(12) + packed,
        bytes(8) + b"\xff\xff\0\0" + packed,
        b"\0\x64\xff\x9b" + bytes(8) + packed,
        b"\0\x64\xff\x9b\0\x01" + bytes(6) + packed,
        b"\0\x64\xff\x9b\0\x01" + packed[:2] + b"\0" + packed[2:] + bytes(5),
        b"\x20\x02" + packed + bytes(10),
        b"\x20\x01\0\0" + packed + bytes(8),
        b"\x20\x01\0\0" + bytes(8) + bytes(255 - byte for byte in packed),
        b"\x26\x06\x47\0" + bytes(4) + b"\0\0\x5e\xfe" + packed,
    )
    for form in forms:
        assert range_of(socket.inet_ntop(socket.AF_INET6, form)).reach >= plain


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_has_a_range(text: str):
    assert range_of(text).reach in Reach


@pytest.mark.parametrize(
    ("address", "inner"), [("::ffff:1.2.3.4", "1.2.3.4"), ("64:ff9b::1.2.3.4", "1.2.3.4"), ("2606:4700::0001", "2606:4700::1"), ("1.2.3.4", "1.2.3.4")]
)
def test_one_address_has_one_spelling(address: str, inner: str):
    assert innermost(address) == inner
