"""People, for administrators."""

from typing import Annotated

from fastapi import APIRouter, Depends

from sekisho.identity import second_factor
from sekisho.identity.people import add_person, change_groups, disable_person, issue_sign_in_link, people_for
from sekisho.portal.api.bodies import Done, GroupsBody, Link, People, PersonBody, PersonRow, PersonShown
from sekisho.portal.api.refusals import REFUSALS
from sekisho.portal.api.signing import person_shown
from sekisho.portal.door import Rule, Visit, door, granted, open_to
from sekisho.portal.inputs import PersonName
from sekisho.store import people as stored

ROUTER = APIRouter(prefix="/api/people", tags=["people"], responses=REFUSALS)

Here = Annotated[Visit, Depends(door)]


@ROUTER.get("")
@open_to(Rule.ADMINISTRATOR)
def people(here: Here) -> People:
    rows = granted(people_for(here.portal.store, by=here.caller, now=here.now))
    return People(people=[_row(row) for row in rows])


@ROUTER.post("", status_code=201)
@open_to(Rule.ADMINISTRATOR)
def add(here: Here, body: PersonBody) -> PersonShown:
    """A new person, who can sign in once they were given a link."""
    added = granted(
        add_person(here.portal.store, by=here.caller, name=body.name, display=body.display, groups=body.groups, language=body.language, now=here.now)
    )
    here.portal.nudge()
    return person_shown(added)


@ROUTER.post("/{name}/link")
@open_to(Rule.ADMINISTRATOR)
def link(here: Here, name: PersonName) -> Link:
    """A new sign-in link. Using it voids the password that was there."""
    secret = granted(issue_sign_in_link(here.portal.store, by=here.caller, name=name, now=here.now))
    here.portal.nudge()
    return Link(url=here.portal.link_url(secret))


@ROUTER.put("/{name}/groups")
@open_to(Rule.ADMINISTRATOR)
def groups(here: Here, name: PersonName, body: GroupsBody) -> PersonShown:
    """The groups that the person is in from now on."""
    changed = granted(change_groups(here.portal.store, by=here.caller, name=name, groups=body.groups, now=here.now))
    here.portal.nudge()
    return person_shown(changed)


@ROUTER.post("/{name}/disable")
@open_to(Rule.ADMINISTRATOR)
def disable(here: Here, name: PersonName) -> Done:
    """End every sign-in and grant of the person, for good."""
    granted(disable_person(here.portal.store, by=here.caller, name=name, now=here.now))
    here.portal.nudge()
    return Done()


@ROUTER.post("/{name}/second-factor/reset")
@open_to(Rule.ADMINISTRATOR)
def reset_second_factor(here: Here, name: PersonName) -> Done:
    """Take another person's second factor away, when the device is lost and the recovery codes with it. Every sign-in of that person ends."""
    granted(second_factor.reset_factor(here.portal.store, by=here.caller, name=name, now=here.now))
    here.portal.nudge()
    return Done()


def _row(row: stored.PersonRow) -> PersonRow:
    return PersonRow(
        **person_shown(row.person).model_dump(),
        disabled=row.is_disabled,
        has_password=row.password_hash is not None,
        has_second_factor=row.has_second_factor,
    )
