"""What every connection works with, put together once in `service`."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from sekisho.egress.journal import Journal
from sekisho.egress.loop import Loop
from sekisho.egress.rate import OpenRate
from sekisho.egress.refusals import Refusals
from sekisho.egress.relay import BUFFER_BYTES, Pipes
from sekisho.egress.resolver import Resolver

OWN_ADDRESSES_SECONDS = 30.0

_log = logging.getLogger(__name__)


class OwnAddresses:
    """The machine's addresses, read at the start and every 30 seconds. A reading that fails leaves the last in force."""

    def __init__(self, loop: Loop, read: Callable[[], frozenset[str]]) -> None:
        self._loop = loop
        self._read = read
        self.current = read()
        loop.after(OWN_ADDRESSES_SECONDS, self._refresh)

    def _refresh(self) -> None:
        self._loop.after(OWN_ADDRESSES_SECONDS, self._refresh)
        try:
            self.current = self._read()
        except OSError:
            _log.warning("the machine's addresses could not be read; the last ones hold")


@dataclass(frozen=True, slots=True)
class Parts:
    loop: Loop
    journal: Journal
    refusals: Refusals
    resolver: Resolver
    own: OwnAddresses
    pipes: Pipes
    rate: OpenRate
    buffer: memoryview

    @staticmethod
    def fresh_buffer() -> memoryview:
        return memoryview(bytearray(BUFFER_BYTES))
