"""DNS bytes: what is read, what is answered, and that nothing hostile does more than fail by name."""

import struct
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.egress.world import OPT, query

from sekisho.egress.names.wire import LIMIT_BYTES, MalformedQuery, ResponseCode, framed, parse_query, render_answer, take_framed


def test_the_question_is_echoed_with_the_case_of_its_letters():
    asked = query("AlLoWeD.tEsT")
    answer = render_answer(parse_query(asked), ResponseCode.NO_ERROR, IPv4Address("198.18.1.0"))
    assert answer[:2] == asked[:2]
    assert answer[12 : len(asked)] == asked[12:]
    assert answer[len(asked) :] == b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04" + bytes((198, 18, 1, 0))
    flags, questions, answers, authorities, additional = struct.unpack("!HHHHH", answer[2:12])
    assert (flags, questions, answers, authorities, additional) == (0x8580, 1, 1, 0, 0)


def test_a_query_with_edns_gets_edns_and_an_unknown_version_is_told_so():
    found = parse_query(query("a.test", edns=OPT))
    assert found.edns_version == 0
    assert render_answer(found, ResponseCode.NAME_ERROR)[-11:] == b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
    newer = parse_query(query("a.test", edns=b"\0" + struct.pack("!HHIH", 41, 4096, 1 << 16, 0)))
    assert newer.edns_version == 1
    answer = render_answer(newer, ResponseCode.BAD_VERSION)
    assert answer[3] & 0xF == 0
    assert answer[-6] == 1


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (b"\x01a\x04test\0", "a.test"),
        (b"\x03a.b\x04test\0", "a\\046b.test"),  # a dot inside a label is no dot
        (b"\x02a\0\x04test\0", "a\\000.test"),
        (b"\x02\xc3\xa9\x04test\0", "\\195\\169.test"),
        (b"\0", ""),
    ],
)
def test_labels_are_shown_so_that_none_can_pass_for_another(labels: bytes, shown: str):
    assert parse_query(query(labels)).unverified_name == shown


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"", None),
        (bytes(11), None),
        (query("a.test", flags=0x8100), None),  # an answer is not answered
        (query("a.test", flags=0x0900), ResponseCode.NOT_IMPLEMENTED),  # IQUERY
        (query("a.test", flags=0x2800), ResponseCode.NOT_IMPLEMENTED),  # UPDATE
        (query(b"\xc0\x0c"), ResponseCode.FORMAT_ERROR),  # a name that points at itself
        (query(b"\x01a\xc0\x0c"), ResponseCode.FORMAT_ERROR),
        (query(b"\x40" + b"a" * 64 + b"\0"), ResponseCode.FORMAT_ERROR),
        (query((b"\x3f" + b"a" * 63) * 4 + b"\0"), ResponseCode.FORMAT_ERROR),  # 257 bytes
        (query(b"\x05a"), ResponseCode.FORMAT_ERROR),
        (query("a.test")[:-1], ResponseCode.FORMAT_ERROR),
        (b"\x12\x34\x01\0\0\x02" + bytes(6) + query("a.test")[12:] * 2, ResponseCode.FORMAT_ERROR),
        (b"\x12\x34\x01\0\0\0" + bytes(6), ResponseCode.FORMAT_ERROR),
        (b"\x12\x34\x01\0\0\x01\0\x01" + bytes(4) + query("a.test")[12:], ResponseCode.FORMAT_ERROR),
        (query("a.test", edns=OPT)[:-3], ResponseCode.FORMAT_ERROR),
        (b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x02" + query("a.test")[12:] + OPT * 2, ResponseCode.FORMAT_ERROR),
        (query("a.test", edns=OPT[:-2] + b"\xff\xff"), ResponseCode.FORMAT_ERROR),
        (bytes(LIMIT_BYTES + 1), None),
    ],
)
def test_what_is_no_query_is_refused_by_name(message: bytes, code: ResponseCode | None):
    with pytest.raises(MalformedQuery) as refused:
        parse_query(message)
    if code is None:
        assert refused.value.reply == b""
    else:
        assert refused.value.reply[:2] == message[:2]
        assert refused.value.reply[2] & 0x80
        assert refused.value.reply[3] & 0xF == code


def test_a_name_of_255_bytes_is_read():
    labels = (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\0"
    assert len(labels) == 255
    assert len(parse_query(query(labels)).unverified_name) == 253


@settings(deadline=None)
@given(st.binary(max_size=600) | st.binary(max_size=300).map(lambda tail: query("a.test", edns=OPT)[:12] + tail))
def test_any_bytes_are_a_query_or_refused_by_name(message: bytes):
    try:
        found = parse_query(message)
    except MalformedQuery as error:
        assert len(error.reply) in (0, 12)  # noqa: PT017  either outcome is right
    else:
        assert len(render_answer(found, ResponseCode.NO_ERROR, IPv4Address("198.18.1.0"))) <= len(message) + 27
        assert parse_query(render_answer(found, ResponseCode.NO_ERROR)[:2] + message[2:]).question == found.question


@settings(deadline=None)
@given(st.lists(st.binary(max_size=100), max_size=5), st.integers(1, 7))
def test_framed_messages_come_out_as_they_went_in_whatever_the_segments(messages: list[bytes], step: int):
    stream = b"".join(framed(message) for message in messages)
    buffer, found = bytearray(), []
    for at in range(0, len(stream), step):
        buffer += stream[at : at + step]
        while (message := take_framed(buffer)) is not None:
            found.append(message)
    assert found == messages
    assert not buffer


def test_a_frame_longer_than_a_query_is_refused_before_it_is_read():
    with pytest.raises(MalformedQuery):
        take_framed(bytearray((LIMIT_BYTES + 1).to_bytes(2)))
