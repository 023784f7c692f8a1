"""The rooms' pages: static HTML, and for each the policy that allows what it needs and nothing else. No `'unsafe-…'` anywhere, no worker, no frame.

Terminal: xterm.js 6 draws with DOM nodes; it inserts <style> elements and sets style attributes. `static/strict-styles.js` gives the first our nonce and
turns the second into CSSOM calls, which no policy governs. The canvas renderer exists for xterm.js 5 only; WebGL needs a GPU that many desks do not give
their browsers.

Desktop: noVNC draws on a canvas and styles by CSSOM alone, so it needs no nonce. It does need `data:` for pictures, and only for these: a JPEG rectangle
of the Tight encoding is an <img> with such an address before it is drawn, and the room's pointer is a CSS cursor with one. Such an address reaches no
network and runs no script.
"""

from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse, Response

_FOLDER = Path(__file__).parent
_TERMINAL = Template((_FOLDER / "terminal.html").read_text(encoding="utf-8"))
_DESKTOP = Template((_FOLDER / "desktop.html").read_text(encoding="utf-8"))


def render_terminal_page(*, nonce: str, rooms_origin: str, portal_origin: str) -> Response:
    """Both origins come from the settings, `nonce` is URL-safe: there is nothing to escape."""
    content = _TERMINAL.substitute(nonce=nonce, portal=portal_origin)
    return _page(content, rooms_origin, styles=f"'self' 'nonce-{nonce}'", images="'self'")


def render_desktop_page(*, rooms_origin: str, portal_origin: str) -> Response:
    """Both origins come from the settings: there is nothing to escape."""
    return _page(_DESKTOP.substitute(portal=portal_origin), rooms_origin, styles="'self'", images="'self' data:")


def _page(content: str, rooms_origin: str, *, styles: str, images: str) -> Response:
    websocket = f"wss://{urlsplit(rooms_origin).netloc}"  # 'self' does not cover it in every browser
    policy = "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            f"style-src {styles}",
            f"connect-src 'self' {websocket}",
            f"img-src {images}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
    return HTMLResponse(content, headers={"Content-Security-Policy": policy})
