"""One's own second factor: set up, confirmed, taken away; and a code given again, on the way to what asks for one.

What is shown once is shown on the answer itself: it is in no address and no second page.
"""

from base64 import b32encode
from dataclasses import dataclass
from typing import Annotated

import segno
from fastapi import APIRouter, Depends, Form
from fastapi.responses import Response
from markupsafe import Markup

from sekisho.identity.codes import provisioning_uri
from sekisho.identity.second_factor import begin_enrolment, confirm_enrolment, prove_again, remove_factor, renew_recovery_codes
from sekisho.model.reasons import Reason
from sekisho.policy.verdict import Deny
from sekisho.portal import wording
from sekisho.portal.door import Rule, Visit, door, open_to
from sekisho.portal.inputs import own_path
from sekisho.portal.lane import in_password_lane
from sekisho.portal.pages.account import account_page
from sekisho.portal.rendering import go, page

ROUTER = APIRouter(include_in_schema=False)

Here = Annotated[Visit, Depends(door)]
Password = Annotated[str, Form(max_length=4_096)]
Code = Annotated[str, Form(max_length=256)]
Back = Annotated[str, Form(max_length=256)]

_GROUP = 4
_MODULE_PIXELS = 4  # a whole number: edges stay sharp
_QUIET_MODULES = 4  # ISO/IEC 18004 §5.3.8: what a reader needs to see around it
_FIELDS = {Reason.WRONG_PASSWORD: "password", Reason.PASSWORD_MISSING: "password", Reason.CODE_WRONG: "code", Reason.CODE_USED: "code"}


@dataclass(frozen=True, slots=True)
class ShownSecret:
    """A new secret in every form that an app takes."""

    uri: str
    qr: Markup
    grouped: str  # Base32, as people type it


@ROUTER.get("/second-factor")
@open_to(Rule.SIGNED_IN)
def confirm_form(here: Here, next: str = "/") -> Response:  # noqa: A002  the word that addresses carry
    return _confirm_form(here, leads_to=own_path(next)) if here.signed_in.proof.is_enrolled else go("/account")


@ROUTER.post("/second-factor")
@open_to(Rule.SIGNED_IN)
def confirm(here: Here, code: Code = "", next: Back = "/") -> Response:  # noqa: A002
    outcome = prove_again(here.portal.store, here.portal.cipher, by=here.caller, sign_in=here.signed_in.id, code=code, now=here.now)
    here.portal.nudge()
    return _confirm_form(here, leads_to=own_path(next), refusal=outcome) if isinstance(outcome, Deny) else go(own_path(next))


@ROUTER.post("/account/second-factor")
@open_to(Rule.SIGNED_IN)
async def begin(here: Here, password: Password = "") -> Response:
    return await in_password_lane(_begin, here, password)


@ROUTER.post("/account/second-factor/confirm")
@open_to(Rule.SIGNED_IN)
def enrol(here: Here, code: Code = "") -> Response:
    outcome = confirm_enrolment(here.portal.store, here.portal.cipher, by=here.caller, sign_in=here.signed_in.id, code=code, now=here.now)
    here.portal.nudge()
    if not isinstance(outcome, Deny):
        return page(here, "recovery_codes_shown.html", codes=outcome, is_renewed=False)
    if outcome.reason in (Reason.CODE_WRONG, Reason.CODE_USED, Reason.TOO_MANY_ATTEMPTS):
        return page(here, "second_factor_new.html", status=403, shown=None, refusal=outcome)
    return _refused(here, outcome)


@ROUTER.post("/account/second-factor/recovery-codes")
@open_to(Rule.SIGNED_IN)
async def renew(here: Here, password: Password = "", code: Code = "") -> Response:
    return await in_password_lane(_renew, here, password, code)


@ROUTER.post("/account/second-factor/remove")
@open_to(Rule.SIGNED_IN)
async def remove(here: Here, password: Password = "", code: Code = "") -> Response:
    return await in_password_lane(_remove, here, password, code)


def _begin(here: Visit, password: str) -> Response:
    outcome = begin_enrolment(here.portal.store, here.portal.cipher, by=here.caller, password=password, now=here.now)
    here.portal.nudge()
    if isinstance(outcome, Deny):
        return _refused(here, outcome)
    return page(here, "second_factor_new.html", shown=_shown(here, outcome), refusal=None)


def _renew(here: Visit, password: str, code: str) -> Response:
    outcome = renew_recovery_codes(here.portal.store, here.portal.cipher, by=here.caller, password=password, code=code, now=here.now)
    here.portal.nudge()
    return _refused(here, outcome) if isinstance(outcome, Deny) else page(here, "recovery_codes_shown.html", codes=outcome, is_renewed=True)


def _remove(here: Visit, password: str, code: str) -> Response:
    outcome = remove_factor(here.portal.store, here.portal.cipher, by=here.caller, password=password, code=code, now=here.now)
    here.portal.nudge()
    return _refused(here, outcome) if isinstance(outcome, Deny) else go("/account?done=factor-removed")


def _confirm_form(here: Visit, *, leads_to: str, refusal: Deny | None = None) -> Response:
    return page(here, "second_factor_confirm.html", status=200 if refusal is None else 403, refusal=refusal, next=leads_to)


def _refused(here: Visit, refusal: Deny) -> Response:
    faults = {_FIELDS[refusal.reason]: wording.show_refusal(refusal, words=here.words)} if refusal.reason in _FIELDS else {}
    return account_page(here, status=403, refusal=refusal, faults=faults)


def _shown(here: Visit, secret: bytes) -> ShownSecret:
    uri = provisioning_uri(secret, person=here.person.name, issuer=here.portal.issuer)
    typed = b32encode(secret).decode()
    grouped = " ".join(typed[start : start + _GROUP] for start in range(0, len(typed), _GROUP))
    drawn = segno.make_qr(uri, error="l").svg_inline(scale=_MODULE_PIXELS, border=_QUIET_MODULES, dark="#000", light="#fff")
    return ShownSecret(uri, Markup(drawn), grouped)  # noqa: S704  drawn by segno; what it encodes is not in its text
