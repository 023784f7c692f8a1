"""Why something was refused: one word for the answer, the log and the docs, and its sentence for people.

A reason's value is stable kebab-case and is never given another meaning. Its sentence says what and why, and where it helps what to try;
`{…}` are filled from `Deny.facts`. The Japanese sentences are in the portal's catalogue under the same keys.
"""

from collections.abc import Mapping
from enum import StrEnum


class Reason(StrEnum):
    # people and places
    NOT_SIGNED_IN = "not-signed-in"
    WRONG_PASSWORD = "wrong-password"  # noqa: S105  a reason's name
    TOO_MANY_ATTEMPTS = "too-many-attempts"
    LINK_USED_OR_OLD = "link-used-or-old"
    PASSWORD_TOO_SHORT = "password-too-short"  # noqa: S105  a reason's name
    PERSON_DISABLED = "person-disabled"
    PERSON_EXISTS = "person-exists"
    PASSWORD_TOO_LONG = "password-too-long"  # noqa: S105  a reason's name
    NAME_MALFORMED = "name-malformed"
    GROUP_MALFORMED = "group-malformed"
    LANGUAGE_UNKNOWN = "language-unknown"
    TEXT_MALFORMED = "text-malformed"
    OWN_ACCOUNT = "own-account"
    NO_SUCH_PERSON = "no-such-person"
    OUTSIDE_PLACE = "outside-place"
    NOT_ADMINISTRATOR = "not-administrator"
    NOT_AUDITOR = "not-auditor"
    FORGED_FORM = "forged-form"
    # second factors
    CODE_ASKED = "code-asked"
    CODE_WRONG = "code-wrong"
    CODE_USED = "code-used"
    CODE_TOO_LATE = "code-too-late"
    PASSWORD_MISSING = "password-missing"  # noqa: S105  a reason's name
    SECOND_FACTOR_MISSING = "second-factor-missing"
    SECOND_FACTOR_OLD = "second-factor-old"
    SECOND_FACTOR_THERE = "second-factor-there"
    NO_SECOND_FACTOR = "no-second-factor"
    OWN_SECOND_FACTOR = "own-second-factor"
    # requests
    NO_SUCH_ROOM = "no-such-room"
    ROOM_FILE_CHANGED = "room-file-changed"
    NOT_LISTED = "not-listed"
    REASON_TOO_SHORT = "reason-too-short"
    REASON_TOO_LONG = "reason-too-long"
    TICKET_MALFORMED = "ticket-malformed"
    TOO_LONG = "too-long"
    DURATION_MALFORMED = "duration-malformed"
    IN_THE_PAST = "in-the-past"
    TOO_FAR_AHEAD = "too-far-ahead"
    OUTSIDE_HOURS = "outside-hours"
    OVERLAPPING = "overlapping"
    # decisions
    NO_SUCH_REQUEST = "no-such-request"
    OWN_REQUEST = "own-request"
    NOT_YOUR_REQUEST = "not-your-request"
    NOT_APPROVER = "not-approver"
    ALREADY_DECIDED = "already-decided"
    NOTE_MISSING = "note-missing"
    NOTE_TOO_LONG = "note-too-long"
    NOT_RUNNING = "not-running"
    # entering
    NO_GRANT = "no-grant"
    NOT_YET = "not-yet"
    TIME_OVER = "time-over"
    NOT_YOURS = "not-yours"
    SESSION_NOT_READY = "session-not-ready"
    SESSION_FROZEN = "session-frozen"
    TICKET_USED_OR_OLD = "ticket-used-or-old"
    KIND_NOT_OFFERED = "kind-not-offered"
    LOG_UNAVAILABLE = "log-unavailable"
    CONTROL_UNAVAILABLE = "control-unavailable"
    DECISION_FAILED = "decision-failed"  # the decision itself raised: refused
    # pasting
    PASTE_NOT_ALLOWED = "paste-not-allowed"
    PASTE_TOO_LONG = "paste-too-long"
    PASTE_EMPTY = "paste-empty"
    PASTE_TOO_OFTEN = "paste-too-often"
    # egress
    NAME_NOT_LISTED = "name-not-listed"
    NAME_NOT_CANONICAL = "name-not-canonical"
    PORT_NOT_LISTED = "port-not-listed"
    ADDRESS_LITERAL = "address-literal"
    ADDRESS_REFUSED = "address-refused"
    NAME_UNRESOLVED = "name-unresolved"
    UPSTREAM_UNREACHABLE = "upstream-unreachable"
    NOT_TLS = "not-tls"
    SNI_MISMATCH = "sni-mismatch"
    TOO_MANY_NAMES = "too-many-names"
    TOO_MANY_OPENS = "too-many-opens"
    HEAD_MALFORMED = "head-malformed"


SENTENCES: Mapping[Reason, str] = {
    Reason.NOT_SIGNED_IN: "You are not signed in. Sign in and try again.",
    Reason.WRONG_PASSWORD: "The name or the password is wrong.",
    Reason.TOO_MANY_ATTEMPTS: "Too many failed sign-ins. Wait {wait} and try again.",
    Reason.LINK_USED_OR_OLD: "This sign-in link was used already or is too old. Ask an administrator for a new one.",
    Reason.PASSWORD_TOO_SHORT: "The password must have at least {least} characters; this one has {found}.",
    Reason.PASSWORD_TOO_LONG: "The password may have at most {most} characters; this one has {found}.",
    Reason.PERSON_DISABLED: "This account is disabled. Ask an administrator.",
    Reason.PERSON_EXISTS: "There is a person named {name} already.",
    Reason.NAME_MALFORMED: "A person's name is 1 to 32 of a-z, 0-9, dot, hyphen and underscore, and starts with a letter; found {found}.",
    Reason.GROUP_MALFORMED: "A group's name is 1 to 32 of a-z, 0-9, dot, hyphen and underscore, and starts with a letter; found {found}.",
    Reason.LANGUAGE_UNKNOWN: "The pages speak {known}, not {found}.",
    Reason.TEXT_MALFORMED: "{field} may have at most {most} characters, on one line, and none that cannot be shown.",
    Reason.OWN_ACCOUNT: "Nobody changes their own groups or disables themselves. Ask another administrator.",
    Reason.NO_SUCH_PERSON: "There is no person named {name}.",
    Reason.OUTSIDE_PLACE: "You come from {address}, which is not in {places}. Connect from there and try again.",
    Reason.NOT_ADMINISTRATOR: "Only administrators may do this.",
    Reason.NOT_AUDITOR: "Only auditors and administrators may read the log.",
    Reason.FORGED_FORM: "This form was not sent from a page of yours, or the page is too old. Load the page again.",
    Reason.CODE_ASKED: "The password is right. Give the code of your authenticator app too.",
    Reason.CODE_WRONG: "The code is wrong. It changes every 30 seconds; is the clock of the device right?",
    Reason.CODE_USED: "This code was used already. Wait for the next one.",
    Reason.CODE_TOO_LATE: "Too much time has passed. Begin again.",
    Reason.PASSWORD_MISSING: "Set a password first: a second factor comes after it.",
    Reason.SECOND_FACTOR_MISSING: "{room} asks for a second factor, and you have none. Set one up on your account page, or with `sekisho second-factor enrol`.",
    Reason.SECOND_FACTOR_OLD: "{room} asks for a code given within {most}. Give one at the portal, or with `sekisho second-factor confirm`.",
    Reason.SECOND_FACTOR_THERE: "There is a second factor already. Remove it before you set up another one.",
    Reason.NO_SECOND_FACTOR: "{name} has no second factor.",
    Reason.OWN_SECOND_FACTOR: "Nobody resets their own second factor. Remove it with your password and a code, or ask another administrator.",
    Reason.NO_SUCH_ROOM: "There is no room named {room}. `sekisho rooms` lists them.",
    Reason.ROOM_FILE_CHANGED: "The room's file was changed after this was granted. Ask for the room again.",
    Reason.NOT_LISTED: "You are not among the people of {room}: {people}.",
    Reason.REASON_TOO_SHORT: "The reason must have at least {least} characters; this one has {found}.",
    Reason.REASON_TOO_LONG: "The reason may have at most {most} characters; this one has {found}.",
    Reason.TICKET_MALFORMED: "The ticket must look like {expected}; found {found}.",
    Reason.TOO_LONG: "{room} may be used for {longest} at most; you asked for {found}.",
    Reason.DURATION_MALFORMED: "A duration is written like 30m, 1h or 1h30m and is at least {least}; found {found}.",
    Reason.IN_THE_PAST: "The start lies in the past: {found}.",
    Reason.TOO_FAR_AHEAD: "The start may lie at most {most} ahead; found {found}.",
    Reason.OUTSIDE_HOURS: "{room} is open {hours}; you asked for {found}.",
    Reason.OVERLAPPING: "You have {request} for {room} in that time already.",
    Reason.NO_SUCH_REQUEST: "There is no request {request} that you may see.",
    Reason.OWN_REQUEST: "Nobody decides on their own request.",
    Reason.NOT_YOUR_REQUEST: "A request is withdrawn only by the person who asked. Who approves the room may deny it.",
    Reason.NOT_APPROVER: "You are not among those who approve {room}: {approvers}.",
    Reason.ALREADY_DECIDED: "This request is {state} already.",
    Reason.NOTE_MISSING: "Say why: a denial needs a note.",
    Reason.NOTE_TOO_LONG: "The note may have at most {most} characters; this one has {found}.",
    Reason.NOT_RUNNING: "There is nothing to end or extend: the grant is {state}.",
    Reason.NO_GRANT: "You have no grant for {room}. Ask for it: `sekisho request {room} --for 1h --reason …`.",
    Reason.NOT_YET: "Your grant starts at {starts}.",
    Reason.TIME_OVER: "Your grant ended at {ends}.",
    Reason.NOT_YOURS: "A room is entered only by the person it was granted to.",
    Reason.SESSION_NOT_READY: "The room is {state}. Wait until it is ready.",
    Reason.SESSION_FROZEN: "The room is frozen because the audit log or the controller is away. It goes on when they are back.",
    Reason.TICKET_USED_OR_OLD: "This entry ticket was used already or is too old. Enter again from the portal.",
    Reason.KIND_NOT_OFFERED: "{room} offers {offered}, not {kind}.",
    Reason.LOG_UNAVAILABLE: "The audit log cannot be written, so nothing opens. Tell an administrator.",
    Reason.CONTROL_UNAVAILABLE: "The controller does not answer, so nothing opens. Try again in a minute.",
    Reason.DECISION_FAILED: "The decision could not be made, so it is a refusal. Tell an administrator.",
    Reason.PASTE_NOT_ALLOWED: "Nothing may be pasted into {room}.",
    Reason.PASTE_TOO_LONG: "One paste may have at most {most} bytes of UTF-8; this one has {found}. Paste it in parts.",
    Reason.PASTE_EMPTY: "There is no text to paste.",
    Reason.PASTE_TOO_OFTEN: "More than {most} pastes within {wait}. Wait a little and paste again.",
    Reason.NAME_NOT_LISTED: "{name} is not among the names this room may reach.",
    Reason.NAME_NOT_CANONICAL: "This is not a host name that can be listed.",
    Reason.PORT_NOT_LISTED: "{name} is listed, but not with port {port}.",
    Reason.ADDRESS_LITERAL: "Names are listed here, not addresses. Use the name.",
    Reason.ADDRESS_REFUSED: "{name} leads to {address}, which is {range}; that is never reached from a room.",
    Reason.NAME_UNRESOLVED: "{name} is listed, but has no address now.",
    Reason.UPSTREAM_UNREACHABLE: "{name} is listed, but does not answer on port {port}.",
    Reason.NOT_TLS: "{name}:{port} is listed for TLS only, and the first bytes were not a TLS ClientHello.",
    Reason.SNI_MISMATCH: "The TLS server name was {found}, not {name}.",
    Reason.TOO_MANY_NAMES: "This room has used its {most} distinct names.",
    Reason.TOO_MANY_OPENS: "This room opens connections faster than its rate. Slow down.",
    Reason.HEAD_MALFORMED: "The proxy request was malformed: {found}.",
}


def sentence(reason: Reason, facts: Mapping[str, str]) -> str:
    """The English sentence of a reason. A missing fact shows as `?` rather than hide the refusal behind an error."""
    return SENTENCES[reason].format_map(_Facts(facts))


class _Facts(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "?"
