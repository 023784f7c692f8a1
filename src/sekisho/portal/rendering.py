"""Pages from templates: autoescaped, in the visit's language, with its cookies. Everything that touches Jinja lives here."""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sekisho.policy.verdict import Deny
from sekisho.portal import wording
from sekisho.portal.assets import asset_url
from sekisho.portal.door import LANGUAGE_COOKIE, SIGN_IN_COOKIE, STRANGER_COOKIE, Visit
from sekisho.portal.navigation import navigation
from sekisho.portal.way_on import way_on

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_LANGUAGE_SECONDS = 365 * 86_400


def page(visit: Visit, template: str, *, status: int = 200, **shown: object) -> HTMLResponse:
    """A whole page. A browser that has no form secret yet is given one."""
    response = HTMLResponse(_rendered(visit, template, shown), status_code=status)
    if visit.is_new_browser:
        _set_cookie(response, STRANGER_COOKIE, visit.form_secret, seconds=None)
    return response


def live_part(visit: Visit, template: str, *, path: str, **shown: object) -> Markup:
    """A part of a page that keeps itself current: it asks `path` for news, and says what it has."""
    return _framed(visit, _rendered(visit, template, shown), path=path)


def live_news(visit: Visit, template: str, *, path: str, seen: str, **shown: object) -> Response:
    """The same part, asked for again. Nothing (204) while it is what the browser has `seen`, so that nothing is redrawn or read out for nothing."""
    inner = _rendered(visit, template, shown)
    return Response(status_code=204) if seen == _digest(inner) else HTMLResponse(_framed(visit, inner, path=path))


def _framed(visit: Visit, inner: str, *, path: str) -> Markup:
    inside = Markup(inner)  # noqa: S704  it comes out of the autoescaping environment
    return Markup(_rendered(visit, "_live.html", {"inner": inside, "path": path, "digest": _digest(inner)}))  # noqa: S704  so does this


def _digest(inner: str) -> str:
    return hashlib.sha256(inner.encode()).hexdigest()[:16]


def go(path: str) -> RedirectResponse:
    """After an act, to a path of ours."""
    return RedirectResponse(path, status_code=303)


def give_sign_in(response: Response, *, secret: str, expires_at: datetime, now: datetime) -> None:
    _set_cookie(response, SIGN_IN_COOKIE, secret, seconds=max(0, int((expires_at - now).total_seconds())))


def take_sign_in(response: Response) -> None:
    _set_cookie(response, SIGN_IN_COOKIE, "", seconds=0)


def give_language(response: Response, language: str) -> None:
    _set_cookie(response, LANGUAGE_COOKIE, language, seconds=_LANGUAGE_SECONDS)


def _set_cookie(response: Response, name: str, value: str, *, seconds: int | None) -> None:
    """Lax, not Strict: an approver who follows a link from a message must arrive signed in. What changes anything is proven by `forgery` besides."""
    response.set_cookie(name, value, max_age=seconds, path="/", secure=True, httponly=True, samesite="lax")


def _rendered(visit: Visit, template: str, shown: Mapping[str, object]) -> str:
    words = visit.words

    def refusal_text(refusal: Deny) -> str:
        return wording.show_refusal(refusal, words=words)

    def duration(span: timedelta) -> str:
        return wording.show_duration(span, language=words.language)

    return _TEMPLATES.get_template(template).render(
        {
            "visit": visit,
            "t": words.say,
            "language": words.language,
            "person": visit.sign_in.person if visit.sign_in is not None else None,
            "navigation": navigation(visit),
            "refusal_text": refusal_text,
            "way_on": lambda refusal: way_on(refusal, visit.path),
            "ending": lambda reason: wording.show_ending(reason, words=words),
            "ending_hint": lambda reason: wording.show_hint(reason, words=words),
            "duration": duration,
            "size": wording.show_size,
            "asset": asset_url,
            **shown,
        }
    )
