"""The other end: a service's host and port, its addresses, and what is needed to trust it. Made before the stager gives up the file system."""

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sekisho.staging.placing import StagingFailed

_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")  # of Debian's ca-certificates
Address = tuple[socket.AddressFamily, tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`shown` is what people are told. `tls` is None for plain HTTP, which the settings allow on this machine's own loopback alone."""

    shown: str
    host: str
    port: int
    addresses: tuple[Address, ...]
    tls: ssl.SSLContext | None


def trust_of(url: str, trust: str) -> ssl.SSLContext | None:
    """Reads the authorities: the file `trust`, else the machine's. Raises StagingFailed."""
    if urlsplit(url).scheme == "http":
        return None
    path = Path(trust) if trust else _AUTHORITIES
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise StagingFailed(f"the authorities {path} are not in PEM form") from error
    except OSError as error:
        raise StagingFailed(f"the authorities {path} can't be read: {error.strerror}") from error
    return context


def resolve(url: str, tls: ssl.SSLContext | None) -> Endpoint:
    """Asks the machine's resolver. Raises StagingFailed."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    shown = f"{parts.scheme}://{parts.netloc}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise StagingFailed(f"the name of {shown} can't be resolved: {error.strerror}") from error
    addresses = tuple((family, (str(address[0]), port)) for family, _, _, _, address in found)
    return Endpoint(shown, host, port, addresses, tls)
