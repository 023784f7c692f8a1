"""Images: what a room runs. A definition is a short TOML file, with longer files of the image in a folder of its name beside it, and may build on another
one; the image is one squashfs file whose name is its SHA-256.

A cache folder holds `<sha256>.squashfs` files and, for each name, `<name>.json`, which says which of them is the newest. It is shared by the installations of
a machine: building holds a lock, and the programs that build inherit it, so that what a killed build left behind is swept only when it is dead.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sekisho.model.errors import Trouble
from sekisho.runtime.image_build import Recipe, make_squashfs
from sekisho.runtime.image_layout import Entry

DEFINITIONS = Path(__file__).parent / "definitions"
DEFAULT_CACHE = Path("/var/cache/sekisho/images")

_BUILDER = 3  # raised when the same definition would give another image
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_SUITE = re.compile(r"[a-z]{2,20}")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{1,60}")
_LOCALE = re.compile(r"([a-z]{2,3}_[A-Z]{2})\.UTF-8")
_PATH = re.compile(r"(/[A-Za-z0-9][A-Za-z0-9._+@-]*)+")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")
_MODES = (0o644, 0o755)
_KEYS = {"description": str, "base": str, "suite": str, "packages": list, "locales": list, "commands": list, "leave_out": list, "files": list}
_WORK, _LOCK = ".build-", ".lock"


@dataclass(frozen=True, slots=True)
class ImageDefinition:
    """`digest` is over the bytes of the definition, of its files and of its base, and the builder's own version."""

    name: str
    digest: str
    description: str
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """`packages` are `name=version`, sorted; `built_at` is RFC 3339, UTC."""

    name: str
    digest: str
    path: Path
    packages: tuple[str, ...]
    definition: str
    built_at: str
    size_bytes: int


def names(directory: Path = DEFINITIONS) -> tuple[str, ...]:
    """The names that have a definition, sorted."""
    return tuple(sorted(path.stem for path in directory.glob("*.toml") if _NAME.fullmatch(path.stem)))


def definition(name: str, directory: Path = DEFINITIONS) -> ImageDefinition:
    """The definition in `<name>.toml`. Raises Trouble `image-unknown` or `image-definition-wrong`."""
    path = directory / f"{name}.toml"
    if not _NAME.fullmatch(name) or not path.is_file():
        raise Trouble("image-unknown", f"there is no definition of an image {name[:40]!r}", expected=", ".join(names(directory)) or "a definition")
    return parse_definition(name, path.read_bytes(), directory)


def parse_definition(name: str, text: bytes, directory: Path = DEFINITIONS) -> ImageDefinition:
    """The definition that a TOML text gives; its files and its base lie in `directory`.

    Raises Trouble `image-definition-wrong` with what was found and expected."""
    table = _table(name, text)
    base = _base(name, table, directory)
    own = Recipe(
        name=name,
        suite=base.recipe.suite if base else _matching(name, "suite", table.get("suite"), _SUITE),
        packages=_texts(name, table, "packages", _PACKAGE),
        locales=_texts(name, table, "locales", _LOCALE),
        commands=_texts(name, table, "commands", re.compile(r"[^\n\0]{1,1000}")),
        leave_out=_texts(name, table, "leave_out", _PATH),
        files=tuple(_file(name, entry, directory / name) for entry in table.get("files", [])),
    )
    elsewhere = [hashlib.sha256(file.content or b"").digest() for (_, file), entry in zip(own.files, table.get("files", []), strict=True) if "from" in entry]
    elsewhere += [base.digest.encode()] if base else []
    digest = hashlib.sha256(b"".join([f"sekisho image {_BUILDER}\n{name}\n".encode(), text, *elsewhere])).hexdigest()
    return ImageDefinition(name=name, digest=digest, description=table.get("description", ""), recipe=_upon(base.recipe, own) if base else own)


def build(definition: ImageDefinition, *, cache: Path, sources: str, progress: Callable[[str], None], fresh: bool = False) -> BuiltImage:
    """The image of a definition, from the cache or built by mmdebstrap and mksquashfs (as root).

    `sources` is apt's deb822 text (`image_sources.machine_sources`). `progress` is told a line at a time. `fresh` builds again although the definition has not
    changed: that is how security updates get in. Raises Trouble `image-build-failed`.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        (cache / _LOCK).touch(0o600)
    except OSError as error:
        raise Trouble("image-cache-closed", f"images can't be kept in {cache}", found=str(error.strerror), hint="build images as root") from error
    with _locked(cache, progress) as lock:
        found = installed(definition.name, cache)
        if found is not None and found.definition == definition.digest and not fresh:
            return found
        _sweep(cache)
        work = Path(tempfile.mkdtemp(prefix=_WORK, dir=cache))
        try:
            work.chmod(0o755)  # apt downloads as a user of its own
            packed = work / "image.squashfs"
            packages = make_squashfs(definition.recipe, sources=sources, to=packed, work=work, lock=lock, progress=progress)
            return _keep(definition, packed, packages, cache)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def installed(name: str, cache: Path) -> BuiltImage | None:
    """The newest image of a name in the cache, or None. The file is there in its full length; `verify` says whether its bytes are right."""
    if not _NAME.fullmatch(name):
        return None
    try:
        record = json.loads((cache / f"{name}.json").read_text())
        image = BuiltImage(**{**record, "path": cache / f"{record['digest']}.squashfs", "packages": tuple(record["packages"])})
        return image if image.path.stat().st_size == image.size_bytes else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def require(name: str, cache: Path) -> BuiltImage:
    """As `installed`, or Trouble `image-not-built`."""
    if (found := installed(name, cache)) is None:
        raise Trouble("image-not-built", f"the image {name[:40]} is not built", found=f"nothing in {cache}", hint=f"sekisho image build {name[:40]}")
    return found


def verify(path: Path, digest: str) -> bool:
    """Whether a file's bytes have this SHA-256. Reads all of it: 0.1 s for 120 MB."""
    try:
        return _sha256(path) == digest
    except OSError:
        return False


@contextlib.contextmanager
def _locked(cache: Path, progress: Callable[[str], None]) -> Iterator[int]:
    lock = os.open(cache / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another build is under way; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def _sweep(cache: Path) -> None:
    """Remove what killed builds left. Only under the lock: nobody else is building."""
    for leftover in cache.glob(f"{_WORK}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _keep(definition: ImageDefinition, packed: Path, packages: tuple[str, ...], cache: Path) -> BuiltImage:
    """Move a finished image in under its digest, and only then name it."""
    digest = _sha256(packed)
    image = BuiltImage(
        name=definition.name,
        digest=digest,
        path=cache / f"{digest}.squashfs",
        packages=packages,
        definition=definition.digest,
        built_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        size_bytes=packed.stat().st_size,
    )
    packed.chmod(0o444)
    _settle(packed, image.path)
    record = packed.with_name("record.json")
    record.write_text(json.dumps({key: value for key, value in asdict(image).items() if key != "path"}, indent=1))
    _settle(record, cache / f"{definition.name}.json")
    return image


def _settle(source: Path, to: Path) -> None:
    """Give a finished file its name, so that after a crash the name stands for the whole file or for none."""
    _sync(source)
    source.replace(to)
    _sync(to.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _table(name: str, text: bytes) -> dict[str, Any]:
    try:
        table = tomllib.loads(text.decode())
    except ValueError as error:
        raise _wrong(name, "", str(error), "TOML") from error
    for key, value in table.items():
        if key not in _KEYS or not isinstance(value, _KEYS[key]):
            raise _wrong(name, key, repr(value)[:60], _KEYS[key].__name__ if key in _KEYS else "one of " + ", ".join(_KEYS))
    return table


def _base(name: str, table: dict[str, Any], directory: Path) -> ImageDefinition | None:
    """One storey only: a base stands on a suite."""
    if "base" not in table:
        return None
    if "suite" in table:
        raise _wrong(name, "suite", table["suite"], "a suite or a base, for a base has a suite")
    wanted = _matching(name, "base", table["base"], _NAME)
    path = directory / f"{wanted}.toml"
    if wanted == name or not path.is_file() or "base" in _table(wanted, text := path.read_bytes()):
        raise _wrong(name, "base", wanted, "another definition, one that has no base")
    return parse_definition(wanted, text, directory)


def _upon(base: Recipe, own: Recipe) -> Recipe:
    """All that the base has, then what the definition has itself."""
    return Recipe(
        name=own.name,
        suite=own.suite,
        packages=base.packages + own.packages,
        locales=base.locales + own.locales,
        commands=base.commands + own.commands,
        leave_out=base.leave_out + own.leave_out,
        files=base.files + own.files,
    )


def _texts(name: str, table: dict[str, Any], key: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
    return tuple(_matching(name, key, item, pattern) for item in table.get(key, []))


def _file(name: str, entry: object, folder: Path) -> tuple[str, Entry]:
    """A file of the image: its text stands in the definition or, `from`, in a file of the definition's folder."""
    if not isinstance(entry, dict) or entry.keys() - {"mode"} not in ({"path", "text"}, {"path", "from"}) or entry.get("mode", _MODES[0]) not in _MODES:
        raise _wrong(name, "files", repr(entry)[:60], 'path = "/…", text = "…" or from = "…", and mode = 0o755 for a program')
    path = _matching(name, "files", entry["path"], _PATH)
    if "text" in entry:
        content = _matching(name, "files", entry["text"], re.compile(r"(?s).*")).removeprefix("\n").encode()
    else:
        content = _content(name, folder / _matching(name, "files", entry["from"], _FILE))
    return path, Entry(content, entry.get("mode", _MODES[0]))


def _content(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _wrong(name, "files", str(error.strerror), f"a file {path.name} in the definition's folder") from error


def _matching(name: str, key: str, item: object, pattern: re.Pattern[str]) -> str:
    if not isinstance(item, str) or not pattern.fullmatch(item):
        raise _wrong(name, key, repr(item)[:60], f"text that matches {pattern.pattern}")
    return item


def _wrong(name: str, key: str, found: str, expected: str) -> Trouble:
    return Trouble("image-definition-wrong", f"the definition of image {name} is wrong{f' at {key}' if key else ''}", expected=expected, found=found)
