"""Signing in for programs: a password gives a token. And the description of all of this."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from sekisho.identity.second_factor import factor_of
from sekisho.identity.signin import CodeAsked, SignedIn, sign_in_with_password, sign_out
from sekisho.model.people import Person
from sekisho.model.reasons import Reason
from sekisho.policy.verdict import Deny
from sekisho.portal.acting import second_step
from sekisho.portal.api.bodies import Done, Me, PersonShown, SecondFactor, SignedInBody, SignInBody
from sekisho.portal.api.refusals import REFUSALS
from sekisho.portal.door import Rule, Visit, door, granted, open_to
from sekisho.portal.lane import in_password_lane

ROUTER = APIRouter(prefix="/api", tags=["sign-in"], responses=REFUSALS)

Here = Annotated[Visit, Depends(door)]


@ROUTER.post("/sign-in")
@open_to(Rule.ANYONE)
async def sign_in(here: Here, body: SignInBody) -> SignedInBody:
    """A token for a person, by name and password, and a code for whom has a second factor."""
    return await in_password_lane(_sign_in, here, body)


@ROUTER.post("/sign-out")
@open_to(Rule.SIGNED_IN)
def leave(here: Here) -> Done:
    """End the sign-in that this request came with."""
    sign_out(here.portal.store, sign_in=here.signed_in, address=here.address, channel=here.channel, now=here.now)
    here.portal.nudge()
    return Done()


@ROUTER.get("/me")
@open_to(Rule.SIGNED_IN)
def me(here: Here) -> Me:
    """Who I am here, and from where I come."""
    factor, proof = factor_of(here.portal.store, here.person.name), here.signed_in.proof
    return Me(
        person=person_shown(here.person),
        address=here.address,
        expires_at=here.signed_in.expires_at,
        second_factor=SecondFactor(enrolled=proof.is_enrolled, proven_at=proof.at, recovery_codes=factor.recovery_codes if factor is not None else 0),
        form_token=here.form_token if here.signed_in.kind == "cookie" else None,
    )


@ROUTER.get("/openapi.json", include_in_schema=False)
@open_to(Rule.ANYONE)
def description(request: Request) -> JSONResponse:
    return JSONResponse(request.app.openapi())


def _sign_in(here: Visit, body: SignInBody) -> SignedInBody:
    outcome: SignedIn | CodeAsked | Deny = sign_in_with_password(
        here.portal.store,
        name=body.name,
        password=body.password,
        address=here.address,
        channel=here.channel,
        places=here.portal.places,
        sign_in_places=here.portal.sign_in_places,
        now=here.now,
    )
    if isinstance(outcome, CodeAsked) and body.code:
        outcome = second_step(here, outcome.secret, body.code)
    here.portal.nudge()
    made = granted(Deny(Reason.CODE_ASKED) if isinstance(outcome, CodeAsked) else outcome)
    return SignedInBody(token=made.secret, expires_at=made.expires_at, person=person_shown(made.person))


def person_shown(person: Person) -> PersonShown:
    return PersonShown(name=person.name, display=person.display, groups=sorted(person.groups), language=person.language)
