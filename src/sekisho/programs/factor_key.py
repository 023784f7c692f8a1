"""The key that the secrets of second factors are encrypted with: made once, kept beside the database and never in it, readable by the portal alone."""

from pathlib import Path

from sekisho.identity.cipher import KEY_BYTES
from sekisho.model.errors import Trouble
from sekisho.programs.folders import give
from sekisho.settings import Installation
from sekisho.system import randomness
from sekisho.system.files import write_whole


def make_factor_key(installation: Installation) -> None:
    """Unless there is one. A lost key is not made up for: factors that were encrypted with it must be reset."""
    path, uid = installation.factor_key, installation.uid("portal")
    if not path.exists():
        write_whole(path, randomness.secret_bytes(KEY_BYTES).hex().encode() + b"\n")
    give(path, uid, uid, 0o400)


def load_factor_key(path: Path) -> bytes:
    """Raises Trouble `second-factor-key`."""
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise Trouble("second-factor-key", f"the key of second factors, {path}, can't be read", hint="restore it; sekisho up makes the first one") from error
    if len(key) != KEY_BYTES:
        raise Trouble("second-factor-key", f"{path} is no key", expected=f"{KEY_BYTES} bytes in hexadecimal", hint="restore it")
    return key
