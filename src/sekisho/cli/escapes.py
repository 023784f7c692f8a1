"""What a person types to `sekisho enter` itself, not to the room: `~.` and `~?` at the start of a line, as in ssh and telnet. Sans-I/O."""

from dataclasses import dataclass
from enum import Enum, auto


class Wish(Enum):
    DISCONNECT = auto()
    HELP = auto()


@dataclass(frozen=True, slots=True)
class Typed:
    """What goes to the room, then what was wished for after it, if anything. Nothing that was typed after a `DISCONNECT` is looked at."""

    content: bytes
    wishes: tuple[Wish, ...] = ()


class Escapes:
    """One per entry. A `~` at the start of a line waits for the next key; `~~` sends one."""

    def __init__(self) -> None:
        self._at_line_start = True
        self._is_held = False

    def feed(self, typed: bytes) -> Typed:
        content = bytearray()
        wishes: list[Wish] = []
        for byte in typed:
            key = bytes((byte,))
            if not self._is_held:
                self._plain(key, content)
                continue
            self._is_held = False
            match key:
                case b".":
                    return Typed(bytes(content), (*wishes, Wish.DISCONNECT))
                case b"?":
                    wishes.append(Wish.HELP)
                case b"~":
                    content += b"~"
                    self._at_line_start = False
                case _:
                    content += b"~"
                    self._at_line_start = False
                    self._plain(key, content)
        return Typed(bytes(content), tuple(wishes))

    def _plain(self, key: bytes, content: bytearray) -> None:
        if key == b"~" and self._at_line_start:
            self._is_held = True
            return
        content += key
        self._at_line_start = key in (b"\r", b"\n")
