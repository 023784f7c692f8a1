"""What of a room's output may reach a person's terminal. Sans-I/O: bytes in, whole characters and whole permitted sequences out.

A room is hostile to the terminal that shows it: the browser's today, the person's own under `sekisho enter`. Escape sequences set clipboards (OSC
52), make links that carry room data to the person's browser when clicked (OSC 8), print (CSI 5 i), redefine keys (DECUDK), lock the keyboard (KAM),
read the screen back (DECRQCRA), and make the terminal *type* text that the room chose (title reports, answerback), which after the end of the session
would be typed into the person's own shell. So this is a list of what passes, never of what does not:

- characters, and the C0 controls BEL BS HT LF VT FF CR SO SI; what is not UTF-8 shows as U+FFFD; C1 controls are taken out (UTF-8 terminals have the
  7-bit forms);
- cursor, erasing, scrolling, colours, the private modes of `_PRIVATE_MODES`, insert mode, line-drawing character sets, resets;
- the queries of `_ASKS`, whose answers are digits of the terminal's own and nothing the room chose. They are marked, so that one terminal answers and
  a replay does not ask again;
- no OSC, DCS, APC, PM or SOS string at all.

A sequence passes only in the strict form that every terminal reads alike (ECMA-48 §5.4), so that there is nothing between two parsers to slip through.
"""

import codecs
import re
from dataclasses import dataclass

STRING_LIMIT = 1_048_576  # characters of a string that does not end: then it is shown, as text, rather than swallow the room
DEFAULT_MODES = frozenset({7, 25})  # autowrap, cursor shown

# application cursor keys, reverse, origin, autowrap, X10 mouse, blinking cursor, cursor, alternate screens, keypad, margins, mouse, focus, SGR mouse,
# alternate scroll, saved cursor, bracketed paste, synchronised output
_PRIVATE_MODES = frozenset({1, 5, 6, 7, 9, 12, 25, 47, 66, 69, 1000, 1002, 1003, 1004, 1006, 1007, 1047, 1048, 1049, 2004, 2026})
_ANSI_MODES = frozenset({4})  # insert; never 2, which locks the keyboard

_HELD_BACK = re.compile(r"[\x00-\x06\x10-\x1f\x7f-\x9f]")  # every control that is not plainly harmless, ESC among them
_CSI = re.compile(r"\x1b\[([<=>?]?)([0-9:;]{0,160})([ -/]{0,2})([@-~])")
_CSI_BEGUN = re.compile(r"\x1b\[[<=>?]?[0-9:;]{0,160}[ -/]{0,2}")
_DESIGNATION = re.compile(r"\x1b([ -/]{1,3})([0-~])")
_DESIGNATION_BEGUN = re.compile(r"\x1b[ -/]{1,3}")
_STRING_END = re.compile(r"[\x07\x18\x1a\x1b\x9c]")

_PARAMETERS = re.compile(r"[0-9]{0,5}(?:[:;][0-9]{0,5}){0,31}")
_PLAIN_FINALS = frozenset("@ABCDEFGHIJKLMPSXZ`adefgmrsu")
_ASKS = {("", "", "c"): ("", "0"), ("", "", "n"): ("5", "6"), ("?", "", "n"): ("6",), (">", "", "c"): ("", "0")}
_ESCAPES = frozenset("78=>DEHMc")
_STRING_INTRODUCERS = frozenset("]PX^_")
_ANSWER = re.compile(rb"(?:\x1b\[(?:[?>]?[0-9;]*(?:[Rcn]|\$y)|[IO]))+")  # position, attributes, status, mode, focus
_REPEAT = re.compile(r"[0-9]{0,3}")  # more would let a few bytes keep a terminal busy


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole characters and sequences. `modes`: the private modes that are set *before* it. `asks`: it makes a terminal answer."""

    content: bytes
    modes: frozenset[int]
    asks: bool = False


def is_answer(typed: bytes) -> bool:
    """Is it what a terminal says of itself, not a person's doing? A program that asks and asks keeps nobody's session from being idle."""
    return _ANSWER.fullmatch(typed) is not None


class Screener:
    """One per stream. `feed` what the pseudo-terminal gave, in any cut; what it holds back is bounded (3 bytes, 170 characters)."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._string_left = 0  # characters of a forbidden string still to swallow
        self._modes = DEFAULT_MODES
        self._shown: list[str] = []
        self._pieces: list[Piece] = []
        self._modes_at_start = DEFAULT_MODES

    @property
    def modes(self) -> frozenset[int]:
        return self._modes

    def feed(self, output: bytes) -> list[Piece]:
        text = self._rest + self._decoder.decode(output)
        self._rest = ""
        self._pieces = []
        self._modes_at_start = self._modes
        at = 0
        while at < len(text):
            at = self._swallow(text, at) if self._string_left else self._next(text, at)
        self._flush()
        return self._pieces

    def _next(self, text: str, at: int) -> int:
        """Take the text up to the next held-back control, and that control; where to go on."""
        found = _HELD_BACK.search(text, at)
        stop = found.start() if found else len(text)
        if stop > at:
            self._shown.append(text[at:stop])
        if found is None:
            return stop
        return self._escape(text, stop) if found[0] == "\x1b" else stop + 1

    def _swallow(self, text: str, at: int) -> int:
        found = _STRING_END.search(text, at, at + self._string_left)
        if found is None:
            taken = min(self._string_left, len(text) - at)
            self._string_left -= taken
            return at + taken
        self._string_left = 0
        return found.start() if found[0] == "\x1b" else found.end()

    def _escape(self, text: str, at: int) -> int:
        following = text[at + 1 : at + 2]
        if following == "":
            return self._hold(text, at)
        if following == "[":
            return self._control_sequence(text, at)
        if following in _STRING_INTRODUCERS:
            self._string_left = STRING_LIMIT
            return at + 2
        if " " <= following <= "/":
            return self._designation(text, at)
        if following in _ESCAPES:
            self._pass(text[at : at + 2])
            if following == "c":
                self._modes = DEFAULT_MODES
            return at + 2
        return at + 2 if "0" <= following <= "~" else at + 1

    def _control_sequence(self, text: str, at: int) -> int:
        found = _CSI.match(text, at)
        if found is None:
            begun = _CSI_BEGUN.match(text, at)
            assert begun, "the caller saw ESC ["
            return self._hold(text, at) if begun.end() == len(text) else begun.end()
        prefix, parameters, between, final = found.groups()
        if _PARAMETERS.fullmatch(parameters):
            self._judge(prefix, parameters, between, final)
        return found.end()

    def _designation(self, text: str, at: int) -> int:
        found = _DESIGNATION.match(text, at)
        if found is None:
            begun = _DESIGNATION_BEGUN.match(text, at)
            assert begun, "the caller saw ESC and an intermediate"
            return self._hold(text, at) if begun.end() == len(text) else begun.end()
        between, final = found.groups()
        if (between in "()*+" and final in "0AB") or (between == "#" and final in "34568"):
            self._pass(found[0])
        return found.end()

    def _judge(self, prefix: str, parameters: str, between: str, final: str) -> None:
        sequence = f"\x1b[{prefix}{parameters}{between}{final}"
        match prefix, between, final:
            case "" | "?", "", "h" | "l":
                self._set_modes(prefix, parameters, final)
            case "" | "?" | ">", "", "c" | "n" if parameters in _ASKS.get((prefix, between, final), ()):
                self._ask(sequence)
            case "?", "$", "p":
                self._ask(sequence)
            case "?", "", "J" | "K":
                self._pass(sequence)
            case "", "", "b" if _REPEAT.fullmatch(parameters):
                self._pass(sequence)
            case "", "", "T" if ";" not in parameters:
                self._pass(sequence)
            case "", " ", "q":
                self._pass(sequence)
            case "", "!", "p":
                self._pass(sequence)
                self._modes = (self._modes | DEFAULT_MODES) - {1, 6, 66}
            case "", "", _ if final in _PLAIN_FINALS:
                self._pass(sequence)

    def _set_modes(self, prefix: str, parameters: str, final: str) -> None:
        permitted = _PRIVATE_MODES if prefix else _ANSI_MODES
        named = [int(number) for number in parameters.split(";") if number.isdigit()]
        kept = [number for number in named if number in permitted]
        if not kept:
            return
        self._pass(f"\x1b[{prefix}{';'.join(map(str, kept))}{final}")
        if prefix:
            self._modes = self._modes | frozenset(kept) if final == "h" else self._modes - frozenset(kept)

    def _pass(self, sequence: str) -> None:
        self._shown.append(sequence)

    def _ask(self, sequence: str) -> None:
        self._flush()
        self._pieces.append(Piece(sequence.encode(), self._modes, asks=True))

    def _hold(self, text: str, at: int) -> int:
        self._rest = text[at:]
        return len(text)

    def _flush(self) -> None:
        if self._shown:
            self._pieces.append(Piece("".join(self._shown).encode(), self._modes_at_start))
            self._shown = []
        self._modes_at_start = self._modes
