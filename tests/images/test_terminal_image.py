"""What the image of a terminal room holds and does not hold, read from the squashfs file itself."""

import subprocess

import pytest
from tests.images.squashfs import content, listing

from sekisho.runtime import images
from sekisho.runtime.image_sources import machine_sources

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def entries(built):
    return listing(built.path)


def lines(built, path):
    return content(built.path, path).decode().splitlines()


def test_no_file_raises_rights(built, entries):
    assert len(entries) > 5_000
    assert [path for path, entry in entries.items() if "s" in entry["mode"].lower()] == []


def test_no_file_has_capabilities_or_any_extended_attribute(built):
    facts = subprocess.run(["unsquashfs", "-s", str(built.path)], capture_output=True, text=True, check=True).stdout
    assert "Xattrs are not stored" in facts


def test_there_is_no_device(entries):
    assert {entry["kind"] for entry in entries.values()} == {"d", "-", "l"}


@pytest.mark.parametrize("path", ["/", "/data", "/dev", "/dev/shm", "/home", "/home/operator", "/proc", "/run", "/sys", "/tmp"])
def test_the_runtime_finds_its_folder(entries, path):
    assert entries[path]["kind"] == "d"


@pytest.mark.parametrize("path", ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt", "/etc/machine-id"])
def test_the_runtime_finds_its_file(entries, path):
    assert entries[path]["kind"] == "-"


@pytest.mark.parametrize("program", ["bash", "python3.11", "curl", "less", "vim.basic", "git", "jq", "tini", "ps", "ls"])
def test_the_program_is_there(entries, program):
    assert entries[f"/usr/bin/{program}"]["mode"] == "rwxr-xr-x"


@pytest.mark.parametrize("folder", ["/usr/share/doc", "/usr/share/man", "/usr/share/i18n", "/var/lib/apt/lists", "/etc/skel"])
def test_what_no_room_needs_is_left_out(entries, folder):
    assert folder not in entries


@pytest.mark.parametrize("folder", ["/var/cache", "/var/log", "/tmp", "/root", "/run", "/etc/apt/sources.list.d"])
def test_nothing_of_the_building_stays(entries, folder):
    assert [path for path in entries if path.startswith(folder + "/")] == []


def test_only_the_person_owns_what_is_the_persons(entries):
    assert {path for path, entry in entries.items() if entry["uid"] == "1000"} == {"/data", "/home/operator"}


def test_the_person_is_operator_with_a_shell_and_no_password(built):
    assert "operator:x:1000:1000::/home/operator:/bin/bash" in lines(built, "/etc/passwd")
    assert "operator:x:1000:" in lines(built, "/etc/group")
    assert any(line.startswith("operator:!:") for line in lines(built, "/etc/shadow"))


def test_japanese_and_english_locales_are_there(entries):
    assert {"/usr/lib/locale/ja_JP.utf8", "/usr/lib/locale/en_US.utf8", "/usr/lib/locale/C.utf8"} <= entries.keys()


def test_the_package_list_is_kept(built):
    kept = dict(package.split("=", 1) for package in built.packages)
    assert {"bash", "python3", "vim", "tini", "ca-certificates"} <= kept.keys()
    assert kept["bash"].startswith("5.2")


def test_the_files_name_is_its_digest(built):
    assert built.path.name == f"{built.digest}.squashfs"
    assert images.verify(built.path, built.digest)


@pytest.mark.long
def test_building_again_gives_the_same_bytes(built, tmp_path):
    wanted = images.definition("terminal")
    again = images.build(wanted, cache=tmp_path, sources=machine_sources(wanted.recipe.suite), progress=lambda _: None)
    assert again.packages != built.packages or again.digest == built.digest
