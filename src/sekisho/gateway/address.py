"""The caller's address on the rooms' host: the socket's peer, or what listed proxies say. Pure.

A forwarded list is believed from the right, and only while the hop that wrote the next entry is itself listed (RFC 7239 §7.4's advice, on the header
that proxies really send): what a client forges stands to the left of what our own proxy wrote, and is never reached.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

ENTRIES_LIMIT = 32

Networks = tuple[IPv4Network | IPv6Network, ...]


def parse_networks(texts: Iterable[str]) -> Networks:
    """Addresses or CIDR networks. Raises ValueError: it is the settings that are wrong, not a caller."""
    return tuple(ip_network(text) for text in texts)


def caller_address(*, peer: str, forwarded: Sequence[str], trusted: Networks) -> str:
    """The rightmost hop that is not a listed proxy, IPv4-mapped addresses unwrapped. `forwarded`: the X-Forwarded-For values in the order received.

    An entry that is no plain address ends the belief: the caller is then the proxy that handed it on. A `peer` that is no address gives "", which is
    in no place.
    """
    hop = _parse(peer)
    if hop is None:
        return ""
    entries = [entry for value in forwarded for entry in value.split(",")][-ENTRIES_LIMIT:]
    while entries and any(hop.version == network.version and hop in network for network in trusted):
        said = _parse(entries.pop().strip())
        if said is None:
            break
        hop = said
    return str(hop)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        return None if found.scope_id is not None else found.ipv4_mapped or found
    return found
