"""A connection to the proxy: CONNECT makes a tunnel to the named host, plain http is one request to one host. Neither follows anything."""

from sekisho.egress.connection import Connection, not_tls
from sekisho.egress.facts import shown
from sekisho.egress.proxy.page import ESTABLISHED, render_refusal
from sekisho.egress.proxy.wire import ConnectHead, ForwardHead, Head, MalformedHead, render_forwarded, take_head
from sekisho.model.reasons import Reason
from sekisho.policy.egress import Listed
from sekisho.policy.verdict import Deny


class ProxyConduct:
    """Refused before the tunnel stands means an answer that says why; after, a reset. The tunnel's first bytes must be a ClientHello, unless the rule
    says otherwise."""

    __slots__ = ("_head", "_is_tunnel", "_listed")

    way = "proxy"

    def __init__(self) -> None:
        self._head: Head | None = None
        self._listed: Listed | None = None
        self._is_tunnel = False

    def begin(self, connection: Connection) -> None:
        connection.read_until(lambda: self._read_head(connection))

    def on_refused(self, connection: Connection, deny: Deny, *, was_too_slow: bool) -> None:
        if self._is_tunnel:
            connection.cut("refused")
        else:
            connection.say_last(render_refusal(deny, shown_name=self._shown_name(), was_too_slow=was_too_slow))

    def on_reached(self, connection: Connection) -> None:
        listed = self._listed
        assert listed is not None
        match self._head:
            case ConnectHead():
                self._start_tunnel(connection, listed)
            case ForwardHead() as head:
                body = bytes(connection.buffer[: head.body_bytes])
                connection.relay(first=render_forwarded(head, listed.name) + body, limit_bytes=head.body_bytes - len(body))
            case None:
                raise AssertionError("reached without a head")

    def _start_tunnel(self, connection: Connection, listed: Listed) -> None:
        self._is_tunnel = True
        if not connection.say(ESTABLISHED):
            return
        if listed.rule.tls:
            connection.read_hello(listed, lambda: connection.relay(first=bytes(connection.buffer)))
        else:
            connection.relay(first=bytes(connection.buffer))

    def on_unfinished(self, connection: Connection, *, was_too_slow: bool) -> None:
        if self._listed is not None:
            connection.refuse(not_tls(self._listed), self._listed.name, self._listed.rule.port)
        elif not connection.buffer:
            connection.cut("left")  # a browser's spare connection, never used
        else:
            found = "not whole within 10 seconds" if was_too_slow else "ended early"
            connection.refuse(Deny(Reason.HEAD_MALFORMED, {"found": found}), "", 0)

    def _read_head(self, connection: Connection) -> None:
        try:
            head = take_head(connection.buffer)
        except MalformedHead as error:
            connection.stop_reading()
            connection.refuse(Deny(Reason.HEAD_MALFORMED, {"found": str(error)}), "", 0)
            return
        if head is not None:
            connection.stop_reading()
            self._head = head
            self._on_head(connection, head)

    def _on_head(self, connection: Connection, head: Head) -> None:
        listed = connection.decide(head.unverified_host, head.port)
        if listed is None:
            return
        if listed.rule.tls and isinstance(head, ForwardHead):
            connection.refuse(not_tls(listed), listed.name, listed.rule.port)
            return
        self._listed = listed
        connection.open(listed)

    def _shown_name(self) -> str:
        return "" if self._head is None else shown(f"{self._head.unverified_host}:{self._head.port}")
