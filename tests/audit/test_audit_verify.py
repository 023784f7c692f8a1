"""Verification: a whole log passes from its files alone, and whatever was changed is named."""

import json
import shutil
import threading

import pytest
import rfc8785
from tests.audit.audit_yard import LogOnDisk, chain, event

from sekisho.audit.entry import digest
from sekisho.audit.fault import Fault
from sekisho.audit.note import SigningKey, parse_vkey
from sekisho.audit.proof import verify_proof
from sekisho.audit.published import published_files
from sekisho.audit.reading import log_size, prove_entry, read_entries
from sekisho.audit.tiles import Place, parse_bundle, parse_path, render_bundle, width_at
from sekisho.audit.tree import HASH_BYTES, leaf_hash
from sekisho.audit.verify import Verified, verify_log

SMALL_SIZE = 3


def check(log):
    return verify_log(log.directory, vkey=log.vkey, patience_seconds=0)


@pytest.fixture
def small(tmp_path):
    """Two producers, three publications, the older partial tiles still there."""
    log = LogOnDisk(tmp_path)
    log.append(chain(2), steps=[1])
    log.append(chain(1, producer="agent"), producer="agent")
    return log


@pytest.fixture(scope="module")
def large_once(tmp_path_factory):
    log = LogOnDisk(tmp_path_factory.mktemp("large"))
    log.append(chain(700), steps=[100, 300, 600])
    return log


@pytest.fixture
def large(large_once, tmp_path):
    shutil.copytree(large_once.directory, tmp_path / "log")
    return LogOnDisk(tmp_path)


def test_a_whole_log_passes_and_so_does_a_copy_with_nothing_but_checkpoint_and_tiles(small, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copytree(small.directory / "tile", copy / "tile")
    shutil.copy(small.directory / "checkpoint", copy)
    for directory in (small.directory, copy):
        found = verify_log(directory, vkey=small.vkey, patience_seconds=0)
        assert isinstance(found, Verified)
        assert (found.size, found.origin) == (SMALL_SIZE, "sekisho.test/log")


def test_any_changed_byte_of_any_published_file_is_found_and_named(small):
    vkey = small.vkey
    places = 0
    for path in small.files():
        name = path.relative_to(small.directory).as_posix()
        whole = path.read_bytes()
        for at in range(len(whole)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            found = verify_log(small.directory, vkey=vkey, patience_seconds=0)
            assert isinstance(found, Fault), f"{name} byte {at}"
            assert found.path == name, found
            if name == "tile/entries/000.p/3":
                assert found.index == entry_at(whole, at), found
            else:
                assert found.index is None
            places += 1
        path.write_bytes(whole)
    assert places > 1000
    assert isinstance(check(small), Verified)


def entry_at(bundle, at):
    end = 0
    for index, entry in enumerate(parse_bundle(bundle, SMALL_SIZE)):
        end += 2 + len(entry)
        if at < end:
            return index
    raise AssertionError


def test_a_truncated_file_is_found_at_every_length(small):
    vkey = small.vkey
    for path in small.files():
        whole = path.read_bytes()
        for length in {*range(0, len(whole), 17), len(whole) - 1}:
            path.write_bytes(whole[:length])
            found = verify_log(small.directory, vkey=vkey, patience_seconds=0)
            assert isinstance(found, Fault)
            assert found.path == path.relative_to(small.directory).as_posix()
        path.write_bytes(whole + b"\0")
        found = verify_log(small.directory, vkey=vkey, patience_seconds=0)
        assert isinstance(found, Fault)
        assert found.path == path.relative_to(small.directory).as_posix()
        path.write_bytes(whole)


def test_a_missing_file_is_named(large):
    vkey = large.vkey
    for path in large.files():
        name = path.relative_to(large.directory).as_posix()
        place = parse_path(name)
        is_older = place is not None and place.width < width_at(place, 700)
        content = path.read_bytes()
        path.unlink()
        found = verify_log(large.directory, vkey=vkey, patience_seconds=0)
        if name == "log.vkey" or is_older:
            assert isinstance(found, Verified)  # only a copy of what the verifier brings, or a partial tile that may go (C2SP)
        else:
            assert isinstance(found, Fault)
            assert found.path == name
            assert found.index == (place.first_entry if name.startswith("tile/entries") else None)
        path.write_bytes(content)


@pytest.mark.parametrize(
    "name",
    [
        "tile/0/003",
        "tile/0/002.p/200",
        "tile/entries/002.p/189",
        "tile/entries/900",
        "tile/1/001.p/1",
        "tile/2/000.p/1",
        "tile/0/000.p/256",
        "tile/0/000.bak",
        "tile/0/x000/000",
        "tile/extra",
        "tile/0/000.p/7",
        "tile/0/002.p/9",
    ],
)
def test_a_file_too_many_is_named(large, name):
    path = large.directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(HASH_BYTES * 7))
    found = check(large)
    assert isinstance(found, Fault)
    assert (found.index, found.path) == (None, name)


def test_older_partial_tiles_beside_a_full_one_are_no_fault_while_they_are_its_beginning(large):
    part = large.directory / "tile/0/000.p/7"
    part.parent.mkdir()
    part.write_bytes((large.directory / "tile/0/000").read_bytes()[: 7 * HASH_BYTES])
    assert isinstance(check(large), Verified)


def rewrite_entry(log, index, size, **fields: object):
    """What an attacker with the disk does: another entry in the bundle. Gives the new entry."""
    full = Place(-1, index // 256)
    path = log.directory / Place(-1, full.index, width_at(full, size)).path
    entries = parse_bundle(path.read_bytes(), width_at(full, size))
    entries[index % 256] = rfc8785.dumps({**json.loads(entries[index % 256]), **fields})
    path.write_bytes(render_bundle(entries))
    return entries[index % 256]


def rewrite_leaf(log, index, size, entry, *, widths=()):
    """And its hash in the level-0 tile, and in older partial ones."""
    full = Place(0, index // 256)
    for width in [width_at(full, size), *widths]:
        path = log.directory / Place(0, full.index, width).path
        tile = bytearray(path.read_bytes())
        at = index % 256 * HASH_BYTES
        tile[at : at + HASH_BYTES] = leaf_hash(entry)
        path.write_bytes(bytes(tile))


@pytest.mark.parametrize("index", [0, 1, 255, 256, 511, 512, 640, 699])
def test_a_rewritten_entry_is_named(large, index):
    rewrite_entry(large, index, 700, by="nobody")
    found = check(large)
    assert isinstance(found, Fault)
    assert found.index == index
    assert found.path.startswith("tile/entries/")


def test_the_first_of_several_rewritten_entries_is_named(large):
    for index in (650, 300, 511):
        rewrite_entry(large, index, 700, by="nobody")
    assert check(large).index == 300


def test_an_entry_is_named_even_when_another_bundle_is_gone(large):
    rewrite_entry(large, 300, 700, by="nobody")
    (large.directory / "tile/entries/002.p/188").unlink()
    assert check(large).index == 300


@pytest.mark.parametrize("index", [3, 255, 256, 300, 600, 698])
def test_an_entry_rewritten_with_its_hash_is_named_by_its_producers_chain(large, index):
    entry = rewrite_entry(large, index, 700, by="nobody")
    rewrite_leaf(large, index, 700, entry, widths=[88] if 512 <= index < 600 else [])
    found = check(large)
    assert isinstance(found, Fault)
    assert found.index == index


def test_an_entry_rewritten_with_its_hash_is_named_by_an_older_partial_tile(large):
    entry = rewrite_entry(large, 599, 700, by="nobody")
    rewrite_leaf(large, 599, 700, entry)
    found = check(large)
    assert found.index == 599
    assert "tile/0/002.p/88" in found.what


def test_a_chain_rewritten_to_its_end_with_its_hashes_is_narrowed_to_its_tile(large):
    prev = None
    for index in range(400, 512):
        entry = rewrite_entry(large, index, 700, by="nobody", **({"prev": prev} if prev else {}))
        rewrite_leaf(large, index, 700, entry)
        prev = digest(entry)
    found = check(large)
    assert found.index is not None
    assert 256 <= found.index <= 511  # tile/1 is intact and says which tile of level 0 is not


def test_the_last_entry_rewritten_with_its_hash_leaves_a_range(small):
    entry = rewrite_entry(small, 2, SMALL_SIZE, by="nobody")
    rewrite_leaf(small, 2, SMALL_SIZE, entry)
    found = check(small)
    assert isinstance(found, Fault)
    assert found.index == 0
    assert "up to 2" in found.what


def test_removed_and_inserted_entries_are_named_where_the_story_changes(large):
    path = large.directory / "tile/entries/001"
    entries = parse_bundle(path.read_bytes(), 256)
    path.write_bytes(render_bundle([*entries[:44], *entries[45:]]))
    assert check(large).index == 300
    path.write_bytes(render_bundle([*entries[:44], entries[3], *entries[44:]]))
    assert check(large).index == 300
    path.write_bytes(render_bundle([*entries[:44], entries[45], entries[44], *entries[46:]]))
    assert check(large).index == 300


def test_a_log_that_somebody_else_signed_over_is_refused(small, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    forged = LogOnDisk(elsewhere)
    forged.append(chain(2, producer="agent"), producer="agent")
    found = verify_log(forged.directory, vkey=small.vkey, patience_seconds=0)
    assert found == Fault(None, "log.vkey", "is not the verifier key that was given")
    (forged.directory / "log.vkey").unlink()
    found = verify_log(forged.directory, vkey=small.vkey, patience_seconds=0)
    assert (found.index, found.path) == (None, "checkpoint")


@pytest.mark.parametrize("vkey", ["", "nonsense", "a+b+c"])
def test_a_verifier_key_that_is_none_is_a_fault(small, vkey):
    assert verify_log(small.directory, vkey=vkey).path == "log.vkey"


def test_a_directory_without_a_log_is_a_fault(tmp_path):
    vkey = SigningKey("x", bytes(32)).verifier.vkey
    assert verify_log(tmp_path, vkey=vkey) == Fault(None, "checkpoint", "is missing")


def test_a_signed_log_whose_producers_chain_is_broken_is_a_fault(tmp_path):
    """As if the sequencer had been made to lie: everything is signed, but the producer says something else."""
    from sekisho.audit import sequencer
    from sekisho.audit.sequencing import Take

    log = LogOnDisk(tmp_path)
    entries = chain(5)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sequencer, "judge", lambda *_, **__: Take())
        log.append([entries[0], entries[1], entries[3], entries[4]])
    found = check(log)
    assert (found.index, found.path) == (2, "tile/entries/000.p/4")
    assert "number 4 of store after number 2" in found.what


def test_a_log_may_be_verified_while_it_grows(tmp_path):
    log = LogOnDisk(tmp_path)
    log.append(chain(1))
    entries = chain(300)
    over = threading.Event()

    def grow():
        try:
            log.append(entries, steps=range(1, 300, 3))
        finally:
            over.set()

    thread = threading.Thread(target=grow)
    thread.start()
    found = []
    try:
        while not over.is_set():
            found.append(verify_log(log.directory, vkey=log.vkey))
    finally:
        thread.join()
    assert all(isinstance(item, Verified) for item in found), [item for item in found if isinstance(item, Fault)]
    assert len({item.size for item in found}) > 2


def test_a_folder_of_partial_tiles_that_goes_while_files_are_listed_is_no_file(small):
    """It was taken for a superfluous file once: listed as a folder, gone when it was looked at."""
    listing = published_files(small.directory)
    next(listing)
    shutil.rmtree(small.directory / "tile/entries/000.p")
    assert all(place is not None for _, place in listing)


def test_every_entry_can_be_proved_alone(large):
    for index in (0, 255, 256, 699):
        proof = prove_entry(large.directory, index)
        bundle = read_entries(large.directory, after=index - 1, limit=1)
        entry = rfc8785.dumps(dict(bundle[0].fields))
        assert bundle[0].index == index
        assert verify_proof(proof, entry, parse_vkey(large.vkey)).size == 700
    for wrong in (-1, 700):
        with pytest.raises(IndexError):
            prove_entry(large.directory, wrong)


def test_entries_are_read_by_what_they_say(tmp_path):
    log = LogOnDisk(tmp_path)
    log.append(chain(600))
    assert log_size(log.directory) == 600
    assert [entry.index for entry in read_entries(log.directory, after=253, limit=5)] == [254, 255, 256, 257, 258]
    assert [entry.index for entry in read_entries(log.directory, since=event(598).at)] == [597, 598, 599]
    assert len(read_entries(log.directory, person="hanako", room="campaign", kind="request.made")) == 500
    assert read_entries(log.directory, person="hanak") == []
    assert read_entries(log.directory, room="other") == []
    assert read_entries(log.directory, after=599) == []
    assert read_entries(log.directory, after=10_000) == []
    assert read_entries(log.directory, session="s-1", request="r-1") == []
