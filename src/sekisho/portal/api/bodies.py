"""What the API takes and gives, as OpenAPI describes it. Values that a policy judges are taken as they come and judged there; here is only shape and size."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from sekisho.portal.inputs import is_sane

Line = Annotated[str, StringConstraints(max_length=512)]
Prose = Annotated[str, StringConstraints(max_length=16_384)]


def _in_bounds(moment: datetime) -> datetime:
    if not is_sane(moment):
        raise ValueError("out of all bounds")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_in_bounds)]
Secret = Annotated[str, StringConstraints(max_length=4_096), Field(json_schema_extra={"format": "password"})]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


# taken


class SignInBody(Body):
    name: Line
    password: Secret
    code: Annotated[Secret, Field(description="Of the second factor, for people who have one; without it they are refused with `code-asked`.")] = ""


class PasswordBody(Body):
    password: Secret


class CodeBody(Body):
    code: Secret


class PasswordAndCodeBody(Body):
    password: Secret
    code: Secret


class RequestBody(Body):
    room: Line
    reason: Prose = ""
    ticket: Line = ""
    starts_at: Annotated[Moment | None, Field(description="RFC 3339 with an offset; null means now, as soon as it is approved.")] = None
    duration_seconds: Annotated[int, Field(ge=0, le=366 * 86_400)]


class NoteBody(Body):
    note: Prose = ""


class ExtendBody(Body):
    duration_seconds: Annotated[int, Field(ge=0, le=366 * 86_400)]


class EnterBody(Body):
    kind: Annotated[Line, Field(description="One of the session's kinds: desktop or terminal.")]


class PersonBody(Body):
    name: Line
    display: Line = ""
    groups: Annotated[list[Line], Field(max_length=100)] = []
    language: Line = "en"


class GroupsBody(Body):
    groups: Annotated[list[Line], Field(max_length=100)]


class EmptyBody(Body):
    """Nothing is said beyond the address itself; `{}` or no body at all."""


# given


class Refusal(Body):
    reason: Annotated[str, Field(description="A stable word; docs/reference/reasons.md lists them all.", examples=["outside-place"])]
    sentence: Annotated[str, Field(description="What and why, in the language that the request accepts.")]
    facts: Annotated[dict[str, str], Field(description="What fills the sentence.")]


class MalformedItem(Body):
    at: Annotated[list[str | int], Field(description="Where in the request.")]
    what: str


class Malformed(Body):
    """What was sent has not the shape that is described here. Values are never repeated."""

    malformed: list[MalformedItem]


class PersonShown(Body):
    name: str
    display: str
    groups: list[str]
    language: str


class SignedInBody(Body):
    token: Annotated[str, Field(description="Send it as `Authorization: Bearer …`. It is shown only now.")]
    expires_at: datetime
    person: PersonShown


class SecondFactor(Body):
    enrolled: bool
    proven_at: Annotated[datetime | None, Field(description="When this sign-in gave a code last.")]
    recovery_codes: Annotated[int, Field(description="How many are left.")]


class Enrolment(Body):
    uri: Annotated[str, Field(description="`otpauth://…`, as authenticator apps read it. It is shown only now, and counts once a code confirms it.")]
    secret: Annotated[str, Field(description="The same secret alone, in Base32, to type.")]


class RecoveryCodes(Body):
    recovery_codes: Annotated[list[str], Field(description="Each good once instead of a code. They are shown only now.")]


class Me(Body):
    person: PersonShown
    address: Annotated[str, Field(description="From where the portal sees you come.")]
    expires_at: datetime
    second_factor: SecondFactor
    form_token: Annotated[str | None, Field(description="For pages: what a request that is known by its cookie must send as `X-Sekisho-Form`.")]


class RoomShown(Body):
    name: str
    title: str
    description: str
    kinds: list[str]
    hours: Annotated[str, Field(description="Empty: always open.", examples=["Mon-Fri 09:00-19:00 Asia/Tokyo"])]
    places: list[str]
    longest_seconds: int
    ticket: Annotated[str | None, Field(description="A regular expression that the whole ticket must match; null: none is asked for.")]
    second_factor: Annotated[bool, Field(description="Whether entering and approving ask for a second factor; asking for the room does not.")]
    reason_characters: int
    approvers: list[str]
    needed: int
    may_request: bool
    reason: Annotated[str, Field(description="Why not; empty if it may be asked for.")]
    sentence: str


class Rooms(Body):
    rooms: list[RoomShown]


class FileShown(Body):
    source: str
    to: str


class RequestShown(Body):
    id: str
    room: str
    room_title: str
    person: str
    reason: str
    ticket: str
    address: str
    asked_at: datetime
    starts_at: datetime
    ends_at: datetime
    state: Annotated[str, Field(description="pending, approved, denied, withdrawn, expired or ended.")]
    approvals: list[str]
    needed: int
    decided_by: str
    note: str
    end_reason: str
    kinds: Annotated[list[str], Field(description="What the room is shown as. This and what follows: as in the room file that the request is bound to.")]
    files: list[FileShown]
    names: Annotated[list[str], Field(description="What the room reaches, as name:port.")]
    paste_in: Annotated[bool, Field(description="May text be pasted in?")]
    may_decide: bool
    may_withdraw: bool
    is_mine: bool


class Requests(Body):
    requests: list[RequestShown]


class SessionShown(Body):
    id: str
    request: str
    room: str
    person: str
    kinds: Annotated[list[str], Field(description="What the room is shown as, the usual one first: desktop, terminal.")]
    state: Annotated[str, Field(description="opening, staging, ready, frozen, ending, destroyed or failed.")]
    starts_at: datetime
    ends_at: datetime
    staged_bytes: int
    staged_total_bytes: int
    staged_files: int
    why: str
    connections: int
    is_mine: bool
    may_end: bool


class Sessions(Body):
    sessions: list[SessionShown]


class Entered(Body):
    page: Annotated[str, Field(description="Open it in a browser; the ticket stands behind the #.")]
    websocket: str
    ticket: Annotated[str, Field(description="Works once, within a minute, from this address.")]


class PersonRow(PersonShown):
    disabled: bool
    has_password: bool
    has_second_factor: bool


class People(Body):
    people: list[PersonRow]


class Link(Body):
    url: Annotated[str, Field(description="A sign-in link that works once. It is shown only now.")]


class Done(Body):
    """It is done."""
