"""What the WebSockets of every channel say in text, and the one error of whatever parses hostile bytes here. Sans-I/O: text to values and back.

Text frames are JSON objects. The first of a client carries its ticket and whatever else its channel needs; every other one has a single key that names
it. Every length is bounded; anything else is `MalformedMessage`. Binary frames are the channel's own.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

SERVER_TEXT_LIMIT = 65_536
TICKET_LIMIT = 256


class MalformedMessage(ValueError):
    """What came is not one of the messages that were expected."""


@dataclass(frozen=True, slots=True)
class Leave:
    """The person asks that the session be ended, not only this connection."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """`ends_at` and `now` are UNIX seconds by the server's clock, so that a countdown does not need the client's. `again`: a single-use ticket to
    reconnect with."""

    session: str
    room: str
    title: str
    person: str
    language: str
    ends_at: float
    now: float
    again: str
    paste_in: bool


@dataclass(frozen=True, slots=True)
class Extended:
    ends_at: float


@dataclass(frozen=True, slots=True)
class Refused:
    reason: str
    sentence: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ended:
    """Over for good. `reason` is an EndReason or a Reason."""

    reason: str


FromServer = Admitted | Extended | Refused | Ended


def parse_server(unverified: str) -> FromServer:
    """A text message of the gateway, for the command line's client. Raises MalformedMessage."""
    name, content = only_item(parse_object(unverified, SERVER_TEXT_LIMIT))
    if not isinstance(content, dict):
        raise MalformedMessage("no object")
    match name:
        case "admitted":
            return _admitted(content)
        case "extended":
            return Extended(_seconds(content, "ends_at"))
        case "refused":
            return Refused(_text(content, "reason"), _text(content, "sentence"), _facts(content.get("facts")))
        case "ended":
            return Ended(_text(content, "reason"))
        case _:
            raise MalformedMessage("unknown message")


def render_server(message: FromServer) -> str:
    match message:
        case Admitted():
            return dump({"admitted": asdict(message)})
        case Extended():
            return dump({"extended": asdict(message)})
        case Refused():
            return dump({"refused": refused_content(message)})
        case Ended():
            return dump({"ended": asdict(message)})


def refused_content(refused: Refused) -> dict[str, object]:
    return {"reason": refused.reason, "sentence": refused.sentence, "facts": dict(refused.facts)}


def dump(value: Mapping[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def parse_object(unverified: str, limit: int) -> dict[str, object]:
    """`limit` is in characters. Raises MalformedMessage."""
    if len(unverified) > limit:
        raise MalformedMessage("too long")
    try:
        found = json.loads(unverified)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage("not JSON") from error
    if not isinstance(found, dict):
        raise MalformedMessage("not an object")
    return found


def only_item(found: Mapping[str, object]) -> tuple[str, object]:
    if len(found) != 1:
        raise MalformedMessage("not one key")
    return next(iter(found.items()))


def ticket_of(found: Mapping[str, object]) -> str:
    """The unverified ticket of a first message."""
    ticket = found.get("ticket")
    if not isinstance(ticket, str) or not 1 <= len(ticket) <= TICKET_LIMIT or not ticket.isascii():
        raise MalformedMessage("not a ticket")
    return ticket


def _admitted(content: dict[str, object]) -> Admitted:
    texts = {name: _text(content, name) for name in ("session", "room", "title", "person", "language", "again")}
    paste_in = content.get("paste_in")
    if type(paste_in) is not bool:
        raise MalformedMessage("paste_in")
    return Admitted(**texts, ends_at=_seconds(content, "ends_at"), now=_seconds(content, "now"), paste_in=paste_in)


def _text(content: dict[str, object], name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str):
        raise MalformedMessage(name)
    return value


def _seconds(content: dict[str, object], name: str) -> float:
    value = content.get(name)
    if type(value) not in (int, float):
        raise MalformedMessage(name)
    try:
        seconds = float(value)  # type: ignore[arg-type]  # int or float, checked above
    except OverflowError as error:
        raise MalformedMessage(name) from error
    if not math.isfinite(seconds):
        raise MalformedMessage(name)
    return seconds


def _facts(found: object) -> dict[str, str]:
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise MalformedMessage("facts")
    return found
