"""Events: what the audit log says happened. One act, one event; refusals are events too.

An event is turned into one log entry: a JSON object in RFC 8785 form, at most `ENTRY_LIMIT_BYTES` long (the entry bundle's length field is
16 bits, C2SP tlog-tiles). Absent fields are left out. Names of kinds are `noun.past-participle` and are never reused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

ENTRY_LIMIT_BYTES = 65_535


class EventKind(StrEnum):
    # people
    PERSON_ADDED = "person.added"
    PERSON_CHANGED = "person.changed"
    PERSON_DISABLED = "person.disabled"
    SIGN_IN_LINK_ISSUED = "sign-in-link.issued"
    PASSWORD_SET = "password.set"  # noqa: S105  a kind of event, not a password
    SIGNED_IN = "signed-in"
    SIGN_IN_REFUSED = "sign-in.refused"
    SIGNED_OUT = "signed-out"
    TOKEN_ISSUED = "token.issued"  # noqa: S105  a kind of event
    TOKEN_REVOKED = "token.revoked"  # noqa: S105  a kind of event
    ACCESS_REFUSED = "access.refused"  # a page, verb or channel that this person may not use
    # second factors
    SECOND_FACTOR_BEGUN = "second-factor.begun"  # a secret was shown, which counts only once a code confirms it
    SECOND_FACTOR_ENROLLED = "second-factor.enrolled"
    SECOND_FACTOR_ASKED = "second-factor.asked"  # the password or link of a sign-in was right; without a code nobody is signed in
    SECOND_FACTOR_PROVEN = "second-factor.proven"  # a code was given again, by somebody who is signed in
    SECOND_FACTOR_REMOVED = "second-factor.removed"
    SECOND_FACTOR_RESET = "second-factor.reset"  # by an administrator, for another
    SECOND_FACTOR_REFUSED = "second-factor.refused"
    RECOVERY_CODES_RENEWED = "recovery-codes.renewed"
    # requests and grants
    REQUEST_MADE = "request.made"
    REQUEST_REFUSED = "request.refused"
    REQUEST_APPROVED = "request.approved"
    REQUEST_DENIED = "request.denied"
    REQUEST_WITHDRAWN = "request.withdrawn"  # by the person who asked
    REQUEST_EXPIRED = "request.expired"
    DECISION_REFUSED = "decision.refused"  # somebody tried to approve, deny, withdraw, extend or end what they may not
    GRANT_EXTENDED = "grant.extended"
    GRANT_ENDED = "grant.ended"
    # sessions
    SESSION_OPENING = "session.opening"  # control, before the runtime is asked
    SESSION_CREATED = "session.created"  # agent
    FILES_STAGED = "files.staged"
    SESSION_READY = "session.ready"
    SESSION_FAILED = "session.failed"
    SESSION_FROZEN = "session.frozen"
    SESSION_THAWED = "session.thawed"
    SESSION_ENDED = "session.ended"
    SESSION_DESTROYED = "session.destroyed"  # with the certificate: what was destroyed
    # connections
    ENTRY_ALLOWED = "entry.allowed"  # a ticket was issued
    ENTRY_REFUSED = "entry.refused"
    CONNECTION_OPENED = "connection.opened"
    CONNECTION_CUT = "connection.cut"
    CONNECTION_CLOSED = "connection.closed"
    # clipboard
    CLIPBOARD_PASTED = "clipboard.pasted"  # text was let in: how much, never what
    PASTE_REFUSED = "paste.refused"  # also after clipboard.pasted: it was not let in after all, for this reason
    # egress
    NAME_REACHED = "name.reached"
    NAME_CLOSED = "name.closed"
    NAME_REFUSED = "name.refused"
    # the system
    SYSTEM_STARTED = "system.started"
    ROOM_FILE_REFUSED = "room-file.refused"
    ROOM_FILE_IN_FORCE = "room-file.in-force"
    PRODUCER_GAP = "producer.gap"  # audit: a producer's numbers skipped
    PRODUCER_REFUSED = "producer.refused"  # audit: an entry that does not continue its producer's chain, or is none


@dataclass(frozen=True, slots=True)
class Event:
    """`details` holds JSON values only; integers above 2**53-1 as strings. Never a secret, never a person's content."""

    kind: EventKind
    at: datetime  # aware, UTC
    by: str = ""  # a person's name; empty: the system itself
    address: str = ""
    channel: str = ""
    room: str = ""
    request: str = ""
    session: str = ""
    reason: str = ""  # a policy Reason or an EndReason
    details: Mapping[str, object] = field(default_factory=dict)
