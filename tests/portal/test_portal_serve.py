"""The portal behind real TLS: what uvicorn adds, and what it must not."""

import asyncio
import contextlib
import datetime as dt
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sekisho.portal import serve as serving
from sekisho.portal.serve import server

NAME = "sekisho.localhost"


def make_certificate(directory: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "chain.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "key.pem").write_bytes(key.private_bytes(*form))
    return directory / "chain.pem", directory / "key.pem"


@contextlib.contextmanager
def served(app, directory: Path, port: int = 0) -> Iterator[tuple[int, Path]]:
    """A real server in a thread of its own; gone at the end."""
    certificate, key = make_certificate(directory)
    listener = socket.create_server(("127.0.0.1", port))
    running = server(app, certificate=certificate, key=key)
    thread = threading.Thread(target=lambda: asyncio.run(running.serve(sockets=[listener])))
    thread.start()
    try:
        wait_until(lambda: running.started)
        yield listener.getsockname()[1], certificate
    finally:
        running.should_exit = True
        thread.join(10)
        listener.close()
        assert not thread.is_alive()


def wait_until(is_so, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be in time"
        time.sleep(0.005)


@pytest.fixture
def tls(house) -> Iterator[tuple[int, ssl.SSLContext]]:
    with served(house.app, house.directory) as (port, certificate):
        yield port, ssl.create_default_context(cafile=str(certificate))


def test_a_page_comes_over_tls_and_the_server_says_nothing_of_itself(tls):
    port, trust = tls
    with httpx.Client(verify=trust, base_url=f"https://127.0.0.1:{port}") as client:
        extra = {"sni_hostname": NAME}
        answer = client.get("/sign-in", headers={"Host": f"{NAME}:8443"}, extensions=extra)
        assert answer.status_code == 200
        assert "server" not in answer.headers
        assert "Sign in" in answer.text
        assert client.get("/sign-in", extensions=extra).status_code == 421
        assert client.post("/sign-in", headers={"Host": f"{NAME}:8443"}, content=b"x" * 70_000, extensions=extra).status_code == 413


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_is_spoken_from_1_2_on(tls, version):
    port, trust = tls
    trust.minimum_version = trust.maximum_version = version
    with socket.create_connection(("127.0.0.1", port), 10) as raw, trust.wrap_socket(raw, server_hostname=NAME) as spoken:
        assert spoken.version() == version.name.replace("_", ".").replace("TLSv1.", "TLSv1.")


def test_nothing_is_answered_in_clear(tls):
    with socket.create_connection(("127.0.0.1", tls[0]), 10) as raw:
        raw.sendall(b"GET /sign-in HTTP/1.1\r\nHost: sekisho.localhost:8443\r\n\r\n")
        assert b"HTTP/" not in raw.recv(1_000)


def test_a_head_that_never_ends_is_cut_off_and_others_are_served_meanwhile(house, monkeypatch):
    monkeypatch.setattr(serving, "HEAD_LIMIT_SECONDS", 0.3)
    with served(house.app, house.directory) as (port, certificate):
        trust = ssl.create_default_context(cafile=str(certificate))
        with socket.create_connection(("127.0.0.1", port), 10) as raw, trust.wrap_socket(raw, server_hostname=NAME) as slow:
            slow.sendall(b"GET /sign-in HTTP/1.1\r\nHost: sekisho.lo")
            with httpx.Client(verify=trust, base_url=f"https://127.0.0.1:{port}") as client:
                assert client.get("/sign-in", headers={"Host": f"{NAME}:8443"}, extensions={"sni_hostname": NAME}).status_code == 200
            assert slow.recv(1_000) == b""


def test_a_head_beyond_its_limit_is_refused(tls):
    port, trust = tls
    with socket.create_connection(("127.0.0.1", port), 10) as raw, trust.wrap_socket(raw, server_hostname=NAME) as spoken:
        spoken.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000)
        assert spoken.recv(1_000).startswith(b"HTTP/1.1 400")
