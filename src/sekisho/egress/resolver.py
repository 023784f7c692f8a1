"""From a canonical name to addresses, outside the loop: getaddrinfo in a few threads, since it blocks.

Only canonical names come here (`HostName`): CPython cuts a name at a NUL and reads `127.1` and full-width digits as addresses. The administrator's pinned
hosts win over DNS. One session may keep only a share of the threads busy, so that a room with a slow zone under its wildcard delays only itself.
"""

import logging
import queue
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sekisho.egress.loop import Loop
from sekisho.model.hostname import HostName

THREADS = 8
SESSION_SHARE = 3  # of the threads
WAITING_LIMIT = 1024  # lookups of one session that wait for its share
MOST_ADDRESSES = 256  # of one answer; all are checked

_log = logging.getLogger(__name__)

LookUp = Callable[[HostName], "Found"]


@dataclass(frozen=True, slots=True)
class Found:
    """`addresses` in the order to try them, textual; empty: there are none, or the lookup failed. The alias is the name at the end of a chain of CNAMEs."""

    addresses: tuple[str, ...]
    is_pinned: bool = False
    unverified_alias: str = ""


def look_up(name: HostName) -> Found:
    """The system's resolver. Blocks."""
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)
    except (OSError, UnicodeError):
        return Found(())
    addresses = tuple(dict.fromkeys(str(answer[4][0]) for answer in answers))
    alias = answers[0][3].lower().rstrip(".")
    return Found(addresses[:MOST_ADDRESSES], unverified_alias=alias if alias != name else "")


Then = Callable[[Found], None]


class Resolver:
    def __init__(self, loop: Loop, hosts: Mapping[str, tuple[str, ...]], look_up: LookUp = look_up) -> None:
        self._loop = loop
        self._hosts = hosts
        self._look_up = look_up
        self._work: queue.SimpleQueue[tuple[str, HostName] | None] = queue.SimpleQueue()
        self._asking: dict[tuple[str, HostName], list[Then]] = {}
        self._busy: dict[str, int] = {}
        self._waiting: dict[str, deque[HostName]] = {}
        self._threads = [threading.Thread(target=self._run, name="resolver", daemon=True) for _ in range(THREADS)]
        for thread in self._threads:
            thread.start()

    def resolve(self, session: str, name: HostName, then: Then) -> None:
        """Call `then` from the loop with what was found: at once for a pinned name. Equal questions of one session are asked once."""
        if (pinned := self._hosts.get(name)) is not None:
            then(Found(pinned, is_pinned=True))
            return
        key = (session, name)
        if (asking := self._asking.get(key)) is not None:
            asking.append(then)
            return
        waiting = self._waiting.setdefault(session, deque())
        if len(waiting) >= WAITING_LIMIT:
            then(Found(()))
            return
        self._asking[key] = [then]
        waiting.append(name)
        self._start_waiting(session)

    def close(self) -> None:
        """Answers of lookups under way come no more. Waits for them, as the threads cannot be interrupted."""
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()

    def _start_waiting(self, session: str) -> None:
        waiting = self._waiting[session]
        while waiting and self._busy.get(session, 0) < SESSION_SHARE:
            self._busy[session] = self._busy.get(session, 0) + 1
            self._work.put((session, waiting.popleft()))
        if not waiting:
            del self._waiting[session]

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            session, name = work
            try:
                found = self._look_up(name)
            except Exception:  # noqa: BLE001  the edge of a lookup: a thread lost here would be missed by all
                _log.exception("a lookup failed")
                found = Found(())
            self._loop.from_thread(lambda session=session, name=name, found=found: self._on_found(session, name, found))  # type: ignore[misc]

    def _on_found(self, session: str, name: HostName, found: Found) -> None:
        self._busy[session] -= 1
        if not self._busy[session]:
            del self._busy[session]
        self._waiting.setdefault(session, deque())
        self._start_waiting(session)
        for then in self._asking.pop((session, name)):
            then(found)
