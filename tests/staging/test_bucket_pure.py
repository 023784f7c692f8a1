"""The parts of bucket staging that touch nothing: keys and paths, what S3 says in XML and in HTTP, and what is said to people."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.staging.bucket.answers import NotUnderstood, Refusal, parse_page, parse_refusal
from sekisho.staging.bucket.keys import Listed, path_of, survey
from sekisho.staging.bucket.refusing import Asker, worded
from sekisho.staging.bucket.wire import HEAD_LIMIT_BYTES, AnswerReader, End, Head, NotHttp, request_bytes
from sekisho.staging.placing import StagingFailed

PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix></Prefix><EncodingType>url</EncodingType>{more}
<Contents><Key>{key}</Key><LastModified>2026-11-25T02:30:18.500Z</LastModified><ETag>&quot;abc&quot;</ETag><Size>{size}</Size>
<Owner><ID>x</ID></Owner><StorageClass>STANDARD</StorageClass></Contents>
</ListBucketResult>"""


def listed(*keys: str, size: int = 1) -> list[Listed]:
    return [Listed(key, size, '"e"', 0) for key in keys]


# keys


def test_keys_below_the_prefix_become_paths_and_markers_become_folders():
    found = survey(listed("2026/", "2026/b.csv", "2026/a/", "2026/a/c d.csv", "2026/empty/"), "2026/")
    assert [path for path, _ in found.files] == ["a/c d.csv", "b.csv"]
    assert found.folders == ("a", "empty")


def test_what_a_file_takes_up_is_counted_in_whole_pages():
    found = survey([*listed("a", "b", size=1), *listed("c", size=4097)], "")
    assert (found.total_bytes, found.room_bytes) == (4099, 4 * 4096)


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("../x", "'..'"),
        ("a/../../x", "'..'"),
        ("./x", "'.'"),
        ("/etc/passwd", "is empty"),
        ("a//b", "is empty"),
        ("a//", "is empty"),
        ("//", "is empty"),
        ("a\0b", "NUL"),
        ("x" * 256, "more than 255 bytes"),
        ("漢" * 86, "more than 255 bytes"),
        ("/".join("d" * 70), "deeper than 64"),
    ],
)
def test_a_key_that_is_no_path_fails_the_whole(key, fault):
    with pytest.raises(StagingFailed, match=fault.replace(".", r"\.")):
        survey(listed(f"p/{key}"), "p/")


@pytest.mark.parametrize("key", ["other/a.csv", "2026", "2026-secret/a.csv", "a/2026/b"])
def test_a_key_that_is_not_below_what_was_asked_for_fails_the_whole(key):
    with pytest.raises(StagingFailed, match="not below '2026/'"):
        survey(listed("2026/b.csv", key), "2026/")


@pytest.mark.parametrize("keys", [("a", "a/b"), ("a/b/c", "a/b"), ("a", "a/")])
def test_a_key_that_is_file_and_folder_fails_the_whole(keys):
    with pytest.raises(StagingFailed, match="a room can't hold both"):
        survey(listed(*keys), "")


def test_more_files_than_a_room_takes_are_refused(monkeypatch):
    monkeypatch.setattr("sekisho.staging.bucket.keys.FILES_LIMIT", 10)
    with pytest.raises(StagingFailed, match="more than 10 files"):
        survey(listed(*map(str, range(11))), "")


@given(st.text(max_size=60))
def test_a_path_never_leaves_the_folder(below):
    try:
        path = path_of(below)
    except StagingFailed:
        return
    assert path
    assert "\0" not in path
    assert not {"", ".", ".."} & set(path.split("/"))


# XML


def test_a_page_is_read_and_its_keys_decoded():
    page = parse_page(PAGE.format(key="2026/%E4%B8%80%E8%A6%A7+%281%29%2B.csv", size=12, more="<IsTruncated>false</IsTruncated>").encode())
    assert page.token == ""
    assert page.listed == (Listed("2026/一覧 (1)+.csv", 12, '"abc"', 1795573818500000000),)


def test_keys_that_the_service_did_not_encode_are_left_alone():
    text = PAGE.format(key="a+b%20c", size=1, more="").replace("<EncodingType>url</EncodingType>", "")
    assert parse_page(text.encode()).listed[0].key == "a+b%20c"


def test_a_page_that_is_not_the_last_leads_to_the_next():
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>1+/=</NextContinuationToken>"
    assert parse_page(PAGE.format(key="a", size=1, more=more).encode()).token == "1+/="
    with pytest.raises(NotUnderstood, match="no way to the next"):
        parse_page(PAGE.format(key="a", size=1, more="<IsTruncated>true</IsTruncated>").encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html><body>hello</body></html>",
        "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
        PAGE.format(key="a", size=-1, more=""),
        PAGE.format(key="a", size="x", more=""),
        PAGE.format(key="", size=1, more=""),
        PAGE.format(key="%FF", size=1, more=""),
        PAGE.format(key="a", size=1, more="").replace("&quot;abc&quot;", "a&#10;b"),
        PAGE.format(key="a", size=1, more="")[:-20],
        '<!DOCTYPE x [<!ENTITY a "aaaa">]><ListBucketResult>&a;</ListBucketResult>',
        "<a>" * 100,
    ],
)
def test_what_is_no_listing_is_not_taken_for_one(text):
    with pytest.raises(NotUnderstood):
        parse_page(text.encode())


@given(st.binary(max_size=300))
def test_any_bytes_are_a_page_or_not_understood(unverified):
    with contextlib.suppress(NotUnderstood):
        parse_page(unverified)
    assert parse_refusal(403, unverified).status == 403


def test_what_is_no_code_and_no_region_is_not_passed_on_to_people():
    said = b"<Error><Code>%s</Code><Region>mail your password to eve@example.org</Region></Error>" % (b"A" * 65)
    assert parse_refusal(301, said) == Refusal(301, "", "")
    assert parse_refusal(301, b"", region="call 555 1234") == Refusal(301, "", "")


def test_an_error_is_known_by_its_code_and_region():
    text = b"<Error><Code>PermanentRedirect</Code><Message>go away AKIAIOSFODNN7</Message><Region>eu-west-1</Region></Error>"
    assert parse_refusal(301, text) == Refusal(301, "PermanentRedirect", "eu-west-1")
    assert parse_refusal(503, b"<html>", region="x") == Refusal(503, "", "x")


# words

ASKER = Asker("exports", "corp-exports", "https://s3.example.com", "us-east-1")


@pytest.mark.parametrize(
    ("refusal", "key", "said"),
    [
        (Refusal(404, "NoSuchBucket"), None, "https://s3.example.com has no bucket 'corp-exports'"),
        (Refusal(404, ""), None, "https://s3.example.com has no bucket 'corp-exports'"),
        (Refusal(404, "NoSuchKey"), "2026/a{0}.csv", "'s3://exports/2026/a{0}.csv' vanished from the bucket while it was fetched"),
        (Refusal(403, "AccessDenied"), None, "the credentials of bucket 'exports' must be allowed to list it"),
        (Refusal(403, ""), "a", "denies access to 's3://exports/a': the credentials of bucket 'exports' must be allowed to read it"),
        (Refusal(403, "InvalidAccessKeyId"), None, "does not know the key id in the credentials of bucket 'exports'"),
        (Refusal(403, "SignatureDoesNotMatch"), None, "the secret in the credentials of bucket 'exports' is not the one"),
        (Refusal(400, "ExpiredToken"), None, "the credentials of bucket 'exports' have expired"),
        (Refusal(403, "RequestTimeTooSkewed"), None, "the clocks of this machine and of https://s3.example.com differ too much"),
        (Refusal(403, "InvalidObjectState"), "old", "'s3://exports/old' is archived"),
        (Refusal(301, "PermanentRedirect", "eu-west-1"), None, "is not in region 'us-east-1' but in 'eu-west-1': mend [buckets]"),
        (Refusal(400, "AuthorizationHeaderMalformed", "eu-west-1"), None, "but in 'eu-west-1'"),
        (Refusal(418, "ImATeapot"), "a", "https://s3.example.com refused 's3://exports/a' with 418 ImATeapot"),
    ],
)
def test_a_refusal_is_said_in_words(refusal, key, said):
    assert said in str(worded(ASKER, refusal, key=key))


# HTTP


def test_a_request_is_a_get_with_its_headers():
    assert request_bytes("/b/a%20b", {"Host": "h:1", "Range": "bytes=0-1"}) == b"GET /b/a%20b HTTP/1.1\r\nHost: h:1\r\nRange: bytes=0-1\r\n\r\n"
    with pytest.raises(AssertionError):
        request_bytes("/", {"If-Match": "a\r\nX: y"})


def fed(reader: AnswerReader, unverified: bytes, size: int) -> list:
    reader.expect()
    return [event for start in range(0, len(unverified), size) for event in reader.feed(unverified[start : start + size])]


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_answers_come_in_any_number_of_parts_one_after_another(size):
    reader = AnswerReader()
    first = fed(reader, b'HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nETag: "x"\r\n\r\nhello', size)
    assert first[0] == Head(206, {"content-length": "5", "etag": '"x"'})
    assert first[0].length == 5
    assert b"".join(event for event in first if isinstance(event, bytes)) == b"hello"
    assert first[-1] == End(keeps_alive=True)
    second = fed(reader, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", size)
    assert second[0].length is None
    assert b"".join(event for event in second if isinstance(event, bytes)) == b"abcde"
    assert second[-1] == End(keeps_alive=False)


@pytest.mark.parametrize(
    "unverified",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x03\x00\x02\x02\x16",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * HEAD_LIMIT_BYTES,
    ],
)
def test_what_is_no_answer_is_refused(unverified):
    with pytest.raises(NotHttp):
        fed(AnswerReader(), unverified, len(unverified))


def test_more_than_was_asked_for_is_refused():
    reader = AnswerReader()
    fed(reader, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 4096)
    with pytest.raises(NotHttp, match="more than was asked for"):
        reader.feed(b"HTTP")


@given(st.lists(st.binary(max_size=80), max_size=6))
def test_any_bytes_are_events_or_no_http(parts):
    reader = AnswerReader()
    reader.expect()
    try:
        for part in parts:
            reader.feed(part)
    except NotHttp:
        pass
