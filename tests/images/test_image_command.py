"""`sekisho image`: for people and for scripts."""

import json

import pytest
from typer.testing import CliRunner

from sekisho.cli.image import app
from sekisho.model.errors import Trouble
from sekisho.runtime import images


@pytest.fixture
def state(tmp_path):
    (tmp_path / "sekisho.toml").write_text(f'[runtime]\nimages = "{tmp_path / "images"}"\n')
    return str(tmp_path)


def test_a_definition_that_is_not_built_is_listed_as_such(state):
    shown = CliRunner().invoke(app, ["list", "--state", state, "--json"])
    (terminal,) = (row for row in json.loads(shown.stdout)["images"] if row["name"] == "terminal")
    assert (terminal["digest"], terminal["built_at"], terminal["is_current"]) == (None, None, False)
    assert "not yet" in CliRunner().invoke(app, ["list", "--state", state]).stdout


def test_inspecting_what_is_not_built_says_how_to_build_it(state):
    refused = CliRunner().invoke(app, ["inspect", "terminal", "--state", state]).exception
    assert isinstance(refused, Trouble)
    assert "sekisho image build terminal" in refused.hint


def test_building_what_has_no_definition_names_those_that_have(state):
    refused = CliRunner().invoke(app, ["build", "none", "--state", state]).exception
    assert isinstance(refused, Trouble)
    assert "terminal" in refused.expected


@pytest.mark.root
def test_a_built_image_is_listed_and_inspected(built, tmp_path):
    listed = json.loads(CliRunner().invoke(app, ["list", "--state", str(tmp_path), "--json"]).stdout)["images"]
    assert [row["digest"] for row in listed if row["name"] == "terminal"] == [built.digest]
    inspected = json.loads(CliRunner().invoke(app, ["inspect", "terminal", "--state", str(tmp_path), "--json"]).stdout)
    assert inspected["is_whole"]
    assert tuple(inspected["packages"]) == built.packages
    again = CliRunner().invoke(app, ["build", "terminal", "--state", str(tmp_path), "--json"])
    assert json.loads(again.stdout)["digest"] == built.digest
    assert built.path == images.DEFAULT_CACHE / f"{built.digest}.squashfs"


def test_an_image_that_was_changed_is_not_whole(state, tmp_path):
    (tmp_path / "images").mkdir()
    digest = "0" * 64
    (tmp_path / "images" / f"{digest}.squashfs").write_bytes(b"other")
    record = {"name": "terminal", "digest": digest, "packages": [], "definition": "", "built_at": "2026-01-01T00:00:00Z", "size_bytes": 5}
    (tmp_path / "images" / "terminal.json").write_text(json.dumps(record))
    shown = CliRunner().invoke(app, ["inspect", "terminal", "--state", state])
    assert shown.exit_code == 1
    assert "NO: the file is not what its name says" in shown.stdout
