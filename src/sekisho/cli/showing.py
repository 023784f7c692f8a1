"""How the command line shows things: JSON for scripts, tables and lines for people. What others wrote is shown, never obeyed by the terminal."""

import json
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

_UNSHOWABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # controls, bidi and other formats, surrogates, private, unassigned, separators


def visible(text: object) -> str:
    """`text` on one line with everything that a terminal could act on, or a reader be fooled by, written out."""
    return "".join(_escaped(character) if unicodedata.category(character) in _UNSHOWABLE else character for character in str(text))


def print_json(value: Mapping[str, object]) -> None:
    """ASCII, so that no control, format or bidi character of others reaches a terminal."""
    print(json.dumps(value, indent=1))


def print_json_line(value: Mapping[str, object]) -> None:
    print(json.dumps(value), flush=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """`empty` is said when there is nothing."""
    if not rows:
        print(empty)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = 240
    console.print(table)


def tell(line: str) -> None:
    """To a person, beside the output that a script reads."""
    print(visible(line), file=sys.stderr, flush=True)


def local_time(rfc3339: object) -> str:
    """In this machine's zone, with the date only if it is not today."""
    try:
        moment = datetime.fromisoformat(str(rfc3339)).astimezone()
    except ValueError:
        return visible(rfc3339)
    return moment.strftime("%H:%M" if moment.date() == datetime.now().astimezone().date() else "%Y-%m-%d %H:%M")


def log_time(rfc3339: object) -> str:
    """In this machine's zone, to the second, always with the date: lines of the log stand beside lines of other days."""
    try:
        return datetime.fromisoformat(str(rfc3339)).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return visible(rfc3339)


def size(size_bytes: int) -> str:
    """In the unit that gives one to three digits before the point."""
    amount, unit = float(size_bytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def _escaped(character: str) -> str:
    point = ord(character)
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{{{point:x}}}"
