"""What opens a bucket: a key id and a secret from a file in the form that AWS's own tools share, which nobody but root may read.

Everything that touches a secret lives here and in `signing`. No message holds any part of the file, nor of an error that might quote it.
"""

import configparser
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from sekisho.staging.placing import StagingFailed

_LIMIT_BYTES = 65_536
_KEYS = ("aws_access_key_id", "aws_secret_access_key")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Named as botocore's signer wants them."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


def read_credentials(path: Path, profile: str) -> Credentials:
    """Raises StagingFailed, which says what is wrong with the file and nothing that stands in it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise StagingFailed(f"the credentials {path} can't be read: {error.strerror}") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LIMIT_BYTES:
            raise StagingFailed(f"the credentials {path} are no file of at most {_LIMIT_BYTES} bytes")
        if found.st_uid != 0 or found.st_mode & 0o077:
            raise StagingFailed(f"the credentials {path} are not root's alone: chown root and chmod 600")
        return parse_credentials(os.read(descriptor, _LIMIT_BYTES), profile=profile, path=path)
    finally:
        os.close(descriptor)


def parse_credentials(content: bytes, *, profile: str, path: Path) -> Credentials:
    """One profile of a shared credentials file: keys, and a session token if there is one. Raises StagingFailed."""
    reader = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        reader.read_string(content.decode("utf-8"))
    except (configparser.Error, UnicodeDecodeError):
        raise StagingFailed(f"the credentials {path} are not in the form of AWS's shared credentials file") from None
    if not reader.has_section(profile):
        raise StagingFailed(f"the credentials {path} have no profile {profile!r}")
    section = reader[profile]
    key, secret = (section.get(name, "").strip() for name in _KEYS)
    token = section.get("aws_session_token", "").strip()
    if not key or not secret:
        raise StagingFailed(f"the profile {profile!r} in {path} lacks {' or '.join(_KEYS)}")
    if not all(text.isascii() and text.isprintable() for text in (key, secret, token)):
        raise StagingFailed(f"the profile {profile!r} in {path} holds characters that no key has")
    return Credentials(key, secret, token or None)
