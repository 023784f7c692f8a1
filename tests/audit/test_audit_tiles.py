"""Which files a log has, and what lies in them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.audit.tiles import (
    ENTRIES,
    MalformedTile,
    Place,
    edge_places,
    full_places,
    is_beginning,
    parse_bundle,
    parse_path,
    parse_tile,
    render_bundle,
    width_at,
)


@pytest.mark.parametrize(
    ("place", "path"),
    [
        (Place(0, 0), "tile/0/000"),
        (Place(0, 0, 3), "tile/0/000.p/3"),
        (Place(3, 1_234_067), "tile/3/x001/x234/067"),
        (Place(ENTRIES, 1000, 255), "tile/entries/x001/000.p/255"),
        (Place(ENTRIES, 999), "tile/entries/999"),
    ],
)
def test_paths_are_those_of_tlog_tiles(place, path):
    assert place.path == path
    assert parse_path(path) == place


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/03",
        "tile/8/000",
        "tile/0/x000/000",
        "tile/x/000",
        "tile/0/000.p",
        "tile/0/000/",
        "tile/0/\u0660\u0660\u0660",
    ],
)
def test_other_spellings_are_no_paths(path):
    assert parse_path(path) is None


def test_a_log_of_70000_has_the_files_that_the_specification_counts():
    fulls = list(full_places(70_000))
    assert [sum(place.level == level for place in fulls) for level in (ENTRIES, 0, 1, 2)] == [273, 273, 1, 0]
    assert {place.path for place in edge_places(70_000)} == {"tile/entries/273.p/112", "tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"}
    assert [width_at(Place(0, index), 70_000) for index in (272, 273, 274)] == [256, 112, 0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=20), st.data())
def test_a_bundle_round_trips_and_is_refused_at_every_other_width_or_length(entries, data):
    bundle = render_bundle(entries)
    assert parse_bundle(bundle, len(entries)) == entries
    with pytest.raises(MalformedTile):
        parse_bundle(bundle + b"x", len(entries))
    with pytest.raises(MalformedTile):
        parse_bundle(bundle[: data.draw(st.integers(0, len(bundle) - 1))], len(entries))
    part = render_bundle(entries[:-1])
    assert is_beginning(part, Place(ENTRIES, 0, len(entries) - 1), bundle) or len(entries) == 1
    assert not is_beginning(part, Place(ENTRIES, 0, len(entries)), bundle)


def test_a_tile_has_exactly_its_width():
    assert parse_tile(bytes(64), 2) == [bytes(32), bytes(32)]
    for wrong in (bytes(63), bytes(65), b""):
        with pytest.raises(MalformedTile):
            parse_tile(wrong, 2)
