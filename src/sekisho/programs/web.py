"""Where the portal and the rooms listen and what people call them: made from the settings, the same in every process."""

from dataclasses import dataclass
from pathlib import Path

from sekisho.model.errors import Trouble
from sekisho.settings import Settings, read_settings
from sekisho.system.files import write_whole

_REMEMBERED = "portal.address"


@dataclass(frozen=True, slots=True)
class Addresses:
    host: str
    portal_port: int
    rooms_port: int
    portal_origin: str
    rooms_origin: str


def addresses(settings: Settings, listen: str | None) -> Addresses:
    """`listen` is HOST:PORT of the command line and wins over the settings; the rooms are on the next port."""
    host, _, port = (listen or settings.web.listen).rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65535:
        raise Trouble("listen-wrong", "the address to listen on is HOST:PORT", found=repr(listen), hint="--listen 127.0.0.1:8443")
    host = host.strip("[]") or "127.0.0.1"
    portal_port, rooms_port = int(port), int(port) + 1
    public = settings.web.public_port
    return Addresses(
        host=host,
        portal_port=portal_port,
        rooms_port=rooms_port,
        portal_origin=_origin(settings.web.portal_name, public or portal_port),
        rooms_origin=_origin(settings.web.rooms_name, public or rooms_port),
    )


def remember(state: Path, where: Addresses) -> None:
    """So that a command on this machine finds the portal that was started with another --listen."""
    write_whole(state / _REMEMBERED, where.portal_origin.encode() + b"\n", mode=0o644)


def remembered_portal(state: Path) -> str:
    """Where the portal of a state folder was last, or would be by its settings."""
    try:
        return (state / _REMEMBERED).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return addresses(read_settings(state), None).portal_origin


def _origin(name: str, port: int) -> str:
    return f"https://{name}" if port == 443 else f"https://{name}:{port}"
