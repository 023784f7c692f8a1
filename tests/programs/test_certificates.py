"""The installation's own authority: made once, believed by TLS, renewed in time."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest

from sekisho.programs.certificates import RENEW_DAYS, fingerprint, make_authority, make_certificate

NOW = datetime.now(UTC)


@pytest.fixture
def folder(tmp_path):
    make_authority(tmp_path, "test", NOW)
    return tmp_path


def shake_hands(folder, name: str) -> str:
    client, server = ssl.create_default_context(cafile=folder / "ca.pem"), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "p.pem", folder / "p.key")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname=name)
    two = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (one, two):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return one.version()


def test_a_client_that_trusts_the_authority_believes_the_name_and_no_other(folder):
    assert make_certificate(folder, ("sekisho.localhost", "127.0.0.1"), folder / "p.pem", folder / "p.key", NOW)
    assert shake_hands(folder, "sekisho.localhost") == "TLSv1.3"
    assert shake_hands(folder, "127.0.0.1") == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(folder, "rooms.localhost")


def test_keys_are_private(folder):
    make_certificate(folder, ("a.test",), folder / "p.pem", folder / "p.key", NOW)
    assert (folder / "ca.key").stat().st_mode & 0o777 == 0o600
    assert (folder / "p.key").stat().st_mode & 0o777 == 0o600


def test_authority_and_good_certificate_stay_as_they_are(folder):
    make_certificate(folder, ("a.test",), folder / "p.pem", folder / "p.key", NOW)
    before = fingerprint(folder / "ca.pem"), fingerprint(folder / "p.pem")
    make_authority(folder, "test", NOW)
    assert not make_certificate(folder, ("a.test",), folder / "p.pem", folder / "p.key", NOW)
    assert (fingerprint(folder / "ca.pem"), fingerprint(folder / "p.pem")) == before


@pytest.mark.parametrize(("names", "later"), [(("b.test",), timedelta()), (("a.test",), timedelta(days=397 - RENEW_DAYS + 1))])
def test_another_name_or_a_near_end_gives_a_new_certificate(folder, names, later):
    make_certificate(folder, ("a.test",), folder / "p.pem", folder / "p.key", NOW)
    assert make_certificate(folder, names, folder / "p.pem", folder / "p.key", NOW + later)
