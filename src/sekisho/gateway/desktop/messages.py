"""The desktop's own WebSocket messages, beside those of every channel (`gateway.wire`). Sans-I/O: text to values and back, nothing else.

The first message of a client carries its ticket alone. A paste has a number of the client's own, which its answer repeats. Binary frames are RFB.
"""

from dataclasses import dataclass

from sekisho.gateway.wire import Leave, MalformedMessage, Refused, dump, only_item, parse_object, refused_content, ticket_of

PASTE_LIMIT_BYTES = 65_536  # of a text in UTF-8
CLIENT_TEXT_LIMIT_BYTES = 6 * PASTE_LIMIT_BYTES + 1_024  # JSON writes a control character in six
BINARY_LIMIT_BYTES = 65_536  # of one binary frame of a client
_FIRST_TEXT_LIMIT = 1_024
_NUMBER_LIMIT = 1 << 53  # JavaScript counts no further


@dataclass(frozen=True, slots=True)
class Hello:
    unverified_ticket: str


@dataclass(frozen=True, slots=True)
class Paste:
    number: int
    text: str

    @property
    def size_bytes(self) -> int:
        return len(self.text.encode())


@dataclass(frozen=True, slots=True)
class Pasted:
    number: int


@dataclass(frozen=True, slots=True)
class PasteRefused:
    number: int
    why: Refused


FromClient = Paste | Leave


def parse_hello(unverified: str) -> Hello:
    """The first message of a client. Raises MalformedMessage."""
    found = parse_object(unverified, _FIRST_TEXT_LIMIT)
    if found.keys() != {"ticket"}:
        raise MalformedMessage("not the one key of a first message")
    return Hello(ticket_of(found))


def parse_client(unverified: str) -> FromClient:
    """Any later text message of a client. Raises MalformedMessage."""
    name, content = only_item(parse_object(unverified, CLIENT_TEXT_LIMIT_BYTES))
    if name == "leave" and content is True:
        return Leave()
    if name == "paste" and isinstance(content, dict) and content.keys() == {"number", "text"}:
        return _paste(content["number"], content["text"])
    raise MalformedMessage("neither paste nor leave")


def render_answer(message: Pasted | PasteRefused) -> str:
    match message:
        case Pasted(number):
            return dump({"pasted": {"number": number}})
        case PasteRefused(number, why):
            return dump({"paste-refused": {"number": number, **refused_content(why)}})


def _paste(number: object, text: object) -> Paste:
    if type(number) is not int or not 0 <= number < _NUMBER_LIMIT:
        raise MalformedMessage("not a number of a paste")
    if not isinstance(text, str) or "\0" in text or not _is_unicode(text):
        raise MalformedMessage("not a text")
    return Paste(number, text)


def _is_unicode(text: str) -> bool:
    """JSON can write half a surrogate pair, which is no character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
