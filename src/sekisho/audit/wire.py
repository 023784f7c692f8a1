"""What a producer and the audit process say to one another: packets to values and back. No I/O.

One packet, one statement; all numbers big-endian. A producer says `Append`: 0x01, then for each entry its number (64 bits), its length (16 bits) and its
bytes. Audit says `Accepted`: 0x81 and a number (64 bits): every entry of this producer up to it is durable in the log; said
of what was sent on this connection, after the commit. Or `Refused`: 0x82, a number (64 bits) and why in UTF-8; the connection is closed after it.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from sekisho.model.messages import LIMIT_BYTES

_APPEND, _ACCEPTED, _REFUSED = 0x01, 0x81, 0x82
_ITEM = struct.Struct(">QH")
_NUMBER = struct.Struct(">BQ")
_WHY_LIMIT_BYTES = 500
ENTRIES_LIMIT = 200  # a group commit takes one packet of each producer
LARGEST_NUMBER = 2**63 - 1


class MalformedPacket(ValueError):
    """The packet is nothing that this end may be told."""


@dataclass(frozen=True, slots=True)
class Append:
    entries: tuple[tuple[int, bytes], ...]  # number and bytes, at least one


@dataclass(frozen=True, slots=True)
class Accepted:
    through: int


@dataclass(frozen=True, slots=True)
class Refused:
    number: int
    why: str


def render_appends(entries: Iterable[tuple[int, bytes]], *, limit_bytes: int = LIMIT_BYTES) -> list[bytes]:
    """As many packets as the entries need, each at most `limit_bytes` and `ENTRIES_LIMIT` entries."""
    packets: list[bytes] = []
    packet, count = bytearray([_APPEND]), 0
    for number, entry in entries:
        item = _ITEM.pack(number, len(entry)) + entry
        if count and (len(packet) + len(item) > limit_bytes or count == ENTRIES_LIMIT):
            packets.append(bytes(packet))
            packet, count = bytearray([_APPEND]), 0
        packet += item
        count += 1
    if count:
        packets.append(bytes(packet))
    return packets


def parse_append(unverified: bytes) -> Append:
    """Raises MalformedPacket."""
    if unverified[:1] != bytes([_APPEND]):
        raise MalformedPacket("not an append")
    entries: list[tuple[int, bytes]] = []
    at = 1
    while at < len(unverified):
        if at + _ITEM.size > len(unverified) or len(entries) == ENTRIES_LIMIT:
            raise MalformedPacket("half an entry, or too many")
        number, length = _ITEM.unpack_from(unverified, at)
        at += _ITEM.size
        if at + length > len(unverified) or not 0 < number <= LARGEST_NUMBER or not length:
            raise MalformedPacket("an entry that is none")
        entries.append((number, unverified[at : at + length]))
        at += length
    if not entries:
        raise MalformedPacket("nothing to append")
    return Append(tuple(entries))


def render_answer(answer: Accepted | Refused) -> bytes:
    match answer:
        case Accepted(through):
            return _NUMBER.pack(_ACCEPTED, through)
        case Refused(number, why):
            return _NUMBER.pack(_REFUSED, number) + why.encode()[:_WHY_LIMIT_BYTES]


def parse_answer(unverified: bytes) -> Accepted | Refused:
    """Raises MalformedPacket."""
    if not _NUMBER.size <= len(unverified) <= _NUMBER.size + _WHY_LIMIT_BYTES:
        raise MalformedPacket("not an answer")
    kind, number = _NUMBER.unpack_from(unverified)
    if number > LARGEST_NUMBER:
        raise MalformedPacket("a number that is none")
    if kind == _ACCEPTED and len(unverified) == _NUMBER.size:
        return Accepted(number)
    if kind == _REFUSED:
        return Refused(number, unverified[_NUMBER.size :].decode(errors="replace"))
    raise MalformedPacket("not an answer")
