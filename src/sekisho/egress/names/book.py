"""Which synthetic address stands for which name: one per name, kept for the session's life, across restarts of egress too.

A session's book is one file of names, one a line; a name's line number is its address. It is written before the address is given out and needs no sync: it
must outlive this process, not the machine, for the room does not outlive the machine either.
"""

import os
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from sekisho.model.hostname import HostName, parse_host_name
from sekisho.model.reasons import Reason
from sekisho.policy.egress import Listed, Rules, decide_name
from sekisho.policy.verdict import Deny

POOL = IPv4Network("198.18.0.0/15")  # RFC 2544; on the room's `lo` by an AnyIP route
FIRST = POOL[256]  # 198.18.0.x stays free for listeners of ours; 198.18.0.1 is the room's own
_MOST = 65_536  # of all names, listed one by one or chosen by the room
MOST_CHOSEN = 4096  # of names that the room chose under a wildcard: each lets labels of its choice reach that zone's servers


class NameBook:
    """Open it with a path of the session's own; `close` keeps the file. Raises OSError, and ValueError for a damaged file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._names: list[HostName] = []
        self._places: dict[HostName, int] = {}
        self._chosen = 0
        try:
            for line in _whole_lines(self._file):
                self._remember(line)
        except ValueError:
            os.close(self._file)
            raise

    def address_of(self, name: HostName, *, is_chosen: bool) -> IPv4Address | None:
        """The name's address, a fresh one if it has none yet; None if the session has used up its names. `is_chosen`: a wildcard lists it. Raises OSError."""
        place = self._places.get(name)
        if place is None:
            if len(self._names) >= _MOST or (is_chosen and self._chosen >= MOST_CHOSEN):
                return None
            self._write(f"{'*' if is_chosen else '='}{name}\n".encode())
            place = self._add(name, is_chosen=is_chosen)
        return FIRST + place

    def name_at(self, address: IPv4Address) -> HostName | None:
        """The name that was meant by an address in the room, or None if the address was never given out."""
        place = int(address) - int(FIRST)
        return self._names[place] if 0 <= place < len(self._names) else None

    def close(self) -> None:
        os.close(self._file)

    def _remember(self, line: str) -> None:
        name = parse_host_name(line[1:])
        if name is None or name in self._places:
            raise ValueError(f"{self._path.name}: line {len(self._names) + 1} is no name, or one that was there before")
        self._add(name, is_chosen=line[0] == "*")

    def _write(self, line: bytes) -> None:
        """All of the line or nothing, so that a full disk leaves no half line for the next to join."""
        before = os.fstat(self._file).st_size
        if os.write(self._file, line) != len(line):
            os.ftruncate(self._file, before)
            raise OSError(f"{self._path.name}: no space for a name")

    def _add(self, name: HostName, *, is_chosen: bool) -> int:
        self._places[name] = len(self._names)
        self._names.append(name)
        self._chosen += is_chosen
        return self._places[name]


def admit_name(rules: Rules, book: NameBook, unverified: str, port: int | None) -> Listed | Deny:
    """The decision on a name with its last part, the session's count of names. Raises OSError when the book cannot be written: a refusal too."""
    listed = decide_name(rules, unverified, port)
    if isinstance(listed, Listed) and book.address_of(listed.name, is_chosen=listed.rule.wildcard) is None:
        return Deny(Reason.TOO_MANY_NAMES, {"name": listed.name, "most": str(MOST_CHOSEN)})
    return listed


def _whole_lines(file: int) -> list[str]:
    """The lines of the file. What follows the last newline was cut off by a kill before its address was given out, and is dropped."""
    content = os.pread(file, os.fstat(file).st_size, 0)
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.ftruncate(file, len(whole))
    return whole.decode("ascii").splitlines()
