"""DNS messages, as far as a server needs them that only ever answers from a list (RFC 1035, EDNS RFC 6891). Sans-I/O.

The question's bytes are echoed as they came, so that the case of its letters survives (0x20). Compression pointers have no place in a question and
are refused, so that there is nothing to loop.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address

LIMIT_BYTES = 4096  # of a query; a stub resolver's is under 300
NAME_LIMIT_BYTES = 255  # RFC 1035 §3.1
EDNS_PAYLOAD_BYTES = 1232
TTL_SECONDS = 60  # the mapping holds as long as the session; short only so that a resolver's cache shows rule changes soon

_HEADER = struct.Struct("!HHHHHH")
_QR, _AA, _RD, _RA = 0x8000, 0x0400, 0x0100, 0x0080
_OPCODE = 0x7800
_IN, _TYPE_A, _TYPE_OPT = 1, 1, 41


class ResponseCode(IntEnum):
    NO_ERROR = 0
    FORMAT_ERROR = 1
    SERVER_FAILURE = 2
    NAME_ERROR = 3  # NXDOMAIN
    NOT_IMPLEMENTED = 4
    REFUSED = 5
    BAD_VERSION = 16  # EDNS, RFC 6891 §6.1.3


class MalformedQuery(ValueError):
    """The bytes are not a query. `reply` is what may be answered: empty for what must not be answered at all, such as an answer."""

    def __init__(self, what: str, reply: bytes = b"") -> None:
        super().__init__(what)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Query:
    """`labels` as they came, case and all. `question` is its bytes. `edns_version` is None without EDNS."""

    id: int
    flags: int
    labels: tuple[bytes, ...]
    qtype: int
    qclass: int
    question: bytes
    edns_version: int | None = None

    @property
    def is_for_address(self) -> bool:
        return self.qtype == _TYPE_A

    @property
    def is_internet(self) -> bool:
        return self.qclass == _IN

    @property
    def unverified_name(self) -> str:
        """Dotted text, for the decision. A byte that no host name has, a dot inside a label among them, shows as `\\DDD` (RFC 1035 §5.1)."""
        return ".".join("".join(_shown(byte) for byte in label) for label in self.labels)


def parse_query(unverified: bytes) -> Query:
    """The query. Raises MalformedQuery for anything else."""
    if not 12 <= len(unverified) <= LIMIT_BYTES:
        raise MalformedQuery("length")
    query_id, flags, questions, answers, authorities, additional = _HEADER.unpack_from(unverified)
    if flags & _QR:
        raise MalformedQuery("an answer")
    if flags & _OPCODE:
        raise MalformedQuery("opcode", _bare(query_id, flags, ResponseCode.NOT_IMPLEMENTED))
    try:
        _check_counts(questions, answers, authorities, additional)
        labels, offset = _name(unverified, 12)
        qtype, qclass = struct.unpack_from("!HH", unverified, offset)
        question = unverified[12 : offset + 4]
        edns = _edns_version(unverified, offset + 4, additional)
    except (ValueError, struct.error) as error:
        raise MalformedQuery(str(error), _bare(query_id, flags, ResponseCode.FORMAT_ERROR)) from error
    return Query(id=query_id, flags=flags, labels=labels, qtype=qtype, qclass=qclass, question=question, edns_version=edns)


def render_answer(query: Query, code: ResponseCode, address: IPv4Address | None = None) -> bytes:
    """An authoritative answer with no authority section: with `address` one A record, else none (NODATA, NXDOMAIN, …). At most a few bytes over the query."""
    flags = _answer_flags(query.flags, code)
    answer = b"" if address is None else b"\xc0\x0c" + struct.pack("!HHIH", _TYPE_A, _IN, TTL_SECONDS, 4) + address.packed
    edns = b"" if query.edns_version is None else _opt(code)
    return _HEADER.pack(query.id, flags, 1, int(address is not None), 0, int(query.edns_version is not None)) + query.question + answer + edns


def take_framed(buffer: bytearray) -> bytes | None:
    """The next message of a TCP stream (RFC 1035 §4.2.2), taken out of `buffer`; None if it is not whole yet. Raises MalformedQuery for one too long."""
    if len(buffer) < 2:
        return None
    length = int.from_bytes(buffer[:2])
    if length > LIMIT_BYTES:
        raise MalformedQuery("length")
    if len(buffer) < 2 + length:
        return None
    message = bytes(buffer[2 : 2 + length])
    del buffer[: 2 + length]
    return message


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2) + message


def _check_counts(questions: int, answers: int, authorities: int, additional: int) -> None:
    if questions != 1 or answers or authorities or additional > 4:
        raise ValueError("counts")


def _name(message: bytes, offset: int) -> tuple[tuple[bytes, ...], int]:
    """Labels from `offset`, and the offset behind them. Raises ValueError for pointers, other label types, and what is too long."""
    labels: list[bytes] = []
    start = offset
    while True:
        if offset >= len(message):
            raise ValueError("name ends early")
        length = message[offset]
        offset += 1
        if length > 63:
            raise ValueError("pointer or extended label")
        if length == 0:
            return tuple(labels), offset
        labels.append(message[offset : offset + length])
        offset += length
        if offset - start > NAME_LIMIT_BYTES - 1:
            raise ValueError("name too long")


def _edns_version(message: bytes, offset: int, additional: int) -> int | None:
    """The version in the OPT record, if there is one. Raises ValueError for a second one (RFC 6891 §6.1.1) and struct.error for what ends early."""
    version: int | None = None
    for _ in range(additional):
        _, offset = _name(message, offset)
        kind, _, extended, length = struct.unpack_from("!HHIH", message, offset)
        offset += 10 + length
        if offset > len(message):
            raise ValueError("record ends early")
        if kind == _TYPE_OPT:
            if version is not None:
                raise ValueError("two OPT records")
            version = (extended >> 16) & 0xFF
    return version


def _answer_flags(flags: int, code: ResponseCode) -> int:
    return _QR | _AA | _RA | (flags & (_RD | _OPCODE)) | (code & 0xF)


def _bare(query_id: int, flags: int, code: ResponseCode) -> bytes:
    return _HEADER.pack(query_id, _answer_flags(flags, code) & ~_AA, 0, 0, 0, 0)


def _opt(code: ResponseCode) -> bytes:
    return b"\x00" + struct.pack("!HHIH", _TYPE_OPT, EDNS_PAYLOAD_BYTES, (code >> 4) << 24, 0)


def _shown(byte: int) -> str:
    char = chr(byte)
    return char if byte < 128 and (char.isalnum() or char in "-_") else f"\\{byte:03d}"
