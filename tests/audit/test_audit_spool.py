"""The file spool: nothing that was synced is lost, nothing that was not is invented, and it is bounded."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from tests.audit.audit_yard import StandingClock, event

from sekisho.audit import spool as spool_module
from sekisho.audit.entry import digest, parse_entry
from sekisho.audit.segment import HEADER_BYTES
from sekisho.audit.spool import FileSpool, SpoolDamaged, SpoolFull
from sekisho.model.errors import Trouble

EVERYTHING = 10_000_000


@pytest.fixture
def clock():
    return StandingClock()


@pytest.fixture
def opened(tmp_path, clock):
    """Opens the spool of a test again and again, as a restarted process does."""
    spools = []

    def reopen(limit_bytes: int = EVERYTHING, limit_seconds: float = 30.0) -> FileSpool:
        close_all(spools)
        spools.append(FileSpool(tmp_path / "spool", producer="agent", limit_bytes=limit_bytes, limit_seconds=limit_seconds, clock=clock))
        return spools[-1]

    yield reopen
    close_all(spools)


def close_all(spools):
    while spools:
        spools.pop().close()


def fill(spool, count, *, closes=False):
    first = spool.next_number
    for number in range(first, first + count):
        spool.append(event(number), closes=closes)
    spool.sync()


def numbers(spool):
    return [number for number, _ in spool.waiting(EVERYTHING)]


def test_entries_are_numbered_and_chained_and_stay_so_over_a_restart(opened):
    fill(opened(), 3)
    fill(opened(), 2)
    waiting = opened().waiting(EVERYTHING)
    entries = [parse_entry(entry) for _, entry in waiting]
    assert [number for number, _ in waiting] == [entry.number for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry.prev for entry in entries] == ["", *(digest(entry) for _, entry in waiting[:-1])]


def test_what_is_not_synced_is_not_shown_to_the_shipper(opened):
    spool = opened()
    assert spool.append(event()) == 1
    assert spool.waiting(EVERYTHING) == []
    spool.sync()
    assert numbers(spool) == [1]


def test_waiting_is_limited_in_bytes_but_gives_one_at_least(opened):
    spool = opened()
    fill(spool, 5)
    size = len(spool.waiting(EVERYTHING)[1][1])
    assert [number for number, _ in spool.waiting(size * 2)] == [1, 2]
    assert [number for number, _ in spool.waiting(1)] == [1]


def test_what_was_accepted_is_remembered_and_its_segments_go(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 700)
    spool = opened()
    fill(spool, 20)
    assert len(list((tmp_path / "spool").glob("*.spool"))) > 3
    spool.accepted(17)
    assert numbers(spool) == [18, 19, 20]
    spool = opened()
    assert (spool.accepted_through, numbers(spool), spool.next_number) == (17, [18, 19, 20], 21)
    spool.accepted(20)
    assert len(list((tmp_path / "spool").glob("*.spool"))) == 1
    spool = opened()
    assert (spool.accepted_through, numbers(spool), spool.next_number) == (20, [], 21)
    fill(spool, 1)
    assert numbers(spool) == [21]


def test_a_lost_or_false_note_of_what_was_accepted_only_sends_again(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 700)
    spool = opened()
    fill(spool, 20)
    spool.accepted(17)
    for content in (b"", b"\0" * 12, b"x" * 12, (99).to_bytes(8, "big") + b"1234"):
        (tmp_path / "spool" / "accepted").write_bytes(content)
        spool = opened()
        assert numbers(spool)[-3:] == [18, 19, 20]
        assert spool.accepted_through == numbers(spool)[0] - 1


def test_a_claim_of_what_was_never_sent_accepts_nothing(opened):
    spool = opened()
    fill(spool, 2)
    spool.accepted(3)
    assert numbers(spool) == [1, 2]


def test_a_spool_torn_at_every_byte_behind_its_last_sync_loses_only_what_was_never_synced(opened, tmp_path, clock):
    spool = opened()
    fill(spool, 3)
    synced = max((tmp_path / "spool").glob("*.spool")).stat().st_size
    spool.append(event(4))
    spool.append(event(5))
    whole = max((tmp_path / "spool").glob("*.spool")).read_bytes()
    first_of_torn = synced + (len(whole) - synced) // 2
    for length in range(synced, len(whole)):
        tail = (b"", b"\0" * 7, b"\xff" * 9)[length % 3]
        found = reopen_with(tmp_path / str(length), whole[:length] + tail, clock)
        assert found == ([1, 2, 3] if length < first_of_torn else [1, 2, 3, 4])


def reopen_with(directory, content, clock):
    """The numbers of a spool whose only segment is `content`, after one more event was appended to it and it was opened again."""
    directory.mkdir()
    (directory / f"{1:020}.spool").write_bytes(content)
    spool = FileSpool(directory, producer="agent", limit_bytes=EVERYTHING, limit_seconds=30, clock=clock)
    found = numbers(spool)
    fill(spool, 1)
    spool.close()
    again = FileSpool(directory, producer="agent", limit_bytes=EVERYTHING, limit_seconds=30, clock=clock)
    assert numbers(again) == [*found, len(found) + 1]
    again.close()
    shutil.rmtree(directory)
    return found


def test_a_spool_that_lost_or_changed_a_byte_that_was_synced_is_not_opened(opened, tmp_path, clock):
    fill(opened(), 1)
    opened()  # the end that was synced is noted on disk
    whole = max((tmp_path / "spool").glob("*.spool")).read_bytes()
    directory = tmp_path / "damaged"
    directory.mkdir()
    segment = directory / f"{1:020}.spool"
    truncated = [whole[:length] for length in range(len(whole))]
    flipped = [whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :] for at in range(HEADER_BYTES, len(whole))]
    for content in truncated + flipped:
        segment.write_bytes(content)
        with pytest.raises(SpoolDamaged):
            FileSpool(directory, producer="agent", limit_bytes=EVERYTHING, limit_seconds=30, clock=clock)


def test_a_missing_segment_in_the_middle_is_damage(opened, tmp_path, monkeypatch):
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 700)
    fill(opened(), 12)
    sorted((tmp_path / "spool").glob("*.spool"))[1].unlink()
    with pytest.raises(SpoolDamaged, match="does not continue"):
        opened()


def test_a_half_made_segment_is_no_segment(opened, tmp_path):
    fill(opened(), 2)
    (tmp_path / "spool" / "00000000000000000003.new").write_bytes(b"SEK")
    assert numbers(opened()) == [1, 2]


def test_it_is_full_when_too_many_bytes_wait_and_takes_again_when_they_were_accepted(opened):
    spool = opened(limit_bytes=1000)
    with pytest.raises(SpoolFull):
        fill(spool, 100)
    before = spool.next_number
    spool.sync()
    assert before > 2
    spool.accepted(before - 1)
    assert spool.append(event()) == before


def test_what_closes_has_a_reserve_and_that_is_bounded_too(opened):
    spool = opened(limit_bytes=1000)
    with pytest.raises(SpoolFull):
        fill(spool, 100)
    before = spool.next_number
    with pytest.raises(SpoolFull):
        fill(spool, 100, closes=True)
    assert 0 < spool.next_number - before < 20


def test_it_is_full_when_its_oldest_entry_waits_too_long_but_closing_goes_on(opened, clock):
    spool = opened(limit_seconds=30)
    fill(spool, 2)
    clock.seconds = 29.9
    fill(spool, 1)
    clock.seconds = 31
    assert spool.oldest_waiting_seconds() == 31
    with pytest.raises(SpoolFull):
        spool.append(event())
    assert spool.append(event(), closes=True) == 4
    spool.sync()
    spool.accepted(2)
    assert spool.oldest_waiting_seconds() == pytest.approx(1.1)
    spool.append(event())


def test_the_age_of_what_waits_survives_a_restart(opened, clock):
    spool = opened()
    clock.seconds = 5
    spool.append(event(5))
    spool.sync()
    clock.seconds = 65
    assert opened().oldest_waiting_seconds() == pytest.approx(60)
    with pytest.raises(SpoolFull):
        opened().append(event())


def test_a_full_disk_refuses_and_leaves_no_torn_record(opened, tmp_path, monkeypatch):
    spool = opened()
    fill(spool, 1)
    real = os.pwrite

    def half(descriptor, content, offset):
        return real(descriptor, content[: len(content) // 2], offset)

    def none(descriptor, content, offset):
        raise OSError(28, "No space left on device")

    for broken in (half, none):
        monkeypatch.setattr(os, "pwrite", broken)
        with pytest.raises(SpoolFull):
            spool.append(event())
        monkeypatch.setattr(os, "pwrite", real)
    fill(spool, 1)
    assert numbers(opened()) == [1, 2]


def test_a_disk_that_is_full_at_a_new_segment_refuses_and_closes_nobody_elses_descriptor(opened, tmp_path, monkeypatch):
    """The old segment was closed before the new one was there, and again with each try: by then its number was a room's listener."""
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 200)
    spool = opened()
    fill(spool, 1)
    real = os.fsync

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SpoolFull):
        spool.append(event())
    bystander = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(SpoolFull):
        spool.append(event())
    os.close(bystander)
    monkeypatch.setattr(os, "fsync", real)
    fill(spool, 2)
    assert numbers(opened()) == [1, 2, 3]


def test_a_second_process_cannot_open_it(opened, tmp_path):
    opened()
    script = (
        "import sys; from pathlib import Path; from sekisho.audit.spool import FileSpool; from sekisho.system.clock import SystemClock\n"
        "from sekisho.model.errors import Trouble\n"
        "try: FileSpool(Path(sys.argv[1]), producer='agent', limit_bytes=1, limit_seconds=1, clock=SystemClock())\n"
        "except Trouble as error: print(error.reference)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    found = subprocess.run([sys.executable, "-c", script, str(tmp_path / "spool")], capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.strip() == "spool-in-use"
    assert issubclass(SpoolFull, Trouble)


def test_a_child_that_was_forked_does_not_keep_it(opened, tmp_path):
    opened()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)  # until the parent is done
        os._exit(0)
    try:
        os.close(reading)
        opened()  # the parent let go and opens again while its child lives
    finally:
        os.close(writing)
        os.waitpid(child, 0)


def test_entries_carry_what_the_event_said(opened):
    spool = opened()
    spool.append(event(7, by="太郎", room="campaign"))
    spool.sync()
    fields = json.loads(spool.waiting(EVERYTHING)[0][1])
    assert (fields["by"], fields["room"], fields["producer"], fields["details"]) == ("太郎", "campaign", "agent", {"n": 7})
