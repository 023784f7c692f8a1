"""What verification says of a log that is not whole."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """`index` is the first entry at fault, or None where the entries are as signed and only a file is at fault.

    `what` goes on from "entry N", or from the path."""

    index: int | None
    path: str
    what: str
