"""An independent implementation reads what we write: tlog-scales, from PyPI, over our files."""

from pathlib import Path

import pytest
from tests.audit.audit_yard import LogOnDisk, chain
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tlog import InclusionProofInvalid

from sekisho.audit.tiles import parse_bundle
from sekisho.audit.tree import leaf_hash

SIZE = 700


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    made = LogOnDisk(tmp_path_factory.mktemp("interop"))
    made.append(chain(SIZE), steps=[3, 300])
    return made


@pytest.fixture
def reader(log):
    return TilesReader(LocalBackend(Path(log.directory)))


def test_it_verifies_our_checkpoint_with_our_key(log, reader):
    checkpoint = reader.get_checkpoint()
    checkpoint.verify(Vkey.from_string(log.vkey))
    assert checkpoint.size == SIZE
    assert reader.calculate_root_hash() == checkpoint.root_hash


def test_it_reads_our_entries_and_proves_them_against_our_root(log, reader):
    root = reader.get_checkpoint().root_hash
    for index in (0, 255, 256, 511, 512, SIZE - 1):
        entry = reader.get_entry(index)
        reader.get_inclusion_proof(index, SIZE).check(leaf_hash(entry), root)
    assert [reader.get_entry(index) for index in range(3)] == parse_bundle((log.directory / "tile/entries/000").read_bytes(), 256)[:3]


def test_it_refuses_an_entry_that_was_changed(log, reader):
    root = reader.get_checkpoint().root_hash
    with pytest.raises(InclusionProofInvalid):
        reader.get_inclusion_proof(3, SIZE).check(leaf_hash(reader.get_entry(3).replace(b"hanako", b"nobody")), root)
