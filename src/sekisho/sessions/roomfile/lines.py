"""On which line of a TOML text a key stands. `tomllib` does not say; a message that names the line is worth a small scan.

The scan never decides anything: where it is wrong, only the number in a message is.
"""

import re
from collections.abc import Mapping

Path = tuple[str | int, ...]

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=(.*)$""")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


def line_of(path: Path, lines: Mapping[Path, int]) -> int:
    """The line of the nearest part of the path that has one; 1 if none has."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


def find_lines(text: str) -> dict[Path, int]:
    """Path of a table or key -> line, counted from 1."""
    found: dict[Path, int] = {}
    table: Path = ()
    closing = ""  # of the multi-line string that we are in
    for number, line in enumerate(text.splitlines(), start=1):
        if closing:
            closing = "" if closing in line else closing
        elif header := _HEADER.match(line):
            table = _table(header, found)
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault((*table, *_parts(key[1])), number)
            closing = _unclosed(key[2])
    return found


def _table(header: re.Match[str], found: Mapping[Path, int]) -> Path:
    parts = _parts(header[2])
    if header[1] == "[":
        return parts
    index = 0
    while (*parts, index) in found:
        index += 1
    return (*parts, index)


def _parts(key: str) -> Path:
    return tuple(part.strip("\"'") for part in _PART.findall(key))


def _unclosed(value: str) -> str:
    start = value.lstrip()
    return next((quote for quote in ('"""', "'''") if start.startswith(quote) and quote not in start[3:]), "")
