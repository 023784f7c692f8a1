"""Signing in and out, by password or by a link, with a code after either for whom has a second factor."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form
from fastapi.responses import Response

from sekisho.identity.signin import CodeAsked, SignedIn, sign_in_with_password, sign_out, use_link
from sekisho.model.reasons import Reason
from sekisho.policy.verdict import Deny
from sekisho.portal.acting import second_step
from sekisho.portal.answers import refusal_status
from sekisho.portal.door import Rule, Visit, door, open_to
from sekisho.portal.inputs import LinkSecret, own_path
from sekisho.portal.lane import in_password_lane
from sekisho.portal.rendering import give_sign_in, go, page, take_sign_in

ROUTER = APIRouter(include_in_schema=False)

Here = Annotated[Visit, Depends(door)]
Name = Annotated[str, Form(max_length=256)]
Password = Annotated[str, Form(max_length=4_096)]
Step = Annotated[str, Form(max_length=128)]
Code = Annotated[str, Form(max_length=256)]
Back = Annotated[str, Form(max_length=256)]


@ROUTER.get("/sign-in")
@open_to(Rule.ANYONE)
def sign_in_form(here: Here, next: str = "/", done: str = "") -> Response:  # noqa: A002  the word that addresses carry
    return page(here, "sign_in.html", refusal=None, name="", next=own_path(next), is_signed_out=done == "signed-out")


@ROUTER.post("/sign-in")
@open_to(Rule.ANYONE)
async def sign_in(here: Here, name: Name = "", password: Password = "", next: Back = "/") -> Response:  # noqa: A002
    return await in_password_lane(_sign_in, here, name, password, own_path(next))


@ROUTER.post("/sign-in/code")
@open_to(Rule.ANYONE)
def sign_in_code(here: Here, step: Step = "", code: Code = "", next: Back = "/") -> Response:  # noqa: A002
    outcome = second_step(here, step, code)
    here.portal.nudge()
    if not isinstance(outcome, Deny):
        return _signed_in(here, outcome, leads_to=own_path(next))
    if outcome.reason is Reason.CODE_TOO_LATE:
        return _password_form(here, outcome, leads_to=own_path(next))
    return _code_form(here, step, leads_to=own_path(next), refusal=outcome)


@ROUTER.get("/link/{secret}")
@open_to(Rule.ANYONE)
def link_form(here: Here, secret: LinkSecret) -> Response:  # noqa: ARG001  only its shape matters yet
    """Only a button: whatever fetches links to preview them uses none up."""
    return page(here, "link.html", refusal=None)


@ROUTER.post("/link/{secret}")
@open_to(Rule.ANYONE)
def link(here: Here, secret: LinkSecret) -> Response:
    outcome = use_link(
        here.portal.store,
        secret=secret,
        address=here.address,
        places=here.portal.places,
        sign_in_places=here.portal.sign_in_places,
        tally=here.portal.tally,
        now=here.now,
    )
    here.portal.nudge()
    if isinstance(outcome, Deny):
        return page(here, "link.html", status=refusal_status(outcome), refusal=outcome)
    if isinstance(outcome, CodeAsked):
        return _code_form(here, outcome.secret, leads_to="/account")
    return _signed_in(here, outcome, leads_to="/account?done=first-password")


@ROUTER.post("/sign-out")
@open_to(Rule.SIGNED_IN)
def leave(here: Here) -> Response:
    sign_out(here.portal.store, sign_in=here.signed_in, address=here.address, channel=here.channel, now=here.now)
    here.portal.nudge()
    answer = go("/sign-in?done=signed-out")
    take_sign_in(answer)
    return answer


def _sign_in(here: Visit, name: str, password: str, leads_to: str) -> Response:
    outcome = sign_in_with_password(
        here.portal.store,
        name=name,
        password=password,
        address=here.address,
        channel=here.channel,
        places=here.portal.places,
        sign_in_places=here.portal.sign_in_places,
        now=here.now,
    )
    here.portal.nudge()
    if isinstance(outcome, Deny):
        return _password_form(here, outcome, name=name, leads_to=leads_to)
    if isinstance(outcome, CodeAsked):
        return _code_form(here, outcome.secret, leads_to=leads_to)
    return _signed_in(here, outcome, leads_to=leads_to)


def _password_form(here: Visit, refusal: Deny, *, name: str = "", leads_to: str) -> Response:
    return page(here, "sign_in.html", status=refusal_status(refusal), refusal=refusal, name=name, next=leads_to, is_signed_out=False)


def _code_form(here: Visit, step: str, *, leads_to: str, refusal: Deny | None = None) -> Response:
    """`step` is what the password or the link gave: it stands in the form alone, in no address and no cookie."""
    return page(here, "sign_in_code.html", status=200 if refusal is None else refusal_status(refusal), refusal=refusal, step=step, next=leads_to)


def _signed_in(here: Visit, signed_in: SignedIn, *, leads_to: str) -> Response:
    answer = go(leads_to)
    give_sign_in(answer, secret=signed_in.secret, expires_at=signed_in.expires_at, now=here.now)
    return answer
