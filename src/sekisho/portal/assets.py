"""Style, script and picture files, read once at start. A name is looked up among them and never becomes a path, so nothing else can be asked for."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_STATIC = Path(__file__).parent / "static"
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    content: bytes
    media_type: str
    version: str


@cache
def assets() -> dict[str, Asset]:
    """By name below `static/`. `vendor/` is filled by the build (npm); without it the pages work, only not by themselves."""
    return {str(path.relative_to(_STATIC)): _asset(path) for path in sorted(_STATIC.rglob("*")) if path.suffix in _TYPES and path.is_file()}


def asset_url(name: str) -> str:
    """The address of an asset, which changes with its content; "" if the build did not bring it."""
    found = assets().get(name)
    return f"/static/{name}?v={found.version}" if found is not None else ""


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    return Asset(content=content, media_type=_TYPES[path.suffix], version=hashlib.sha256(content).hexdigest()[:12])
