"""Where an image's packages come from: this machine's own Debian mirrors, as apt knows them, turned to the image's release.

Only Debian's archives are taken over, nothing that the machine has beside them: an image holds Debian. Pure but for `machine_sources`, which reads.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sekisho.model.errors import Trouble

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_ENDINGS = ("", "-updates", "-security")
_SUITE = re.compile(r"[a-z]+(-updates|-security)?(/updates)?")
_ONE_LINE = re.compile(r"deb\s+(?:\[[^]]*]\s+)?(\S+)\s+(\S+)\s+(.+)")


@dataclass(frozen=True, slots=True)
class Source:
    address: str
    suites: tuple[str, ...]
    components: tuple[str, ...]


def machine_sources(suite: str, apt: Path = Path("/etc/apt")) -> str:
    """The deb822 text of the machine's Debian mirrors for a release. Raises Trouble `no-debian-mirror`."""
    found = [source for path in sorted(apt.glob("sources.list.d/*.sources")) for source in parse_deb822(path.read_text())]
    lists = [*apt.glob("sources.list"), *sorted(apt.glob("sources.list.d/*.list"))]
    found += [source for path in lists for source in parse_one_line(path.read_text())]
    debian = [source for source in found if is_debian(source)]
    if not debian:
        raise Trouble(
            "no-debian-mirror", "apt on this machine knows no Debian mirror", found=str(apt), hint="add one to /etc/apt/sources.list.d/debian.sources"
        )
    return render_sources(debian, suite)


def parse_deb822(text: str) -> Iterator[Source]:
    """The enabled binary sources of a `.sources` file (sources.list(5))."""
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.splitlines() if not line.startswith("#")]
        unfolded = re.sub(r"\n[ \t]+", " ", "\n".join(lines))
        fields = {key.strip().lower(): value.strip() for key, found, value in (line.partition(":") for line in unfolded.splitlines()) if found}
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() not in {"no", "false"}:
            for address in fields.get("uris", "").split():
                yield Source(address, tuple(fields.get("suites", "").split()), tuple(fields.get("components", "").split()))


def parse_one_line(text: str) -> Iterator[Source]:
    """The binary sources of a `sources.list` (sources.list(5), one-line style)."""
    for line in text.splitlines():
        if found := _ONE_LINE.fullmatch(line.partition("#")[0].strip()):
            yield Source(found[1], (found[2],), tuple(found[3].split()))


def is_debian(source: Source) -> bool:
    """By the archive's layout: `…/debian` or `…/debian-security`, with a release's name as suite."""
    last = source.address.rstrip("/").rpartition("/")[2]
    return last in {"debian", "debian-security"} and "main" in source.components and all(_SUITE.fullmatch(suite) for suite in source.suites)


def render_sources(sources: list[Source], suite: str) -> str:
    """The same archives for another release, component `main` alone, each once."""
    wanted = sorted({(source.address, suite + _ending(found)) for source in sources for found in source.suites})
    return "\n".join(f"Types: deb\nURIs: {address}\nSuites: {turned}\nComponents: main\nSigned-By: {_KEYRING}\n" for address, turned in wanted)


def _ending(suite: str) -> str:
    return next((ending for ending in _ENDINGS[1:] if ending in suite), "")
