"""A real S3 server of the tests' own: SeaweedFS on loopback, on ports of its own, its files in a temporary directory, gone afterwards."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from sekisho.programs.certificates import make_authority, make_certificate
from sekisho.runtime.staging_child import BucketAccess
from sekisho.system import kernel

READY_SECONDS = 60.0
KEY_ID, SECRET = "AKIASEAWEEDOFTHETEST", "seaweedSecretThatNobodyMaySee0123456789x"
READER_ID, READER_SECRET = "AKIASEAWEEDREADSONE", "readsOneBucketAlone0123456789abcdefghijk"
_SERVICES = ("master", "volume", "filer", "s3")
_PORTS = tuple(f"{service}.port{kind}" for service in _SERVICES for kind in ("", ".grpc"))


@dataclass
class Seaweed:
    """`url` is the endpoint's; `trust` the authority of its certificate, empty if it speaks plain HTTP."""

    folder: Path
    url: str
    trust: str
    process: subprocess.Popen[bytes]
    client: Any = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.client_of(KEY_ID, SECRET)

    def client_of(self, key_id: str, secret: str) -> Any:
        config = Config(max_pool_connections=16, retries={"max_attempts": 1}, connect_timeout=5, read_timeout=60, s3={"addressing_style": "path"})
        return botocore.session.Session().create_client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            config=config,
            verify=self.trust or None,
        )

    def fill(self, bucket: str, **objects: bytes) -> str:
        """Make a bucket and put objects into it."""
        with suppress(ClientError):
            self.client.create_bucket(Bucket=bucket)
        for key, content in objects.items():
            self.put(bucket, key, content)
        return bucket

    def put(self, bucket: str, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=bucket, Key=key, Body=content)

    def credentials(self, key_id: str = KEY_ID, secret: str = SECRET) -> Path:
        path = self.folder / f"credentials-{abs(hash((key_id, secret)))}"
        path.write_text(f"[default]\naws_access_key_id = {key_id}\naws_secret_access_key = {secret}\n")
        path.chmod(0o600)
        return path

    def access(self, name: str, bucket: str = "", **changes: str) -> BucketAccess:
        usual = {"region": "us-east-1", "credentials": str(self.credentials()), "profile": "default", "trust": self.trust}
        return BucketAccess(**{"name": name, "bucket": bucket or name, "url": f"{self.url}/{bucket or name}", **usual, **changes})


def free_ports(count: int) -> list[int]:
    """Nobody has them now; held together, so that they differ."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def running(*, tls: bool = False) -> Iterator[Seaweed]:
    """The server, ready. It dies with whoever started it."""
    folder = Path(tempfile.mkdtemp(prefix="sekisho-seaweed-"))
    try:
        (folder / "s3.json").write_text(json.dumps({"identities": [_identity("all", KEY_ID, SECRET, "Admin"), _identity("one", READER_ID, READER_SECRET)]}))
        (folder / "files").mkdir()
        ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [Path(sys.executable).with_name("weed"), *_arguments(folder, ports, tls=tls)],
                stdout=log,
                stderr=log,
                preexec_fn=lambda: kernel.die_with_parent(signal.SIGKILL),  # noqa: PLW1509  it must not outlive the tests
            )
        try:
            scheme = "https" if tls else "http"
            made = Seaweed(folder, f"{scheme}://127.0.0.1:{ports['s3.port']}", str(folder / "tls" / "ca.pem") if tls else "", process)
            _wait(made)
            yield made
        finally:
            process.kill()  # when told to end it takes ten seconds, for files that go anyway
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _identity(name: str, key_id: str, secret: str, *actions: str) -> dict[str, object]:
    return {"name": name, "credentials": [{"accessKey": key_id, "secretKey": secret}], "actions": list(actions) or ["List:open", "Read:open"]}


def _arguments(folder: Path, ports: dict[str, int], *, tls: bool) -> list[str]:
    fixed = {
        "ip": "127.0.0.1", "ip.bind": "127.0.0.1", "dir": folder / "files", "s3": "true", "s3.config": folder / "s3.json",
        "s3.port.iceberg": 0, "s3.port.lance": 0, "volume.max": 100, "master.volumeSizeLimitMB": 1024, "master.telemetry": "false",
    }  # fmt: skip
    if tls:
        (folder / "tls").mkdir()
        now = datetime.now(UTC)
        make_authority(folder / "tls", "seaweed", now)
        make_certificate(folder / "tls", ("127.0.0.1",), folder / "tls" / "s3.pem", folder / "tls" / "s3.key", now)
        fixed |= {"s3.cert.file": folder / "tls" / "s3.pem", "s3.key.file": folder / "tls" / "s3.key"}
    return ["-logtostderr", "server", *(f"-{name}={value}" for name, value in (fixed | ports).items())]


def _wait(made: Seaweed) -> None:
    """The port answers before the volumes are there: ready is who gives back what was put."""
    end = time.monotonic() + READY_SECONDS
    while True:
        try:
            made.fill("readiness", probe=b"there")
            assert made.client.get_object(Bucket="readiness", Key="probe")["Body"].read() == b"there"
        except (BotoCoreError, ClientError, OSError):
            assert made.process.poll() is None, (made.folder / "log").read_text()[-3000:]
            assert time.monotonic() < end, (made.folder / "log").read_text()[-3000:]
            time.sleep(0.1)
        else:
            return


@pytest.fixture(scope="session")
def seaweed() -> Iterator[Seaweed]:
    with running() as made:
        yield made


@pytest.fixture(scope="session")
def seaweed_tls() -> Iterator[Seaweed]:
    with running(tls=True) as made:
        yield made
