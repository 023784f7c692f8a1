"""The event of an act, written in its transaction: what was done, or what was refused and why."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection

from sekisho.model.event import Event, EventKind
from sekisho.model.people import Caller
from sekisho.policy.verdict import Deny
from sekisho.store import outbox


def note(
    tx: Connection,
    kind: EventKind,
    *,
    by: Caller | None,
    now: datetime,
    room: str = "",
    request: str = "",
    session: str = "",
    reason: str = "",
    details: Mapping[str, object] | None = None,
) -> int:
    """Append the event of an act by a person, or by the system itself (`by=None`). Gives the outbox row's id."""
    who = {"by": by.person.name, "address": by.address, "channel": str(by.channel)} if by else {}
    what = Event(kind, now, room=room, request=request, session=session, reason=reason, details=details or {}, **who)
    return outbox.append(tx, what)


def refuse(
    tx: Connection,
    kind: EventKind,
    denial: Deny,
    *,
    by: Caller | None,
    now: datetime,
    room: str = "",
    request: str = "",
    session: str = "",
    details: Mapping[str, object] | None = None,
) -> Deny:
    """Append the event of a refusal, with its reason and facts, and give the refusal on."""
    told = {**(details or {}), **({"facts": dict(denial.facts)} if denial.facts else {})}
    note(tx, kind, by=by, now=now, room=room, request=request, session=session, reason=str(denial.reason), details=told)
    return denial
