"""What an S3 service says in XML: pages of a listing, and errors. Pure; the XML comes from outside, and each answer is a value or `NotUnderstood`.

ListObjectsV2 and Error Responses of the Amazon S3 API reference. A document type is refused: with it come entities that grow without bound.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote_plus
from xml.parsers import expat

from sekisho.staging.bucket.keys import Listed

LISTING_LIMIT_BYTES = 8 << 20  # 1,000 keys of 1,024 bytes, each byte escaped, and what stands around them
ERROR_LIMIT_BYTES = 65_536
_DEPTH_LIMIT = 16
_CODE, _REGION = re.compile(r"[A-Za-z0-9]{1,64}"), re.compile(r"[a-z0-9-]{1,40}")  # people read them: no room for sentences of the service's own
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class NotUnderstood(ValueError):
    """Not what S3 says."""


@dataclass(frozen=True, slots=True)
class Page:
    """`token` asks for the next page; empty on the last one."""

    listed: tuple[Listed, ...]
    token: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """`code` is S3's own word, empty if it said none; `region` where the bucket really is, if it said so."""

    status: int
    code: str
    region: str = ""


def parse_page(unverified: bytes) -> Page:
    """A ListBucketResult. Keys are decoded only if the service says that it encoded them. Raises NotUnderstood."""
    path: tuple[str, ...] = ()
    objects: list[dict[str, str]] = [{}]
    top: dict[str, str] = {}
    for path, text in _elements(unverified):
        if path == ("ListBucketResult", "Contents"):
            objects.append({})
        elif path[:2] == ("ListBucketResult", "Contents") and len(path) == 3:
            objects[-1][path[2]] = text
        elif len(path) == 2:
            top[path[1]] = text
    if path != ("ListBucketResult",):
        raise NotUnderstood("not a listing")
    is_encoded = top.get("EncodingType") == "url"
    token = top.get("NextContinuationToken", "") if top.get("IsTruncated") == "true" else ""
    if top.get("IsTruncated") == "true" and not token:
        raise NotUnderstood("a page that is not the last, and no way to the next")
    return Page(tuple(_listed(each, is_encoded=is_encoded) for each in objects[:-1]), token)


def parse_refusal(status: int, unverified: bytes, *, region: str = "") -> Refusal:
    """Of an Error document, or of whatever else came with this status."""
    found: dict[str, str] = {}
    try:
        for path, text in _elements(unverified):
            if path[:1] == ("Error",) and len(path) == 2:
                found[path[1]] = text
    except NotUnderstood:
        found = {}
    code, where = found.get("Code", ""), found.get("Region", region)
    return Refusal(status, code if _CODE.fullmatch(code) else "", where if _REGION.fullmatch(where) else "")


def _listed(found: dict[str, str], *, is_encoded: bool) -> Listed:
    try:
        key = unquote_plus(found["Key"], errors="strict") if is_encoded else found["Key"]
        modified = datetime.fromisoformat(found["LastModified"])
        size = int(found["Size"])
        etag = found["ETag"]
    except (KeyError, ValueError) as error:
        raise NotUnderstood("an object without key, size, time or ETag") from error
    if not key or size < 0 or modified.tzinfo is None or not _is_header_value(etag):
        raise NotUnderstood("an object whose key, size, time or ETag is nonsense")
    return Listed(key, size, etag, (modified - _EPOCH) // timedelta(microseconds=1) * 1000)


def _is_header_value(text: str) -> bool:
    return 0 < len(text) <= 256 and text.isascii() and text.isprintable()


def _elements(unverified: bytes) -> Iterator[tuple[tuple[str, ...], str]]:
    """(path, text) of each element, at its end."""
    found: list[tuple[tuple[str, ...], str]] = []
    path: list[str] = []
    text: list[str] = []

    def start(name: str, _attributes: object) -> None:
        if len(path) >= _DEPTH_LIMIT:
            raise NotUnderstood("nested too deep")
        path.append(name)
        text.clear()

    def end(_name: str) -> None:
        found.append((tuple(path), "".join(text)))
        path.pop()
        text.clear()

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text.append
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(unverified, True)
    except expat.ExpatError as error:
        raise NotUnderstood("not XML") from error
    yield from found


def _refuse_doctype(*_about: object) -> None:
    raise NotUnderstood("a document type")
