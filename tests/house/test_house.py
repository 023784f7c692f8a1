"""The house itself: what every tracked file keeps to, whoever wrote it."""

import ast
import json
import re
import subprocess
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_FILE, LONGEST_TEST, LONGEST_FUNCTION = 400, 600, 60  # a dialogue with a real part is longer than the part

# path: why it is longer
LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}

# each is spelt so that it does not find itself
REGISTRIES = re.compile(r"https?://[^\s\"'>)]*(py[p]i|python[h]osted|npm[j]s|deb[i]an|go[l]ang)[^\s\"'>)]*", re.IGNORECASE)
THIS_MACHINE = re.compile(r"(?<![\w.])/(w[o]rk|f[a]rm|tmp/bash_j[o]bs|tmp/br[i]ef)/|(?<![\w}])/r[o]ot/[.a-z]")  # not /proc/PID/root/…
UNFINISHED = re.compile(r"\b(TO[D]O|FIX[M]E|XX[X]|HA[C]K)\b")
LOCKS = ("requirements.txt", "requirements-dev.txt", "requirements-build.txt", "package-lock.json")
SECTIONS = ("context", "decision", "consequences", "what someone in the room gains", "what the log then shows")


@cache
def tracked() -> tuple[Path, ...]:
    listed = subprocess.run(["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())


def texts(*suffixes: str) -> list[tuple[str, str]]:
    found = []
    for path in tracked():
        if not suffixes or path.suffix in suffixes:
            try:
                found.append((str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")))
            except UnicodeDecodeError:
                continue  # a picture
    return found


def modules() -> list[tuple[str, ast.Module]]:
    return [(name, ast.parse(text)) for name, text in texts(".py") if name.startswith("src/")]


@pytest.mark.parametrize("forbidden", [REGISTRIES, THIS_MACHINE, UNFINISHED], ids=["address of a registry", "path of a machine", "mark of unfinished work"])
def test_no_tracked_file_holds_a(forbidden):
    found = [f"{name}: {hit[0]}" for name, text in texts() if (hit := forbidden.search(text))]
    assert found == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_names_hashes_and_no_address(lock):
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "resolved" not in text
    if lock.endswith(".json"):
        packages = json.loads(text)["packages"]
        assert [name for name, package in packages.items() if name and not package.get("integrity", "").startswith("sha512-")] == []
    else:
        assert [name for name, block in pins(lock).items() if "--hash=sha256:" not in block] == []


def pins(lock: str) -> dict[str, str]:
    """`name==version` to the text that follows it."""
    parts = re.split(r"^([A-Za-z0-9_.-]+==[^\s\\]+)", (ROOT / lock).read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_lock_for_tests_holds_that_for_running_unchanged():
    assert pins("requirements.txt").keys() <= pins("requirements-dev.txt").keys()


def test_every_declared_dependency_is_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    names = {lock: {pin.partition("==")[0] for pin in pins(lock)} for lock in LOCKS[:3]}
    for lock, declared in (
        ("requirements.txt", project["project"]["dependencies"]),
        ("requirements-dev.txt", project["dependency-groups"]["dev"]),
        ("requirements-build.txt", project["build-system"]["requires"]),
    ):
        assert {re.split(r"[\[<>=~! ]", line)[0].lower() for line in declared} <= names[lock]


def test_no_part_is_left_to_be_written():
    assert [name for name, text in texts(".py") if name.startswith("src/") and "NotImplemented" in text] == []


def test_no_file_of_another_project_is_committed():
    assert [name for name, _ in texts(".js", ".css") if "/vendor/" in name or name.endswith((".min.js", ".min.css"))] == []


def test_every_module_says_what_it_is_for():
    assert [name for name, module in modules() if not ast.get_docstring(module) and "/versions/" not in name] == []


def test_no_file_is_longer_than_a_room():
    lengths = {name: text.count("\n") for name, text in texts(".py")}
    found = {name: length for name, length in lengths.items() if length > (LONGEST_TEST if name.startswith("tests/") else LONGEST_FILE)}
    assert found.keys() == LONG_FILES.keys(), found


def test_no_function_is_longer_than_a_page():
    functions = (
        (f"{name}: {node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for name, module in modules()
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "/migrations/" not in name
    )
    found = {name: length for name, length in functions if length > LONGEST_FUNCTION}
    assert found.keys() == LONG_FUNCTIONS.keys(), found


def test_no_two_test_modules_have_the_same_name():
    names = Counter(Path(name).name for name, _ in texts(".py") if name.startswith("tests/"))
    assert {name for name, times in names.items() if times > 1} <= {"conftest.py", "__init__.py"}


def test_every_script_is_executable_and_well_formed():
    scripts = [path for path in tracked() if path.suffix == ".sh" or path.parent.name == ".ci"]
    assert scripts
    for script in scripts:
        assert script.stat().st_mode & 0o111, script
        shell = "/bin/sh" if "definitions" in script.parts else "/usr/bin/env bash"  # an image's are started with every room, and dash starts faster
        assert script.read_text().startswith(f"#!{shell}\n"), script
        assert subprocess.run([shell.replace(" ", "/").split("/")[-1], "-n", str(script)], check=False).returncode == 0, script


def test_every_target_of_the_makefile_that_people_call_is_explained():
    text = (ROOT / "Makefile").read_text()
    explained = set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))
    assert {"help", "run", "test", "test-long", "check", "docs", "bench", "lock", "clean"} == explained


def test_decisions_are_numbered_without_gaps():
    decisions = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for number, path in enumerate(decisions, 1):
        assert re.fullmatch(r"\d{4}-[a-z0-9]+(-[a-z0-9]+)*\.md", path.name), path.name
        assert re.match(rf"# {number:04}\. \S", path.read_text()), f"{path.name} begins with '# {number:04}. Title'"


def test_a_decision_says_what_the_room_gains_and_what_the_log_shows():
    for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md"):
        headings = [line.strip("# ").lower() for line in path.read_text().splitlines() if line.startswith("## ")]
        assert [section for section in SECTIONS if section not in headings] == [], path.name


def test_the_page_in_japanese_has_the_headings_of_the_page_in_english():
    for english in (ROOT / "README.md", *ROOT.glob("docs/**/*.md")):
        japanese = english.with_suffix(".ja.md")
        if japanese.exists():
            assert headings(english) == headings(japanese), english.name


def headings(page: Path) -> list[int]:
    """The depth of each heading, code blocks left out."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [len(line) - len(line.lstrip("#")) for line in text.splitlines() if re.match(r"#{1,6} ", line)]
