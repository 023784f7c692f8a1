"""One connection out of a room, from its first byte to its last: what proxy and listeners have in common.

It reads until it knows what is wanted, has that decided, opened and written down, relays, and closes the books. It may be cut at any point.
"""

import logging
import socket
import struct
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Protocol

from sekisho.egress.facts import SessionFacts
from sekisho.egress.loop import BROKEN, READ, Timer
from sekisho.egress.names.book import NameBook, admit_name
from sekisho.egress.opening import NotReached, Opening, Outcome, Reached
from sekisho.egress.parts import Parts
from sekisho.egress.passage import Passage
from sekisho.egress.rate import OpenBucket
from sekisho.egress.refusals import refusal
from sekisho.egress.relay import Carriage, Relay, RelayResult
from sekisho.egress.tls.wire import NotTls, parse_client_hello
from sekisho.model.hostname import HostName
from sekisho.model.reasons import Reason
from sekisho.policy.egress import Listed, Rules
from sekisho.policy.verdict import Deny

READ_SECONDS = 10.0  # for a whole head, and for a whole ClientHello
LINGER_SECONDS = 2.0
_READ_BYTES = 16_384
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST

# Refusals of what was wanted, as against a name server or server that fails.
_FAILURES = frozenset((Reason.NAME_UNRESOLVED, Reason.UPSTREAM_UNREACHABLE))

_log = logging.getLogger(__name__)


class Host(Protocol):
    """The session, as its connections see it."""

    facts: SessionFacts
    rules: Rules
    book: NameBook
    bucket: OpenBucket

    def on_over(self, connection: "Connection") -> None: ...


class Conduct(Protocol):
    """What differs between the proxy and a listener. One object to a connection; it acts through the connection's public methods."""

    way: str  # for the log

    def begin(self, connection: "Connection") -> None: ...

    def on_refused(self, connection: "Connection", deny: Deny, *, was_too_slow: bool) -> None:
        """The client is to hear of it as well as its protocol allows, and the connection to end."""
        ...

    def on_reached(self, connection: "Connection") -> None:
        """The upstream is connected."""
        ...

    def on_unfinished(self, connection: "Connection", *, was_too_slow: bool) -> None:
        """What was being read did not become whole: in time, or before the client said it was all."""
        ...


class Connection:
    """`start` it. `cut` ends it at once; either way the host hears of its end once."""

    __slots__ = ("_client", "_conduct", "_host", "_is_over", "_opening", "_parse", "_parts", "_passage", "_relay", "_timer", "_upstream", "buffer")

    def __init__(self, parts: Parts, host: Host, client: socket.socket, conduct: Conduct) -> None:
        self._parts = parts
        self._host = host
        self._client = client
        self._conduct = conduct
        self.buffer = bytearray()  # read, and not yet understood or sent on
        self._parse: Callable[[], None] | None = None  # what to do with the buffer; None: nothing is read now
        self._timer: Timer | None = None
        self._passage: Passage | None = None
        self._opening: Opening | None = None
        self._upstream: socket.socket | None = None
        self._relay: Relay | None = None
        self._is_over = False

    def start(self) -> None:
        self._client.setblocking(False)
        self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._parts.loop.watch(self._client.fileno(), 0, lambda events: self._guarded(lambda: self._on_ready(events)))
        self._guarded(lambda: self._conduct.begin(self))

    @property
    def local_address(self) -> tuple[str, int]:
        """What the client connected to."""
        address, port = self._client.getsockname()[:2]
        return str(address), int(port)

    def name_at(self, address: str) -> HostName | None:
        """The name that a synthetic address stands for in this session."""
        return self._host.book.name_at(IPv4Address(address))

    def cut(self, why: str) -> None:
        """Now, with a reset to both sides."""
        if not self._is_over:
            self._end(why, reset=True)

    # deciding

    def decide(self, unverified_name: str, port: int) -> Listed | None:
        """The one decision; what is refused is logged and answered here."""
        try:
            listed = admit_name(self._host.rules, self._host.book, unverified_name, port)
        except OSError:
            listed = Deny(Reason.DECISION_FAILED)
        if isinstance(listed, Listed):
            return listed
        self.refuse(listed, unverified_name, port)
        return None

    def refuse(self, deny: Deny, unverified_name: str, port: int, *, was_too_slow: bool = False) -> None:
        if deny.reason not in _FAILURES:
            self._parts.refusals.add(self._host.facts, refusal(self._conduct.way, unverified_name, port, deny))
        if self._passage is not None:
            why = "failed" if deny.reason in _FAILURES else "refused"
            self._passage.close(why, reason=deny.reason)
            self._passage = None
        self._conduct.on_refused(self, deny, was_too_slow=was_too_slow)

    # reading

    def read_until(self, parse: Callable[[], None]) -> None:
        """Call `parse` now and whenever more has come, until it asks for something else."""
        self._parse = parse
        self._wait_at_most(READ_SECONDS, self._on_too_slow)
        self._parts.loop.change(self._client.fileno(), READ)
        parse()

    def _on_too_slow(self) -> None:
        self.stop_reading()
        self._conduct.on_unfinished(self, was_too_slow=True)

    def stop_reading(self) -> None:
        self._parse = None
        self._stop_waiting()
        self._parts.loop.change(self._client.fileno(), 0)

    def _on_ready(self, events: int) -> None:
        if self._parse is None:
            if events & BROKEN:
                self._end("left", reset=True)
            return
        try:
            read = self._client.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._end("left", reset=True)
            return
        if read:
            self.buffer += read
            self._parse()
        elif self.buffer:
            self.stop_reading()
            self._conduct.on_unfinished(self, was_too_slow=False)
        else:
            self._end("left", reset=False)

    def read_hello(self, listed: Listed, then: Callable[[], None]) -> None:
        """Call `then` once the client has sent a ClientHello for the listed name; refuse anything else. What was read stays in the buffer."""

        def parse() -> None:
            deny = self._check_hello(listed)
            if isinstance(deny, Deny):
                self.stop_reading()
                self.refuse(deny, listed.name, listed.rule.port)
            elif deny is not None:
                self.stop_reading()
                then()

        self.read_until(parse)

    def _check_hello(self, listed: Listed) -> Deny | Listed | None:
        """None: the hello is not whole yet."""
        try:
            hello = parse_client_hello(self.buffer)
        except NotTls:
            return not_tls(listed)
        if hello is None:
            return None
        if hello.unverified_server_name != listed.name:
            return Deny(Reason.SNI_MISMATCH, {"name": listed.name, "found": hello.unverified_server_name or "absent"})
        return listed

    # opening and relaying

    def open(self, listed: Listed) -> None:
        self._passage = Passage(self._parts.journal, self._parts.loop.clock, self._host.facts, listed)
        then = lambda outcome: self._guarded(lambda: self._on_outcome(listed, outcome))  # noqa: E731
        self._opening = Opening(self._parts, listed=listed, passage=self._passage, way=self._conduct.way, then=then)
        self._opening.start(self._host.bucket)

    def _on_outcome(self, listed: Listed, outcome: Outcome) -> None:
        self._opening = None
        match outcome:
            case Reached():
                self._upstream = outcome.upstream
                self._conduct.on_reached(self)
            case NotReached():
                self.refuse(outcome.deny, listed.name, listed.rule.port, was_too_slow=outcome.was_too_slow)

    def relay(self, *, first: bytes, limit_bytes: int | None = None) -> None:
        assert self._upstream is not None
        self.buffer = bytearray()
        carriage = Carriage(buffer=self._parts.buffer, pipes=self._parts.pipes, first=first, limit_bytes=limit_bytes)
        self._relay = Relay(self._parts.loop, client=self._client, upstream=self._upstream, carriage=carriage, over=self._on_relayed)
        self._relay.start()

    def _on_relayed(self, result: RelayResult) -> None:
        self._relay = None
        self._close_passage("reset" if result.was_reset else "done", result)
        self._end("done", reset=result.was_reset)

    # answering, for the proxy

    def say(self, answer: bytes) -> bool:
        """A short answer; it fits into an empty socket's buffer, or the client is gone and the connection over: False."""
        try:
            is_said = self._client.send(answer) == len(answer)
        except OSError:
            is_said = False
        if not is_said:
            self.cut("left")
        return is_said

    def say_last(self, answer: bytes) -> None:
        """An answer, and the end: what the client still sends is read and dropped for a moment, since closing on unread bytes would destroy the answer."""
        if not self.say(answer):
            return
        try:
            self._client.shutdown(socket.SHUT_WR)
        except OSError:
            self.cut("left")
            return
        self.read_until(self._drop_what_comes)
        self._wait_at_most(LINGER_SECONDS, lambda: self.cut("refused"))

    def _drop_what_comes(self) -> None:
        self.buffer.clear()

    # ending

    def _wait_at_most(self, seconds: float, act: Callable[[], None]) -> None:
        self._stop_waiting()
        self._timer = self._parts.loop.after(seconds, lambda: self._guarded(act))

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_passage(self, why: str, result: RelayResult | None = None, *, reason: str = "") -> None:
        passage, self._passage = self._passage, None
        if passage is None:
            return
        if result is None:
            passage.close(why, reason=reason)
        else:
            passage.close(why, reason=reason, sent_bytes=result.sent_bytes, received_bytes=result.received_bytes)

    def _end(self, why: str, *, reset: bool) -> None:
        assert not self._is_over
        self._is_over = True
        self._stop_waiting()
        if self._opening is not None:
            self._opening.cancel()
        result = self._relay.stop(was_reset=reset) if self._relay is not None else None
        self._close_passage(why, result)
        self._parts.loop.forget(self._client.fileno())
        for end in (self._client, self._upstream):
            if end is not None:
                close(end, reset=reset)
        self._host.on_over(self)

    def _guarded(self, act: Callable[[], None]) -> None:
        """The edge of a connection: a bug in it ends it, and nothing else."""
        if self._is_over:
            return
        try:
            act()
        except Exception:  # noqa: BLE001  the edge of a connection
            _log.exception("a connection failed")
            self.cut("failed")


def close(end: socket.socket, *, reset: bool) -> None:
    if reset:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    end.close()


def not_tls(listed: Listed) -> Deny:
    return Deny(Reason.NOT_TLS, {"name": listed.name, "port": str(listed.rule.port)})
