"""What opens a bucket: read from a file that only root can read, and shown to nobody."""

from pathlib import Path

import pytest

from sekisho.staging.bucket.credentials import Credentials, parse_credentials, read_credentials
from sekisho.staging.bucket.signing import Signer
from sekisho.staging.placing import StagingFailed

pytestmark = pytest.mark.root  # a file of root's

TEXT = """\
[default]
aws_access_key_id = AKIDEFAULT
aws_secret_access_key = first/secret+%1
region = eu-west-1

[campaign]
aws_access_key_id=AKICAMPAIGN
aws_secret_access_key=second
aws_session_token=session/token==
"""


def written(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "credentials"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_profile_is_read_with_its_session_token(tmp_path):
    path = written(tmp_path, TEXT)
    assert read_credentials(path, "default") == Credentials("AKIDEFAULT", "first/secret+%1")
    assert read_credentials(path, "campaign") == Credentials("AKICAMPAIGN", "second", "session/token==")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_file_that_others_can_read_is_refused(tmp_path, mode):
    with pytest.raises(StagingFailed, match="are not root's alone: chown root and chmod 600"):
        read_credentials(written(tmp_path, TEXT, mode), "default")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no profile 'default'"),
        ("[other]\naws_access_key_id=s3cr3t", "no profile 'default'"),
        ("[default]\naws_access_key_id=s3cr3t", "lacks aws_access_key_id or aws_secret_access_key"),
        ("[default]\nrole_arn=s3cr3t\nsource_profile=other", "lacks aws_access_key_id or"),
        ("s3cr3t", "not in the form of AWS's shared credentials file"),
        ("[default]\ns3cr3t\n", "not in the form of"),
        ("[default]\naws_access_key_id=s3cr3t\naws_access_key_id=s3cr3t", "not in the form of"),
        ("[default]\naws_access_key_id=s3cr3t\naws_secret_access_key=s3cr3t\n x-amz-y: z", "characters that no key has"),
    ],
)
def test_a_file_that_is_wrong_is_refused_without_a_word_of_it(tmp_path, text, said):
    with pytest.raises(StagingFailed) as caught:
        read_credentials(written(tmp_path, text), "default")
    assert said in str(caught.value)
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(StagingFailed, match="can't be read: No such file or directory"):
        read_credentials(tmp_path / "none", "default")
    with pytest.raises(StagingFailed, match="are no file"):
        read_credentials(tmp_path, "default")


def test_credentials_show_nothing_of_themselves():
    found = parse_credentials(TEXT.encode(), profile="campaign", path=Path("x"))
    assert repr(found) == "Credentials()"


def test_a_request_carries_signature_and_token_and_never_the_secret():
    signer = Signer("https://exports.s3.ap-northeast-1.amazonaws.com", "ap-northeast-1", Credentials("AKID", "verySecret", "the/token"))
    text = signer.get_request("2026/一覧 (1)+~.csv", {"If-Match": '"e"', "Range": "bytes=0-9"}).decode()
    assert text.startswith("GET /2026/%E4%B8%80%E8%A6%A7%20%281%29%2B~.csv HTTP/1.1\r\nHost: exports.s3.ap-northeast-1.amazonaws.com\r\n")
    assert "SignedHeaders=host;if-match;range;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature=" in text
    assert "X-Amz-Security-Token: the/token\r\n" in text
    assert "verySecret" not in text
