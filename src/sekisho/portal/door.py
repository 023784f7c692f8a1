"""The one door: every route declares its rule, and nothing is reached without passing here. A route without a rule is closed.

In order: from which address, who (cookie or token), may this person come from here, is it really from a page of ours, may this person use this route. What is
decided further in, about a room or a request, is decided by the acts.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from sekisho.identity.signin import SignIn, resolve
from sekisho.model.event import Event, EventKind
from sekisho.model.people import Caller, Channel, Person
from sekisho.model.reasons import Reason
from sekisho.policy.caller_address import caller_address
from sekisho.policy.verdict import Deny
from sekisho.portal import forgery
from sekisho.portal.inputs import own_path
from sekisho.portal.language import Catalogue, catalogue, choose_language
from sekisho.portal.parts import Portal
from sekisho.store import outbox
from sekisho.system import randomness

SIGN_IN_COOKIE = "__Host-sekisho"
STRANGER_COOKIE = "__Host-sekisho-form"
LANGUAGE_COOKIE = "__Host-sekisho-language"

_SECRET = re.compile(r"[A-Za-z0-9_-]{20,128}")
_RULE = "sekisho_rule"

T = TypeVar("T")


class Rule(StrEnum):
    """Who may use a route at all."""

    ANYONE = "anyone"
    SIGNED_IN = "signed-in"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"


class Refused(Exception):
    """A Deny on its way to the answer; `portal.answers` shows it as a page or as JSON, and writes it to the log if nobody has yet (`is_written`)."""

    def __init__(self, refusal: Deny, *, is_written: bool = False) -> None:
        super().__init__(str(refusal.reason))
        self.refusal = refusal
        self.is_written = is_written


@dataclass(frozen=True, slots=True)
class Visit:
    """One request that passed the door: who, from where, through what, in which language."""

    portal: Portal
    now: datetime
    address: str
    channel: Channel
    path: str
    back: str  # where the language switch leads back to
    words: Catalogue
    sign_in: SignIn | None
    form_secret: str  # what this browser's forms are proven by
    is_new_browser: bool  # the form secret must be given to it

    @property
    def signed_in(self) -> SignIn:
        """The sign-in. To ask where nobody need be signed in is a bug."""
        assert self.sign_in is not None, "a page for strangers asked for a person"
        return self.sign_in

    @property
    def person(self) -> Person:
        return self.signed_in.person

    @property
    def caller(self) -> Caller:
        return Caller(person=self.person, address=self.address, channel=self.channel)

    @property
    def form_token(self) -> str:
        return forgery.form_token(self.form_secret)


def open_to(rule: Rule) -> Callable[[T], T]:
    """Declares the rule of a route; stands under its path."""

    def declare(endpoint: T) -> T:
        setattr(endpoint, _RULE, rule)
        return endpoint

    return declare


def rule_of(endpoint: object) -> Rule | None:
    return getattr(endpoint, _RULE, None)


def granted(outcome: T | Deny) -> T:
    """The outcome of an act, or its refusal, which the act has written, on the way to the answer."""
    if isinstance(outcome, Deny):
        raise Refused(outcome, is_written=True)
    return outcome


def seen(found: T | Deny) -> T:
    """What was looked at, or that it may not be seen, on the way to the answer."""
    if isinstance(found, Deny):
        raise Refused(found)
    return found


async def door(request: Request) -> Visit:
    """The dependency of every route. Raises Refused."""
    token = await _found_form_token(request)
    return await run_in_threadpool(_admit, request, token)


def stranger(request: Request) -> Visit:
    """A visit of nobody, for answers that come before the door: no such page, a malformed request."""
    return _visit(request, sign_in=None, secret="")


def may_use(rule: Rule | None, person: Person | None) -> Deny | None:
    """Whether a person may use routes of this rule; None means yes. Pure."""
    match rule:
        case None:
            return Deny(Reason.DECISION_FAILED)
        case Rule.ANYONE:
            return None
        case _ if person is None:
            return Deny(Reason.NOT_SIGNED_IN)
        case Rule.SIGNED_IN:
            return None
        case Rule.AUDITOR:
            return None if person.is_auditor or person.is_administrator else Deny(Reason.NOT_AUDITOR)
        case Rule.ADMINISTRATOR:
            return None if person.is_administrator else Deny(Reason.NOT_ADMINISTRATOR)


def _admit(request: Request, found_token: str) -> Visit:
    portal: Portal = request.app.state.portal
    rule = rule_of(request.scope["endpoint"])
    secret, kind = _credential(request)
    found = _resolved(portal, secret=secret, kind=kind, address=_address(request, portal))
    visit = _visit(request, sign_in=found if isinstance(found, SignIn) else None, secret=secret if isinstance(found, SignIn) else "")
    request.state.visit = visit
    refusal = _refusal(request, rule=rule, found=found, visit=visit, found_token=found_token)
    if refusal is not None:
        nobody_did_anything = not secret and refusal.reason is Reason.NOT_SIGNED_IN
        raise Refused(refusal, is_written=nobody_did_anything)
    return visit


def _refusal(request: Request, *, rule: Rule | None, found: SignIn | Deny, visit: Visit, found_token: str) -> Deny | None:
    person = found.person if isinstance(found, SignIn) else None
    if rule is not Rule.ANYONE and isinstance(found, Deny):
        return found
    if _needs_proof(request, rule=rule, visit=visit) and not _is_proven(request, visit=visit, found_token=found_token):
        return Deny(Reason.FORGED_FORM)
    return may_use(rule, person)


def _needs_proof(request: Request, *, rule: Rule | None, visit: Visit) -> bool:
    """Whatever changes something and is known by a cookie. A bearer token is nothing that a browser sends by itself."""
    if request.method not in forgery.STATE_CHANGING:
        return False
    if visit.channel is Channel.API:
        return rule is not Rule.ANYONE and visit.sign_in is not None and visit.sign_in.kind == "cookie"
    return True


def _is_proven(request: Request, *, visit: Visit, found_token: str) -> bool:
    from_us = forgery.is_from_our_origin(request.headers, origin=visit.portal.portal_origin)
    return from_us and not visit.is_new_browser and forgery.is_form_token(found_token, secret=visit.form_secret)


async def _found_form_token(request: Request) -> str:
    if request.method not in forgery.STATE_CHANGING:
        return ""
    if _channel(request) is Channel.API:
        return request.headers.get(forgery.HEADER, "")
    found = (await request.form(max_files=0, max_fields=100)).get(forgery.FIELD, "")
    return found if isinstance(found, str) else ""


def _credential(request: Request) -> tuple[str, str]:
    """(secret, kind) as presented; ("", "") if nothing well-formed was."""
    authorization = request.headers.get("authorization", "")
    if _channel(request) is Channel.API and authorization:
        scheme, _, secret = authorization.partition(" ")
        return (secret, "token") if scheme.lower() == "bearer" and _SECRET.fullmatch(secret) else ("", "")
    secret = request.cookies.get(SIGN_IN_COOKIE, "")
    return (secret, "cookie") if _SECRET.fullmatch(secret) else ("", "")


def _resolved(portal: Portal, *, secret: str, kind: str, address: str) -> SignIn | Deny:
    if not secret:
        return Deny(Reason.NOT_SIGNED_IN)
    found = resolve(portal.store, secret=secret, address=address, places=portal.places, sign_in_places=portal.sign_in_places, now=portal.clock.now())
    if isinstance(found, SignIn) and found.kind != kind:
        return Deny(Reason.NOT_SIGNED_IN)
    return found


def _visit(request: Request, *, sign_in: SignIn | None, secret: str) -> Visit:
    portal: Portal = request.app.state.portal
    stranger_secret = request.cookies.get(STRANGER_COOKIE, "")
    is_new = sign_in is None and not _SECRET.fullmatch(stranger_secret)
    return Visit(
        portal=portal,
        now=portal.clock.now(),
        address=_address(request, portal),
        channel=_channel(request),
        path=request.url.path,
        back=own_path(request.url.path) if request.method == "GET" else "/",
        words=catalogue(_language(request, sign_in)),
        sign_in=sign_in,
        form_secret=randomness.token() if is_new else (secret if sign_in is not None else stranger_secret),
        is_new_browser=is_new,
    )


def _language(request: Request, sign_in: SignIn | None) -> str:
    """What was chosen in this browser; else the signed-in person's own; else what the browser accepts. Programs get what they ask for."""
    accepted = request.headers.get("accept-language", "")
    if _channel(request) is Channel.API:
        return choose_language(chosen="", accepted=accepted)
    own = sign_in.person.language if sign_in is not None else ""
    return choose_language(chosen=request.cookies.get(LANGUAGE_COOKIE, own), accepted=accepted)


def _channel(request: Request) -> Channel:
    return Channel.API if request.url.path.startswith("/api/") else Channel.PAGE


def _address(request: Request, portal: Portal) -> str:
    peer = request.client.host if request.client is not None else ""
    return caller_address(peer=peer, forwarded=request.headers.getlist("x-forwarded-for"), trusted=portal.trusted)


def record_refusal(request: Request, visit: Visit, refusal: Deny) -> None:
    """Write a refusal to the log, as `refusals` allows. It names the route's own pattern, never the address as sent: that may hold a secret."""
    by = visit.sign_in.person.name if visit.sign_in is not None else ""
    more = visit.portal.tally.to_write(by or visit.address, str(refusal.reason), now=visit.now)
    if more is None:
        return
    details: dict[str, object] = {"method": request.method, "path": request.scope["route"].path}
    if refusal.facts:
        details["facts"] = dict(refusal.facts)
    if more:
        details["more"] = more
    event = Event(EventKind.ACCESS_REFUSED, visit.now, by=by, address=visit.address, channel=str(visit.channel), reason=str(refusal.reason), details=details)
    with visit.portal.store.writing() as tx:
        outbox.append(tx, event)
    visit.portal.nudge()
