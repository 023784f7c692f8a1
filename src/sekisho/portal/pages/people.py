"""People, for administrators: who there is, in which groups, with a new link, without their second factor, or disabled."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form
from fastapi.responses import Response

from sekisho.identity.people import add_person, change_groups, disable_person, issue_sign_in_link, people_for
from sekisho.identity.second_factor import reset_factor
from sekisho.model.reasons import Reason
from sekisho.policy.verdict import Deny
from sekisho.portal import wording
from sekisho.portal.door import Rule, Visit, door, granted, open_to
from sekisho.portal.inputs import PersonName
from sekisho.portal.pages.confirming import confirm
from sekisho.portal.rendering import go, page

ROUTER = APIRouter(include_in_schema=False)

Here = Annotated[Visit, Depends(door)]
Line = Annotated[str, Form(max_length=512)]
Groups = Annotated[str, Form(max_length=4_096)]


@dataclass(frozen=True, slots=True)
class Typed:
    name: str = ""
    display: str = ""
    groups: str = ""
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    display: str
    groups: tuple[str, ...]
    is_disabled: bool
    has_password: bool
    has_second_factor: bool


@ROUTER.get("/people")
@open_to(Rule.ADMINISTRATOR)
def people(here: Here) -> Response:
    return _page(here, Typed())


@ROUTER.post("/people")
@open_to(Rule.ADMINISTRATOR)
def add(here: Here, name: Line = "", display: Line = "", groups: Groups = "", language: Annotated[Literal["en", "ja"], Form()] = "en") -> Response:
    typed = Typed(name=name, display=display, groups=groups, language=language)
    outcome = add_person(here.portal.store, by=here.caller, name=name.strip(), display=display, groups=_split(groups), language=language, now=here.now)
    here.portal.nudge()
    return _page(here, typed, refusal=outcome) if isinstance(outcome, Deny) else _link(here, outcome.name)


@ROUTER.post("/people/{name}/groups")
@open_to(Rule.ADMINISTRATOR)
def groups_of(here: Here, name: PersonName, groups: Groups = "") -> Response:
    outcome = change_groups(here.portal.store, by=here.caller, name=name, groups=_split(groups), now=here.now)
    here.portal.nudge()
    return _page(here, Typed(), refusal=outcome) if isinstance(outcome, Deny) else go("/people")


@ROUTER.post("/people/{name}/link")
@open_to(Rule.ADMINISTRATOR)
def link_of(here: Here, name: PersonName) -> Response:
    return _link(here, name)


@ROUTER.get("/people/{name}/disable")
@open_to(Rule.ADMINISTRATOR)
def disable_question(here: Here, name: PersonName) -> Response:
    return confirm(here, "disable", facts={"name": name}, action=f"/people/{name}/disable", back="/people")


@ROUTER.post("/people/{name}/disable")
@open_to(Rule.ADMINISTRATOR)
def disable(here: Here, name: PersonName) -> Response:
    outcome = disable_person(here.portal.store, by=here.caller, name=name, now=here.now)
    here.portal.nudge()
    return _page(here, Typed(), refusal=outcome) if isinstance(outcome, Deny) else go("/people")


@ROUTER.get("/people/{name}/second-factor/reset")
@open_to(Rule.ADMINISTRATOR)
def reset_question(here: Here, name: PersonName) -> Response:
    return confirm(here, "reset", facts={"name": name}, action=f"/people/{name}/second-factor/reset", back="/people")


@ROUTER.post("/people/{name}/second-factor/reset")
@open_to(Rule.ADMINISTRATOR)
def reset(here: Here, name: PersonName) -> Response:
    outcome = reset_factor(here.portal.store, by=here.caller, name=name, now=here.now)
    here.portal.nudge()
    return _page(here, Typed(), refusal=outcome) if isinstance(outcome, Deny) else go("/people")


def _link(here: Visit, name: str) -> Response:
    """Shown once, on the answer itself: it is in no address and no second page."""
    secret = granted(issue_sign_in_link(here.portal.store, by=here.caller, name=name, now=here.now))
    here.portal.nudge()
    return page(here, "link_shown.html", name=name, url=here.portal.link_url(secret))


def _page(here: Visit, typed: Typed, *, refusal: Deny | None = None) -> Response:
    rows = [
        Row(
            name=row.person.name,
            display=row.person.display,
            groups=tuple(sorted(row.person.groups)),
            is_disabled=row.is_disabled,
            has_password=row.password_hash is not None,
            has_second_factor=row.has_second_factor,
        )
        for row in granted(people_for(here.portal.store, by=here.caller, now=here.now))
    ]
    is_name = refusal is not None and refusal.reason in (Reason.NAME_MALFORMED, Reason.PERSON_EXISTS)
    faults = {"name": wording.show_refusal(refusal, words=here.words) if refusal is not None and is_name else ""}
    return page(here, "people.html", status=403 if refusal is not None else 200, rows=rows, typed=typed, faults=faults, refusal=refusal)


def _split(groups: str) -> list[str]:
    """Names separated by spaces or commas."""
    return groups.replace(",", " ").split()
