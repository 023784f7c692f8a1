"""What a room's network namespace is given by rtnetlink: its loopback device up, a range of addresses that are local to it (AnyIP), and one address by name.

rtnetlink(7); messages are a `nlmsghdr`, a family header and attributes, each padded to 4 bytes. All act on the caller's network namespace.
"""

import os
import socket
import struct

_NLMSG_ERROR = 2
_RTM_NEWLINK = 16
_RTM_NEWADDR = 20
_RTM_NEWROUTE = 24
_REQUEST_ACK = 0x1 | 0x4
_CREATE = 0x400
_IFF_UP = 1
_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_RTA_DST = 1
_RTA_OIF = 4
_RT_TABLE_LOCAL = 255
_RTPROT_BOOT = 3
_RT_SCOPE_HOST = 254
_RTN_LOCAL = 2
LOOPBACK_INDEX = 1  # always, in every network namespace


def raise_loopback() -> None:
    _ask(_RTM_NEWLINK, 0, struct.pack("=BxHiII", socket.AF_UNSPEC, 0, LOOPBACK_INDEX, _IFF_UP, _IFF_UP))


def make_local(network: str, prefix: int) -> None:
    """`ip route add local NETWORK/PREFIX dev lo`: every address of it is this namespace's own."""
    header = struct.pack("=BBBBBBBBI", socket.AF_INET, prefix, 0, 0, _RT_TABLE_LOCAL, _RTPROT_BOOT, _RT_SCOPE_HOST, _RTN_LOCAL, 0)
    attributes = _attribute(_RTA_DST, socket.inet_aton(network)) + _attribute(_RTA_OIF, struct.pack("=I", LOOPBACK_INDEX))
    _ask(_RTM_NEWROUTE, _CREATE, header + attributes)


def add_address(address: str) -> None:
    """`ip addr add ADDRESS/32 dev lo scope host`."""
    header = struct.pack("=BBBBi", socket.AF_INET, 32, 0, _RT_SCOPE_HOST, LOOPBACK_INDEX)
    packed = socket.inet_aton(address)
    _ask(_RTM_NEWADDR, _CREATE, header + _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed))


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _ask(kind: int, flags: int, body: bytes) -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as link:
        link.send(struct.pack("=IHHII", 16 + len(body), kind, _REQUEST_ACK | flags, 1, 0) + body)
        answer = link.recv(8192)
    (_, answered, *_), (code,) = struct.unpack_from("=IHHII", answer), struct.unpack_from("=i", answer, 16)
    if answered != _NLMSG_ERROR or code:
        raise OSError(-code, f"rtnetlink {kind}: {os.strerror(-code)}")
