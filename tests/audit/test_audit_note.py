"""Signed notes and checkpoints: conformance vectors, legal oddities, and that a parser of hostile bytes names one error."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.audit.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from sekisho.audit.note import LIMIT_SIGNATURES, MalformedNote, Signature, SigningKey, UnverifiedNote, open_note, parse_note, parse_vkey, render_note
from sekisho.audit.proof import parse_proof

KEY = SigningKey("example.org/log", bytes(range(32)))
OTHER = SigningKey("example.org/other", bytes(32))
ROOT = bytes(range(32))
GOOD = Checkpoint(KEY.name, 7, ROOT)
ROOT_TEXT = base64.b64encode(ROOT).decode()

GO_NOTE = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
"""
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def signed(text: str) -> bytes:
    """A note over any text at all, signed by our key."""
    return render_note(text, [KEY.sign(text)])


def test_the_note_that_the_specification_shows_opens():
    assert open_note(GO_NOTE.encode(), parse_vkey(GO_VKEY)).startswith("If you think")


def test_a_checkpoint_round_trips():
    assert open_checkpoint(sign_checkpoint(GOOD, KEY), KEY.verifier) == GOOD


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"{KEY.name}\n07\n{ROOT_TEXT}\n", "size"),
        (f"{KEY.name}\n+7\n{ROOT_TEXT}\n", "size"),
        (f"{KEY.name}\n7 \n{ROOT_TEXT}\n", "size"),
        (f"{KEY.name}\n\n{ROOT_TEXT}\n", "size"),
        (f"{KEY.name}\n-1\n{ROOT_TEXT}\n", "size"),
        (f"{KEY.name}\n\u0667\n{ROOT_TEXT}\n", "size"),
        (f"{KEY.name}\n9223372036854775808\n{ROOT_TEXT}\n", "size"),
        (f"{KEY.name}\r\n7\r\n{ROOT_TEXT}\r\n", "control"),
        (f"{KEY.name}\n7\n{ROOT_TEXT}\t\n", "control"),
        (f"\n7\n{ROOT_TEXT}\n", "origin"),
        (f"{KEY.name}\n7\n", "origin"),
        (f"{KEY.name}\n7\n{base64.b64encode(ROOT[:31]).decode()}\n", "SHA-256"),
        (f"{KEY.name}\n7\n{ROOT_TEXT[:-2]}9=\n", "canonical"),
        (f"{KEY.name}\n7\n{ROOT_TEXT[:-1]}\n", "base64"),
        (f"{KEY.name}\n7\n{ROOT_TEXT}=\n", "base64"),
        (f"{KEY.name}\n7\n {ROOT_TEXT}\n", "base64"),
        (f"{KEY.name}\n7\n{ROOT_TEXT}\n\nextension\n", "empty"),
        (f"example.org/elsewhere\n7\n{ROOT_TEXT}\n", "elsewhere"),
    ],
)
def test_a_signed_but_malformed_checkpoint_is_refused(text, why):
    with pytest.raises(MalformedNote, match=why):
        open_checkpoint(signed(text), KEY.verifier)


NOTE = sign_checkpoint(GOOD, KEY)
FALSE = Signature(KEY.name, KEY.verifier.key_id, bytes(64))


@pytest.mark.parametrize(
    ("note", "error"),
    [
        (NOTE[:-1], MalformedNote),  # no final newline
        (NOTE + b"x", MalformedNote),  # trailing junk
        (NOTE + b"\n", MalformedNote),
        (NOTE.replace(b"\n", b"\r\n"), MalformedNote),
        (NOTE.replace(b"\n\n", b"\n"), MalformedNote),
        (NOTE.replace("—".encode(), b"-"), MalformedNote),
        (NOTE.replace("— ".encode(), "—  ".encode()), MalformedNote),
        (NOTE.replace(b"\n\n", b"\n\n\x00"), MalformedNote),
        (NOTE.replace(b"example", b"ex\x7fmple"), MalformedNote),
        (b"\xff" + NOTE, MalformedNote),
        (NOTE[:-3] + b"!=\n", MalformedNote),
        (GOOD.text.encode(), MalformedNote),  # no signature at all
        (b"", MalformedNote),
        (NOTE + NOTE[NOTE.index(b"\n\n") + 2 :], UnverifiedNote),  # the same signature twice
        (NOTE + FALSE.line.encode(), UnverifiedNote),  # a second, false one from a known key
        (render_note(GOOD.text, [FALSE]), UnverifiedNote),
        (render_note(GOOD.text, [OTHER.sign(GOOD.text)]), UnverifiedNote),
        (render_note(GOOD.text, [Signature(OTHER.name, KEY.verifier.key_id, KEY.sign(GOOD.text).signature)]), UnverifiedNote),
        (NOTE.replace(b"\n7\n", b"\n8\n"), UnverifiedNote),
        (NOTE + OTHER.sign(GOOD.text).line.encode() * LIMIT_SIGNATURES, MalformedNote),
        (b"x" * 200_000, MalformedNote),
    ],
)
def test_a_note_that_is_not_exactly_signed_is_refused(note, error):
    with pytest.raises(error):
        open_checkpoint(note, KEY.verifier)


def test_legal_oddities_open():
    extended = f"{GOOD.text}an extension line\n"
    many = [SigningKey(f"example.org/w{number}", bytes([number]) * 32).sign(GOOD.text) for number in range(15)]
    unknown_kind = Signature("example.org/quantum", b"abcd", bytes(2428))
    assert open_checkpoint(signed(extended), KEY.verifier) == GOOD
    assert open_checkpoint(render_note(GOOD.text, [*many, KEY.sign(GOOD.text)]), KEY.verifier) == GOOD
    assert open_checkpoint(render_note(GOOD.text, [unknown_kind, KEY.sign(GOOD.text)]), KEY.verifier) == GOOD
    assert open_checkpoint(render_note(GOOD.text, [Signature(KEY.name, b"\0\0\0\0", bytes(64)), KEY.sign(GOOD.text)]), KEY.verifier) == GOOD


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, len(NOTE) - 1), byte=st.integers(0, 255))
def test_no_byte_of_a_signed_checkpoint_can_be_changed(at, byte):
    changed = NOTE[:at] + bytes([byte]) + NOTE[at + 1 :]
    if changed != NOTE:
        with pytest.raises((MalformedNote, UnverifiedNote)):
            open_checkpoint(changed, KEY.verifier)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | st.text(alphabet="— \n+abc=/", max_size=80).map(str.encode))
def test_hostile_bytes_are_a_note_or_a_named_error(unverified):
    for parse in (parse_note, parse_proof):
        try:
            parse(unverified)
        except MalformedNote:
            continue


@pytest.mark.parametrize(
    "vkey",
    ["", "a", "a+b", "a b+00000000+AQ==", KEY.verifier.vkey[:-1], KEY.verifier.vkey + "=", KEY.verifier.vkey.replace("log", "lag"), KEY.verifier.vkey + "\n"],
)
def test_a_verifier_key_that_does_not_fit_itself_is_refused(vkey):
    with pytest.raises(MalformedNote):
        parse_vkey(vkey)


def test_the_private_key_round_trips_and_is_never_shown():
    assert SigningKey.parse(KEY.secret_text) == KEY
    assert KEY.seed.hex() not in repr(KEY)
    assert str(list(KEY.seed)) not in repr(KEY)
    for wrong in (KEY.secret_text[:-4], KEY.secret_text.replace("log", "lag"), KEY.verifier.vkey):
        with pytest.raises(MalformedNote):
            SigningKey.parse(wrong)
