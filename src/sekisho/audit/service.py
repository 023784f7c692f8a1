"""The audit process: one verb, append. Producers connect to its socket; what they offer in one round is one commit; tiles and checkpoint follow.

A producer is known by the user id of its connection; others are dropped. An answer is given after the commit, never before. Publication follows
within `PUBLISH_SECONDS` and covers all that was committed by then. Nothing is kept in memory that a restart does not find again.
"""

import logging
import os
import selectors
from collections import Counter
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

from sekisho.audit.checkpoint import Checkpoint, open_checkpoint
from sekisho.audit.durable import Folder
from sekisho.audit.entry import OWN_PRODUCER
from sekisho.audit.keys import load_key, make_key
from sekisho.audit.note import MalformedNote, SigningKey, UnverifiedNote
from sekisho.audit.published import VKEY, PublishedLog
from sekisho.audit.publisher import Publisher
from sekisho.audit.recovery import LogDisagrees, recover
from sekisho.audit.sequencer import Sequencer
from sekisho.audit.sequencing import Refuse
from sekisho.audit.signer import SIGNED, Signer
from sekisho.audit.wire import Accepted, MalformedPacket, Refused, parse_append, render_answer
from sekisho.model.event import Event, EventKind
from sekisho.system.clock import Clock
from sekisho.system.packets import Channel, ChannelClosed, Listener

PUBLISH_SECONDS = 0.03
_CONNECTIONS_LIMIT = 16  # of one producer
_logger = logging.getLogger(__name__)


def run(*, directory: Path, key_path: Path, origin: str, socket_path: Path, producers: Mapping[int, str], clock: Clock) -> NoReturn:
    """Serve for ever. `producers` maps user ids to producer names.

    Raises Trouble if the log, its key or its files cannot be trusted, and any error of the disk: memory is then no longer what the disk has."""
    store, publisher, is_published = open_log(directory, key_path=key_path, origin=origin)
    if not is_published:
        publisher.publish()
    service = Service(store, publisher, listener=Listener(socket_path, mode=0o666), producers=producers, clock=clock)
    while True:
        service.turn()


def open_log(directory: Path, *, key_path: Path, origin: str) -> tuple[Sequencer, Publisher, bool]:
    """The store and the publisher of a log whose parts agree, and whether all of it is published already."""
    store = Sequencer(directory / "log.sqlite")
    try:
        return _open_log(directory, store, key_path=key_path, origin=origin)
    except BaseException:
        store.close()
        raise


def _open_log(directory: Path, store: Sequencer, *, key_path: Path, origin: str) -> tuple[Sequencer, Publisher, bool]:
    key = _key(key_path, origin=origin, is_new=store.size == 0 and not (directory / SIGNED).exists())
    log = PublishedLog(directory)
    folder = Folder(directory, staging="staging")
    published, signer = _signed_parts(directory, log, key, folder)
    recovered = recover(directory, store, published=published, signed=signer.last)
    _publish_vkey(log, folder, key)
    publisher = Publisher(directory, folder=folder, signer=signer, growth=recovered.growth, filled=recovered.filled)
    return store, publisher, published is not None and published.size == store.size


def _key(path: Path, *, origin: str, is_new: bool) -> SigningKey:
    return make_key(path, origin=origin) if is_new and not path.exists() else load_key(path, origin=origin)


def _signed_parts(directory: Path, log: PublishedLog, key: SigningKey, folder: Folder) -> tuple[Checkpoint | None, Signer]:
    remembered, note = directory / SIGNED, log.checkpoint()
    try:
        signer = Signer(key, folder, unverified_last=remembered.read_bytes() if remembered.exists() else None)
        return (None if note is None else open_checkpoint(note, key.verifier)), signer
    except (MalformedNote, UnverifiedNote) as error:
        raise LogDisagrees(f"the checkpoint or the signer's last note is not one of this log's: {error}") from error


def _publish_vkey(log: PublishedLog, folder: Folder, key: SigningKey) -> None:
    wanted = f"{key.verifier.vkey}\n".encode()
    found = log.vkey()
    if found is None:
        folder.put(VKEY, wanted)
        folder.settle()
    elif found != wanted:
        raise LogDisagrees(f"{VKEY} is not the verifier key of the log's key")


class _Line:
    """One connection of a producer."""

    def __init__(self, channel: Channel, producer: str) -> None:
        self.channel = channel
        self.producer = producer
        self.answer_through = 0  # of what it sent in this round; 0: nothing is owed
        self.refused: Refused | None = None


class Service:
    """`turn` is one round: read what is there, commit it, answer, publish when due."""

    def __init__(self, store: Sequencer, publisher: Publisher, *, listener: Listener, producers: Mapping[int, str], clock: Clock) -> None:
        assert OWN_PRODUCER not in producers.values()
        self._store = store
        self._publisher = publisher
        self._listener = listener
        self._producers = producers
        self._clock = clock
        self._lines: set[_Line] = set()
        self._last_refusal: dict[str, str] = {}
        self._publish_at: float | None = None
        self._selector = selectors.DefaultSelector()
        self._watch(listener, self._accept)

    def turn(self, limit_seconds: float | None = None) -> None:
        """Waits for producers, until publication is due, or `limit_seconds`."""
        for key, _ in self._selector.select(self._patience(limit_seconds)):
            key.data()
        self._commit()
        self._answer()
        self._publish_if_due()

    def close(self) -> None:
        for line in list(self._lines):
            self._drop(line)
        self._selector.close()
        self._listener.close()
        self._store.close()

    def _patience(self, limit_seconds: float | None) -> float | None:
        if self._publish_at is None:
            return limit_seconds
        due = max(0.0, self._publish_at - self._clock.boottime())
        return due if limit_seconds is None else min(due, limit_seconds)

    def _watch(self, end: Listener | Channel, then: Callable[[], None]) -> None:
        self._selector.register(end.fileno(), selectors.EVENT_READ, then)

    def _accept(self) -> None:
        channel = self._listener.accept()
        if channel is None:
            return
        uid = channel.peer.uid
        producer = self._producers.get(uid)
        if producer is None or Counter(line.producer for line in self._lines)[producer] >= _CONNECTIONS_LIMIT:
            _logger.warning("a connection by user id %d was dropped: %s", uid, "too many of it" if producer else "no producer")
            channel.close()
            return
        line = _Line(channel, producer)
        self._lines.add(line)
        self._watch(channel, lambda: self._read(line))

    def _read(self, line: _Line) -> None:
        """One packet of a line a round: so no producer waits behind another's backlog."""
        try:
            received = line.channel.receive()
        except ChannelClosed:
            self._drop(line)
            return
        if received is not None:
            packet, descriptors = received
            for unwanted in descriptors:
                os.close(unwanted)
            self._take(line, packet)

    def _take(self, line: _Line, packet: bytes) -> None:
        try:
            entries = parse_append(packet).entries
        except MalformedPacket as error:
            self._refuse(line, 0, packet, f"malformed packet: {error}")
            return
        for number, unverified in entries:
            judgement = self._store.offer(unverified, producer=line.producer, number=number, now=self._clock.now())
            if isinstance(judgement, Refuse):
                self._refuse(line, number, unverified, judgement.why)
                return
            line.answer_through = max(line.answer_through, number)

    def _refuse(self, line: _Line, number: int, unverified: bytes, why: str) -> None:
        """Refused loudly: to the producer, to whoever reads this process's output, and in the log itself, there once however often it is tried again."""
        line.refused = Refused(number, why)
        _logger.error("an entry of %s was refused: number %d: %s", line.producer, number, why)
        what = sha256(number.to_bytes(8, "big") + unverified).hexdigest()
        if self._last_refusal.get(line.producer) != what:
            self._last_refusal[line.producer] = what
            details = {"producer": line.producer, "number": str(number), "why": why}
            self._store.note(Event(EventKind.PRODUCER_REFUSED, self._clock.now(), details=details))

    def _commit(self) -> None:
        entries = self._store.commit()
        if not entries:
            return
        self._publisher.take(entries)
        if self._publish_at is None:
            self._publish_at = self._clock.boottime() + PUBLISH_SECONDS

    def _answer(self) -> None:
        for line in [line for line in self._lines if line.answer_through or line.refused]:
            try:
                if line.answer_through:
                    line.channel.send(render_answer(Accepted(line.answer_through)))
                if line.refused:
                    line.channel.send(render_answer(line.refused))
            except ChannelClosed:
                self._drop(line)
                continue
            line.answer_through = 0
            if line.refused or line.channel.is_waiting_to_write:
                self._drop(line)  # one that does not read its answers comes back and sends again

    def _publish_if_due(self) -> None:
        if self._publish_at is not None and self._clock.boottime() >= self._publish_at:
            self._publisher.publish()
            self._publish_at = None

    def _drop(self, line: _Line) -> None:
        self._selector.unregister(line.channel.fileno())
        line.channel.close()
        self._lines.discard(line)
