"""The key of second factors: made once, kept for the portal alone, and never quietly another one."""

import stat
from pathlib import Path

import pytest

from sekisho.model.errors import Trouble
from sekisho.programs.factor_key import load_factor_key, make_factor_key
from sekisho.programs.folders import make_folders
from sekisho.settings import make_installation


@pytest.mark.root
def test_the_key_is_made_once_for_the_portal_to_read_and_nobody_else(tmp_path: Path):
    installation = make_installation(tmp_path)
    make_folders(installation)
    try:
        make_factor_key(installation)
        key = load_factor_key(installation.factor_key)
        make_factor_key(installation)
        assert load_factor_key(installation.factor_key) == key
        found, folder = installation.factor_key.stat(), installation.factor_key.parent.stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (installation.uid("portal"), 0o400)
        assert (folder.st_uid, folder.st_gid, stat.S_IMODE(folder.st_mode)) == (0, installation.uid("portal"), 0o750), "only root puts another one there"
    finally:
        for service in installation.run.iterdir():
            service.rmdir()
        installation.run.rmdir()


@pytest.mark.parametrize("content", [None, b"", b"ab", b"not hex" * 10, b"\xff" * 64, b"ab" * 31])
def test_a_key_that_is_none_stops_the_portal_before_it_starts(tmp_path: Path, content: bytes | None):
    path = tmp_path / "second-factor.key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Trouble) as caught:
        load_factor_key(path)
    assert caught.value.reference == "second-factor-key"
