"""Ways out by the network: there is none but the listeners of egress."""

import errno
import fcntl
import os
import socket
import struct
from pathlib import Path

from .attempt import NO_SUCH_DOOR, all_refused, attempt, must, refused

NOWHERE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL}
FAR = ["8.8.8.8", "1.1.1.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "168.63.129.16", "100.100.100.200", "224.0.0.251"]
FAR_6 = ["2001:4860:4860::8888", "fd00:ec2::254", "fe80::1%lo", "ff02::fb", "64:ff9b::a9fe:a9fe", "::ffff:169.254.169.254", "::ffff:10.0.0.1",
         "2002:a9fe:a9fe::1"]  # fmt: skip
# as curl, browsers and inet_aton read them
ODD = ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "0xa9.0xfe.0xa9.0xfe", "167772161", "010.0.0.1", "10.1", "134744072"]
LOOPBACK = ["127.0.0.1", "127.1", "0", "0x7f000001", "2130706433", "017700000001", "127.0.0.2", "localhost", "::ffff:127.0.0.1", "::1", "::"]

_NEWLINK, _NEWADDR, _NEWROUTE, _NEWRULE, _NEWNEIGH, _SETLINK = 16, 20, 24, 32, 28, 19


def _connect(address, port, kind=socket.SOCK_STREAM):
    family, _, _, _, target = socket.getaddrinfo(address, port, type=kind)[0]
    with socket.socket(family, kind) as end:
        end.settimeout(2)
        end.connect(target)
        end.send(b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01")
        return end.getpeername()


def _route(kind, payload, flags=0):
    """One request to the kernel's routing netlink (netlink(7), rtnetlink(7)): request, acknowledge, create. Raises OSError with its answer."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as end:
        end.settimeout(2)
        end.send(struct.pack("=IHHII", 16 + len(payload), kind, 0x1 | 0x4 | 0x400 | flags, 1, 0) + payload)
        _, answer, _, _, _ = struct.unpack_from("=IHHII", content := end.recv(8192))
    if answer == 2 and (code := struct.unpack_from("=i", content, 16)[0]):
        raise OSError(-code, os.strerror(-code))
    return answer


def _attribute(kind, content):
    return struct.pack("=HH", 4 + len(content), kind) + content + bytes(-len(content) % 4)


@attempt
def there_is_no_interface_but_lo():
    found = [name for _, name in socket.if_nameindex()]
    return must(found == ["lo"], "only lo", f"interfaces: {found}")


@attempt
def there_is_no_route_out():
    four = Path("/proc/net/route").read_text().splitlines()[1:]
    six = [line for line in Path("/proc/net/ipv6_route").read_text().splitlines() if not line.endswith(" lo")]
    return must(not four and not six, "no route but to lo", f"routes: {four} {six}")


@attempt
def routing_can_not_be_changed():
    address = struct.pack("=BBBBi", socket.AF_INET, 24, 0, 0, 1) + _attribute(2, bytes([10, 0, 0, 2])) + _attribute(1, bytes([10, 0, 0, 2]))
    route = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 254, 3, 0, 1, 0) + _attribute(4, struct.pack("=i", 1))
    link = struct.pack("=BxHiII", 0, 0, 0, 0, 0xFFFFFFFF)
    veth = link + _attribute(3, b"out\0") + _attribute(18, _attribute(1, b"veth\0"))
    abroad = struct.pack("=BxHiII", 0, 0, 1, 0, 0) + _attribute(19, struct.pack("=I", 1))
    rule = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 254, 0, 0, 1, 0)
    neighbour = struct.pack("=BxxxiHBB", socket.AF_INET, 1, 0x80, 0, 0) + _attribute(1, bytes([10, 0, 0, 9])) + _attribute(2, bytes(6))
    return all_refused(
        {
            "add an address": (_route, _NEWADDR, address),
            "add a route": (_route, _NEWROUTE, route),
            "add an interface": (_route, _NEWLINK, veth),
            "move lo to another namespace": (_route, _SETLINK, abroad),
            "add a rule": (_route, _NEWRULE, rule),
            "add a neighbour": (_route, _NEWNEIGH, neighbour),
        },
        by={errno.EPERM},
    )


@attempt
def interfaces_can_not_be_changed_the_old_way():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        request = struct.pack("16sHH4s8x", b"lo", socket.AF_INET, 0, bytes([10, 0, 0, 2]))
        table = {name: (fcntl.ioctl, end, number, request) for name, number in {"SIOCSIFADDR": 0x8916, "SIOCSIFFLAGS": 0x8914, "SIOCADDRT": 0x890B}.items()}
        return all_refused(table, by={errno.EPERM})


@attempt
def raw_and_packet_sockets():
    kinds = {"icmp": (2, 3, 1), "any": (2, 3, 255), "icmp 6": (10, 3, 58)}
    kinds |= {"packet": (17, 3, 0x0300), "packet datagram": (17, 2, 0x0300), "old packet": (2, 10, 0x0300)}
    return all_refused({name: (socket.socket, *kind) for name, kind in kinds.items()}, by={errno.EPERM})


@attempt
def vsock():
    return all_refused({f"type {kind}": (socket.socket, 40, kind, 0) for kind in (1, 2, 5)}, by={errno.EPERM})


@attempt
def every_other_address_family():
    families = [number for number in range(64) if number not in {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK}]
    table = {f"{family}/{kind}": (socket.socket, family, kind, 0) for family in families for kind in (1, 2, 3, 4, 5)}
    all_refused(table, by=NO_SUCH_DOOR)
    return f"{len(table)} kinds"


@attempt
def every_other_protocol_of_the_internet():
    table = {
        f"{family}/{kind}/{protocol}": (socket.socket, family, kind, protocol)
        for family in (socket.AF_INET, socket.AF_INET6)
        for kind in (1, 2, 3, 4, 5, 6)
        for protocol in (*range(256), 262)
        if (kind, protocol) not in {(1, 0), (1, 6), (2, 0), (2, 17)}
    }
    all_refused(table, by={errno.EPERM})
    return f"{len(table)} kinds"


@attempt
def every_netlink_but_the_routing_one():
    return all_refused({str(number): (socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, number) for number in range(1, 32)}, by={errno.EPERM})


@attempt
def names_asked_of_any_server():
    table = {f"{address} {name}": (_connect, address, 53, kind) for address in FAR for name, kind in (("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM))}
    return all_refused(table, by=NOWHERE)


@attempt
def private_and_metadata_addresses():
    return all_refused({f"{address}:{port}": (_connect, address, port) for address in FAR for port in (80, 443, 22)}, by=NOWHERE)


@attempt
def addresses_of_version_6():
    return all_refused({address: (_connect, address, 443) for address in FAR_6}, by={*NOWHERE, errno.ECONNREFUSED})


@attempt
def addresses_in_odd_notations():
    return all_refused({address: (_connect, address, 80) for address in ODD}, by=NOWHERE)


@attempt
def datagrams_to_everybody():
    def shout(address):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            return end.sendto(b"x", (address, 9))

    return all_refused({address: (shout, address) for address in ("255.255.255.255", "10.255.255.255", "224.0.0.1", "239.255.255.250")}, by=NOWHERE)


@attempt
def the_machines_own_loopback(facts):
    table = {address: (_connect, address, facts.port) for address in LOOPBACK}
    return all_refused(table, by={errno.ECONNREFUSED})


@attempt
def sockets_of_the_machine_by_path_and_by_abstract_name(facts):
    def reach(name):
        with socket.socket(socket.AF_UNIX) as end:
            end.connect(name)

    table = {path: (reach, path) for path in facts.paths} | {"abstract": (reach, "\0" + facts.abstract)}
    return all_refused(table, by={errno.ENOENT, errno.ECONNREFUSED, errno.EACCES})


@attempt
def no_abstract_socket_of_anybody_else_is_listed():
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    return must(not lines, "nothing", f"unix sockets: {lines}")


@attempt
def a_socket_bound_to_another_device():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as end:
        table = {name: (end.setsockopt, socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode()) for name in ("eth0", "ens5", "docker0", "br0")}
        return all_refused(table, by={errno.ENODEV})


@attempt
def foreign_source_addresses_get_nowhere():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as end:
        end.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
        end.bind(("10.0.0.2", 0))
        route = refused(end.connect, ("10.0.0.1", 80), by=NOWHERE)
        transparent = refused(end.setsockopt, socket.IPPROTO_IP, 19, 1, by={errno.EPERM}, what="IP_TRANSPARENT")
    return f"connect {route}, IP_TRANSPARENT {transparent}"


@attempt
def the_packet_filter_can_not_be_touched():
    table = {}
    ends = [socket.socket(family, socket.SOCK_STREAM) for family in (socket.AF_INET, socket.AF_INET6)]
    for end, level in zip(ends, (socket.IPPROTO_IP, socket.IPPROTO_IPV6), strict=True):
        table |= {f"replace {level}": (end.setsockopt, level, 64, bytes(96)), f"read {level}": (end.getsockopt, level, 64, 84)}
    return all_refused(table, by={errno.EPERM, errno.ENOPROTOOPT})


@attempt
def socket_filters_in_the_kernel():
    """All rooms and the machine share one store of compiled filters: full, it stops every new room's own."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as end:
        table = {str(option): (end.setsockopt, socket.SOL_SOCKET, option, bytes(16)) for option in (26, 50, 51, 52)}
        return all_refused(table, by={errno.EPERM})
