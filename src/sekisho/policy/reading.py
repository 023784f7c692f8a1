"""Who may read what: the log, requests, sessions."""

from sekisho.model.people import ADMINISTRATORS, AUDITORS, Person
from sekisho.model.reasons import Reason
from sekisho.model.room import Room
from sekisho.policy.listed import listed_by
from sekisho.policy.verdict import Allow, Deny


def decide_reading(person: Person) -> Allow | Deny:
    """The whole log: auditors and administrators."""
    if person.is_auditor:
        return Allow(f"group:{AUDITORS}")
    return Allow(f"group:{ADMINISTRATORS}") if person.is_administrator else Deny(Reason.NOT_AUDITOR)


def decide_seeing(viewer: Person, *, request: str, person: str, room: Room | None) -> Allow | Deny:
    """A request, its grant and its session: its own person, the room's approvers, and whoever reads the log."""
    if viewer.name == person:
        return Allow("own")
    if room is not None and (rule := listed_by(viewer, room.approval.by)):
        return Allow(rule)
    reading = decide_reading(viewer)
    return reading if isinstance(reading, Allow) else Deny(Reason.NO_SUCH_REQUEST, {"request": request})
