"""Fetching from a bucket: from a real S3 server what a real one can do, and from a scripted one how it fails."""

import hashlib
import json
import os
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.seaweed_server import KEY_ID, READER_ID, READER_SECRET, SECRET, Seaweed
from tests.staging.s3_script import error, listing, ok, said, scripted

from sekisho.staging.bucket import exchanging, fetching, source
from sekisho.staging.bucket.credentials import Credentials
from sekisho.staging.bucket.endpoint import resolve, trust_of
from sekisho.staging.bucket.fetching import Fetch, fetch_all
from sekisho.staging.bucket.refusing import Asker
from sekisho.staging.bucket.signing import Signer
from sekisho.staging.bucket.source import Source
from sekisho.staging.placing import StagingFailed


@pytest.fixture
def target(tmp_path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


@pytest.fixture
def quick(monkeypatch):
    """Pauses and patience of milliseconds, and small pieces."""
    monkeypatch.setattr(exchanging, "FIRST_PAUSE_SECONDS", 0.002)
    monkeypatch.setattr(exchanging, "SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(exchanging, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(source, "PIECE_BYTES", 8)


def fetched(target, url, prefix="", *, keys=(KEY_ID, SECRET), trust="", limit_bytes=1 << 30, bucket="b"):
    """(manifest, progress) of one bucket source."""
    lines, told = [], []
    bucket_url = f"{url}/{bucket}"
    where = Source(Signer(bucket_url, "us-east-1", Credentials(*keys)), Asker("exports", bucket, url, "us-east-1"), prefix)
    end = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fetch = Fetch(where, resolve(bucket_url, trust_of(bucket_url, trust)), end)
        fetch_all([fetch], limit_bytes=limit_bytes, record=lines.append, progress=lambda *numbers: told.append(numbers))
    finally:
        os.close(end)
    return [json.loads(line) for line in lines], told


def held(target: Path) -> dict[str, bytes]:
    return {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}


# a real server


def test_many_files_over_several_pages_arrive_sorted_with_their_hashes(seaweed: Seaweed, target):
    files = {f"in/{number % 7}/{number:04}.txt": os.urandom(number % 50) for number in range(1100)}
    seaweed.fill("many", **files)
    manifest, told = fetched(target, seaweed.url, "in/", bucket="many")
    assert held(target) == {key.removeprefix("in/"): content for key, content in files.items()}
    assert [file["path"] for file in manifest] == sorted(file["path"] for file in manifest)
    assert all(file["sha256"] == hashlib.sha256(files["in/" + file["path"]]).hexdigest() for file in manifest)
    total = sum(map(len, files.values()))
    assert (told[0], told[-1]) == ((0, total, 1100), (total, total, 1100))
    assert {path.stat().st_mode & 0o777 for path in target.rglob("*.txt")} == {0o444}


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (5 << 20) + 3])
def test_a_file_around_the_size_of_a_piece_is_whole(seaweed: Seaweed, target, size, monkeypatch):
    monkeypatch.setattr(source, "PIECE_BYTES", 1 << 20)
    content = os.urandom(size)
    seaweed.fill("sizes", **{f"{size}/one.bin": content})
    manifest, _ = fetched(target, seaweed.url, f"{size}/", bucket="sizes")
    assert held(target) == {"one.bin": content}
    assert manifest == [{"path": "one.bin", "size": size, "sha256": hashlib.sha256(content).hexdigest()}]


def test_markers_make_folders_and_other_prefixes_stay_outside(seaweed: Seaweed, target):
    seaweed.fill("marked", **{"2026/": b"", "2026/empty/": b"", "2026/a.txt": b"a", "2026-secret/b.txt": b"b", "2026.txt": b"c"})
    fetched(target, seaweed.url, "2026/", bucket="marked")
    assert held(target) == {"a.txt": b"a"}
    assert [path.name for path in target.iterdir() if path.is_dir()] == ["empty"]


def test_a_whole_bucket_that_is_empty_is_nothing_and_a_prefix_of_nothing_is_a_mistake(seaweed: Seaweed, target):
    seaweed.fill("void")
    assert fetched(target, seaweed.url, bucket="void") == ([], [(0, 0, 0), (0, 0, 0)])
    with pytest.raises(StagingFailed, match="there is nothing below 's3://exports/2026/'"):
        fetched(target, seaweed.url, "2026/", bucket="void")


_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\\", exclude_categories=["Cs", "Cc", "Cn"]), min_size=1, max_size=20).filter(
    lambda name: name not in {".", ".."} and name == name.strip() and len(name.encode()) <= 200
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(_NAMES, min_size=1, max_size=5, unique=True))
def test_any_name_arrives_as_it_is(seaweed: Seaweed, names, tmp_path_factory):
    target, prefix = tmp_path_factory.mktemp("t"), hashlib.sha256(repr(names).encode()).hexdigest() + "/"
    seaweed.fill("names", **{prefix + name: name.encode() for name in names})
    fetched(target, seaweed.url, prefix, bucket="names")
    assert held(target) == {name: name.encode() for name in names}


def test_more_than_the_room_takes_is_refused_before_the_first_byte(seaweed: Seaweed, target):
    seaweed.fill("heavy", a=bytes(3000), b=bytes(3000))
    with pytest.raises(StagingFailed, match=r"the source has 8192 bytes and the room takes 8000 \(limits.data"):
        fetched(target, seaweed.url, bucket="heavy", limit_bytes=8000)
    assert held(target) == {}


def test_the_service_is_trusted_by_its_own_authority_alone(seaweed_tls: Seaweed, target):
    seaweed_tls.fill("sealed", **{"a.bin": (content := os.urandom(1 << 20))})
    fetched(target, seaweed_tls.url, bucket="sealed", trust=seaweed_tls.trust)
    assert held(target) == {"a.bin": content}
    with pytest.raises(StagingFailed, match=r"https://127.0.0.1:\d+ can't be trusted: (self-signed|unable to get local issuer)"):
        fetched(target, seaweed_tls.url, bucket="sealed")


@pytest.mark.parametrize(
    ("keys", "bucket", "said"),
    [
        ((KEY_ID, "not" + SECRET), "closed", "the secret in the credentials of bucket 'exports' is not the one that"),
        (("AKIANOBODY", SECRET), "closed", "does not know the key id in the credentials of bucket 'exports'"),
        ((READER_ID, READER_SECRET), "closed", "the credentials of bucket 'exports' must be allowed to list it"),
        ((KEY_ID, SECRET), "nowhere", "has no bucket 'nowhere'"),
    ],
)
def test_what_the_service_refuses_is_said_without_a_secret(seaweed: Seaweed, target, keys, bucket, said):
    seaweed.fill("closed", a=b"a")
    with pytest.raises(StagingFailed) as caught:
        fetched(target, seaweed.url, bucket=bucket, keys=keys)
    assert said in str(caught.value)
    assert not [word for word in keys if word in str(caught.value)]


@pytest.mark.parametrize("change", ["vanished", "changed"])
def test_an_object_that_is_not_what_was_listed_any_more_fails_the_whole(seaweed: Seaweed, target, change, monkeypatch):
    seaweed.fill("moving", a=b"first", b=b"first")
    look = fetching._look

    def then_change(*about):
        found = look(*about)
        if change == "vanished":
            seaweed.client.delete_object(Bucket="moving", Key="b")
        else:
            seaweed.put("moving", "b", b"other")
        return found

    monkeypatch.setattr(fetching, "_look", then_change)
    with pytest.raises(StagingFailed, match=f"'s3://exports/b' {'vanished' if change == 'vanished' else 'was changed'}"):
        fetched(target, seaweed.url, bucket="moving")


# a service that fails as it is told


def test_its_own_faults_and_broken_connections_are_tried_again_and_go_on_where_they_broke(target, quick):
    answers = [
        error(503, "SlowDown"),
        listing(("a", 6)),
        None,
        said(200, b"abc", promised=6, ETag='"e"'),
        said(206, b"def", ETag='"e"', Content_Range="bytes 3-5/6"),
    ]
    with scripted(*[answer or (lambda _head: None) for answer in answers]) as service:
        manifest, told = fetched(target, service.url)
        assert manifest == [{"path": "a", "size": 6, "sha256": hashlib.sha256(b"abcdef").hexdigest()}]
        assert told[-1] == (6, 6, 1)
        assert [b"Range: bytes=3-5\r\n" in head for head in service.asked] == [False, False, False, False, True]
        assert all(b'If-Match: "e"\r\n' in head for head in service.asked[2:])


def test_it_is_tried_a_bounded_number_of_times(target, quick):
    with scripted(error(500, "InternalError")) as service:
        with pytest.raises(StagingFailed, match="failed with 500 InternalError, 6 times"):
            fetched(target, service.url)
        assert len(service.asked) == 6
    with scripted(lambda _head: None) as service:
        with pytest.raises(StagingFailed, match="ended the connection before it was done, 6 times"):
            fetched(target, service.url)
        assert len(service.asked) == 6


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (said(200, b"other!", ETag='"other"'), "'s3://exports/a' was changed while it was fetched"),
        (said(200, b"short", ETag='"e"'), "'s3://exports/a' was changed while it was fetched"),
        (lambda _head: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n", "does not say how long 's3://exports/a' is"),
        (said(206, b"abcdef", ETag='"e"', Content_Range="bytes 0-5/6"), "'s3://exports/a' was changed while it was fetched"),
        (error(412, "PreconditionFailed"), "'s3://exports/a' was changed while it was fetched"),
        (error(404, "NoSuchKey"), "'s3://exports/a' vanished from the bucket"),
        (error(403, "RequestTimeTooSkewed"), "differ too much"),
        (error(403, "InvalidObjectState"), "is archived"),
        (lambda _head: b"220 mail.example.com ESMTP\r\n", "does not speak HTTP as it should"),
    ],
)
def test_an_answer_that_is_not_what_was_asked_for_is_the_last_word(target, quick, answer, said):
    with scripted(listing(("a", 6)), answer) as service:
        with pytest.raises(StagingFailed, match=said):
            fetched(target, service.url)
        assert len(service.asked) == 2


def test_pieces_of_two_versions_never_become_one_file(target, quick):
    first, second = said(206, b"01234567", ETag='"e"', Content_Range="bytes 0-7/16"), said(206, b"x" * 8, ETag='"new"')
    with scripted(listing(("a", 16)), first, second) as service, pytest.raises(StagingFailed, match="'s3://exports/a' was changed"):
        fetched(target, service.url)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (ok(b"<html>Sign in to the hotel's network</html>"), "does not list as S3 does: not a listing"),
        (listing(("../../etc/passwd", 1)), "can't be a path: one of its parts is '..'"),
        (said(200, b"<ListBucketResult>", Content_Type="x"), "does not list as S3 does: not XML"),
        (said(302, b"", Location="http://169.254.169.254/"), "refused 's3://exports/' with 302"),
    ],
)
def test_a_listing_that_is_none_is_not_followed(target, quick, answer, said):
    with scripted(answer) as service:
        with pytest.raises(StagingFailed, match=said.replace(".", r"\.")):
            fetched(target, service.url)
        assert len(service.asked) == 1
    assert held(target) == {}


def test_a_service_that_falls_silent_is_given_up(target, quick):
    half = b'HTTP/1.1 200 OK\r\nContent-Length: 6\r\nETag: "e"\r\n\r\nabc'
    with scripted(listing(("a", 6)), lambda _head: half) as service, pytest.raises(StagingFailed, match="was silent for 0 s"):
        fetched(target, service.url)


def test_an_address_that_does_not_answer_gives_way_to_the_next(target, quick, monkeypatch):
    with scripted(listing(("a", 1)), said(200, b"a", ETag='"e"')) as service:
        port = int(service.url.rpartition(":")[2])
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", number)) for number in (1, port)]
        monkeypatch.setattr("socket.getaddrinfo", lambda *_about, **_more: found)
        fetched(target, service.url)
    assert held(target) == {"a": b"a"}


def test_a_name_that_nobody_knows_is_said(target):
    with pytest.raises(StagingFailed, match=r"the name of http://s3\.invalid can't be resolved"):
        fetched(target, "http://s3.invalid")


def test_a_listing_whose_pages_never_end_fails_although_it_lists_nothing(target, quick, monkeypatch):
    monkeypatch.setattr(fetching, "_PAGES_LIMIT", 5)
    page = ok(b"<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>on</NextContinuationToken></ListBucketResult>")
    with scripted(*[page] * 7, error(403, "AccessDenied")) as service:
        with pytest.raises(StagingFailed, match="more than 5 pages"):
            fetched(target, service.url)
        assert len(service.asked) == 5
