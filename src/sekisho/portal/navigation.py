"""The places in the navigation, for this person."""

from dataclasses import dataclass

from sekisho.model.people import Person
from sekisho.model.room import Room
from sekisho.policy.listed import listed_by
from sekisho.portal.door import Rule, Visit, may_use


@dataclass(frozen=True, slots=True)
class Entry:
    key: str
    path: str
    is_current: bool


def navigation(visit: Visit) -> tuple[Entry, ...]:
    """Nothing for strangers; what is of use to this person otherwise. What may be done there is decided at the door, not here."""
    if visit.sign_in is None:
        return ()
    shown = [("rooms", "/")]
    if approves_any(visit.person, tuple(visit.portal.rooms().values())):
        shown.append(("decisions", "/decisions"))
    if may_use(Rule.AUDITOR, visit.person) is None:
        shown.append(("log", "/log"))
    if may_use(Rule.ADMINISTRATOR, visit.person) is None:
        shown.append(("people", "/people"))
    return tuple(Entry(key=key, path=path, is_current=_is_at(visit.path, path)) for key, path in shown)


def approves_any(person: Person, rooms: tuple[Room, ...]) -> bool:
    return any(listed_by(person, room.approval.by) for room in rooms)


def _is_at(path: str, place: str) -> bool:
    """A place is where its own page is, and the pages below it; rooms are asked for below the first."""
    return path == place or path.startswith("/rooms/" if place == "/" else f"{place}/")
