"""The terminal's own WebSocket messages, beside those of every channel (`gateway.wire`). Sans-I/O: text to values and back, nothing else.

The first message of a client is `Hello`, which has three keys; every other message is one key that names it. Binary frames are terminal bytes and are
not looked at here. Every length is bounded; anything else is `MalformedMessage`.
"""

from dataclasses import dataclass

from sekisho.gateway.wire import Leave, MalformedMessage, dump, only_item, parse_object, ticket_of

CLIENT_TEXT_LIMIT = 1_024
INPUT_LIMIT_BYTES = 65_536  # of one binary frame of a client
COLUMNS_LIMIT = 1_000
ROWS_LIMIT = 500


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


FromClient = Resize | Leave


def parse_hello(unverified: str) -> Hello:
    """The first message of a client. Raises MalformedMessage."""
    found = parse_object(unverified, CLIENT_TEXT_LIMIT)
    if found.keys() != {"ticket", "columns", "rows"}:
        raise MalformedMessage("not the three keys of a first message")
    return Hello(ticket_of(found), _size(found["columns"], found["rows"]))


def parse_client(unverified: str) -> FromClient:
    """Any later text message of a client. Raises MalformedMessage."""
    name, content = only_item(parse_object(unverified, CLIENT_TEXT_LIMIT))
    if name == "resize" and isinstance(content, list) and len(content) == 2:
        return Resize(_size(*content))
    if name == "leave" and content is True:
        return Leave()
    raise MalformedMessage("neither resize nor leave")


def render_hello(hello: Hello) -> str:
    return dump({"ticket": hello.unverified_ticket, "columns": hello.size.columns, "rows": hello.size.rows})


def render_client(message: FromClient) -> str:
    match message:
        case Resize(size):
            return dump({"resize": [size.columns, size.rows]})
        case Leave():
            return dump({"leave": True})


def clamp(columns: int, rows: int) -> Size:
    """The nearest size that the gateway takes, for a client with an odd screen."""
    return Size(max(1, min(columns, COLUMNS_LIMIT)), max(1, min(rows, ROWS_LIMIT)))


def _size(columns: object, rows: object) -> Size:
    if type(columns) is not int or type(rows) is not int:
        raise MalformedMessage("a size is two whole numbers")
    if not (1 <= columns <= COLUMNS_LIMIT and 1 <= rows <= ROWS_LIMIT):
        raise MalformedMessage("a size out of bounds")
    return Size(columns, rows)
