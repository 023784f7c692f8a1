"""Bracketed paste taken out of a person's input, where the room says `[clipboard] in = false`. Sans-I/O.

A terminal marks what was pasted with ESC [ 200 ~ and ESC [ 201 ~ when the program asked for it (bash does). That can be refused. A paste that comes
unmarked, or is typed by a machine, cannot be told from typing by anybody: the page refuses it where it still knows, and `docs` say so.
"""

_BEGIN = b"\x1b[200~"
_END = b"\x1b[201~"


class PasteRefuser:
    """One per connection. `feed` gives what was typed. At most five bytes, the beginnings of a mark, wait for the next call."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_pasting = False

    def feed(self, typed: bytes) -> bytes:
        rest, kept = self._rest + typed, []
        while True:
            before, mark, after = rest.partition(_END if self._is_pasting else _BEGIN)
            if not mark:
                break
            if not self._is_pasting:
                kept.append(before)
            self._is_pasting = not self._is_pasting
            rest = after
        held = _begun(rest, _END, least=1) if self._is_pasting else _begun(rest, _BEGIN, least=2)
        self._rest = rest[len(rest) - held :]
        if not self._is_pasting:
            kept.append(rest[: len(rest) - held])
        return b"".join(kept)


def _begun(text: bytes, mark: bytes, *, least: int) -> int:
    """How many bytes at the end of `text`, `least` or more, could be the beginning of `mark`. A typed ESC is a key of its own and is not held."""
    return next((length for length in range(len(mark) - 1, least - 1, -1) if text.endswith(mark[:length])), 0)
