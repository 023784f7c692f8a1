"""All bucket sources of a room, from the listing to the last hash. Sizes are known, and weighed against the room's limit, before the first byte is fetched."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

from sekisho.staging.bucket.answers import Page
from sekisho.staging.bucket.endpoint import Endpoint
from sekisho.staging.bucket.exchanging import Exchanger
from sekisho.staging.bucket.keys import Listed, Survey, survey
from sekisho.staging.bucket.source import Arriving, ListPage, Source, pieces
from sekisho.staging.placing import FILES_LIMIT, StagingFailed, make_folder, manifest_line, over

_TELL_SECONDS = 0.1
_PAGES_LIMIT = 10_000  # of a listing: a service may give few keys a page, and one that gives none would be asked for ever


@dataclass(frozen=True, slots=True)
class Fetch:
    """A source, the service that has it, and the descriptor of the folder it goes to."""

    source: Source
    endpoint: Endpoint
    target: int


class Tally:
    """What has come so far, told not too often."""

    def __init__(self, surveys: Sequence[Survey], tell: Callable[[int, int, int], None]) -> None:
        self._total = sum(each.total_bytes for each in surveys)
        self._files = sum(len(each.files) for each in surveys)
        self._tell = tell
        self._done = 0
        self._told_at = 0.0

    def add(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._told_at >= _TELL_SECONDS:
            self._told_at = now
            self.say()

    def say(self) -> None:
        self._tell(self._done, self._total, self._files)


def fetch_all(fetches: Sequence[Fetch], *, limit_bytes: int, record: Callable[[str], None], progress: Callable[[int, int, int], None]) -> None:
    """`record` takes a manifest line, `progress` (bytes so far, bytes in all, files in all). Raises StagingFailed; what is left then goes with the session."""
    with ExitStack() as stack:
        opened = [(fetch, stack.enter_context(closing(Exchanger(fetch.endpoint)))) for fetch in fetches]
        surveys = [_look(fetch.source, exchanger) for fetch, exchanger in opened]
        needed = max(sum(each.total_bytes for each in surveys), sum(each.room_bytes for each in surveys))
        if needed > limit_bytes:
            raise StagingFailed(over(needed, limit_bytes))
        tally = Tally(surveys, progress)
        tally.say()
        for (fetch, exchanger), found in zip(opened, surveys, strict=True):
            for file in _bring(fetch, found, exchanger, tally):
                record(manifest_line(file.path, file.listed.size, file.sha256))
        tally.say()


def _look(source: Source, exchanger: Exchanger) -> Survey:
    """The whole listing. A prefix below which there is nothing at all is more likely a mistake than a wish."""
    listed: list[Listed] = []
    for page in _pages(source, exchanger):
        listed += page.listed
        if len(listed) > 2 * FILES_LIMIT:
            raise StagingFailed(f"{source.asker.url_of(source.prefix)!r} holds more than {FILES_LIMIT} files")
    if not listed and source.prefix:
        raise StagingFailed(f"there is nothing below {source.asker.url_of(source.prefix)!r}")
    return survey(listed, source.prefix)


def _pages(source: Source, exchanger: Exchanger) -> Iterator[Page]:
    token = ""
    for _ in range(_PAGES_LIMIT):
        asked = ListPage(source, token)
        exchanger.perform([asked])
        assert asked.page is not None
        yield asked.page
        token = asked.page.token
        if not token:
            return
    raise StagingFailed(f"{source.asker.endpoint} does not list as S3 does: more than {_PAGES_LIMIT} pages")


def _bring(fetch: Fetch, found: Survey, exchanger: Exchanger, tally: Tally) -> list[Arriving]:
    for folder in found.folders:
        make_folder(fetch.target, folder)
    files = [Arriving(path, listed, fetch.target) for path, listed in found.files]
    exchanger.perform(pieces(fetch.source, files, tally.add))
    return files
