"""[buckets]: where they are, what opens them, and what is said of a mistake without repeating it."""

import subprocess
import sys
from pathlib import Path

import pytest

from sekisho.cli.machine import _buckets
from sekisho.model.errors import Trouble
from sekisho.programs.up import _needed
from sekisho.settings import Settings, make_installation, read_settings


def written(tmp_path: Path, text: str) -> Settings:
    (tmp_path / "sekisho.toml").write_text(text)
    return read_settings(tmp_path)


@pytest.mark.parametrize(
    ("text", "url", "region"),
    [
        ("region = 'ap-northeast-1'", "https://exports.s3.ap-northeast-1.amazonaws.com", "ap-northeast-1"),
        ("region = 'cn-north-1'", "https://exports.s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("region = 'eu-west-1'\nbucket = 'exports.corp'", "https://s3.eu-west-1.amazonaws.com/exports.corp", "eu-west-1"),
        ("endpoint = 'https://Files.Corp.example:9000/'", "https://files.corp.example:9000/exports", "us-east-1"),
        ("endpoint = 'https://files.corp.example:443'\nbucket = 'other'", "https://files.corp.example/other", "us-east-1"),
        ("endpoint = 'http://127.0.0.1:8333'\nregion = 'tokyo'", "http://127.0.0.1:8333/exports", "tokyo"),
        ("endpoint = 'http://[::1]:8333'", "http://[::1]:8333/exports", "us-east-1"),
    ],
)
def test_a_bucket_is_where_its_settings_say(tmp_path, text, url, region):
    (access,) = written(tmp_path, f"[buckets.exports]\ncredentials = '/etc/sekisho/exports'\n{text}").bucket_access()
    assert (access.name, access.url, access.region, access.credentials, access.profile) == ("exports", url, region, "/etc/sekisho/exports", "default")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[buckets.exports]\nregion = 'eu-west-1'", "buckets.exports.credentials: Field required"),
        ("[buckets.exports]\ncredentials = '/s3cr3t'", "buckets.exports: Value error, give region, for AWS, or endpoint"),
        ("[buckets.exports]\ncredentials = '/c'\nendpoint = 'http://s3cr3t.example'", "http:// is for this machine's own loopback alone"),
        ("[buckets.exports]\ncredentials = '/c'\nendpoint = 'https://me:s3cr3t@files.example'", "buckets.exports.endpoint: Value error, not https://HOST"),
        ("[buckets.exports]\ncredentials = '/c'\nendpoint = 'https://files.example/s3cr3t'", "not https://HOST"),
        ("[buckets.exports]\ncredentials = '/c'\nendpoint = 'ftp://files.example'", "not https://HOST"),
        ("[buckets.exports]\ncredentials = '/c'\nregion = 'eu-west-1'\nsecret_access_key = 's3cr3t'", "buckets.exports.secret_access_key: Extra inputs"),
        ("[buckets.Exports]\ncredentials = '/c'\nregion = 'eu-west-1'", "buckets.Exports"),
        ("[bucket.exports]\nsecret = 's3cr3t'", "bucket: Extra inputs"),
    ],
)
def test_a_mistake_is_said_with_its_place_and_without_what_may_be_a_secret(tmp_path, text, said):
    with pytest.raises(Trouble) as caught:
        written(tmp_path, text)
    assert said in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_what_the_stager_reads_can_be_reached(tmp_path):
    settings = written(tmp_path, "[buckets.exports]\ncredentials = '/etc/c'\ntrust = '/etc/t'\nregion = 'eu-west-1'")
    assert {Path("/etc/c"), Path("/etc/t")} <= set(_needed(make_installation(tmp_path), settings))


@pytest.mark.root
@pytest.mark.parametrize(
    ("mode", "trust", "said"),
    [
        (0o600, "", "bucket exports: https://exports.s3.eu-west-1.amazonaws.com with "),
        (0o640, "", "are not root's alone: chown root and chmod 600"),
        (None, "", "can't be read: No such file or directory"),
        (0o600, "trust = '/nowhere.pem'", "the authorities /nowhere.pem can't be read: No such file or directory"),
    ],
)
def test_check_says_what_is_wrong_with_credentials_and_authorities(tmp_path, mode, trust, said):
    path = tmp_path / "credentials"
    if mode is not None:
        path.write_text("[default]\naws_access_key_id = AKID\naws_secret_access_key = s3cr3t\n")
        path.chmod(mode)
    settings = written(tmp_path, f"[buckets.exports]\ncredentials = '{path}'\nregion = 'eu-west-1'\n{trust}")
    (finding,) = _buckets(settings)
    assert finding.ok is (mode == 0o600 and not trust)
    assert said in finding.what
    assert "s3cr3t" not in finding.what


def test_the_agent_holds_no_client_of_s3():
    """Every shim shares its memory: what fetches from buckets is imported by the stager alone."""
    told = "import sys, sekisho.programs.agent; print([name for name in sys.modules if name.split('.')[0] in {'botocore', 'urllib3', 'httptools'}])"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
