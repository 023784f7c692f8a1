"""The log's signing key on disk: made once for an origin, never replaced (C2SP: a new key is a new log)."""

import os
import secrets
from pathlib import Path

from sekisho.audit.durable import sync_folder
from sekisho.audit.note import MalformedNote, SigningKey, is_key_name
from sekisho.model.errors import Trouble


def make_key(path: Path, *, origin: str) -> SigningKey:
    """A new key in a file that did not exist, mode 0600, durable. Raises FileExistsError."""
    assert is_key_name(origin)
    key = SigningKey(origin, secrets.token_bytes(32))
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key.secret_text + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.link(fresh, path)  # unlike rename, never over a key that is there
    fresh.unlink()
    sync_folder(path.parent)
    return key


def load_key(path: Path, *, origin: str) -> SigningKey:
    """Raises Trouble `audit-key-unusable` if it is missing, malformed or another log's."""
    try:
        key = SigningKey.parse(path.read_text().removesuffix("\n"))
    except (OSError, UnicodeDecodeError, MalformedNote) as error:
        hint = "restore the key; a log can never get another one"
        raise Trouble("audit-key-unusable", f"the log's key {path} cannot be used: {error}", hint=hint) from error
    if key.name != origin:
        raise Trouble("audit-key-unusable", f"the key {path} is of another log", expected=origin, found=key.name)
    return key
