"""What a squashfs file holds, as unsquashfs tells it."""

import re
import subprocess
from pathlib import Path

_LINE = re.compile(r"(?P<kind>.)(?P<mode>\S{9}) (?P<uid>\d+)/(?P<gid>\d+) +(?P<size>\d+|\d+, *\d+) \S+ \S+ squashfs-root(?P<path>/.*?)?(?: -> (?P<to>.*))?")


def listing(image: Path) -> dict[str, re.Match[str]]:
    """By absolute path: kind, mode, uid, gid, size and, for a link, to."""
    lines = subprocess.run(["unsquashfs", "-lln", str(image)], capture_output=True, text=True, check=True).stdout
    return {found["path"] or "/": found for line in lines.splitlines() if (found := _LINE.fullmatch(line))}


def content(image: Path, path: str) -> bytes:
    return subprocess.run(["unsquashfs", "-cat", str(image), path.lstrip("/")], capture_output=True, check=True).stdout
