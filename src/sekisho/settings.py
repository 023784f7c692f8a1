"""Settings: read once, when a process starts, from `STATE/sekisho.toml`; every one has a default that works.

Also the installation's own names: its id, the uids of its processes, its folders and sockets. Nothing below this module reads settings or
environment; programs hand values down.
"""

import json
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from sekisho.model.errors import Trouble
from sekisho.model.hostname import parse_host_name
from sekisho.model.room import Place
from sekisho.runtime.images import DEFAULT_CACHE
from sekisho.runtime.staging_child import BucketAccess
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


def _service(value: str) -> str:
    """`https://HOST[:PORT]`, or `http://` where nothing can listen in: on this machine's own loopback."""
    parts = urlsplit(value)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.username or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("not https://HOST or https://HOST:PORT")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ValueError("http:// is for this machine's own loopback alone: use https://")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    is_usual = parts.port in {None, 443 if parts.scheme == "https" else 80}
    return f"{parts.scheme}://{host}" if is_usual else f"{parts.scheme}://{host}:{parts.port}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


Network = Annotated[str, AfterValidator(_network)]
Host = Annotated[str, AfterValidator(_host_name)]
Service = Annotated[str, AfterValidator(_service)]
BucketName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")]


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


class Bucket(_Section):
    """A bucket of an S3 service that rooms may be filled from: s3://NAME/…"""

    endpoint: Service | None = Field(
        None, description="https://HOST[:PORT] of the service; http only for this machine's loopback; without it AWS of the region"
    )
    region: str | None = Field(None, pattern=r"^[a-z0-9-]{1,40}$", description="AWS's region; a service of another may need one, too")
    bucket: BucketName | None = Field(None, description="what the service calls it, if not NAME")
    credentials: Path = Field(description="a file in AWS's shared-credentials form, root's and readable by root alone")
    profile: str = Field("default", pattern=r"^[^\[\]\x00-\x1f]{1,100}$", description="the profile in it")
    trust: Path | None = Field(None, description="PEM of the only authorities that may vouch for the endpoint; without it the machine's")

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if self.endpoint is None and self.region is None:
            raise ValueError("give region, for AWS, or endpoint")
        return self

    def access(self, name: str) -> BucketAccess:
        return BucketAccess(
            name=name,
            bucket=self.bucket or name,
            url=_bucket_url(self.endpoint, self.region, self.bucket or name),
            region=self.region or "us-east-1",  # what services other than AWS's take for granted
            credentials=str(self.credentials),
            profile=self.profile,
            trust=str(self.trust or ""),
        )


def _bucket_url(endpoint: str | None, region: str | None, bucket: str) -> str:
    """With the bucket in the host's name at AWS, in the path elsewhere; and there too if it has a dot, since a certificate's * stands for one label."""
    if endpoint is not None:
        return f"{endpoint}/{bucket}"
    service = f"s3.{region}.amazonaws.com" + (".cn" if (region or "").startswith("cn-") else "")
    return f"https://{service}/{bucket}" if "." in bucket else f"https://{bucket}.{service}"


class Settings(_Section):
    """The whole of sekisho.toml."""

    web: Web = Web()
    sign_in: SignIn = SignIn()
    runtime: Runtime = Runtime()
    egress: Egress = Egress()
    places: dict[str, tuple[Network, ...]] = Field(default_factory=dict, description="named networks that people may come from")
    sources: dict[str, Path] = Field(default_factory=dict, description="named folders on this machine that rooms may be filled from: file:NAME/…")
    buckets: dict[BucketName, Bucket] = Field(default_factory=dict, description="buckets that rooms may be filled from: s3://NAME/…")
    database: str | None = Field(None, description="URL of a PostgreSQL database; without it SQLite in the state folder")

    def named_places(self) -> tuple[Place, ...]:
        return tuple(Place(name, networks) for name, networks in sorted(self.places.items()))

    def bucket_access(self) -> tuple[BucketAccess, ...]:
        return tuple(bucket.access(name) for name, bucket in sorted(self.buckets.items()))


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
        raise Trouble("settings-wrong", f"{path}: {'; '.join(map(_fault, error.errors()))}", hint="see docs/reference/settings.md") from error


def _fault(found: Any) -> str:
    """What was found is not shown where it may be a secret that somebody wrote by mistake: under a key that is not known, and about a bucket."""
    said = f"{'.'.join(map(str, found['loc']))}: {found['msg']}"
    return said if found["type"] == "extra_forbidden" or found["loc"][0] == "buckets" else f"{said}, found {str(found['input'])[:60]!r}"


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
