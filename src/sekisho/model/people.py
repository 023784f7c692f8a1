"""People, and how they came."""

from dataclasses import dataclass, field
from enum import StrEnum

ADMINISTRATORS = "administrators"
AUDITORS = "auditors"


@dataclass(frozen=True, slots=True)
class Person:
    """A signed-in person, never a process. `name` is unique and is what the log shows."""

    name: str
    groups: frozenset[str] = field(default_factory=frozenset)
    display: str = ""
    language: str = "en"

    @property
    def is_administrator(self) -> bool:
        return ADMINISTRATORS in self.groups

    @property
    def is_auditor(self) -> bool:
        return AUDITORS in self.groups


class Channel(StrEnum):
    """What somebody came through. The same decision is asked whichever it is."""

    PAGE = "page"
    API = "api"
    DESKTOP = "desktop"
    TERMINAL = "terminal"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who does something, from which address (textual IP, already taken from the socket or a listed proxy), through what."""

    person: Person
    address: str
    channel: Channel
