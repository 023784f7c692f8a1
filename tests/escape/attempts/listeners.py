"""Taking over the listeners of egress: a room must not stand between itself and the decision."""

import errno
import socket

from .attempt import attempt, refused

TAKEN = {errno.EADDRINUSE, errno.EACCES}
_FREEBIND = 15
OPTIONS = {
    "plain": [],
    "reuse address": [(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)],
    "reuse port": [(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)],
    "reuse both": [(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1), (socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)],
    "on lo": [(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo"), (socket.SOL_SOCKET, socket.SO_REUSEPORT, 1), (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)],
    "free": [(socket.IPPROTO_IP, _FREEBIND, 1), (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)],
}


def _take(address, port, kind, options):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as end:
        if family == socket.AF_INET6:
            end.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        for option in options:
            end.setsockopt(*option)
        end.bind((address, port))
        if kind == socket.SOCK_STREAM:
            end.listen()
        return end.getsockname()


def _refused(address, port, kind=socket.SOCK_STREAM):
    return ", ".join(f"{name} {refused(_take, address, port, kind, options, by=TAKEN, what=f'{address}:{port} {name}')}" for name, options in OPTIONS.items())


@attempt
def the_listener_of_all_names_low():
    return " / ".join(_refused(address, 443) for address in ("0.0.0.0", "127.0.0.1", "198.18.3.7", "::", "::ffff:198.18.3.7"))  # noqa: S104  the attempt


@attempt
def the_listener_of_all_names_high():
    """Above 1024 nothing but the listener itself is in the way."""
    return " / ".join(_refused(address, 8443) for address in ("0.0.0.0", "127.0.0.1", "198.18.3.7", "198.19.255.255", "::", "::ffff:198.18.3.7"))  # noqa: S104


@attempt
def the_proxy():
    return " / ".join(_refused(address, 3128) for address in ("127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1"))  # noqa: S104


@attempt
def the_name_server():
    kinds = (socket.SOCK_DGRAM, socket.SOCK_STREAM)
    return " / ".join(_refused(address, 53, kind) for address in ("127.0.0.53", "0.0.0.0", "::", "127.0.0.1", "::ffff:127.0.0.53") for kind in kinds)  # noqa: S104


@attempt
def a_client_bound_to_the_listeners_port():
    """A connecting socket that holds the port could become what others reach (simultaneous open)."""

    def connect():
        with socket.socket() as end:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            end.bind(("127.0.0.1", 3128))
            end.connect(("127.0.0.1", 8443))

    return refused(connect, by=TAKEN)
