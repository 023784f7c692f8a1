"""Whose certificate the command line believes: the system's authorities, or one of the installation's own, by file or by fingerprint."""

import hashlib
import re
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from sekisho.cli.loopback import dial
from sekisho.model.errors import Trouble

HTTPS_PORT = 443


def context(authority_pem: str) -> ssl.SSLContext:
    """Verifies names always. "" means the system's authorities; else this one alone."""
    return ssl.create_default_context(cadata=authority_pem or None)


def authority_from_file(path: Path) -> str:
    try:
        pem = path.read_text(encoding="ascii")
        context(pem)
    except (OSError, ValueError, ssl.SSLError) as error:
        raise Trouble("authority-unreadable", f"{path} is no readable certificate", hint="give the installation's tls/ca.pem") from error
    return pem


def authority_by_fingerprint(url: str, fingerprint: str) -> str:
    """The certificate of the server's chain that has this SHA-256, which the installation printed when it started. Nothing is sent before it was found."""
    wanted = re.sub(r"[:\s]", "", fingerprint).lower()
    if not re.fullmatch(r"[0-9a-f]{64}", wanted):
        raise Trouble("fingerprint-malformed", "a fingerprint is a SHA-256: 64 hexadecimal digits", hint="`sekisho up` prints it when it starts")
    chain = _presented_chain(url)
    shown = [hashlib.sha256(certificate).hexdigest() for certificate in chain]
    if wanted not in shown:
        raise Trouble(
            "fingerprint-other", f"{url} shows no certificate with this fingerprint", found=", ".join(shown), hint="compare it with what `sekisho up` printed"
        )
    return ssl.DER_cert_to_PEM_cert(chain[shown.index(wanted)])


def _presented_chain(url: str) -> list[bytes]:
    """DER, unverified, the server's own first."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    try:
        with dial(host, parts.port or HTTPS_PORT) as plain, unverified.wrap_socket(plain, server_hostname=host) as secured:
            # Public as SSLSocket.get_unverified_chain since Python 3.13; in 3.11 and 3.12 only the inner object has it.
            holder = secured if hasattr(secured, "get_unverified_chain") else secured._sslobj  # type: ignore[attr-defined]  # noqa: SLF001
            return [each if isinstance(each, bytes) else ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in holder.get_unverified_chain()]
    except OSError as error:
        raise Trouble("portal-away", f"{url} does not answer: {error}", hint="is the address right, and `sekisho up` running?") from error
