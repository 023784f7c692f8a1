"""HTTP/1.1 as a client of S3 needs it (RFC 9110, RFC 9112), sans-I/O: a request's bytes, and answers, one after another on one connection, as events.

The parsing is llhttp's, which is Node's own and strict; here are the bounds, and what may not happen between us and the service.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import httptools

HEAD_LIMIT_BYTES = 65_536


class NotHttp(ValueError):
    """The bytes are not, and with whatever follows will not be, an answer to what was asked."""


@dataclass(frozen=True, slots=True)
class Head:
    """Names in lower case. Of a header that came twice, the last."""

    status: int
    headers: Mapping[str, str]

    @property
    def length(self) -> int | None:
        """Of the body; None if it was not said beforehand."""
        found = self.headers.get("content-length", "")
        return int(found) if found.isascii() and found.isdigit() else None


@dataclass(frozen=True, slots=True)
class End:
    """The answer is whole."""

    keeps_alive: bool


Event = Head | bytes | End


def request_bytes(target: str, headers: Mapping[str, str]) -> bytes:
    """Of a GET. `target` is percent-encoded; no part may hold a line's end."""
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    assert not any("\r" in line or "\n" in line for line in lines), "a header in two lines"
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class AnswerReader:
    """Give it what comes in with `feed`, after `expect` for each request that was sent."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(_Callbacks(self._on_header, self._on_head, self._on_body, self._on_end))
        self._events: list[Event] = []
        self._headers: dict[str, str] = {}
        self._head_bytes = 0
        self._is_in_body = self.is_expecting = False

    def expect(self) -> None:
        """An answer comes next."""
        assert not self.is_expecting, "one request at a time"
        self.is_expecting, self._is_in_body = True, False
        self._headers = {}
        self._head_bytes = 0

    def feed(self, unverified: bytes | memoryview) -> list[Event]:
        """What these bytes bring: a Head, parts of the body, an End. Raises NotHttp."""
        if not self.is_expecting:
            raise NotHttp("more than was asked for")
        if not self._is_in_body:
            self._head_bytes += len(unverified)
        try:
            self._parser.feed_data(unverified)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise NotHttp("not an answer in HTTP/1.1") from error
        if self._head_bytes > HEAD_LIMIT_BYTES:
            raise NotHttp("a head without end")
        events, self._events = self._events, []
        if any(isinstance(event, End) for event in events[:-1]):
            raise NotHttp("two answers to one request")
        return events

    def _on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def _on_head(self) -> None:
        self._is_in_body = True
        self._head_bytes = 0
        self._events.append(Head(self._parser.get_status_code(), self._headers))

    def _on_body(self, chunk: bytes) -> None:
        self._events.append(chunk)

    def _on_end(self) -> None:
        self.is_expecting = False
        self._events.append(End(keeps_alive=self._parser.should_keep_alive()))


@dataclass(frozen=True, slots=True)
class _Callbacks:
    """httptools' protocol; it looks for these names."""

    on_header: object
    on_headers_complete: object
    on_body: object
    on_message_complete: object
