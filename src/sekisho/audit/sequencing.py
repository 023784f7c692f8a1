"""What the sequencer does with an entry that a producer offers: pure decisions.

A producer's entries form a chain: numbers from 1 up by one, each naming the hash of the one before. An entry that is in the log already is dropped;
one that differs from what the log has under its number, or does not follow the head of the chain, is refused; one beyond the next number is taken,
and the gap is an event.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sekisho.audit.entry import MalformedEntry, digest, parse_entry


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry of a producer that the log has; number 0 if there is none."""

    number: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Take:
    """The next of its chain."""


@dataclass(frozen=True, slots=True)
class TakeAfterGap:
    """Entries between `after` and this one never came."""

    after: int


@dataclass(frozen=True, slots=True)
class Drop:
    """The log has it, byte for byte."""


@dataclass(frozen=True, slots=True)
class Refuse:
    why: str


Judgement = Take | TakeAfterGap | Drop | Refuse


def judge(unverified: bytes, *, producer: str, number: int, head: Head, stored: Callable[[int], bytes | None]) -> Judgement:
    """`stored` gives the bytes that the log has under a number of this producer."""
    if number <= head.number:
        return Drop() if stored(number) == unverified else Refuse("the log has another entry, or none, under this number")
    try:
        entry = parse_entry(unverified)
    except MalformedEntry as error:
        return Refuse(f"malformed: {error}")
    if entry.producer != producer:
        return Refuse("the entry names another producer")
    if entry.number != number:
        return Refuse("the entry has another number")
    if number > head.number + 1:
        return TakeAfterGap(head.number)
    return Take() if entry.prev == head.digest else Refuse("prev is not the hash of the preceding entry")


def head_of(number: int, entry: bytes) -> Head:
    return Head(number, digest(entry))
