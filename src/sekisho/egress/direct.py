"""A connection to a synthetic address: no client setting, any TCP protocol. The address it was made to says which name was meant."""

from sekisho.egress.connection import Connection, not_tls
from sekisho.model.reasons import Reason
from sekisho.policy.egress import Listed
from sekisho.policy.verdict import Deny


class DirectConduct:
    """Refused means reset: there is no protocol to say it in. Under TLS nothing is logged as reached, or resolved, before the server name was checked; without,
    the server may speak first, so the connection is opened at once."""

    __slots__ = ("_listed",)

    way = "direct"

    def __init__(self) -> None:
        self._listed: Listed | None = None

    def begin(self, connection: Connection) -> None:
        address, port = connection.local_address
        name = connection.name_at(address)
        if name is None:
            connection.refuse(Deny(Reason.ADDRESS_LITERAL), address, port)
            return
        listed = self._listed = connection.decide(name, port)
        if listed is None:
            return
        if listed.rule.tls:
            connection.read_hello(listed, lambda: connection.open(listed))
        else:
            connection.open(listed)

    def on_refused(self, connection: Connection, deny: Deny, *, was_too_slow: bool) -> None:
        del deny, was_too_slow
        connection.cut("refused")

    def on_reached(self, connection: Connection) -> None:
        connection.relay(first=bytes(connection.buffer))

    def on_unfinished(self, connection: Connection, *, was_too_slow: bool) -> None:
        del was_too_slow
        assert self._listed is not None
        connection.refuse(not_tls(self._listed), self._listed.name, self._listed.rule.port)
