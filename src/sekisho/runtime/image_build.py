"""The two programs that make an image: mmdebstrap gives a fresh Debian as a tar stream, mksquashfs packs what `image_layout` lets through."""

import io
import os
import subprocess
import tarfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sekisho.model.errors import Trouble
from sekisho.runtime.image_layout import PERSON, PERSON_HOME, PERSON_ID, SOURCE_DATE, Entry, Layout, arrange, fixed_entries, tar_member

_LAST_LINES = 12
_PATIENCE_SECONDS = 20.0

# All that the programs see of this machine's environment, so that it leaves no mark in the image; and what makes the same packages give the same bytes.
_INHERITED = frozenset({"PATH", "http_proxy", "https_proxy", "no_proxy"})
_FIXED = {"SOURCE_DATE_EPOCH": str(SOURCE_DATE), "LC_ALL": "C.UTF-8", "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a definition asks for, checked. `files`, by absolute path, lie there when `commands` run: shell lines, as root inside, at build time only."""

    name: str
    suite: str
    packages: tuple[str, ...]
    locales: tuple[str, ...]
    commands: tuple[str, ...]
    leave_out: tuple[str, ...]
    files: tuple[tuple[str, Entry], ...]


def make_squashfs(recipe: Recipe, *, sources: str, to: Path, work: Path, lock: int, progress: Callable[[str], None]) -> tuple[str, ...]:
    """Build into the file `to`; `work` is for temporary files. The programs inherit the descriptor `lock`. Gives the packages.

    Raises Trouble `image-build-failed` with the last lines that the programs said."""
    environment = {name: value for name, value in os.environ.items() if name in _INHERITED} | _FIXED | {"TMPDIR": str(work)}
    said: deque[str] = deque(maxlen=_LAST_LINES)
    files = work / "files.tar"
    files.write_bytes(tar_of(recipe.files))
    debian, pack = debian_command(recipe, files), pack_command(to)
    with _running(debian, environment, lock) as bootstrap, _running(pack, environment, lock) as packing:
        listeners = [_listen(bootstrap, said, progress), _listen(packing, said, progress)]
        assert bootstrap.stdin is not None
        assert bootstrap.stdout is not None
        assert packing.stdin is not None
        broken = ""
        packages: tuple[str, ...] = ()
        try:
            with bootstrap.stdin:
                bootstrap.stdin.write(sources.encode())
            packages = _stream(bootstrap.stdout, packing.stdin, layout_of(recipe))
        except (tarfile.TarError, OSError) as error:  # a program died: its exit code and last lines say why
            broken = str(error)
        finally:
            bootstrap.stdout.close()
            _close(packing.stdin)
        codes = {debian[0]: bootstrap.wait(), pack[0]: packing.wait()}
        for listener in listeners:
            listener.join()
    failed = [f"{program} gave {code}" for program, code in codes.items() if code != 0] + ([broken] if broken else [])
    if failed:
        raise Trouble("image-build-failed", f"image {recipe.name} could not be built: {'; '.join(failed)}", found=" | ".join(said), hint="sekisho check")
    return packages


def debian_command(recipe: Recipe, files: Path) -> list[str]:
    """mmdebstrap(1): apt's sources on standard input, a tar on standard output. `files` is a tar too."""
    needed = {"locales"} if recipe.locales else set()
    hooks = [
        f"groupdel {PERSON}",  # Debian has a group of that name; the person's own takes it
        f"useradd --uid {PERSON_ID} --user-group --home-dir {PERSON_HOME} --no-create-home --shell /bin/bash {PERSON}",
        *(f"localedef --no-archive -i {locale.partition('.')[0]} -f UTF-8 {locale}" for locale in recipe.locales),
    ]
    return [
        "mmdebstrap", "--mode=root", "--variant=minbase", "--format=tar", f"--include={','.join(sorted({*recipe.packages, *needed}))}",
        *(f'--customize-hook=chroot "$1" {hook}' for hook in hooks), f"--customize-hook=tar-in {_quoted(str(files))} /",
        *(f'--customize-hook=chroot "$1" sh -ec {_quoted(command)}' for command in recipe.commands),
        recipe.suite, "-", "-",
    ]  # fmt: skip


def pack_command(to: Path) -> list[str]:
    """mksquashfs(1): a tar on standard input. No extended attributes, so no file capabilities; the same tar gives the same bytes.

    Level 6 takes a ninth of the time of mksquashfs's own 15, and gives 8 % more bytes."""
    how = ["-comp", "zstd", "-Xcompression-level", "6", "-no-xattrs", "-noappend", "-root-mode", "0755"]
    return ["mksquashfs", "-", str(to), "-tar", *how, "-quiet", "-no-progress"]


def layout_of(recipe: Recipe) -> Layout:
    languages = {locale.partition("_")[0] for locale in recipe.locales}
    return Layout(fixed_entries(recipe.name), recipe.leave_out, languages)


def tar_of(files: tuple[tuple[str, Entry], ...]) -> bytes:
    """The folders on the way are made by whoever unpacks it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, entry in files:
            tar.addfile(tar_member(path, entry), io.BytesIO(entry.content or b""))
    return stream.getvalue()


def _stream(source: IO[bytes], target: IO[bytes], layout: Layout) -> tuple[str, ...]:
    with tarfile.open(fileobj=source, mode="r|") as fresh, tarfile.open(fileobj=target, mode="w|", format=tarfile.GNU_FORMAT) as arranged:
        packages = arrange(fresh, arranged, layout)
    while source.read(1 << 16):  # the padding after the tar's end
        pass
    return packages


@contextmanager
def _running(command: list[str], environment: dict[str, str], lock: int) -> Iterator[subprocess.Popen[bytes]]:
    """A program for as long as the block lasts. Asked to stop first, because mmdebstrap then unmounts and removes what it made."""
    try:
        process = subprocess.Popen(
            command, env=environment, pass_fds=(lock,), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    except FileNotFoundError as error:
        raise Trouble("program-missing", f"{command[0]} is not installed", hint="sekisho check") from error
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(_PATIENCE_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()


def _listen(process: subprocess.Popen[bytes], said: deque[str], progress: Callable[[str], None]) -> threading.Thread:
    def lines() -> None:
        assert process.stderr is not None
        for raw in process.stderr:
            if line := raw.decode(errors="replace").strip():
                said.append(line)
                progress(line)

    thread = threading.Thread(target=lines, name="image build", daemon=True)
    thread.start()
    return thread


def _close(stream: IO[bytes]) -> None:
    with suppress(BrokenPipeError):  # the reader is gone; its exit code says why
        stream.close()


def _quoted(command: str) -> str:
    return "'" + command.replace("'", "'\\''") + "'"
