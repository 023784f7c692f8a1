"""One connection to a service: connecting, shaking hands, sending, hearing, none of which ever waits."""

import errno
import os
import selectors
import socket
import ssl
from collections.abc import Callable, Iterator

from sekisho.staging.bucket.endpoint import Endpoint
from sekisho.staging.bucket.wire import AnswerReader, Event, NotHttp
from sekisho.staging.placing import StagingFailed

_READS_AT_A_TIME = 16  # of TLS records: other connections wait


class Broken(Exception):
    """The connection is of no more use; what was asked may be asked again on another. `str()` goes on after the endpoint's name."""


class Unreachable(Exception):
    """Nobody answers at this address."""


class Connection:
    """`heard_at` is when anything last moved. `address` is which of the endpoint's it goes to."""

    def __init__(self, endpoint: Endpoint, address: int, selector: selectors.BaseSelector, now: Callable[[], float]) -> None:
        self.address = address
        self.is_open = False
        self.heard_at = now()
        self._endpoint = endpoint
        self._selector = selector
        self._now = now
        self._reader = AnswerReader()
        self._unsent = b""
        self._is_connected = False
        family, where = endpoint.addresses[address]
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._descriptor = self._socket.fileno()
        self._problem = self._socket.connect_ex(where)
        self._watched = selectors.EVENT_WRITE
        self._selector.register(self._descriptor, self._watched, self)

    def ask(self, request: bytes) -> None:
        """Send a request; its answer comes by `on_ready`. Raises Broken, Unreachable."""
        if self._problem not in {0, errno.EINPROGRESS}:
            raise Unreachable(os.strerror(self._problem))
        self._reader.expect()
        self._unsent = request
        self.heard_at = self._now()
        if self.is_open:
            self._send()

    def on_ready(self, buffer: memoryview) -> list[Event]:
        """Do what can be done now; what came of it. Raises Broken, Unreachable; StagingFailed for an endpoint that can't be trusted."""
        self.heard_at = self._now()
        if not self.is_open:
            self._open()
            return []
        if not self._reader.is_expecting:
            raise Broken("ended the connection while nothing was asked")
        if self._unsent:
            self._send()
        return self._read(buffer)

    def close(self) -> None:
        self._selector.unregister(self._descriptor)
        self._socket.close()

    # opening

    def _open(self) -> None:
        if not self._is_connected:
            problem = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if problem:
                raise Unreachable(os.strerror(problem))
            self._is_connected = True
            if self._endpoint.tls is not None:
                self._socket = self._endpoint.tls.wrap_socket(self._socket, server_hostname=self._endpoint.host, do_handshake_on_connect=False)
        if isinstance(self._socket, ssl.SSLSocket) and not self._shake_hands(self._socket):
            return
        self.is_open = True
        self._watch(selectors.EVENT_READ)
        self._send()

    def _shake_hands(self, tls: ssl.SSLSocket) -> bool:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            self._watch(selectors.EVENT_READ)
            return False
        except ssl.SSLWantWriteError:
            self._watch(selectors.EVENT_WRITE)
            return False
        except ssl.SSLCertVerificationError as error:
            raise StagingFailed(f"{self._endpoint.shown} can't be trusted: {error.verify_message}") from error
        except (ssl.SSLEOFError, ConnectionError) as error:
            raise Broken("ended the connection during the TLS handshake") from error
        except ssl.SSLError as error:
            raise StagingFailed(f"{self._endpoint.shown} does not speak TLS as it should: {error.reason}") from error
        return True

    def _watch(self, events: int) -> None:
        if events != self._watched:
            self._selector.modify(self._descriptor, events, self)
            self._watched = events

    # moving bytes

    def _send(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            self._watch(selectors.EVENT_READ | selectors.EVENT_WRITE)
            return
        except OSError as error:
            raise Broken("broke the connection") from error
        self._watch(selectors.EVENT_READ)

    def _read(self, buffer: memoryview) -> list[Event]:
        events: list[Event] = []
        try:
            for count in self._received(buffer):
                events += self._reader.feed(buffer[:count])
        except NotHttp as error:
            raise StagingFailed(f"{self._endpoint.shown} does not speak HTTP as it should: {error}") from error
        except OSError as error:
            raise Broken("broke the connection") from error
        return events

    def _received(self, buffer: memoryview) -> Iterator[int]:
        """Byte counts of what came into the buffer, until there is no more for now."""
        reads = _READS_AT_A_TIME if self._endpoint.tls is not None else 1
        try:
            for number in range(reads):
                count = self._socket.recv_into(buffer)
                if count:
                    yield count
                elif number:  # first what came before the end
                    return
                else:
                    raise Broken("ended the connection before it was done")
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
