"""From a name that was decided on to a connected socket: rate, log, resolve, check every address, connect to one that was checked. In this order.

The log has the open for sure before even the name server hears of it: under a wildcard, a name is bytes of the room's choosing.
"""

import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass

from sekisho.egress.loop import WRITE, Timer
from sekisho.egress.parts import Parts
from sekisho.egress.passage import Passage
from sekisho.egress.rate import OpenBucket
from sekisho.egress.resolver import Found
from sekisho.model.reasons import Reason
from sekisho.policy.egress import Listed, decide_address
from sekisho.policy.verdict import Allow, Deny

RESOLVE_SECONDS = 10.0
CONNECT_SECONDS = 10.0  # of one address
MOST_TRIED = 4  # of the addresses that may be connected to


@dataclass(frozen=True, slots=True)
class Reached:
    upstream: socket.socket


@dataclass(frozen=True, slots=True)
class NotReached:
    deny: Deny
    was_too_slow: bool = False


Outcome = Reached | NotReached


class Opening:
    """`then` is called once, unless `cancel` comes first. The passage is the caller's to close, whatever the outcome."""

    __slots__ = ("_addresses", "_listed", "_parts", "_passage", "_then", "_timer", "_upstream", "_way")

    def __init__(self, parts: Parts, *, listed: Listed, passage: Passage, way: str, then: Callable[[Outcome], None]) -> None:
        self._parts = parts
        self._listed = listed
        self._passage = passage
        self._way = way
        self._then: Callable[[Outcome], None] | None = then
        self._timer: Timer | None = None
        self._upstream: socket.socket | None = None
        self._addresses: list[str] = []

    def start(self, bucket: OpenBucket) -> None:
        wait = bucket.take(self._parts.loop.clock.boottime())
        if wait is None:
            self._fail(Reason.TOO_MANY_OPENS)
        elif wait:
            self._timer = self._parts.loop.after(wait, self._write)
        else:
            self._write()

    def cancel(self) -> None:
        self._then = None
        self._stop_waiting()

    def _write(self) -> None:
        self._passage.open(self._way, self._on_written)

    def _on_written(self, is_durable: bool) -> None:  # noqa: FBT001  the journal's answer
        if self._then is None:
            return
        if not is_durable:
            self._fail(Reason.LOG_UNAVAILABLE)
            return
        self._timer = self._parts.loop.after(RESOLVE_SECONDS, lambda: self._fail(Reason.NAME_UNRESOLVED, was_too_slow=True))
        self._parts.resolver.resolve(self._passage.session, self._listed.name, self._on_found)

    def _on_found(self, found: Found) -> None:
        if self._then is None:
            return
        self._stop_waiting()
        self._passage.unverified_alias = found.unverified_alias
        verdicts = {address: self._decide(address, found) for address in found.addresses}
        self._addresses = [address for address, verdict in verdicts.items() if isinstance(verdict, Allow)][:MOST_TRIED]
        if not verdicts:
            self._fail(Reason.NAME_UNRESOLVED)
        elif not self._addresses:
            self._finish(NotReached(next(verdict for verdict in verdicts.values() if isinstance(verdict, Deny))))
        else:
            self._try_next()

    def _decide(self, address: str, found: Found) -> Allow | Deny:
        return decide_address(self._listed.rule, address, name=self._listed.name, is_pinned=found.is_pinned, own=self._parts.own.current)

    def _try_next(self, *, was_too_slow: bool = False) -> None:
        self._stop_waiting()
        while self._addresses:
            address = self._addresses.pop(0)
            self._passage.address = address
            upstream = _connecting(address, self._listed.rule.port)
            if upstream is not None:
                self._upstream = upstream
                self._parts.loop.watch(upstream.fileno(), WRITE, lambda _events: self._on_answer())
                self._timer = self._parts.loop.after(CONNECT_SECONDS, lambda: self._try_next(was_too_slow=True))
                return
        self._fail(Reason.UPSTREAM_UNREACHABLE, was_too_slow=was_too_slow)

    def _on_answer(self) -> None:
        upstream = self._upstream
        assert upstream is not None
        if upstream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._try_next()
            return
        self._upstream = None
        self._parts.loop.forget(upstream.fileno())
        self._stop_waiting()
        self._finish(Reached(upstream))

    def _fail(self, reason: Reason, *, was_too_slow: bool = False) -> None:
        self._finish(NotReached(Deny(reason, {"name": self._listed.name, "port": str(self._listed.rule.port)}), was_too_slow))

    def _finish(self, outcome: Outcome) -> None:
        self._stop_waiting()
        then, self._then = self._then, None
        if then is not None:
            then(outcome)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._upstream is not None:
            self._parts.loop.forget(self._upstream.fileno())
            self._upstream.close()
            self._upstream = None


def _connecting(address: str, port: int) -> socket.socket | None:
    """A socket on its way to a numeric address; None if there is no way there at all."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    upstream: socket.socket | None = None
    try:
        upstream = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        upstream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if upstream.connect_ex((address, port)) in (0, errno.EINPROGRESS):
            return upstream
    except OSError:
        if upstream is None:
            return None
    upstream.close()
    return None
