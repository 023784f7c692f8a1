"""The caller's address: the socket's peer, or what listed proxies say. One rule for the portal and the rooms; everything that reads X-Forwarded-For lives here.

A forwarded list is believed from the right, and only as long as the hop that wrote the next entry is itself listed (RFC 7239 §7.4's advice, on the header
that proxies really send). Whatever a client forges stands to the left of what our own proxy wrote, and is never reached.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

ENTRIES_LIMIT = 32

Address = IPv4Address | IPv6Address
Networks = tuple[IPv4Network | IPv6Network, ...]


def parse_networks(texts: Iterable[str]) -> Networks:
    """Addresses or CIDR networks. Raises ValueError for anything else: settings are wrong, not a caller."""
    return tuple(ip_network(text) for text in texts)


def caller_address(*, peer: str, forwarded: Sequence[str], trusted: Networks) -> str:
    """The rightmost hop that is not a listed proxy, in canonical text. `forwarded` are the X-Forwarded-For header values in the order received.

    An entry that is no plain address ends the belief there: the caller is then the proxy that handed it on, which is in nobody's place. A `peer` that is
    not an address (a Unix socket) gives "", which is in no place either.
    """
    current = _parse(peer)
    if current is None:
        return ""
    entries = [entry for value in forwarded for entry in value.split(",")][-ENTRIES_LIMIT:]
    while entries and _is_listed(current, trusted):
        said = _parse(entries.pop().strip())
        if said is None:
            break
        current = said
    return str(current)


def _parse(text: str) -> Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:
            return None
        return found.ipv4_mapped or found
    return found


def _is_listed(address: Address, trusted: Networks) -> bool:
    return any(address.version == network.version and address in network for network in trusted)
