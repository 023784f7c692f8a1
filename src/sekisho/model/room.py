"""A room: the definition that one TOML file gives (design §6). Values only; `sessions.roomfile` reads and checks them."""

from dataclasses import dataclass, field
from datetime import time, timedelta
from enum import StrEnum

from sekisho.model.hostname import HostName


class Kind(StrEnum):
    """How a room is shown. In the order in which they are offered."""

    DESKTOP = "desktop"
    TERMINAL = "terminal"


@dataclass(frozen=True, slots=True)
class Hours:
    """`Mon-Fri 09:00-19:00 Asia/Tokyo`: weekdays 0 (Monday) to 6, local wall-clock times, an IANA zone. `ends` is exclusive;
    `ends <= starts` runs over midnight and belongs to the day it started on; `00:00-24:00` is kept as starts == ends."""

    weekdays: frozenset[int]
    starts: time
    ends: time
    zone: str


@dataclass(frozen=True, slots=True)
class Access:
    people: tuple[str, ...]  # "group:marketing" or "person:hanako"
    places: tuple[str, ...]  # names of places; empty: nobody
    hours: Hours | None
    longest: timedelta
    idle_end: timedelta | None = None
    second_factor: bool = False  # asked for at entry, and of who approves


@dataclass(frozen=True, slots=True)
class Approval:
    by: tuple[str, ...]
    needed: int
    reason_characters: int
    ticket: str | None  # a regular expression that the whole ticket must match


@dataclass(frozen=True, slots=True)
class EgressRule:
    """A name that may be reached. `wildcard` means any name that ends in `.name`, never `name` itself."""

    name: HostName
    port: int
    wildcard: bool = False
    tls: bool = True
    target: str = ""  # the target's own name when this rule came from [targets]; only then may it lead to a private address

    @property
    def is_target(self) -> bool:
        return self.target != ""

    def __str__(self) -> str:
        return f"{'*.' if self.wildcard else ''}{self.name}:{self.port}"


@dataclass(frozen=True, slots=True)
class FileSource:
    """`url` is `file:NAME/folder` or `s3://NAME/prefix`, where NAME is a source or a bucket of the settings; `to` an absolute path in the room."""

    url: str
    to: str = "/data"

    @property
    def is_bucket(self) -> bool:
        return self.url.startswith("s3://")

    @property
    def name(self) -> str:
        return self._parts[0]

    @property
    def below(self) -> str:
        """Folder or prefix, without a slash at its end; empty for the whole."""
        return self._parts[1]

    @property
    def _parts(self) -> tuple[str, str]:
        name, _, below = self.url.removeprefix("s3://" if self.is_bucket else "file:").partition("/")
        return name, below


@dataclass(frozen=True, slots=True)
class Limits:
    memory_bytes: int
    data_bytes: int
    home_bytes: int
    tmp_bytes: int
    cpu: float
    processes: int


@dataclass(frozen=True, slots=True)
class Clipboard:
    paste_in: bool = True


@dataclass(frozen=True, slots=True)
class Room:
    name: str
    digest: str  # SHA-256 hex of the file's bytes; a grant is bound to it
    title: str
    image: str
    kinds: tuple[Kind, ...]
    access: Access
    approval: Approval
    limits: Limits
    clipboard: Clipboard = Clipboard()
    files: tuple[FileSource, ...] = ()
    egress: tuple[EgressRule, ...] = ()  # [egress] allow, and [targets]
    noexec: tuple[str, ...] = ()  # of "/data", "/home", "/tmp"
    description: str = ""
    text: str = field(default="", repr=False)  # the file itself: kept with the first request that is bound to it


@dataclass(frozen=True, slots=True)
class Place:
    """A named set of networks, in CIDR notation, that people may come from."""

    name: str
    networks: tuple[str, ...] = field(default_factory=tuple)
