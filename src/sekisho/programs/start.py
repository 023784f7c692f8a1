"""How every process begins: its arguments, its installation, its user, and that it does not outlive whoever started it."""

import argparse
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sekisho.model.errors import Trouble
from sekisho.programs.life import end_with
from sekisho.programs.web import Addresses, addresses
from sekisho.settings import DEFAULT_STATE, Installation, Settings, open_installation, read_settings
from sekisho.system import kernel

DATABASE_SERVICES = ("portal", "control")


@dataclass(frozen=True, slots=True)
class Arguments:
    state: Path
    parent: int  # given by `up`: end when it ends; 0 when started alone
    listen: str | None


def parse_arguments(program: str) -> Arguments:
    parser = argparse.ArgumentParser(prog=f"sekisho {program}")
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE, help="the installation's folder")
    parser.add_argument("--parent", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--listen", help="HOST:PORT of the portal; the rooms are on the next port")
    found = parser.parse_args()
    return Arguments(found.state, found.parent, found.listen)


@dataclass(frozen=True, slots=True)
class Begun:
    installation: Installation
    settings: Settings
    where: Addresses
    listener: socket.socket | None


def begin(
    service: str, *, groups: Callable[[Installation], tuple[int, ...]] = lambda _installation: (), listens: Callable[[Addresses], tuple[str, int]] | None = None
) -> Begun:
    """What a process starts from; after this it is the service's own user, and ends when `up` does. A port is bound before, while root may bind any."""
    arguments = parse_arguments(service)
    installation = open_installation(arguments.state)
    settings = read_settings(installation.state)
    if service not in DATABASE_SERVICES:
        settings = settings.model_copy(update={"database": None})  # its URL may hold a password
    where = addresses(settings, arguments.listen)
    listener = listening_socket(*listens(where)) if listens else None
    kernel.set_name(f"sekisho-{service}")
    if os.getuid() == 0:
        kernel.become(installation.uid(service), groups(installation))
    if arguments.parent:
        end_with(arguments.parent)
    return Begun(installation, settings, where, listener)


def listening_socket(host: str, port: int) -> socket.socket:
    """Bound and listening. Raises Trouble `port-taken`."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512)
    except OSError as error:
        raise Trouble(
            "port-taken", f"{host}:{port} can't be listened on: {error.strerror}", hint="--listen HOST:PORT, or [web] listen in sekisho.toml"
        ) from error


def run_program(body: Callable[[], None]) -> None:
    """The outermost frame of a process: trouble is one line and exit code 1."""
    try:
        body()
    except Trouble as trouble:
        print(f"sekisho: {trouble}", file=sys.stderr, flush=True)
        raise SystemExit(1) from trouble
    except KeyboardInterrupt:
        raise SystemExit(0) from None
