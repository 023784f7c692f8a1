"""The commands of whoever runs the machine: `up`, `check`, and the processes one by one for systemd and Kubernetes."""

import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from sekisho.cli import image
from sekisho.cli.showing import print_json, visible
from sekisho.model.errors import Trouble
from sekisho.programs import PROCESSES
from sekisho.programs.up import up
from sekisho.programs.web import addresses
from sekisho.runtime.machine import Finding, examine
from sekisho.sessions.roomfile import parse_room
from sekisho.settings import DEFAULT_STATE, Settings, read_settings
from sekisho.staging.bucket.credentials import read_credentials
from sekisho.staging.bucket.endpoint import trust_of
from sekisho.staging.placing import StagingFailed

_State = Annotated[Path, typer.Option("--state", help="The installation's folder.")]
_Listen = Annotated[str | None, typer.Option("--listen", help="HOST:PORT of the portal; the rooms are on the next port.")]


def register(app: typer.Typer) -> None:
    app.command("up")(bring_up)
    app.command("check")(check)
    app.add_typer(image.app, name="image")
    for name in PROCESSES:
        app.command(name, help=f"The {name} process alone, as systemd or Kubernetes starts it. `sekisho up` starts them all.")(_process(name))


def bring_up(
    state: _State = DEFAULT_STATE, listen: _Listen = None, demo: Annotated[bool, typer.Option("--demo", help="With sample people, rooms and files.")] = False
) -> None:
    """Everything on this machine. Prints the address and the first sign-in links; ends with Ctrl-C, and sessions go on to their deadline."""
    up(state=state, listen=listen, demo=demo)


def check(
    paths: Annotated[list[Path] | None, typer.Argument(metavar="[PATH]…", help="Room files, or folders of them, to look at instead.")] = None,
    state: _State = DEFAULT_STATE,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Are the settings, the rooms and this machine right? One line each, with the mend of what is not; then exit code 1."""
    findings = list(_rooms(paths, None) if paths else _everything(state))
    if as_json:
        print_json({"ok": all(each.ok for each in findings), "findings": [_plain(each) for each in findings]})
    else:
        for each in findings:
            mend = f"\n      mend: {visible(each.mend)}" if each.mend else ""
            print(f"{'ok  ' if each.ok else 'NOT '}  {visible(each.what)}{mend}")
    raise typer.Exit(0 if all(each.ok for each in findings) else 1)


def _everything(state: Path) -> Iterator[Finding]:
    try:
        settings = read_settings(state)
    except Trouble as trouble:
        yield Finding("settings", ok=False, what=str(trouble), mend=trouble.hint)
        settings = Settings()
    else:
        yield Finding("settings", ok=True, what=f"settings: {state / 'sekisho.toml'}" if (state / "sekisho.toml").exists() else "settings: all defaults")
        yield from _sources(settings)
        yield from _buckets(settings)
        yield from _database(settings, state / "sekisho.toml")
    yield from _rooms([state / "rooms"], settings)
    where = addresses(settings, None)
    ports = [] if _is_up(state) else [(where.host, where.portal_port), (where.host, where.rooms_port)]
    yield from examine(runtime=settings.runtime.command, folders=[state, settings.runtime.images], ports=ports)


def _is_up(state: Path) -> bool:
    """Then the ports are ours already."""

    try:
        with (state / "up.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _sources(settings: Settings) -> Iterator[Finding]:
    for name, path in sorted(settings.sources.items()):
        there = path.is_dir()
        yield Finding(
            "source", there, f"source {name}: {path}{'' if there else ' is no folder'}", "" if there else "make it, or mend [sources] in sekisho.toml"
        )


def _buckets(settings: Settings) -> Iterator[Finding]:
    for access in settings.bucket_access():
        try:
            read_credentials(Path(access.credentials), access.profile)
            trust_of(access.url, access.trust)
        except StagingFailed as failure:
            yield Finding("bucket", ok=False, what=f"bucket {access.name}: {failure}", mend="mend the file, or [buckets] in sekisho.toml")
        else:
            yield Finding("bucket", ok=True, what=f"bucket {access.name}: {access.url} with {access.credentials}")


def _database(settings: Settings, path: Path) -> Iterator[Finding]:
    if settings.database:
        private = not path.stat().st_mode & 0o007
        yield Finding(
            "database", private, f"{path} names a database and is {'private' if private else 'readable by everybody'}", "" if private else f"chmod 640 {path}"
        )


def _rooms(paths: Sequence[Path], settings: Settings | None) -> Iterator[Finding]:
    for path in _room_files(paths):
        try:
            sources, buckets = (settings.sources, settings.buckets) if settings else (None, {})
            room = parse_room(path.read_text(encoding="utf-8"), name=path.stem, file=str(path), sources=sources, buckets=buckets)
        except Trouble as trouble:
            yield Finding("room", ok=False, what=str(trouble), mend=trouble.hint)
        except (OSError, UnicodeDecodeError) as error:
            yield Finding("room", ok=False, what=f"{path}: {error}", mend="a readable UTF-8 text file")
        else:
            yield Finding("room", ok=True, what=f"room {room.name}: {path}")


def _room_files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(path.glob("*.toml"))
        elif path.exists() or path.suffix == ".toml":
            yield path


def _plain(finding: Finding) -> dict[str, object]:
    return {"name": finding.name, "ok": finding.ok, "what": finding.what, "mend": finding.mend}


def _process(name: str):  # type: ignore[no-untyped-def]  # noqa: ANN202  a command for typer
    def run(state: _State = DEFAULT_STATE, listen: _Listen = None) -> None:
        sys.stdout.flush()
        own = ["--listen", listen] if listen else []
        os.execv(sys.executable, [sys.executable, "-m", f"sekisho.programs.{name}", "--state", str(state), *own])  # noqa: S606  ourselves, without a shell

    return run
