"""The audit service: who may append, what is taken, dropped and refused, and what it publishes."""

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest
from tests.audit.audit_yard import ORIGIN, audit_process, chain, event, is_published, open_spool, ship_all, wait_until

from sekisho.audit.entry import digest, entry_bytes
from sekisho.audit.published import PublishedLog
from sekisho.audit.reading import log_size, read_entries
from sekisho.audit.recovery import LogDisagrees
from sekisho.audit.service import Service, open_log
from sekisho.audit.shipper import Shipper, ship
from sekisho.audit.verify import Verified, verify_log
from sekisho.audit.wire import Accepted, Refused, parse_answer, render_appends
from sekisho.model.errors import Trouble
from sekisho.system.clock import SystemClock
from sekisho.system.packets import Channel, ChannelClosed, Listener, connect


class Yard:
    """The service in this process, turned by hand."""

    def __init__(self, directory) -> None:
        self.directory = directory / "log"
        self.directory.mkdir(mode=0o750)
        self.key_path = directory / "audit.key"
        self.socket_path = directory / "audit.sock"
        self.channels = []
        self.service = None

    def serve(self, producers=None):
        if self.service:
            self.service.close()
        store, publisher, is_whole = open_log(self.directory, key_path=self.key_path, origin=ORIGIN)
        if not is_whole:
            publisher.publish()
        listener = Listener(self.socket_path, mode=0o666)
        self.service = Service(store, publisher, listener=listener, producers=producers or {os.getuid(): "agent"}, clock=SystemClock())

    def connect(self) -> Channel:
        self.channels.append(connect(self.socket_path))
        self.service.turn(0.5)
        return self.channels[-1]

    def connect_as(self, uid) -> Channel:
        os.seteuid(uid)
        try:
            self.channels.append(connect(Path(self.socket_path.name)))
        finally:
            os.seteuid(0)
        self.service.turn(0.5)
        return self.channels[-1]

    def say(self, channel, entries, first=1):
        for packet in render_appends(list(enumerate(entries, first))):
            channel.send(packet)
        self.service.turn(0.5)

    def answers(self, channel):
        """Everything that audit said; ends with None if it hung up."""
        found = []
        try:
            while received := channel.receive():
                found.append(parse_answer(received[0]))
        except ChannelClosed:
            found.append(None)
        return found

    def publish(self):
        def is_published():
            self.service.turn(0.01)
            return self.service._publish_at is None

        wait_until(is_published)

    def close(self):
        for channel in self.channels:
            channel.close()
        if self.service:
            self.service.close()

    def kinds(self):
        return [entry.fields["kind"] for entry in read_entries(self.directory)]

    @property
    def vkey(self):
        return (self.directory / "log.vkey").read_text().strip()


@pytest.fixture
def yard(tmp_path):
    made = Yard(tmp_path)
    made.serve()
    yield made
    made.close()


ENTRIES = chain(6, producer="agent")


def test_entries_are_accepted_after_the_commit_and_published(yard):
    channel = yard.connect()
    yard.say(channel, ENTRIES)
    assert yard.answers(channel) == [Accepted(6)]
    yard.publish()
    assert log_size(yard.directory) == 6
    assert isinstance(verify_log(yard.directory, vkey=yard.vkey), Verified)


def test_an_empty_log_has_a_signed_checkpoint(yard):
    found = verify_log(yard.directory, vkey=yard.vkey)
    assert isinstance(found, Verified)
    assert found.size == 0


def test_duplicates_are_dropped_and_accepted_again_also_after_a_restart(yard):
    for _ in range(2):
        channel = yard.connect()
        yard.say(channel, ENTRIES[:4])
        yard.say(channel, ENTRIES[2:], first=3)
        assert yard.answers(channel) == [Accepted(4), Accepted(6)]
        yard.publish()
        assert log_size(yard.directory) == 6
        yard.serve()


def other(number, prev, *, producer="agent"):
    return entry_bytes(event(99), producer=producer, number=number, prev=prev)


@pytest.mark.parametrize(
    ("entry", "number", "why"),
    [
        (other(2, digest(ENTRIES[0])), 2, "another entry"),  # a number that the log has, with other bytes
        (other(4, digest(ENTRIES[1])), 4, "prev"),
        (other(4, ""), 4, "prev"),
        (other(5, digest(ENTRIES[2])), 4, "another number"),
        (other(4, digest(ENTRIES[2]), producer="egress"), 4, "another producer"),
        (other(4, digest(ENTRIES[2])) + b" ", 4, "malformed"),
        (b"{}", 4, "malformed"),
        (b'{"' + b"x" * 65_000 + b'":1}', 4, "malformed"),
        (b'{"at":"","kind":"","number":"","prev":"","producer":"","' + b"\x1b]0;" * 9_000 + b'":1}', 4, "malformed"),
    ],
)
def test_what_does_not_continue_the_chain_is_refused_loudly_and_logged_once(yard, entry, number, why, caplog):
    channel = yard.connect()
    yard.say(channel, ENTRIES[:3])
    for _ in range(3):
        channel = yard.connect()
        yard.say(channel, [entry], first=number)
        (refused, hung_up) = yard.answers(channel)
        assert isinstance(refused, Refused)
        assert (refused.number, hung_up) == (number, None)
        assert why in refused.why
    assert "was refused" in caplog.text
    yard.publish()
    assert yard.kinds() == ["request.made"] * 3 + ["producer.refused"]
    assert read_entries(yard.directory)[-1].fields["details"]["producer"] == "agent"
    channel = yard.connect()
    yard.say(channel, ENTRIES[3:], first=4)
    assert yard.answers(channel) == [Accepted(6)]


def test_what_came_before_a_refused_entry_in_the_same_packet_is_kept(yard):
    channel = yard.connect()
    yard.say(channel, [*ENTRIES[:3], other(4, "")])
    assert yard.answers(channel) == [Accepted(3), Refused(4, "prev is not the hash of the preceding entry"), None]


def test_a_gap_is_taken_and_is_an_event_before_it(yard):
    channel = yard.connect()
    yard.say(channel, ENTRIES[:2])
    yard.say(channel, ENTRIES[4:], first=5)
    assert yard.answers(channel) == [Accepted(2), Accepted(6)]
    yard.publish()
    entries = read_entries(yard.directory)
    assert [entry.fields["producer"] for entry in entries] == ["agent", "agent", "audit", "agent", "agent"]
    assert entries[2].fields["kind"] == "producer.gap"
    assert entries[2].fields["details"] == {"producer": "agent", "after": "2", "next": "5"}
    assert isinstance(verify_log(yard.directory, vkey=yard.vkey), Verified)


@pytest.mark.parametrize("packet", [b"", b"\x01", b"\x81" + bytes(8), b"\x01" + bytes(10), b"\x01" + b"\xff" * 40, b"junk" * 1000])
def test_a_malformed_packet_closes_the_connection_and_nothing_else(yard, packet):
    healthy, hostile = yard.connect(), yard.connect()
    hostile._socket.send(packet)
    yard.service.turn(0.5)
    assert yard.answers(hostile)[-1] is None
    yard.say(healthy, ENTRIES)
    assert yard.answers(healthy) == [Accepted(6)]


def test_descriptors_that_come_with_a_packet_are_closed(yard):
    channel = yard.connect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number, entry in enumerate(ENTRIES, 1):
        channel.send(render_appends([(number, entry)])[0], descriptors=(channel.fileno(), channel.fileno()))
        yard.service.turn(0.5)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert yard.answers(channel)[-1] == Accepted(6)


def test_a_user_id_that_is_no_producer_is_dropped(yard):
    yard.serve(producers={os.getuid() + 1: "agent"})
    channel = yard.connect()
    assert yard.answers(channel) == [None]
    with pytest.raises(ChannelClosed):
        channel.send(render_appends([(1, ENTRIES[0])])[0])
    assert log_size(yard.directory) == 0


@pytest.mark.root
def test_several_producers_at_once_are_told_apart_by_their_user_ids(tmp_path, monkeypatch):
    """Each keeps a chain of its own, and none can write into another's."""
    uids = {1_990_000_001: "agent", 1_990_000_002: "egress", 1_990_000_003: "store"}
    yard = Yard(tmp_path)
    yard.serve(producers=uids)
    tmp_path.chmod(0o711)
    monkeypatch.chdir(tmp_path)  # the folders above are closed to those users
    try:
        channels = {name: yard.connect_as(uid) for uid, name in uids.items()}
        for _ in range(3):
            for name, channel in channels.items():
                channel.send(render_appends(list(enumerate(chain(5, producer=name), 1)))[0])
        answers = {name: [] for name in channels}

        def are_all_answered():
            yard.service.turn(0.01)
            for name, channel in channels.items():
                answers[name] += yard.answers(channel)
            return all(found == [Accepted(5)] * 3 for found in answers.values())

        wait_until(are_all_answered)
        yard.say(channels["egress"], chain(6, producer="agent")[5:], first=6)
        assert yard.answers(channels["egress"]) == [Refused(6, "the entry names another producer"), None]
        yard.publish()
        entries = read_entries(yard.directory, kind="request.made")
        for name in channels:
            assert [entry.fields["number"] for entry in entries if entry.fields["producer"] == name] == ["1", "2", "3", "4", "5"]
        assert isinstance(verify_log(yard.directory, vkey=yard.vkey), Verified)
    finally:
        yard.close()


def test_a_producer_that_does_not_read_its_answers_is_let_go(yard):
    channel = yard.connect()

    def is_gone():
        try:
            channel.send(render_appends([(1, ENTRIES[0])])[0])
        except ChannelClosed:
            return True
        yard.service.turn(0.01)
        return False

    wait_until(is_gone)
    healthy = yard.connect()
    yard.say(healthy, ENTRIES)
    assert yard.answers(healthy) == [Accepted(6)]


def test_a_producer_has_a_limit_of_connections(yard):
    channels = [yard.connect() for _ in range(20)]
    assert [yard.answers(channel) for channel in channels].count([None]) == 4


def test_two_connections_of_one_producer_in_one_round_take_each_entry_once(yard):
    left, right = yard.connect(), yard.connect()
    for channel in (left, right):
        channel.send(render_appends(list(enumerate(ENTRIES, 1)))[0])
    yard.service.turn(0.5)
    wait_until(lambda: yard.service.turn(0.01) is None)
    assert yard.answers(left) + yard.answers(right) == [Accepted(6)] * 2
    yard.publish()
    assert log_size(yard.directory) == 6


def test_published_files_are_for_the_group_of_the_folder_and_the_store_is_not(yard):
    if os.getuid() == 0:
        os.chown(yard.directory, -1, 4242)
        yard.serve()
    channel = yard.connect()
    yard.say(channel, chain(300, producer="agent"))
    yard.say(channel, [])
    wait_until(lambda: yard.service.turn(0.01) is None and yard.answers(channel)[-1:] != [])
    yard.publish()
    group = yard.directory.stat().st_gid
    for path in (yard.directory / "tile").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o750 if path.is_dir() else 0o640), path
        assert path.stat().st_gid == group
    assert stat.S_IMODE((yard.directory / "checkpoint").stat().st_mode) == 0o640
    assert stat.S_IMODE((yard.directory / "log.sqlite").stat().st_mode) == 0o600
    assert stat.S_IMODE(yard.key_path.stat().st_mode) == 0o600


def test_full_tiles_are_written_once_and_partials_go_when_they_are_full(yard):
    channel = yard.connect()
    entries = chain(600, producer="agent")
    full = yard.directory / "tile/0/000"
    seen = set()
    for first in range(0, 600, 100):
        yard.say(channel, entries[first : first + 100], first=first + 1)
        yard.publish()
        if full.exists():
            seen.add((full.stat().st_ino, full.stat().st_mtime_ns))
            assert not (yard.directory / "tile/0/000.p").exists()
            assert not (yard.directory / "tile/entries/000.p").exists()
    assert len(seen) == 1
    assert sorted(path.name for path in (yard.directory / "tile/0/002.p").iterdir()) == ["88"]
    assert isinstance(verify_log(yard.directory, vkey=yard.vkey), Verified)


def test_one_process_serves_a_log(yard):
    with pytest.raises(Trouble, match="another process holds"):
        open_log(yard.directory, key_path=yard.key_path, origin=ORIGIN)


def test_a_key_is_never_made_for_a_log_that_has_entries(yard):
    channel = yard.connect()
    yard.say(channel, ENTRIES)
    yard.publish()
    yard.service.close()
    yard.service = None
    key = yard.key_path.read_bytes()
    yard.key_path.unlink()
    with pytest.raises(Trouble, match="cannot be used"):
        yard.serve()
    assert not yard.key_path.exists()
    yard.key_path.write_bytes(key)
    with pytest.raises(Trouble, match="another log"):
        open_log(yard.directory, key_path=yard.key_path, origin="sekisho.test/other")
    yard.serve()


def remove(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [remove, empty, flip])
@pytest.mark.parametrize(
    "name", ["checkpoint", "signed", "log.vkey", "tile/0/000", "tile/1/000.p/1", "tile/0/001.p/44", "tile/entries/000", "tile/entries/001.p/44"]
)
def test_it_does_not_start_when_a_part_disagrees(yard, name, spoil):
    channel = yard.connect()
    yard.say(channel, chain(300, producer="agent"))
    wait_until(lambda: yard.service.turn(0.01) is None and yard.answers(channel)[-1:] != [])
    yard.publish()
    yard.service.close()
    yard.service = None
    spoil(yard.directory / name)
    if (name, spoil) in [("checkpoint", remove), ("log.vkey", remove)]:
        yard.serve()  # nothing was lost: the signer's memory and the key still say what they say
        assert isinstance(verify_log(yard.directory, vkey=yard.vkey), Verified)
    else:
        with pytest.raises(LogDisagrees):
            yard.serve()


def test_it_does_not_start_on_a_database_that_was_rolled_back(yard, tmp_path):
    channel = yard.connect()
    yard.say(channel, ENTRIES[:3])
    yard.publish()
    yard.service.close()
    old = (yard.directory / "log.sqlite").read_bytes()
    yard.service = None
    yard.serve()
    channel = yard.connect()
    yard.say(channel, ENTRIES[3:], first=4)
    yard.publish()
    yard.service.close()
    yard.service = None
    (yard.directory / "log.sqlite").write_bytes(old)
    with pytest.raises(LogDisagrees, match="3 entries, and 6 were signed"):
        yard.serve()


def test_it_does_not_start_on_a_database_that_was_edited(yard):
    import sqlite3

    channel = yard.connect()
    yard.say(channel, ENTRIES)
    yard.publish()
    yard.service.close()
    yard.service = None
    database = sqlite3.connect(yard.directory / "log.sqlite")
    for statement in ("UPDATE log SET entry = x'7b7d' WHERE idx = 2", "DELETE FROM log"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            database.execute(statement)
    database.execute("DROP TRIGGER log_keeps_what_it_has")
    database.execute("UPDATE log SET entry = x'7b7d' WHERE idx = 2")
    database.commit()
    database.close()
    with pytest.raises(LogDisagrees, match="do not give the root"):
        yard.serve()


def test_a_producer_ships_from_its_spool_through_restarts_of_the_real_process(tmp_path):
    spool = open_spool(tmp_path)
    shipper = Shipper(spool, tmp_path / "audit.sock", SystemClock())
    try:
        for _ in range(2):
            with audit_process(tmp_path) as audit:
                audit.wait_until_served()
                for number in range(20):
                    spool.append(event(number))
                spool.sync()
                shipper.kick()
                ship_all(spool, shipper)
        with audit_process(tmp_path) as audit:
            wait_until(is_published(audit.directory, 40))
            found = verify_log(audit.directory, vkey=(audit.directory / "log.vkey").read_text().strip())
        assert isinstance(found, Verified)
        assert found.size == 40
    finally:
        shipper.close()
        spool.close()


def test_shipping_on_asyncio_reconnects_and_stops_cleanly(tmp_path):
    spool = open_spool(tmp_path)

    async def accepted(through):
        async with asyncio.timeout(10):
            while spool.accepted_through < through:  # noqa: ASYNC110  with a deadline
                await asyncio.sleep(0.005)

    async def scene():
        shipper, stop = Shipper(spool, tmp_path / "audit.sock", SystemClock()), asyncio.Event()
        shipping = asyncio.create_task(ship(shipper, stop))
        for expected in (1, 2, 3):
            with audit_process(tmp_path):
                spool.append(event(expected))
                spool.sync()
                shipper.kick()
                await accepted(expected)
        stop.set()
        await shipping
        assert shipper.fileno() is None

    try:
        asyncio.run(scene())
    finally:
        spool.close()


def test_an_error_of_the_backlog_ends_shipping_and_is_raised(tmp_path):
    class Broken:
        producer = "store"

        def waiting(self, limit_bytes):
            raise RuntimeError("the database is gone")

        def accepted(self, through):
            raise AssertionError

    listener = Listener(tmp_path / "audit.sock", mode=0o600)

    async def scene():
        await ship(Shipper(Broken(), tmp_path / "audit.sock", SystemClock()), asyncio.Event())

    try:
        with pytest.raises(RuntimeError, match="database is gone"):
            asyncio.run(scene())
    finally:
        listener.close()


def test_a_shipper_shows_why_it_is_refused_and_goes_on_trying(tmp_path, caplog):
    with audit_process(tmp_path) as audit:
        audit.wait_until_served()
        first = open_spool(tmp_path)
        shipper = Shipper(first, tmp_path / "audit.sock", SystemClock())
        first.append(event())
        first.sync()
        ship_all(first, shipper)
        shipper.close()
        first.close()
        for path in (tmp_path / "spool").iterdir():
            path.unlink()  # the spool was lost: its numbers begin again
        second = open_spool(tmp_path)
        second.append(event(99))
        second.sync()
        shipper = Shipper(second, tmp_path / "audit.sock", SystemClock())

        def is_refused():
            shipper.tick()
            shipper.on_ready()
            return shipper.refusal != "" and shipper.fileno() is None

        wait_until(is_refused)
        assert second.accepted_through == 0
        assert "audit refuses entry 1" in caplog.text
        shipper.close()
        second.close()


def test_a_peer_that_answers_nonsense_is_left(tmp_path):
    listener = Listener(tmp_path / "audit.sock", mode=0o600)
    spool = open_spool(tmp_path)
    spool.append(event())
    spool.sync()
    shipper = Shipper(spool, tmp_path / "audit.sock", SystemClock())
    try:
        for nonsense in (b"?", b"\x81" + (9).to_bytes(8, "big"), b"\x81" + bytes(8)):
            wait_until(lambda: shipper.tick() and shipper.fileno() is not None)
            end = listener.accept()
            end.send(nonsense)
            wait_until(lambda: shipper.on_ready() is None and shipper.fileno() is None)
            end.close()
        assert spool.accepted_through == 0
    finally:
        shipper.close()
        spool.close()
        listener.close()


def test_the_socket_speaks_packets_to_any_user(yard):
    assert stat.S_IMODE(yard.socket_path.stat().st_mode) == 0o666
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with end, pytest.raises(OSError, match="wrong type"):
        end.connect(str(yard.socket_path))


def test_the_published_tree_is_read_back_node_by_node(yard):
    from sekisho.audit.tree import root

    channel = yard.connect()
    yard.say(channel, chain(300, producer="agent"))
    wait_until(lambda: yard.service.turn(0.01) is None and yard.answers(channel)[-1:] != [])
    yard.publish()
    found = verify_log(yard.directory, vkey=yard.vkey)
    assert isinstance(found, Verified)
    assert root(300, PublishedLog(yard.directory).node(300)) == found.root
