"""A definition is refused for what it is, with what was found and expected; what it asks for reaches the programs whole."""

import io
import tarfile
from pathlib import Path

import pytest

from sekisho.model.errors import Trouble
from sekisho.runtime import images
from sekisho.runtime.image_build import debian_command, layout_of, pack_command, tar_of
from sekisho.runtime.image_layout import arrange, installed_packages
from sekisho.runtime.image_sources import Source, is_debian, machine_sources, parse_deb822, parse_one_line, render_sources


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b"\xff", "TOML"),
        (b"suite = ", "TOML"),
        (b'packages = ["bash"]', "suite"),
        (b'suite = "../sid"', "suite"),
        (b'suite = "bookworm"\nsuites = 1', "suites"),
        (b'suite = "bookworm"\npackages = "bash"', "packages"),
        (b'suite = "bookworm"\npackages = ["--hook=x"]', "packages"),
        (b'suite = "bookworm"\npackages = ["a,b"]', "packages"),
        (b'suite = "bookworm"\nlocales = ["ja_JP.UTF-8; rm"]', "locales"),
        (b'suite = "bookworm"\nlocales = ["ja"]', "locales"),
        (b'suite = "bookworm"\ncommands = ["a\\nb"]', "commands"),
        (b'suite = "bookworm"\nleave_out = ["usr"]', "leave_out"),
        (b'suite = "bookworm"\n[[files]]\npath = "/etc/../x"\ntext = ""', "files"),
        (b'suite = "bookworm"\n[[files]]\npath = "/etc/x"', "files"),
        (b'suite = "bookworm"\n[[files]]\npath = "/etc/x"\ntext = ""\nmode = 1', "files"),
        (b'suite = "bookworm"\n[[files]]\npath = "/etc/x"\ntext = ""\nmode = "0755"', "files"),
        (b'suite = "bookworm"\n[[files]]\npath = "/etc/x"\ntext = ""\nmode = 0o4755', "files"),
        (b'suite = "bookworm"\n[[files]]\npath = "/etc/x"\ntext = ""\nfrom = "x"', "files"),
        (b'suite = "bookworm"\n[[files]]\npath = "/etc/x"\ntext = 5', "files"),
        (b'suite = "bookworm"\n[[files]]\npath = "/etc/x"\nfrom = "../terminal.toml"', "files"),
        (b'suite = "bookworm"\n[[files]]\npath = "/etc/x"\nfrom = "none"', "a file none"),
        (b'base = "terminal"\nsuite = "bookworm"', "a suite or a base"),
        (b'base = "none"', "base"),
        (b'base = "tiny"', "base"),
        (b'base = "desktop"', "no base"),
        (b'base = "../terminal"', "base"),
    ],
)
def test_a_wrong_definition_is_refused(text, place):
    with pytest.raises(Trouble) as refused:
        images.parse_definition("tiny", text)
    assert refused.value.reference == "image-definition-wrong"
    assert place in str(refused.value)


@pytest.mark.parametrize("name", ["", "none", "../terminal", "Terminal", "terminal/"])
def test_an_unknown_name_is_refused_with_those_known(name):
    with pytest.raises(Trouble, match="terminal") as refused:
        images.definition(name)
    assert refused.value.reference == "image-unknown"


def test_every_definition_of_the_package_is_right():
    for name in images.names():
        assert images.definition(name).description


def test_the_digest_changes_with_the_definition_and_its_name():
    text = b'suite = "bookworm"\n'
    digests = {images.parse_definition(*each).digest for each in (("one", text), ("two", text), ("one", text + b"#"))}
    assert len(digests) == 3


def test_what_is_asked_for_reaches_the_programs():
    text = b"""suite = "bookworm"\npackages = ["bash"]\nlocales = ["ja_JP.UTF-8"]\ncommands = ["echo 'a b' > /x"]\n"""
    command = debian_command(images.parse_definition("tiny", text).recipe, Path("/work files.tar"))
    assert "--include=bash,locales" in command
    assert '--customize-hook=chroot "$1" localedef --no-archive -i ja_JP -f UTF-8 ja_JP.UTF-8' in command
    assert """--customize-hook=chroot "$1" sh -ec 'echo '\\''a b'\\'' > /x'""" in command
    assert command.index("--customize-hook=tar-in '/work files.tar' /") < command.index("""--customize-hook=chroot "$1" sh -ec 'echo '\\''a b'\\'' > /x'""")
    assert command[-3:] == ["bookworm", "-", "-"]
    assert "-no-xattrs" in pack_command(Path("/x"))


def test_files_come_from_the_definition_or_from_its_folder_and_programs_may_run(tmp_path):
    text = b"""suite = "bookworm"
[[files]]
path = "/etc/motd"
text = "\\nhello\\n"
[[files]]
path = "/usr/lib/x"
from = "x.sh"
mode = 0o755
"""
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "x.sh").write_bytes(b"\n#!/bin/sh\n")
    with tarfile.open(fileobj=io.BytesIO(tar_of(images.parse_definition("tiny", text, tmp_path).recipe.files))) as tar:
        found = {member.name: (member.mode, member.uid, tar.extractfile(member).read()) for member in tar}
    assert found == {"./etc/motd": (0o644, 0, b"hello\n"), "./usr/lib/x": (0o755, 0, b"\n#!/bin/sh\n")}


def test_the_digest_changes_with_a_file_of_the_folder_and_with_the_base(tmp_path):
    (tmp_path / "over").mkdir()
    digests = set()
    for low, high in (("a", "a"), ("b", "a"), ("b", "b")):
        (tmp_path / "under.toml").write_text(f'suite = "bookworm"\ndescription = "{low}"\n')
        (tmp_path / "over" / "x").write_text(high)
        digests.add(images.parse_definition("over", b'base = "under"\n[[files]]\npath = "/x"\nfrom = "x"\n', tmp_path).digest)
    assert len(digests) == 3


def test_a_definition_has_all_of_its_base_and_its_own_after_it(tmp_path):
    (tmp_path / "under.toml").write_text(
        'suite = "bookworm"\npackages = ["bash"]\nlocales = ["ja_JP.UTF-8"]\ncommands = ["one"]\nleave_out = ["/a"]\n[[files]]\npath = "/x"\ntext = "1"\n'
    )
    recipe = images.parse_definition(
        "over", b'base = "under"\npackages = ["vim"]\ncommands = ["two"]\nleave_out = ["/b"]\n[[files]]\npath = "/y"\ntext = "2"\n', tmp_path
    ).recipe
    assert (recipe.name, recipe.suite, recipe.packages) == ("over", "bookworm", ("bash", "vim"))
    assert (recipe.locales, recipe.commands, recipe.leave_out) == (("ja_JP.UTF-8",), ("one", "two"), ("/a", "/b"))
    assert [path for path, _ in recipe.files] == ["/x", "/y"]


def test_the_layout_takes_away_rights_devices_and_what_is_left_out():
    text = b'suite = "bookworm"\nlocales = ["ja_JP.UTF-8"]\nleave_out = ["/opt"]\n'
    source = io.BytesIO()
    with tarfile.open(fileobj=source, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, kind, mode in (
            ("./", tarfile.DIRTYPE, 0o755),
            ("./usr/bin/su", tarfile.REGTYPE, 0o6755),
            ("./usr/bin/ping", tarfile.REGTYPE, 0o755),
            ("./dev/null", tarfile.CHRTYPE, 0o666),
            ("./srv/disk", tarfile.BLKTYPE, 0o660),
            ("./srv/fifo", tarfile.FIFOTYPE, 0o660),
            ("./opt/x", tarfile.REGTYPE, 0o644),
            ("./option", tarfile.REGTYPE, 0o644),
            ("./var/cache/apt/x", tarfile.REGTYPE, 0o644),
            ("./usr/share/locale/ja/x", tarfile.REGTYPE, 0o644),
            ("./usr/share/locale/de/x", tarfile.REGTYPE, 0o644),
        ):
            member = tarfile.TarInfo(path)
            member.type, member.mode, member.mtime, member.uname = kind, mode, 1.5, "root"
            member.pax_headers = {"SCHILY.xattr.security.capability": "x"}
            tar.addfile(member)
    source.seek(0)
    target = io.BytesIO()
    with tarfile.open(fileobj=source, mode="r|") as fresh, tarfile.open(fileobj=target, mode="w|") as arranged:
        arrange(fresh, arranged, layout_of(images.parse_definition("tiny", text).recipe))
    target.seek(0)
    with tarfile.open(fileobj=target) as tar:
        found = {member.name.removeprefix("."): member for member in tar}
    assert {"/usr/bin/su", "/usr/bin/ping", "/option", "/usr/share/locale/ja/x", "/data", "/etc/resolv.conf"} <= found.keys()
    assert not {"/dev/null", "/srv/disk", "/srv/fifo", "/opt/x", "/var/cache/apt/x", "/usr/share/locale/de/x"} & found.keys()
    assert all(member.mode & 0o6000 == 0 and not member.pax_headers and not member.uname for member in found.values())
    assert found["/usr/bin/su"].mode == 0o755


def test_only_installed_packages_are_listed():
    status = """Package: zsh
Status: install ok installed
Version: 5.9-4
Description: shell
 Status: no

Package: gone
Status: deinstall ok config-files
Version: 1

Package: bash
Status: install ok installed
Version: 5.2:1
"""
    assert installed_packages(status) == ("bash=5.2:1", "zsh=5.9-4")


MIRROR = "http://mirror.example"
DEB822 = f"""# a comment
Types: deb deb-src
URIs: {MIRROR}/debian
# another
Suites: trixie trixie-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs:
 {MIRROR}/debian-security/
Suites: trixie-security
Components: main

Enabled: no
Types: deb
URIs: {MIRROR}/debian
Suites: sid
Components: main

Types: deb-src
URIs: {MIRROR}/debian
Suites: trixie
Components: main
"""


def test_the_machines_sources_are_read():
    assert list(parse_deb822(DEB822)) == [
        Source(f"{MIRROR}/debian", ("trixie", "trixie-updates"), ("main", "contrib")),
        Source(f"{MIRROR}/debian-security/", ("trixie-security",), ("main",)),
    ]
    lines = f"# deb x y z\ndeb [arch=amd64 signed-by=/x] {MIRROR}/debian bookworm main\ndeb-src {MIRROR}/debian bookworm main\n"
    assert list(parse_one_line(lines)) == [Source(f"{MIRROR}/debian", ("bookworm",), ("main",))]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (Source(f"{MIRROR}/debian", ("bookworm",), ("main",)), True),
        (Source(f"{MIRROR}/deep/debian-security/", ("bookworm-security",), ("main",)), True),
        (Source(f"{MIRROR}/debian-security", ("bookworm/updates",), ("main",)), True),
        (Source(f"{MIRROR}/ubuntu", ("bookworm",), ("main",)), False),
        (Source(f"{MIRROR}/debian", ("./",), ("main",)), False),
        (Source(f"{MIRROR}/debian", ("cloud-sdk",), ("main",)), False),
        (Source(f"{MIRROR}/debian", ("bookworm",), ("contrib",)), False),
    ],
)
def test_only_debians_own_archives_are_taken_over(source, expected):
    assert is_debian(source) is expected


def test_sources_are_turned_to_the_images_release():
    turned = render_sources(list(parse_deb822(DEB822)), "bookworm")
    assert [line for line in turned.splitlines() if line.startswith("Suites")] == ["Suites: bookworm", "Suites: bookworm-updates", "Suites: bookworm-security"]
    assert next(parse_deb822(turned)).components == ("main",)


def test_a_machine_without_a_debian_mirror_is_told_so(tmp_path):
    with pytest.raises(Trouble, match="no Debian mirror"):
        machine_sources("bookworm", tmp_path)
    (tmp_path / "sources.list").write_text(f"deb {MIRROR}/debian bookworm main\n")
    assert "Suites: bookworm\n" in machine_sources("bookworm", tmp_path)
