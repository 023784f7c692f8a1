"""What kind of address is this: our own table of IPv4 and IPv6 ranges, and of the forms that carry one address inside another.

`ipaddress.is_global` is not used: it takes NAT64 and 6to4 forms of 169.254.169.254, and cloud metadata services outside 169.254/16, for global.
Sources: the IANA IPv4 and IPv6 special-purpose address registries (RFC 6890 and successors), RFC 4291 (mapped, compatible), RFC 6052 and RFC 8215
(NAT64), RFC 3056 (6to4), RFC 4380 (Teredo), RFC 5214 (ISATAP), and the clouds' documentation of their metadata addresses.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network


class Reach(IntEnum):
    """Who may ever be led there; of several readings of one address the highest holds."""

    PUBLIC = 0
    PRIVATE = 1  # a target only
    LOOPBACK = 2  # a target only, and only where the administrator pinned it
    NEVER = 3


@dataclass(frozen=True, slots=True)
class Range:
    """`name` is for people: "private", "NAT64 of link-local"."""

    name: str
    reach: Reach


PUBLIC = Range("public", Reach.PUBLIC)
UNREADABLE = Range("not an address", Reach.NEVER)


def _v4(network: str, name: str, reach: Reach = Reach.NEVER) -> tuple[IPv4Network, Range]:
    return IPv4Network(network), Range(name, reach)


def _v6(network: str, name: str, reach: Reach = Reach.NEVER) -> tuple[IPv6Network, Range]:
    return IPv6Network(network), Range(name, reach)


# The first that contains the address counts, so a metadata service stands before the range it lies in.
_V4_TABLE = (
    _v4("169.254.169.254/32", "metadata"),
    _v4("169.254.170.2/32", "metadata"),  # AWS ECS
    _v4("169.254.170.23/32", "metadata"),  # AWS EKS
    _v4("169.254.42.42/32", "metadata"),  # Scaleway
    _v4("100.100.100.200/32", "metadata"),  # Alibaba, inside carrier-grade NAT
    _v4("192.0.0.192/32", "metadata"),  # Oracle
    _v4("168.63.129.16/32", "metadata"),  # Azure's wire server, inside public space
    _v4("0.0.0.0/8", "this network"),
    _v4("10.0.0.0/8", "private", Reach.PRIVATE),
    _v4("100.64.0.0/10", "carrier-grade NAT", Reach.PRIVATE),
    _v4("127.0.0.0/8", "loopback", Reach.LOOPBACK),
    _v4("169.254.0.0/16", "link-local"),
    _v4("172.16.0.0/12", "private", Reach.PRIVATE),
    _v4("192.0.0.0/24", "IETF protocol assignments"),
    _v4("192.0.2.0/24", "documentation"),
    _v4("192.31.196.0/24", "AS112"),
    _v4("192.52.193.0/24", "AMT"),
    _v4("192.88.99.0/24", "6to4 relay"),
    _v4("192.168.0.0/16", "private", Reach.PRIVATE),
    _v4("192.175.48.0/24", "AS112"),
    _v4("198.18.0.0/15", "benchmarking"),  # our own synthetic addresses: never lead back in
    _v4("198.51.100.0/24", "documentation"),
    _v4("203.0.113.0/24", "documentation"),
    _v4("224.0.0.0/4", "multicast"),
    _v4("255.255.255.255/32", "broadcast"),
    _v4("240.0.0.0/4", "reserved"),
)

_V6_TABLE = (
    _v6("fd00:ec2::/32", "metadata"),  # AWS
    _v6("fd20:ce::254/128", "metadata"),  # Google Cloud
    _v6("fd00:42::42/128", "metadata"),  # Scaleway
    _v6("::/128", "unspecified"),
    _v6("::1/128", "loopback", Reach.LOOPBACK),
    _v6("fc00::/7", "unique local", Reach.PRIVATE),
    _v6("fe80::/10", "link-local"),
    _v6("fec0::/10", "site-local"),
    _v6("ff00::/8", "multicast"),
    _v6("100::/64", "discard-only"),
    _v6("2001::/23", "IETF protocol assignments"),
    _v6("2001:db8::/32", "documentation"),
    _v6("3fff::/20", "documentation"),
    _v6("2620:4f:8000::/48", "AS112"),
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # all that IANA gives out; the rest is unallocated

_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)


def range_of(address: str) -> Range:
    """The range of a textual address in strict form (no zone, no short, octal or hexadecimal IPv4). What is no address is `UNREADABLE`, reach NEVER."""
    try:
        if ":" in address:
            return _range_of_v6(IPv6Address(address)) if "%" not in address else UNREADABLE
        return _range_of_v4(IPv4Address(address))
    except (AddressValueError, ValueError):
        return UNREADABLE


def innermost(address: str) -> str:
    """The address that one leads to at last, in its one spelling: what IPv4-mapped and NAT64 forms carry, else itself. Raises ValueError for no address."""
    if ":" not in address:
        return str(IPv4Address(address))
    found = IPv6Address(address)
    return str(IPv4Address(int(found) & 0xFFFF_FFFF) if found in _MAPPED or found in _NAT64 else found)


def _range_of_v4(address: IPv4Address) -> Range:
    return next((found for network, found in _V4_TABLE if address in network), PUBLIC)


def _range_of_v6(address: IPv6Address) -> Range:
    number = int(address)
    if address in _MAPPED:
        return _range_of_v4(IPv4Address(number & 0xFFFF_FFFF))
    if address in _NAT64:
        return _carried("NAT64", (number,), at_least=Reach.PUBLIC)
    return _transition(address, number) or _plain_v6(address)


def _transition(address: IPv6Address, number: int) -> Range | None:
    """Forms that carry an IPv4 address through machinery that nobody should need: refused, with the name of what they lead to."""
    for network, form, readings in _FORMS:
        if address in network:
            return _carried(form, readings(number), at_least=Reach.NEVER)
    if address in _COMPATIBLE and number > 1:  # not :: and ::1
        return _carried("IPv4-compatible", (number,), at_least=Reach.NEVER)
    if (number >> 32) & 0xFFFF_FFFF in _ISATAP and (found := _carried("ISATAP", (number,), at_least=Reach.PUBLIC)).reach is not Reach.PUBLIC:
        return Range(found.name, Reach.NEVER)
    return None


def _plain_v6(address: IPv6Address) -> Range:
    found = next((found for network, found in _V6_TABLE if address in network), None)
    if found is not None:
        return found
    return PUBLIC if address in _GLOBAL_UNICAST else Range("unallocated", Reach.NEVER)


def _carried(form: str, readings: tuple[int, ...], *, at_least: Reach) -> Range:
    found = (_range_of_v4(IPv4Address(reading & 0xFFFF_FFFF)) for reading in readings)
    inner = max(found, key=lambda each: (each.reach, each.name != "this network"))  # zeros are what a wrong reading finds
    reach = max(inner.reach, at_least)
    return PUBLIC if reach is Reach.PUBLIC else Range(f"{form} of {inner.name}", reach)


def _rfc6052_readings(number: int) -> tuple[int, int, int]:
    """The embedded address under prefixes of 48, 56 and 64 bits: the octet at bits 64 to 71 is skipped (RFC 6052 §2.2)."""
    whole = ((number >> 64) << 56) | (number & ((1 << 56) - 1))  # without that octet: 120 bits
    return whole >> 40, whole >> 32, whole >> 24


_FORMS: tuple[tuple[IPv6Network, str, Callable[[int], tuple[int, ...]]], ...] = (
    (IPv6Network("64:ff9b:1::/48"), "NAT64", lambda number: (number, *_rfc6052_readings(number))),
    (IPv6Network("2002::/16"), "6to4", lambda number: (number >> 80,)),
    (IPv6Network("2001::/32"), "Teredo", lambda number: (number >> 64, ~number)),
    (IPv6Network("::ffff:0:0:0/96"), "IPv4-translated", lambda number: (number,)),  # SIIT, RFC 2765
)
