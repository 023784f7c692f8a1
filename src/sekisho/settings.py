"""Settings: read once, when a process starts, from `STATE/sekisho.toml`; every one has a default that works.

Also the installation's own names: its id, the uids of its processes, its folders and sockets. Nothing below this module reads settings or
environment; programs hand values down.
"""

import json
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from sekisho.model.errors import Trouble
from sekisho.model.hostname import parse_host_name
from sekisho.model.room import Place
from sekisho.runtime.images import DEFAULT_CACHE
from sekisho.system.files import write_whole

DEFAULT_STATE = Path("/var/lib/sekisho")
DEFAULT_LISTEN = "127.0.0.1:8443"
SERVICES = ("portal", "control", "audit", "gateway", "egress")
_UID_FIRST = 1_900_000_000
_UID_INSTALLATIONS = 6_000_000
_UIDS_EACH = 16
_STORE_GROUP, _LOG_GROUP = 10, 11


def _network(value: str) -> str:
    return str(ip_network(value))


def _host_name(value: str) -> str:
    if (name := parse_host_name(value)) is None:
        raise ValueError("not a host name")
    return name


Network = Annotated[str, AfterValidator(_network)]
Host = Annotated[str, AfterValidator(_host_name)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Web(_Section):
    """How people reach the portal and the rooms."""

    listen: str = Field(DEFAULT_LISTEN, pattern=r"^[0-9a-f.:\[\]]+:[0-9]{1,5}$", description="address and port of the portal; the rooms' is the next port")
    portal_name: Host = Field("sekisho.localhost", description="the portal's host name")
    rooms_name: Host = Field("rooms.localhost", description="the rooms' host name, never the portal's")
    certificate: Path | None = Field(None, description="PEM certificate chain for both names; without it the installation's own authority makes one")
    key: Path | None = Field(None, description="the certificate's private key, readable by root")
    trusted_proxies: tuple[Network, ...] = Field((), description="networks of proxies whose X-Forwarded-For is believed")
    public_port: int | None = Field(None, ge=1, le=65535, description="the port in addresses that people see, if a proxy stands before")


class SignIn(_Section):
    """Who may sign in from where."""

    places: tuple[str, ...] = Field((), description="places that people may sign in from; empty: anywhere, since every room names its own places")


class Runtime(_Section):
    """How sessions run on this machine."""

    command: str = Field("runc", description="the OCI runtime's command")
    images: Path = Field(DEFAULT_CACHE, description="where images are kept; shared by the installations of a machine")
    memory_share: float = Field(0.8, gt=0, le=1, description="how much of the machine's memory sessions may have together")


class Egress(_Section):
    """What rooms reach, beyond what their files say."""

    hosts: dict[Host, tuple[str, ...]] = Field(default_factory=dict, description="addresses of names that are pinned here, and asked of no resolver")
    trust: Path | None = Field(None, description="PEM of certificate authorities that every room trusts besides the image's own")


class Settings(_Section):
    """The whole of sekisho.toml."""

    web: Web = Web()
    sign_in: SignIn = SignIn()
    runtime: Runtime = Runtime()
    egress: Egress = Egress()
    places: dict[str, tuple[Network, ...]] = Field(default_factory=dict, description="named networks that people may come from")
    sources: dict[str, Path] = Field(default_factory=dict, description="named folders on this machine that rooms may be filled from: file:NAME/…")
    database: str | None = Field(None, description="URL of a PostgreSQL database; without it SQLite in the state folder")

    def named_places(self) -> tuple[Place, ...]:
        return tuple(Place(name, networks) for name, networks in sorted(self.places.items()))


def read_settings(state: Path) -> Settings:
    """Raises Trouble `settings-wrong` with file and place of each fault. No file means all defaults."""
    path = state / "sekisho.toml"
    try:
        found: Mapping[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return Settings.model_validate(found)
    except FileNotFoundError:
        return Settings()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Trouble("settings-wrong", f"{path}: {error}", hint="see docs/reference/settings.md") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}, found {str(fault['input'])[:60]!r}" for fault in error.errors())
        raise Trouble("settings-wrong", f"{path}: {faults}", hint="see docs/reference/settings.md") from error


@dataclass(frozen=True, slots=True)
class Installation:
    """One `--state` folder: its id is in every name that the machine can see, so two installations never meet."""

    id: str
    state: Path

    @property
    def short(self) -> str:
        return self.id[:8]

    @property
    def run(self) -> Path:
        """Short, for the 108 bytes of a Unix socket's path; gone at reboot, as sessions are."""
        return Path("/run") / f"sekisho-{self.short}"

    def uid(self, service: str) -> int:
        """The numeric user of a process; no entry in /etc/passwd is made or needed."""
        return self._first + 1 + SERVICES.index(service)

    @property
    def store_group(self) -> int:
        return self._first + _STORE_GROUP

    @property
    def log_group(self) -> int:
        return self._first + _LOG_GROUP

    @property
    def _first(self) -> int:
        return _UID_FIRST + int(self.id, 16) % _UID_INSTALLATIONS * _UIDS_EACH

    @property
    def rooms(self) -> Path:
        return self.state / "rooms"

    @property
    def log(self) -> Path:
        return self.state / "log"

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.state / 'db' / 'sekisho.sqlite'}"

    @property
    def origin(self) -> str:
        """The log's name and its key's, as C2SP tlog-checkpoint wants it: never the same for two logs."""
        return f"sekisho.invalid/{self.id}/log1"

    def socket(self, name: str) -> Path:
        """A socket lies in its service's own folder; the agent's two (`agent`, `open`) in the run folder, which is root's."""
        return (self.run / name if name in SERVICES else self.run) / f"{name}.sock"

    def spool(self, producer: str) -> Path:
        return self.state / "spool" / producer

    @property
    def factor_key(self) -> Path:
        """What second factors are encrypted with."""
        return self.state / "portal" / "second-factor.key"

    def tls(self, name: str) -> tuple[Path, Path]:
        """(certificate, key) of a service."""
        return self.state / "tls" / f"{name}.pem", self.state / "tls" / f"{name}.key"


def open_installation(state: Path) -> Installation:
    """The installation in a state folder. Raises Trouble if there is none."""
    try:
        found = json.loads((state / "instance.json").read_text(encoding="ascii"))
        return Installation(str(found["id"]), state.resolve())
    except FileNotFoundError as error:
        raise Trouble("no-installation", f"there is no installation in {state}", hint=f"sekisho up --state {state}") from error


def make_installation(state: Path) -> Installation:
    """The installation in a state folder, made if there is none."""
    state.mkdir(parents=True, exist_ok=True, mode=0o755)
    if not (state / "instance.json").exists():
        write_whole(state / "instance.json", json.dumps({"id": secrets.token_hex(8)}).encode() + b"\n", mode=0o644)
    return open_installation(state)
