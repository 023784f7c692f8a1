"""The terminal's page: static HTML, a nonce for the style sheets that xterm.js makes while running, and the policy that allows nothing else.

xterm.js 6 draws with DOM nodes; it inserts <style> elements and sets style attributes. `static/strict-styles.js` gives the first our nonce and turns
the second into CSSOM calls, which no policy governs, so `'unsafe-inline'` is not needed anywhere. The canvas renderer exists for xterm.js 5 only;
WebGL needs a GPU that many desks do not give their browsers.
"""

from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse, Response

_PAGE = Template((Path(__file__).parent / "terminal.html").read_text(encoding="utf-8"))


def render_terminal_page(*, nonce: str, rooms_origin: str, portal_origin: str) -> Response:
    """Both origins come from the settings, `nonce` is URL-safe: there is nothing to escape."""
    content = _PAGE.substitute(nonce=nonce, portal=portal_origin)
    return HTMLResponse(content, headers={"Content-Security-Policy": _policy(nonce=nonce, rooms_origin=rooms_origin)})


def _policy(*, nonce: str, rooms_origin: str) -> str:
    websocket = f"wss://{urlsplit(rooms_origin).netloc}"  # 'self' does not cover it in every browser
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            f"style-src 'self' 'nonce-{nonce}'",
            f"connect-src 'self' {websocket}",
            "img-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
