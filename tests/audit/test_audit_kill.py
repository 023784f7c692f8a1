"""kill -9 of the real audit process, and of a producer, wherever it hurts: nothing that was accepted or synced is lost, nothing is doubled."""

import os
import pathlib
import shutil
import signal
import time

import pytest
from tests.audit.audit_yard import AuditProcess, audit_process, event, is_published, open_spool, ship_all, wait_until

from sekisho.audit import durable, publisher, sequencer
from sekisho.audit.reading import read_entries
from sekisho.audit.shipper import Shipper
from sekisho.audit.verify import Verified, verify_log
from sekisho.system import packets
from sekisho.system.clock import SystemClock

BASE = 250  # so that a tile becomes full on the way


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A log of 250 entries and the spool that they came from."""
    directory = tmp_path_factory.mktemp("base")
    with audit_process(directory) as audit:
        audit.wait_until_served()
        append_and_ship(directory, BASE)
        wait_until(is_published(audit.directory, BASE))
    return directory


def append_and_ship(directory, count):
    spool, shipper = opened(directory)
    try:
        append(spool, count)
        ship_all(spool, shipper)
    finally:
        shipper.close()
        spool.close()


def opened(directory):
    spool = open_spool(directory)
    return spool, Shipper(spool, directory / "audit.sock", SystemClock())


def append(spool, count):
    for _ in range(count):
        spool.append(event(spool.next_number))
    spool.sync()


class Steps:
    """Counts, in the process that it is set in, every step that touches the disk or answers, and kills that process at one of them."""

    def __init__(self, last: int) -> None:
        self.left = last

    def set(self) -> None:
        self._count(os, "fsync")
        self._count(pathlib.Path, "rename")
        self._count(sequencer.Sequencer, "commit")
        self._count(packets.Channel, "send")
        self._count(publisher, "remove_partials")
        self._count(durable, "sync_folder")

    def _count(self, where, name) -> None:
        real = getattr(where, name)

        def counted(*arguments: object, **named: object):
            self._step()
            found = real(*arguments, **named)
            self._step()
            return found

        setattr(where, name, counted)

    def _step(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def is_story_whole(directory, count):
    """Every entry of the producer exactly once and in order, nothing else, and the log verifies."""
    found = verify_log(directory / "log", vkey=(directory / "log/log.vkey").read_text().strip())
    assert isinstance(found, Verified), found
    entries = read_entries(directory / "log", limit=10_000)
    assert [(entry.fields["producer"], int(entry.fields["number"])) for entry in entries] == [("agent", number) for number in range(1, count + 1)]
    return True


# Steps from the start of the process over its publications, the second of which fills a tile: before a call that touches the disk, or after it.
@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 9, 11, 13, 16, 19, 22, 25, 28, 31, 34, 37, 41, 45, 49, 53, 58, 63, 68, 73, 78])
def test_audit_killed_at_a_step_of_its_work_loses_and_doubles_nothing(base, tmp_path, step):
    directory = tmp_path / "killed"
    shutil.copytree(base, directory, ignore=shutil.ignore_patterns("*.sock*"))
    spool, shipper = opened(directory)
    audit = AuditProcess(directory, before=Steps(step).set)
    try:
        for _ in range(6):
            append(spool, 4)
            drive_until_accepted_or_dead(spool, shipper, audit)
            if audit.is_dead():
                break
            wait_until(lambda: audit.is_dead() or is_published(audit.directory, spool.accepted_through)())
        assert audit.is_dead(), "the step was never reached"
        accepted = spool.accepted_through
        with audit_process(directory) as again:
            again.wait_until_served()
            append(spool, 3)
            ship_all(spool, shipper)
            wait_until(is_published(again.directory, spool.accepted_through))
            assert spool.accepted_through >= accepted
            assert is_story_whole(directory, spool.next_number - 1)
    finally:
        shipper.close()
        spool.close()
        audit.kill()


def drive_until_accepted_or_dead(spool, shipper, audit):
    def is_over():
        shipper.tick()
        shipper.on_ready()
        return spool.accepted_through == spool.next_number - 1 or audit.is_dead()

    wait_until(is_over)


@pytest.mark.parametrize("step", [1, 2, 4, 6, 9, 12, 15, 18, 21, 24])
def test_audit_killed_while_it_makes_a_new_log_makes_it_the_next_time(tmp_path, step):
    audit = AuditProcess(tmp_path, before=Steps(step).set)
    wait_until(audit.is_dead)
    with audit_process(tmp_path) as again:
        again.wait_until_served()
        append_and_ship(tmp_path, 2)
        wait_until(is_published(again.directory, 2))
        assert is_story_whole(tmp_path, 2)


def test_audit_killed_again_and_again_under_load_loses_and_doubles_nothing(tmp_path):
    spool, shipper = opened(tmp_path)
    try:
        for milliseconds in (3, 11, 27, 40, 55, 80):
            with audit_process(tmp_path) as audit:
                deadline = time.monotonic() + milliseconds / 1000
                audit.wait_until_served()
                while time.monotonic() < deadline + 0.03:
                    append(spool, 3)
                    shipper.tick()
                    shipper.on_ready()
                audit.kill()
        with audit_process(tmp_path) as audit:
            audit.wait_until_served()
            ship_all(spool, shipper)
            wait_until(is_published(audit.directory, spool.accepted_through))
            assert spool.accepted_through > 50
            assert is_story_whole(tmp_path, spool.next_number - 1)
    finally:
        shipper.close()
        spool.close()


@pytest.mark.parametrize("milliseconds", [5, 20, 50])
def test_a_producer_killed_while_it_appends_keeps_all_that_it_synced(tmp_path, milliseconds):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        spool = open_spool(tmp_path, limit_bytes=10**9)
        while True:
            append(spool, 5)
            os.write(writing, (spool.next_number - 1).to_bytes(4, "big"))
    os.close(writing)
    try:
        first = os.read(reading, 4)
        time.sleep(milliseconds / 1000)  # the moment of the kill is what is tested
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    said = first
    while more := os.read(reading, 65_536):
        said += more
    os.close(reading)
    spool = open_spool(tmp_path)
    try:
        assert spool.next_number - 1 >= int.from_bytes(said[-4:], "big") >= 5
        assert [number for number, _ in spool.waiting(10**9)] == list(range(1, spool.next_number))
    finally:
        spool.close()
