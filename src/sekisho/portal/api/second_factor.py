"""One's own second factor, for programs that a person sits before."""

from base64 import b32encode
from typing import Annotated

from fastapi import APIRouter, Depends

from sekisho.identity.codes import provisioning_uri
from sekisho.identity.second_factor import begin_enrolment, confirm_enrolment, prove_again, remove_factor, renew_recovery_codes
from sekisho.portal.api.bodies import CodeBody, Done, Enrolment, PasswordAndCodeBody, PasswordBody, RecoveryCodes
from sekisho.portal.api.refusals import REFUSALS
from sekisho.portal.door import Rule, Visit, door, granted, open_to
from sekisho.portal.lane import in_password_lane

ROUTER = APIRouter(prefix="/api/second-factor", tags=["second factor"], responses=REFUSALS)

Here = Annotated[Visit, Depends(door)]


@ROUTER.post("/enrol")
@open_to(Rule.SIGNED_IN)
async def enrol(here: Here, body: PasswordBody) -> Enrolment:
    """A new secret for an authenticator app, for one's password."""
    return await in_password_lane(_enrol, here, body)


@ROUTER.post("/enrol/confirm")
@open_to(Rule.SIGNED_IN)
def confirm_new(here: Here, body: CodeBody) -> RecoveryCodes:
    """The first code: from now on the factor counts, and this sign-in has proven it."""
    outcome = confirm_enrolment(here.portal.store, here.portal.cipher, by=here.caller, sign_in=here.signed_in.id, code=body.code, now=here.now)
    here.portal.nudge()
    return RecoveryCodes(recovery_codes=list(granted(outcome)))


@ROUTER.post("/confirm")
@open_to(Rule.SIGNED_IN)
def confirm(here: Here, body: CodeBody) -> Done:
    """A code again, for the sign-in that this request comes with."""
    outcome = prove_again(here.portal.store, here.portal.cipher, by=here.caller, sign_in=here.signed_in.id, code=body.code, now=here.now)
    here.portal.nudge()
    granted(outcome)
    return Done()


@ROUTER.post("/remove")
@open_to(Rule.SIGNED_IN)
async def remove(here: Here, body: PasswordAndCodeBody) -> Done:
    """Take one's own factor away."""
    return await in_password_lane(_remove, here, body)


@ROUTER.post("/recovery-codes")
@open_to(Rule.SIGNED_IN)
async def recovery_codes(here: Here, body: PasswordAndCodeBody) -> RecoveryCodes:
    """New recovery codes; those that were there are void."""
    return await in_password_lane(_renew, here, body)


def _enrol(here: Visit, body: PasswordBody) -> Enrolment:
    outcome = begin_enrolment(here.portal.store, here.portal.cipher, by=here.caller, password=body.password, now=here.now)
    here.portal.nudge()
    secret = granted(outcome)
    uri = provisioning_uri(secret, person=here.person.name, issuer=here.portal.issuer)
    return Enrolment(uri=uri, secret=b32encode(secret).decode())


def _remove(here: Visit, body: PasswordAndCodeBody) -> Done:
    outcome = remove_factor(here.portal.store, here.portal.cipher, by=here.caller, password=body.password, code=body.code, now=here.now)
    here.portal.nudge()
    granted(outcome)
    return Done()


def _renew(here: Visit, body: PasswordAndCodeBody) -> RecoveryCodes:
    outcome = renew_recovery_codes(here.portal.store, here.portal.cipher, by=here.caller, password=body.password, code=body.code, now=here.now)
    here.portal.nudge()
    return RecoveryCodes(recovery_codes=list(granted(outcome)))
