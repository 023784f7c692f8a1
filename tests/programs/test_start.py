"""What a process is given when it begins: no more than it may touch."""

import pytest

from sekisho.programs import start
from sekisho.programs.start import begin
from sekisho.settings import make_installation


@pytest.mark.parametrize(("service", "knows"), [("portal", True), ("control", True), ("audit", False), ("gateway", False), ("egress", False)])
def test_only_who_has_the_database_knows_its_url(tmp_path, monkeypatch, service, knows):
    make_installation(tmp_path)
    (tmp_path / "sekisho.toml").write_text("database = 'postgresql://sekisho:secret@db.example.com/sekisho'")
    monkeypatch.setattr("sys.argv", ["x", "--state", str(tmp_path)])
    monkeypatch.setattr(start.os, "getuid", lambda: 1000)  # it keeps the user that runs the tests
    monkeypatch.setattr(start.kernel, "set_name", lambda _name: None)
    assert (begin(service).settings.database is not None) is knows
