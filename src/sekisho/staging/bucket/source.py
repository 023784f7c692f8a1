"""One bucket source: its listing, and its files on their way into the room's folder."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sekisho.staging.bucket.answers import LISTING_LIMIT_BYTES, NotUnderstood, Page, Refusal, parse_page
from sekisho.staging.bucket.keys import Listed
from sekisho.staging.bucket.refusing import Asker, worded
from sekisho.staging.bucket.signing import Signer
from sekisho.staging.bucket.wire import Head
from sekisho.staging.placing import StagingFailed, create_below, finish
from sekisho.staging.placing import worded as placed

PIECE_BYTES = 16 << 20  # what one request fetches: larger files come in pieces, by several connections
_REREAD_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class Source:
    """`asker` is who asks, for messages."""

    signer: Signer
    asker: Asker
    prefix: str


class ListPage:
    """An exchange: one page of the listing."""

    def __init__(self, source: Source, token: str) -> None:
        self._source = source
        self._token = token
        self._body = bytearray()
        self.page: Page | None = None

    def request(self) -> bytes:
        self._body.clear()
        return self._source.signer.list_request(self._source.prefix, self._token)

    def on_head(self, head: Head) -> None:
        pass

    def on_body(self, chunk: bytes) -> None:
        self._body += chunk
        if len(self._body) > LISTING_LIMIT_BYTES:
            raise self._nonsense("a page without end")

    def on_end(self) -> None:
        try:
            self.page = parse_page(bytes(self._body))
        except NotUnderstood as error:
            raise self._nonsense(str(error)) from error

    def on_refusal(self, refusal: Refusal) -> StagingFailed:
        return worded(self._source.asker, refusal, key=None)

    def _nonsense(self, what: str) -> StagingFailed:
        return StagingFailed(f"{self._source.asker.endpoint} does not list as S3 does: {what}")


class Arriving:
    """A file on its way: pieces land where they belong, and the hash follows the unbroken beginning."""

    def __init__(self, path: str, listed: Listed, target: int) -> None:
        self.path = path
        self.listed = listed
        self.sha256 = ""
        self._target = target
        self._descriptor = -1
        self._hash = hashlib.sha256()
        self._hashed = 0
        self._landed = [0] * max(1, -(-listed.size // PIECE_BYTES))

    @property
    def pieces(self) -> range:
        return range(len(self._landed))

    def piece_bytes(self, number: int) -> int:
        return min(PIECE_BYTES, self.listed.size - number * PIECE_BYTES)

    def landed(self, number: int) -> int:
        return self._landed[number]

    def land(self, number: int, chunk: bytes) -> None:
        """The next bytes of a piece. Raises StagingFailed if the room is full."""
        offset = number * PIECE_BYTES + self._landed[number]
        self._write(chunk, offset)
        self._landed[number] += len(chunk)
        if offset == self._hashed:
            self._hash.update(chunk)
            self._hashed += len(chunk)

    def on_piece(self) -> None:
        """A piece is whole: hash what is now unbroken, and finish the file if that is all of it."""
        self._open()
        self._catch_up()
        if self._hashed == self.listed.size:
            finish(self._descriptor, modified_ns=self.listed.modified_ns)
            os.close(self._descriptor)
            self.sha256 = self._hash.hexdigest()

    def _open(self) -> None:
        if self._descriptor < 0:
            self._descriptor = create_below(self._target, self.path)

    def _write(self, chunk: bytes, offset: int) -> None:
        self._open()
        written = 0
        with placed(self.path):
            while written < len(chunk):
                written += os.pwrite(self._descriptor, memoryview(chunk)[written:], offset + written)

    def _catch_up(self) -> None:
        end = self._unbroken()
        buffer = memoryview(bytearray(min(_REREAD_BYTES, end - self._hashed)))
        while (left := end - self._hashed) > 0:
            count = os.preadv(self._descriptor, [buffer[: min(left, len(buffer))]], self._hashed)
            self._hash.update(buffer[:count])
            self._hashed += count

    def _unbroken(self) -> int:
        """Where the first gap is."""
        number = self._hashed // PIECE_BYTES
        while number < len(self._landed) and self._landed[number] == self.piece_bytes(number):
            number += 1
        return number * PIECE_BYTES + self._landed[number] if number < len(self._landed) else self.listed.size


class FetchPiece:
    """An exchange: one piece of a file, of the very version that was listed."""

    def __init__(self, source: Source, file: Arriving, number: int, on_bytes: Callable[[int], None]) -> None:
        self._source = source
        self._file = file
        self._number = number
        self._on_bytes = on_bytes
        self._start = self._stop = 0

    def request(self) -> bytes:
        self._start = self._number * PIECE_BYTES + self._file.landed(self._number)
        self._stop = self._number * PIECE_BYTES + self._file.piece_bytes(self._number)
        headers = {"If-Match": self._file.listed.etag} | ({"Range": f"bytes={self._start}-{self._stop - 1}"} if self._is_part else {})
        return self._source.signer.get_request(self._file.listed.key, headers)

    @property
    def _is_part(self) -> bool:
        return self._stop - self._start < self._file.listed.size

    def on_head(self, head: Head) -> None:
        if head.length is None:
            raise StagingFailed(f"{self._source.asker.endpoint} does not say how long {self._source.asker.url_of(self._file.listed.key)!r} is")
        expected = self._stop - self._start
        is_right = head.status == 206 and self._is_range(head.headers) if self._is_part else head.status == 200
        if head.headers.get("etag", self._file.listed.etag) != self._file.listed.etag or not is_right or head.length != expected:
            raise self._changed()

    def _is_range(self, headers: Mapping[str, str]) -> bool:
        return headers.get("content-range", "") == f"bytes {self._start}-{self._stop - 1}/{self._file.listed.size}"

    def on_body(self, chunk: bytes) -> None:
        self._file.land(self._number, chunk)
        self._on_bytes(len(chunk))

    def on_end(self) -> None:
        self._file.on_piece()

    def on_refusal(self, refusal: Refusal) -> StagingFailed:
        return self._changed() if refusal.status == 412 else worded(self._source.asker, refusal, key=self._file.listed.key)

    def _changed(self) -> StagingFailed:
        return StagingFailed(f"{self._source.asker.url_of(self._file.listed.key)!r} was changed while it was fetched: try again")


def pieces(source: Source, files: list[Arriving], on_bytes: Callable[[int], None]) -> Iterator[FetchPiece]:
    for file in files:
        for number in file.pieces:
            yield FetchPiece(source, file, number, on_bytes)
