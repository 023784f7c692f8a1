"""Uid ranges: never two owners, never given back by another."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from sekisho.model.errors import Trouble
from sekisho.runtime import uids


def test_ranges_never_overlap_whoever_asks_at_once(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        bases = list(pool.map(lambda number: uids.lease(f"i{number % 3}/s-{number}", folder=tmp_path), range(60)))
    assert len(set(bases)) == 60
    assert all((base - uids.FIRST) % uids.SIZE == 0 and base + uids.SIZE < 2**31 for base in bases)


def test_only_its_owner_gives_a_range_back(tmp_path):
    base = uids.lease("a/s-1", folder=tmp_path)
    uids.give_back(base, "b/s-1", folder=tmp_path)
    assert uids.leased_by("a/", folder=tmp_path) == {"a/s-1": base}
    uids.give_back(base, "a/s-1", folder=tmp_path)
    uids.give_back(base, "a/s-1", folder=tmp_path)
    assert uids.leased_by("", folder=tmp_path) == {}


def test_when_every_range_is_leased_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(uids, "BLOCKS", 3)
    for number in range(3):
        uids.lease(f"a/{number}", folder=tmp_path)
    with pytest.raises(Trouble, match="3 uid ranges"):
        uids.lease("a/more", folder=tmp_path)
