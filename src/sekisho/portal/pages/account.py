"""One's own account: who I am here, my password, and whether I have a second factor."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query
from fastapi.responses import Response

from sekisho.identity.second_factor import factor_of
from sekisho.identity.signin import set_password
from sekisho.model.reasons import Reason
from sekisho.policy.signin import PASSWORD_LEAST_CHARACTERS
from sekisho.policy.verdict import Deny
from sekisho.portal import wording
from sekisho.portal.door import Rule, Visit, door, open_to
from sekisho.portal.inputs import own_path
from sekisho.portal.lane import in_password_lane
from sekisho.portal.language import LANGUAGES
from sekisho.portal.rendering import give_language, go, page
from sekisho.portal.wording import Shown
from sekisho.store.people import find_person

ROUTER = APIRouter(include_in_schema=False)

Here = Annotated[Visit, Depends(door)]
Password = Annotated[str, Form(max_length=4_096)]
Word = Annotated[str, Form(max_length=256)]

_DONE = ("password-set", "first-password", "factor-removed")
_FIELDS = {Reason.WRONG_PASSWORD: "old", Reason.PASSWORD_TOO_SHORT: "new", Reason.PASSWORD_TOO_LONG: "new"}


@dataclass(frozen=True, slots=True)
class ShownFactor:
    since: Shown
    proven: Shown | None
    recovery_codes: int


@ROUTER.get("/account")
@open_to(Rule.SIGNED_IN)
def account(here: Here, done: Annotated[str, Query(max_length=32)] = "") -> Response:
    return account_page(here, done=done if done in _DONE else "")


@ROUTER.post("/account/password")
@open_to(Rule.SIGNED_IN)
async def password(here: Here, old: Password = "", new: Password = "", again: Password = "") -> Response:
    return await in_password_lane(_set_password, here, old, new, again)


@ROUTER.post("/language")
@open_to(Rule.ANYONE)
def choose_language(language: Word = "", back: Word = "/") -> Response:
    answer = go(own_path(back))
    if language in LANGUAGES:
        give_language(answer, language)
    return answer


def _set_password(here: Visit, old: str, new: str, again: str) -> Response:
    if new != again:
        return account_page(here, status=422, faults={"again": here.words.say("account.passwords-differ")})
    outcome = set_password(here.portal.store, by=here.caller, sign_in=here.signed_in.id, password=new, current=old, now=here.now)
    here.portal.nudge()
    if not isinstance(outcome, Deny):
        return go("/account?done=password-set")
    faults = {_FIELDS[outcome.reason]: wording.show_refusal(outcome, words=here.words)} if outcome.reason in _FIELDS else {}
    return account_page(here, status=403, refusal=outcome, faults=faults)


def account_page(here: Visit, *, status: int = 200, done: str = "", refusal: Deny | None = None, faults: Mapping[str, str] | None = None) -> Response:
    """`faults` are shown at their fields."""
    return page(
        here,
        "account.html",
        status=status,
        done=done,
        refusal=refusal,
        faults={"old": "", "new": "", "again": "", "password": "", "code": "", **(faults or {})},
        needs_old=_has_password(here),
        password_missing=Deny(Reason.PASSWORD_MISSING),
        least=PASSWORD_LEAST_CHARACTERS,
        signed_in_until=_shown(here, here.signed_in.expires_at),
        factor=_factor(here),
    )


def _factor(here: Visit) -> ShownFactor | None:
    factor, proven = factor_of(here.portal.store, here.person.name), here.signed_in.proof.at
    if factor is None:
        return None
    return ShownFactor(_shown(here, factor.since), _shown(here, proven) if proven is not None else None, factor.recovery_codes)


def _shown(here: Visit, moment: datetime) -> Shown:
    return wording.show_time(moment, zone=UTC, language=here.words.language)


def _has_password(here: Visit) -> bool:
    with here.portal.store.reading() as tx:
        row = find_person(tx, here.person.name)
    return row is not None and row.password_hash is not None
