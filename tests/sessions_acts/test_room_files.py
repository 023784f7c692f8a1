"""Room files: what is right becomes a room; what is wrong is refused with its place, what was found, what was expected, and the mend."""

import json
from datetime import time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.model.hostname import parse_host_name
from sekisho.model.room import EgressRule, FileSource, Hours, Kind, Limits, Room
from sekisho.sessions.roomfile import RoomFileRefused, digest_of, parse_room, room_schema
from sekisho.sessions.roomfile.fields import Unfit, parse_duration, parse_endpoint, parse_size, parse_ticket
from sekisho.sessions.roomfile.lines import find_lines

FULL = """\
# rooms/campaign.toml
title  = "Campaign data"
description = "キャンペーンのデータ"
image  = "terminal"
kind   = ["terminal"]

[access]
people   = ["group:marketing", "person:hanako"]
places   = ["security-area"]
hours    = "Mon-Fri 09:00-19:00 Asia/Tokyo"
longest  = "1h30m"
idle     = { end = "20m" }

[approval]
by       = ["group:security"]
needed   = 2
reason   = 20
ticket   = 'MKT-\\d+'

[clipboard]
in  = false
out = false

[[files]]
from = "file:campaign-exports/2026/"
to   = "/data"

[[files]]
from = "file:templates"
to   = "/data/templates"

[egress]
allow = ["*.Salesforce.com:443", { name = "mail.example.com", port = 25, tls = "none" }]

[targets]
orders-db = "orders.prod.internal:5432"
crm = { name = "crm.prod.internal", port = 443, tls = "required" }

[limits]
memory = "2GiB"
data = "1GiB"
home = "64MiB"
tmp = "128MiB"
cpu = 1.5
processes = 512
noexec = ["/tmp", "/data"]
"""
LEAST = """\
title = "Least"
image = "terminal"
kind = ["terminal"]
[access]
people = []
places = []
longest = "1h"
[approval]
by = []
"""


def test_a_whole_file_becomes_a_room():
    room = parse_room(FULL, name="campaign", sources=["campaign-exports", "templates"])
    gibibyte = 1024**3
    assert (room.name, room.title, room.description, room.image, room.kinds) == (
        "campaign",
        "Campaign data",
        "キャンペーンのデータ",
        "terminal",
        (Kind.TERMINAL,),
    )
    assert room.digest == digest_of(FULL)
    assert room.text == FULL
    assert room.access.people == ("group:marketing", "person:hanako")
    assert room.access.places == ("security-area",)
    assert room.access.hours == Hours(frozenset(range(5)), time(9), time(19), "Asia/Tokyo")
    assert (room.access.longest, room.access.idle_end) == (timedelta(minutes=90), timedelta(minutes=20))
    assert (room.approval.by, room.approval.needed, room.approval.reason_characters, room.approval.ticket) == (("group:security",), 2, 20, r"MKT-\d+")
    assert not room.clipboard.paste_in
    assert room.files == (FileSource("file:campaign-exports/2026", "/data"), FileSource("file:templates", "/data/templates"))
    assert [str(rule) for rule in room.egress] == ["*.salesforce.com:443", "mail.example.com:25", "orders.prod.internal:5432", "crm.prod.internal:443"]
    assert [(rule.wildcard, rule.tls, rule.target) for rule in room.egress] == [
        (True, True, ""),
        (False, False, ""),
        (False, False, "orders-db"),
        (False, True, "crm"),
    ]
    assert room.limits == Limits(2 * gibibyte, gibibyte, gibibyte // 16, gibibyte // 8, 1.5, 512)
    assert room.noexec == ("/data", "/tmp")


def test_a_second_factor_is_asked_for_where_the_file_says_so():
    assert parse_room(_swap("longest ", "second_factor = true\nlongest "), name="campaign").access.second_factor
    assert not parse_room(FULL, name="campaign").access.second_factor


def test_the_least_file_allows_nobody_and_nothing():
    room = parse_room(LEAST, name="least")
    assert room.access.people == room.access.places == room.approval.by == room.egress == room.files == ()


@pytest.mark.parametrize(
    ("written", "kinds"),
    [
        ('["desktop"]', (Kind.DESKTOP,)),
        ('["terminal", "desktop"]', (Kind.DESKTOP, Kind.TERMINAL)),
        ('["terminal", "terminal"]', (Kind.TERMINAL,)),
    ],
)
def test_kinds_are_offered_once_each_the_desktop_first_however_they_are_written(written: str, kinds: tuple[Kind, ...]):
    assert parse_room(_swap('["terminal"]', written), name="campaign").kinds == kinds


def _swap(old: str, new: str) -> str:
    assert FULL.count(old) >= 1
    return FULL.replace(old, new, 1)


_WRONG: list[tuple[str, str, int, str, str, str]] = [
    # what is wrong, the text, line, found, a part of expected, a part of the hint
    ("a second factor in words", _swap("longest ", 'second_factor = "yes"\nlongest '), 11, '"yes"', "true or false", ""),
    ("no TOML", _swap('"Campaign data"', "Campaign data"), 2, "", "TOML", ""),
    ("not closed", 'title = "', 1, "", "TOML", ""),
    ("a misspelt key", _swap("longest ", "longst "), 11, "longst", "one of: people, places, hours, longest, idle, second_factor", "did you mean longest"),
    ("a misspelt section", _swap("[limits]", "[limit]"), 39, "limit", "limits", "did you mean limits"),
    ("a misspelt key of a list of tables", _swap('to   = "/data"\n\n[[files]]', 'too = "/data"\n\n[[files]]'), 26, "too", "from, to", "did you mean to"),
    ("a section that comes later", _swap("[limits]", "[airlock]\nreviewers = []\n[limits]"), 39, "airlock", "title", ""),
    ("no title", _swap('title  = "Campaign data"', ""), 1, "nothing", "title", ""),
    ("an empty title", _swap('"Campaign data"', '""'), 2, '""', "1 at least", ""),
    ("a title with an escape", _swap('"Campaign data"', '"a\\u001b[2J"'), 2, "", "one line", "control"),
    ("a kind to come", _swap('["terminal"]', '["terminal", "tunnel"]'), 5, '"tunnel"', "one of: desktop, terminal", "not offered yet"),
    ("a kind of nothing", _swap('["terminal"]', '["teleport"]'), 5, '"teleport"', "one of: desktop, terminal", ""),
    ("no kind", _swap('["terminal"]', "[]"), 5, "an empty list", "1 at least", ""),
    ("a kind that is no list", _swap('["terminal"]', '"terminal"'), 5, '"terminal"', "a list", ""),
    ("an image with a path", _swap('image  = "terminal"', 'image = "../terminal"'), 4, '"../terminal"', "text like", ""),
    ("people without a kind", _swap('"group:marketing"', '"marketing"'), 8, '"marketing"', "group:NAME", 'write "group:marketing"'),
    ("people of an unknown kind", _swap('"group:marketing"', '"team:marketing"'), 8, '"team:marketing"', "group:NAME", ""),
    ("a place that is no name", _swap('["security-area"]', '["10.0.0.0/8"]'), 9, '"10.0.0.0/8"', "text like", ""),
    ("hours without a zone", _swap(" Asia/Tokyo", ""), 10, "", "Mon-Fri 09:00-19:00 Asia/Tokyo", ""),
    ("hours in no zone", _swap("Asia/Tokyo", "Asia/Tokio"), 10, "", "IANA", ""),
    ("hours in a file", _swap("Asia/Tokyo", "../../etc/passwd"), 10, "", "", ""),
    ("hours on no day", _swap("Mon-Fri", "Mon-Fryday"), 10, "", "days", "Mon, Tue"),
    ("hours at no time", _swap("19:00", "19:60"), 10, "", "00:00 to 24:00", ""),
    ("hours of no length", _swap("09:00-19:00", "09:00-09:00"), 10, "", "two different times", "00:00-24:00"),
    ("a duration in words", _swap('"1h30m"', '"90 minutes"'), 11, '"90 minutes"', "30m, 2h or 1h30m", "units"),
    ("a duration that is a number", _swap('"1h30m"', "90"), 11, "90", "a string", ""),
    ("no duration", _swap('"1h30m"', '""'), 11, '""', "30m, 2h or 1h30m", ""),
    ("too long a duration", _swap('"1h30m"', '"8d"'), 11, '"8d"', "1m to 7d", ""),
    ("approved by nobody", _swap("needed   = 2", "needed = 0"), 16, "0", "1 at least", ""),
    ("approved by half", _swap("needed   = 2", "needed = 1.5"), 16, "1.5", "a whole number", ""),
    ("a pattern that is none", _swap(r"MKT-\d+", "MKT-(\\d+"), 18, "", "a regular expression", ""),
    ("a pattern that takes for ever", _swap(r"MKT-\d+", r"(\w+)*X"), 18, "", "simple", "repeats"),
    ("clipboard out", _swap("out = false", "out = true"), 22, "true", "false", "nothing leaves a room by clipboard"),
    ("a bucket that is not set", _swap('"file:campaign-exports/2026/"', '"s3://bucket/x"'), 25, "s3://bucket/x", "buckets: exports", ""),
    ("files from another service", _swap('"file:campaign-exports/2026/"', '"gs://bucket/x"'), 25, '"gs://bucket/x"', "s3://NAME/prefix", ""),
    ("a prefix that climbs", _swap('"file:campaign-exports/2026/"', '"s3://exports/../x"'), 25, '"s3://exports/../x"', "inside the source", "leave out"),
    ("a bucket of no name", _swap('"file:campaign-exports/2026/"', '"s3:///2026/"'), 25, '"s3:///2026/"', "s3://NAME/prefix", ""),
    ("files from above", _swap("2026/", "../../etc"), 25, "", "inside the source", ".."),
    ("files to elsewhere", _swap('to   = "/data"\n', 'to = "/etc"\n'), 26, '"/etc"', "text like", ""),
    ("files to above", _swap('"/data/templates"', '"/data/../etc"'), 30, '"/data/../etc"', "text like", ""),
    ("an address instead of a name", _swap("*.Salesforce.com", "10.0.0.1"), 33, '"10.0.0.1:443"', "a host name", "names are"),
    ("every name of a top level", _swap("*.Salesforce.com", "*.com"), 33, '"*.com:443"', "at least two labels", ""),
    ("every name", _swap("*.Salesforce.com", "*"), 33, '"*:443"', "a name and a port", ""),
    ("no port", _swap(".com:443", ".com"), 33, '"*.Salesforce.com"', "a name and a port", ""),
    ("a port too great", _swap(".com:443", ".com:70000"), 33, "", "1 to 65535", ""),
    ("a rule without a port", _swap(", port = 25", ""), 33, "nothing", "port", ""),
    ("a rule that says tls otherwise", _swap('tls = "none"', "tls = false"), 33, "false", "'required' or 'none'", ""),
    ("a rule's name with a port", _swap('"mail.example.com"', '"mail.example.com:25"'), 33, "mail.example.com:25", "a host name", ""),
    ("a wildcard target", _swap("orders.prod", "*.prod"), 36, '"*.prod.internal:5432"', "one exact name", "[egress]"),
    ("a target that is a number", _swap('"orders.prod.internal:5432"', "5432"), 36, "5432", "a string or a table", ""),
    ("one name twice", _swap("orders.prod.internal:5432", "mail.example.com:25"), 36, "mail.example.com:25", "once", ""),
    ("a size in words", _swap('"2GiB"', '"2 GB"'), 40, '"2 GB"', "512MiB or 2GiB", "KiB"),
    ("a size of nothing", _swap('"2GiB"', '"0MiB"'), 40, '"0MiB"', "16MiB", ""),
    ("a cpu that is text", _swap("1.5", '"much"'), 44, '"much"', "a number", ""),
    ("no cpu", _swap("1.5", "nan"), 44, "nan", "", ""),
    ("noexec elsewhere", _swap('["/tmp", "/data"]', '["/usr"]'), 46, '"/usr"', "'/data'", ""),
]


@pytest.mark.parametrize(("text", "line", "found", "expected", "hint"), [row[1:] for row in _WRONG], ids=[row[0] for row in _WRONG])
def test_what_is_wrong_is_refused_with_its_place_and_its_mend(text: str, line: int, found: str, expected: str, hint: str):
    with pytest.raises(RoomFileRefused) as caught:
        parse_room(text, name="campaign", file="rooms/campaign.toml", sources=["campaign-exports", "templates"], buckets=["exports"])
    refused = caught.value
    assert (refused.file, refused.line) == ("rooms/campaign.toml", line)
    assert str(refused).startswith(f"rooms/campaign.toml:{line}: ")
    if found:
        assert refused.found == found
    assert expected in refused.expected
    assert hint in refused.hint
    assert "function-" not in str(refused)
    assert "as-text" not in str(refused)


def test_a_source_that_is_not_set_up_is_named():
    with pytest.raises(RoomFileRefused) as caught:
        parse_room(FULL, name="campaign", sources=["templates"])
    assert caught.value.line == 25
    assert "templates" in caught.value.expected
    assert parse_room(FULL, name="campaign", sources=None).files, "without the settings it is not known which there are"


def test_a_file_without_an_end_is_refused():
    with pytest.raises(RoomFileRefused, match="too long"):
        parse_room("# " + "x" * 70_000, name="campaign")


@settings(max_examples=150, deadline=None)
@given(text=st.one_of(st.text(alphabet=st.characters(), max_size=200), st.binary(max_size=200).map(lambda raw: raw.decode("latin-1"))))
def test_any_text_is_a_room_or_one_clear_refusal(text: str):
    _room_or_refusal(text)


_TOKENS = [line for line in FULL.splitlines() if line.strip()] + [
    "[access]",
    "x = 1",
    "'",
    '"""',
    "[[targets]]",
    "kind = {}",
    "access = 3",
    "files = 1",
    "targets = []",
    "a.b.c = 1",
]


@settings(max_examples=150, deadline=None)
@given(lines=st.lists(st.sampled_from(_TOKENS), max_size=30))
def test_any_shuffle_of_lines_is_a_room_or_one_clear_refusal(lines: list[str]):
    _room_or_refusal("\n".join(lines))


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_KEYS = [
    "title",
    "kind",
    "image",
    "access.people",
    "access.hours",
    "access.longest",
    "approval.ticket",
    "approval.needed",
    "egress.allow",
    "targets.a",
    "limits.cpu",
    "limits.noexec",
]


@settings(max_examples=200, deadline=None)
@given(key=st.sampled_from(_KEYS), value=_VALUES)
def test_any_value_of_any_key_is_taken_or_one_clear_refusal(key: str, value: object):
    section, _, name = key.rpartition(".")
    lines = [line for line in LEAST.splitlines() if not line.startswith(f"{name} =")]
    written = _toml(value)
    if written is not None:
        at = lines.index(f"[{section}]") + 1 if f"[{section}]" in lines else (0 if not section else len(lines))
        _room_or_refusal("\n".join([*lines[:at], *([f"[{section}]"] if section and at == len(lines) else []), f"{name} = {written}", *lines[at:]]))


def _toml(value: object) -> str | None:
    match value:
        case None:
            return None
        case bool() | str() | int():
            return json.dumps(value)
        case float():
            return repr(value)
        case list():
            return "[" + ", ".join(_toml(item) or "1" for item in value) + "]"
        case dict():
            return "{" + ", ".join(f"{json.dumps(key)} = {_toml(item) or '1'}" for key, item in value.items()) + "}"
    raise AssertionError(value)


def _room_or_refusal(text: str) -> None:
    try:
        assert isinstance(parse_room(text, name="any"), Room)
    except RoomFileRefused as refused:
        str(refused).encode()


# the small languages


@given(days=st.integers(0, 6), hours=st.integers(0, 23), minutes=st.integers(0, 59), seconds=st.integers(0, 59))
def test_a_duration_is_the_sum_of_its_parts(days: int, hours: int, minutes: int, seconds: int):
    text = "".join(f"{count}{unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")) if count)
    if text:
        expected = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        assert parse_duration(text, least=timedelta(0), most=timedelta(days=7)) == expected


@pytest.mark.parametrize("text", ["", "h", "1", "1h1h", "30m1h", "-1h", "1.5h", "1H", " 1h", "1h ", "9999999999h", "٣h"])
def test_what_is_no_duration_is_refused(text: str):
    with pytest.raises(Unfit):
        parse_duration(text, least=timedelta(minutes=1), most=timedelta(days=7))


@pytest.mark.parametrize(("text", "size"), [("1KiB", 1024), ("512MiB", 512 * 1024**2), ("2GiB", 2 * 1024**3)])
def test_a_size_is_in_bytes(text: str, size: int):
    assert parse_size(text, least=0, most=2**50) == size


_LABEL = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)


@given(labels=st.lists(_LABEL, min_size=2, max_size=5), port=st.integers(1, 65535), is_wildcard=st.booleans(), upper=st.booleans())
def test_an_endpoint_reads_back_as_it_is_written(labels: list[str], port: int, is_wildcard: bool, upper: bool):  # noqa: FBT001  drawn
    name = ".".join(labels)
    text = f"{'*.' if is_wildcard else ''}{name.upper() if upper else name}:{port}"
    found = parse_endpoint(text)
    assert found == (is_wildcard, name, port)
    wildcard, host, number = found
    assert str(EgressRule(host, number, wildcard=wildcard)) == text.lower()
    assert parse_host_name(host) == host


@pytest.mark.parametrize("pattern", [r"MKT-\d+", r"(?:MKT|OPS)-\d{1,6}", r"[A-Z]{2,5}-\d+(?:-\d+)?", r"INC[0-9]+", r"(?:ab)+c", r"[(+*]+x"])
def test_a_plain_ticket_pattern_is_taken(pattern: str):
    assert parse_ticket(pattern) == pattern


@pytest.mark.parametrize(
    "pattern",
    [r"(a+)+", r"(a*)*b", r"((a+))+", r"(?:a|a)*b", r"(a?){50}", r"(.*)\1", r"(?=a)a", r"(?P<x>a)(?P=x)", r"(\w+\s?)*", r"(?:[a-z]+)*X", "", "x" * 201, "("],
)
def test_a_ticket_pattern_that_could_take_for_ever_is_refused(pattern: str):
    with pytest.raises(Unfit):
        parse_ticket(pattern)


def test_the_schema_is_json_and_knows_every_section():
    schema = json.loads(json.dumps(room_schema()))
    assert set(schema["properties"]) == {"title", "description", "image", "kind", "access", "approval", "clipboard", "files", "egress", "targets", "limits"}
    assert schema["additionalProperties"] is False
    assert schema["$schema"].endswith("2020-12/schema")


def test_lines_are_found_past_comments_and_long_strings():
    text = 'a = 1 # [x]\nb = """\nc = 2\n[d]\n"""\n[e."f.g"]\nh.i = 3\n[[j]]\nk = 1\n[[j]]\nk = 2\n'
    assert find_lines(text) == {
        ("a",): 1,
        ("b",): 2,
        ("e", "f.g"): 6,
        ("e", "f.g", "h", "i"): 7,
        ("j", 0): 8,
        ("j", 0, "k"): 9,
        ("j", 1): 10,
        ("j", 1, "k"): 11,
    }
