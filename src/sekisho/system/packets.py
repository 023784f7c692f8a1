"""Unix SOCK_SEQPACKET channels: one message a packet, descriptors beside it, the peer known by SO_PEERCRED.

Non-blocking, for any kind of loop: `send` queues, `flush` writes what it can, `receive` gives what is there.
"""

import array
import os
import socket
import struct
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from sekisho.model.messages import LIMIT_BYTES

DESCRIPTORS_LIMIT = 64
_QUEUE_LIMIT_PACKETS = 4096


@dataclass(frozen=True, slots=True)
class Peer:
    pid: int
    uid: int
    gid: int


class ChannelClosed(ConnectionError):
    """The other end is gone, or did not read for too long."""


class Channel:
    """One end. Give `fileno()` to the loop; watch for writing only while `is_waiting_to_write`."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._waiting: deque[tuple[bytes, tuple[int, ...]]] = deque()

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def is_waiting_to_write(self) -> bool:
        return bool(self._waiting)

    @property
    def peer(self) -> Peer:
        return Peer(*struct.unpack("iII", self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)))

    def send(self, packet: bytes, descriptors: tuple[int, ...] = ()) -> None:
        """Queue a packet and write what can be written now. Descriptors are duplicated, so the caller keeps its own. Raises ChannelClosed."""
        if len(self._waiting) >= _QUEUE_LIMIT_PACKETS:
            raise ChannelClosed("the peer does not read")
        self._waiting.append((packet, tuple(os.dup(fd) for fd in descriptors)))
        self.flush()

    def flush(self) -> None:
        """Write queued packets until the kernel takes no more. Raises ChannelClosed."""
        while self._waiting:
            packet, descriptors = self._waiting[0]
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
            try:
                self._socket.sendmsg([packet], rights, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            except OSError as error:
                raise ChannelClosed(str(error)) from error
            self._waiting.popleft()
            _close_all(descriptors)

    def receive(self) -> tuple[bytes, tuple[int, ...]] | None:
        """The next packet and its descriptors (close-on-exec, now the caller's), or None if there is none yet. Raises ChannelClosed at end-of-file, and for a
        packet that was longer than `LIMIT_BYTES`."""
        room = socket.CMSG_SPACE(DESCRIPTORS_LIMIT * 4)
        try:
            packet, ancillary, flags, _ = self._socket.recvmsg(LIMIT_BYTES, room, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        except OSError as error:
            raise ChannelClosed(str(error)) from error
        descriptors = _descriptors(ancillary)
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) or not packet:
            _close_all(descriptors)
            raise ChannelClosed("truncated" if packet else "end of file")
        return packet, descriptors

    def close(self) -> None:
        for _, descriptors in self._waiting:
            _close_all(descriptors)
        self._waiting.clear()
        self._socket.close()


class Listener:
    """A named end that others connect to. The path is replaced: whoever listened before is gone or is no longer wanted."""

    def __init__(self, path: Path, *, mode: int) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        fresh = path.with_name(path.name + ".new")
        fresh.unlink(missing_ok=True)
        self._socket.bind(str(fresh))
        fresh.chmod(mode)
        self._socket.listen(128)
        fresh.rename(path)

    def fileno(self) -> int:
        return self._socket.fileno()

    def accept(self) -> Channel | None:
        try:
            end, _ = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return None
        return Channel(end)

    def close(self) -> None:
        self._socket.close()


def connect(path: Path) -> Channel:
    """Raises ChannelClosed if nobody listens."""
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        end.connect(str(path))
    except OSError as error:
        end.close()
        raise ChannelClosed(f"{path}: {error.strerror}") from error
    return Channel(end)


def pair() -> tuple[Channel, Channel]:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(left), Channel(right)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    found = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(content[: len(content) - len(content) % found.itemsize])
    return tuple(found)


def _close_all(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
