"""Answers that are no page of their own: refusals, what is absent, what is malformed, what broke. JSON under /api, a page elsewhere, translated once, here."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from sekisho.model.errors import Trouble
from sekisho.model.people import Channel
from sekisho.model.reasons import Reason
from sekisho.policy.verdict import Deny
from sekisho.portal import wording
from sekisho.portal.api.bodies import Malformed, MalformedItem, Refusal
from sekisho.portal.door import Refused, Visit, record_refusal, stranger
from sekisho.portal.inputs import own_path
from sekisho.portal.rendering import go, page, take_sign_in

logger = logging.getLogger(__name__)

_MALFORMED_LIMIT = 20


def add_answers(app: FastAPI, *, headers: Mapping[str, str]) -> None:
    """`headers` go on the one answer that is made outside the guard: that to an error of ours."""

    async def on_refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        if not error.is_written:
            await run_in_threadpool(record_refusal, request, _visit(request), error.refusal)
        return answer_refusal(request, error.refusal)

    async def on_malformed(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return _malformed(request, error.errors())

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _absent(request, error.status_code, error.headers)

    async def on_trouble(request: Request, error: Exception) -> Response:
        assert isinstance(error, Trouble)
        logger.error("an answer met trouble", exc_info=error)
        return _trouble(request, error)

    async def on_broken(request: Request, error: Exception) -> Response:
        logger.error("an answer failed", exc_info=error)
        answer = _broken(request)
        answer.headers.update({**headers, "Cache-Control": "no-store"})
        return answer

    app.add_exception_handler(Refused, on_refused)
    app.add_exception_handler(RequestValidationError, on_malformed)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Trouble, on_trouble)
    app.add_exception_handler(Exception, on_broken)


def answer_refusal(request: Request, refusal: Deny) -> Response:
    visit = _visit(request)
    if visit.channel is Channel.API:
        return _refused_json(visit, refusal)
    if refusal.reason is Reason.NOT_SIGNED_IN:
        return _to_sign_in(request)
    answer = page(visit, "refusal.html", status=403, refusal=refusal)
    if "hx-request" in request.headers:
        answer.headers["HX-Refresh"] = "true"  # a part of a page: the page loads again and says why, instead of asking for ever
    return answer


def refusal_status(refusal: Deny) -> int:
    return 401 if refusal.reason is Reason.NOT_SIGNED_IN else 403


def _refused_json(visit: Visit, refusal: Deny) -> Response:
    body = Refusal(reason=str(refusal.reason), sentence=wording.show_refusal(refusal, words=visit.words), facts=dict(refusal.facts))
    status = refusal_status(refusal)
    return JSONResponse(body.model_dump(), status_code=status, headers={"WWW-Authenticate": "Bearer"} if status == 401 else None)


def _to_sign_in(request: Request) -> Response:
    """A page leads to the sign-in and back; a part of a page (htmx asks for it) makes its page load again, which then leads there."""
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"HX-Refresh": "true"})
    wanted = own_path(request.url.path) if request.method == "GET" else "/"
    answer = go("/sign-in" if wanted == "/" else f"/sign-in?next={wanted}")
    take_sign_in(answer)
    return answer


def _malformed(request: Request, errors: Sequence[Mapping[str, Any]]) -> Response:
    visit = _visit(request)
    if visit.channel is Channel.API:
        items = [MalformedItem(at=list(error["loc"]), what=str(error["msg"])) for error in errors[:_MALFORMED_LIMIT]]
        return JSONResponse(Malformed(malformed=items).model_dump(), status_code=422)
    return page(visit, "trouble.html", status=422, key="malformed")


def _absent(request: Request, status: int, headers: Mapping[str, str] | None) -> Response:
    visit = _visit(request)
    if visit.channel is Channel.API:
        return JSONResponse({"status": status}, status_code=status, headers=dict(headers or {}))
    answer: Response = page(visit, "trouble.html", status=status, key="malformed" if status in (400, 422) else "absent")
    answer.headers.update(headers or {})
    return answer


def _trouble(request: Request, trouble: Trouble) -> Response:
    """What somebody can mend: programs get its stable reference, people that it is not their doing."""
    visit = _visit(request)
    if visit.channel is Channel.API:
        return JSONResponse(Refusal(reason=trouble.reference, sentence=str(trouble), facts={}).model_dump(), status_code=503)
    return page(visit, "trouble.html", status=503, key="broken")


def _broken(request: Request) -> Response:
    visit = _visit(request)
    refusal = Deny(Reason.DECISION_FAILED)
    if visit.channel is Channel.API:
        body = Refusal(reason=str(refusal.reason), sentence=wording.show_refusal(refusal, words=visit.words), facts={})
        return JSONResponse(body.model_dump(), status_code=500)
    return page(visit, "trouble.html", status=500, key="broken")


def _visit(request: Request) -> Visit:
    found = getattr(request.state, "visit", None)
    return found if isinstance(found, Visit) else stranger(request)
