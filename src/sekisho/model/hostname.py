"""Canonical host names: the only form of a name that policy, resolver, log and the SNI comparison may see.

Strict LDH (RFC 952, RFC 1123 §2.1, RFC 5890 §2.3.1 for A-labels): ASCII letters, digits and inner hyphens, labels of 1 to
63, 253 characters in all, lower case, no trailing dot, at least two labels, and a last label that is not numeric or hexadecimal, so
that no spelling of an address (`2130706433`, `0x7f000001`, `0177.0.0.1`, `127.1`) is ever a name.
"""

import re
from typing import NewType

HostName = NewType("HostName", str)

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
LONGEST = 253


def parse_host_name(unverified: str) -> HostName | None:
    """The canonical form of a name, or None if it is not one. One trailing dot and upper case are forgiven, nothing else."""
    if len(unverified) > LONGEST + 1 or not unverified.isascii():
        return None
    name = unverified.lower().removesuffix(".")
    if len(name) > LONGEST or not _NAME.fullmatch(name):
        return None
    if _NUMERIC.fullmatch(name.rpartition(".")[2]):
        return None
    return HostName(name)
