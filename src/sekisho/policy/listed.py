"""Who: is a person among those that a room file lists, as `group:NAME` or `person:NAME`? Nobody is, by an empty list."""

from collections.abc import Sequence

from sekisho.model.people import Person
from sekisho.model.reasons import Reason
from sekisho.model.room import Room
from sekisho.policy.verdict import Allow, Deny


def listed_by(person: Person, entries: Sequence[str]) -> str | None:
    """The first entry that means this person, or None."""
    own = {f"person:{person.name}", *(f"group:{group}" for group in person.groups)}
    return next((entry for entry in entries if entry in own), None)


def decide_listed(person: Person, room: Room) -> Allow | Deny:
    """May this person ever ask for, or be in, the room?"""
    rule = listed_by(person, room.access.people)
    return Allow(rule) if rule else Deny(Reason.NOT_LISTED, {"room": room.name, "people": ", ".join(room.access.people) or "nobody"})


def decide_approver(person: Person, room: Room) -> Allow | Deny:
    """May this person decide on requests of the room, other than their own?"""
    rule = listed_by(person, room.approval.by)
    return Allow(rule) if rule else Deny(Reason.NOT_APPROVER, {"room": room.name, "approvers": ", ".join(room.approval.by) or "nobody"})
