"""The addresses of this machine, of every interface, so that no ordinary rule leads back to it: an RTM_GETADDR dump (rtnetlink(7))."""

import socket
import struct
from ipaddress import ip_address

_RTM_GETADDR, _DUMP, _DONE, _ERROR = 22, 0x301, 3, 2
_IFA_ADDRESS, _IFA_LOCAL = 1, 2


def read_own_addresses() -> frozenset[str]:
    """Textual addresses in their one spelling. Raises OSError if the kernel does not answer."""
    found: set[str] = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as netlink:
        netlink.settimeout(2)
        netlink.send(struct.pack("=IHHII", 24, _RTM_GETADDR, _DUMP, 1, 0) + bytes(8))
        while _take(netlink.recv(65_536), found):
            pass
    return frozenset(found)


def _take(answer: bytes, found: set[str]) -> bool:
    """The addresses of one datagram. False when it was the last."""
    offset = 0
    while offset + 16 <= len(answer):
        length, kind = struct.unpack_from("=IH", answer, offset)
        if kind == _DONE:
            return False
        if kind == _ERROR:
            raise OSError("the kernel refused to list addresses")
        found.update(_address(answer[offset + 24 : offset + length]))
        offset += (length + 3) & ~3
    return True


def _address(attributes: bytes) -> list[str]:
    """IFA_LOCAL, or without it IFA_ADDRESS: of a point-to-point interface the latter is the other end's."""
    found = {}
    offset = 0
    while offset + 4 <= len(attributes):
        length, kind = struct.unpack_from("=HH", attributes, offset)
        if kind in (_IFA_ADDRESS, _IFA_LOCAL):
            found[kind] = str(ip_address(attributes[offset + 4 : offset + length]))
        offset += max(4, (length + 3) & ~3)
    own = found.get(_IFA_LOCAL, found.get(_IFA_ADDRESS))
    return [own] if own else []
