"""One file of a spool: a header, then records. Bytes to values and back, no I/O.

Header, 64 bytes: `SEKSPL01`, the end of what is known to be durable (64 bits, rewritten in place), the first entry's number (64 bits), the
SHA-256 of the entry before it, and a CRC-32 of all of these but the second. Record: the entry's length (16 bits), its CRC-32 and its bytes.
All numbers big-endian.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

_MAGIC = b"SEKSPL01"
_HEADER = struct.Struct(">8sQQ32sI4x")
_RECORD = struct.Struct(">HI")
HEADER_BYTES = _HEADER.size
RECORD_EXTRA_BYTES = _RECORD.size
SYNCED_AT = len(_MAGIC)  # where the durable end stands in the header


class MalformedSegment(ValueError):
    """The bytes are no segment's header."""


@dataclass(frozen=True, slots=True)
class Header:
    synced_end: int  # offset in the file
    first: int
    prev: str  # hex SHA-256 of the entry before, "" before number 1


def render_header(header: Header) -> bytes:
    prev = bytes.fromhex(header.prev) if header.prev else bytes(32)
    check = _header_check(header.first, prev)
    return _HEADER.pack(_MAGIC, header.synced_end, header.first, prev, check)


def parse_header(unverified: bytes) -> Header:
    """Raises MalformedSegment."""
    if len(unverified) < HEADER_BYTES:
        raise MalformedSegment("no whole header")
    magic, synced_end, first, prev, check = _HEADER.unpack_from(unverified)
    if magic != _MAGIC or check != _header_check(first, prev) or first < 1:
        raise MalformedSegment("not a header")
    return Header(synced_end, first, "" if first == 1 else prev.hex())


def render_synced(end: int) -> bytes:
    return end.to_bytes(8, "big")


def render_record(entry: bytes) -> bytes:
    return _RECORD.pack(len(entry), zlib.crc32(entry)) + entry


def records(content: bytes) -> Iterator[tuple[bytes, int]]:
    """The whole records after the header, each with the offset at which it ends. Stops at the first that is torn."""
    at = HEADER_BYTES
    while at + _RECORD.size <= len(content):
        length, check = _RECORD.unpack_from(content, at)
        entry = content[at + _RECORD.size : at + _RECORD.size + length]
        if len(entry) < length or length == 0 or zlib.crc32(entry) != check:
            return
        at += _RECORD.size + length
        yield entry, at


def _header_check(first: int, prev: bytes) -> int:
    return zlib.crc32(_MAGIC + first.to_bytes(8, "big") + prev)
