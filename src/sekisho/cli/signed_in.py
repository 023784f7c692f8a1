"""The one sign-in that this user of this machine holds: where, as whom, the token, and whose certificates are believed.

Mode 0600, in the user's XDG configuration folder.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from sekisho.model.errors import Trouble


@dataclass(frozen=True, slots=True)
class SignedIn:
    url: str  # of the portal: scheme, name, port
    person: str
    token: str
    expires_at: str  # RFC 3339
    authority_pem: str  # "" : the system's authorities


def path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".config") / "sekisho" / "sign-in.json"


def read() -> SignedIn:
    """Raises Trouble if nobody is signed in."""
    try:
        found = json.loads(path().read_text(encoding="utf-8"))
        return SignedIn(**{name: str(found[name]) for name in SignedIn.__slots__})
    except FileNotFoundError as error:
        raise Trouble("not-signed-in", "nobody is signed in here", hint="sekisho login") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Trouble("sign-in-unreadable", f"{path()} can't be read", hint="sekisho login") from error


def write(sign_in: SignedIn) -> None:
    """Whole or not at all, and never readable by others, not even while it is written."""
    target = path()
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = target.with_name(f"{target.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(sign_in), file)
    fresh.replace(target)


def forget() -> None:
    path().unlink(missing_ok=True)
