"""The terminal's WebSocket messages, both sides of them. Sans-I/O: text to values and back, nothing else.

Text frames are JSON objects of exactly one of the forms below; binary frames are terminal bytes and are not looked at here. The first message of a
client is `Hello`, which has three keys; every other message is one key that names it. Every length is bounded; anything else is `MalformedMessage`.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

CLIENT_TEXT_LIMIT = 1_024
SERVER_TEXT_LIMIT = 65_536
INPUT_LIMIT_BYTES = 65_536  # of one binary frame of a client
TICKET_LIMIT = 256
COLUMNS_LIMIT = 1_000
ROWS_LIMIT = 500


class MalformedMessage(ValueError):
    """The text is not one of the messages that were expected."""


@dataclass(frozen=True, slots=True)
class Size:
    """Of a terminal, in character cells: 1 to `COLUMNS_LIMIT` by 1 to `ROWS_LIMIT`."""

    columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class Hello:
    unverified_ticket: str
    size: Size


@dataclass(frozen=True, slots=True)
class Resize:
    size: Size


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


FromClient = Resize | Leave
FromServer = Admitted | Extended | Refused | Ended


def parse_hello(unverified: str) -> Hello:
    """The first message of a client. Raises MalformedMessage."""
    found = _parse_object(unverified, CLIENT_TEXT_LIMIT)
    if found.keys() != {"ticket", "columns", "rows"}:
        raise MalformedMessage("not the three keys of a first message")
    ticket = found["ticket"]
    if not isinstance(ticket, str) or not 1 <= len(ticket) <= TICKET_LIMIT or not ticket.isascii():
        raise MalformedMessage("not a ticket")
    return Hello(ticket, _size(found["columns"], found["rows"]))


def parse_client(unverified: str) -> FromClient:
    """Any later text message of a client. Raises MalformedMessage."""
    name, content = _only_item(_parse_object(unverified, CLIENT_TEXT_LIMIT))
    if name == "resize" and isinstance(content, list) and len(content) == 2:
        return Resize(_size(*content))
    if name == "leave" and content is True:
        return Leave()
    raise MalformedMessage("neither resize nor leave")


def parse_server(unverified: str) -> FromServer:
    """A text message of the gateway, for the command line's client. Raises MalformedMessage."""
    name, content = _only_item(_parse_object(unverified, SERVER_TEXT_LIMIT))
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


def render_hello(hello: Hello) -> str:
    return _dump({"ticket": hello.unverified_ticket, "columns": hello.size.columns, "rows": hello.size.rows})


def render_client(message: FromClient) -> str:
    match message:
        case Resize(size):
            return _dump({"resize": [size.columns, size.rows]})
        case Leave():
            return _dump({"leave": True})


def render_server(message: FromServer) -> str:
    match message:
        case Admitted():
            return _dump({"admitted": asdict(message)})
        case Extended():
            return _dump({"extended": asdict(message)})
        case Refused(reason, sentence, facts):
            return _dump({"refused": {"reason": reason, "sentence": sentence, "facts": dict(facts)}})
        case Ended():
            return _dump({"ended": asdict(message)})


def clamp(columns: int, rows: int) -> Size:
    """The nearest size that the gateway takes, for a client with an odd screen."""
    return Size(max(1, min(columns, COLUMNS_LIMIT)), max(1, min(rows, ROWS_LIMIT)))


def _dump(value: Mapping[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _parse_object(unverified: str, limit: int) -> dict[str, object]:
    if len(unverified) > limit:
        raise MalformedMessage("too long")
    try:
        found = json.loads(unverified)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage("not JSON") from error
    if not isinstance(found, dict):
        raise MalformedMessage("not an object")
    return found


def _only_item(found: dict[str, object]) -> tuple[str, object]:
    if len(found) != 1:
        raise MalformedMessage("not one key")
    return next(iter(found.items()))


def _size(columns: object, rows: object) -> Size:
    if type(columns) is not int or type(rows) is not int:
        raise MalformedMessage("a size is two whole numbers")
    if not (1 <= columns <= COLUMNS_LIMIT and 1 <= rows <= ROWS_LIMIT):
        raise MalformedMessage("a size out of bounds")
    return Size(columns, rows)


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
