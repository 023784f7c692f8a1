"""From where: which places hold an address. An empty list of wanted places holds nobody."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from sekisho.model.reasons import Reason
from sekisho.model.room import Place
from sekisho.policy.texts import shown
from sekisho.policy.verdict import Allow, Deny

_ADDRESS_LIMIT_CHARACTERS = 64


def parse_address(unverified: str) -> IPv4Address | IPv6Address | None:
    """An address as text, an IPv4 one that is mapped into IPv6 (RFC 4291 §2.5.5.2) unwrapped; None if it is not one."""
    if len(unverified) > _ADDRESS_LIMIT_CHARACTERS:
        return None
    try:
        address = ip_address(unverified)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def place_of(address: str, places: Sequence[Place]) -> tuple[str, ...]:
    """The names of the places that hold the address, in their order; none for what is not an address. Raises ValueError for a network that is not one."""
    parsed = parse_address(address)
    if parsed is None:
        return ()
    return tuple(place.name for place in places if any(parsed in _network(text) for text in place.networks))


def decide_place(address: str, *, wanted: Sequence[str], places: Sequence[Place]) -> Allow | Deny:
    """Is the address in one of the wanted places?"""
    found = next((name for name in place_of(address, places) if name in wanted), None)
    if found is None:
        return Deny(Reason.OUTSIDE_PLACE, {"address": shown(address), "places": ", ".join(wanted) or "any place (none is listed)"})
    return Allow(f"place:{found}")


@lru_cache(maxsize=1024)
def _network(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text)
