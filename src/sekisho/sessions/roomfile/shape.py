"""What a room file may hold, as pydantic models: only the parts that exist so far. An unknown key is an error."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, PlainValidator, StringConstraints, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

from sekisho.model.hostname import HostName
from sekisho.model.room import Hours, Kind
from sekisho.policy.clipboard import PASTE_LIMIT_BYTES
from sekisho.policy.texts import is_showable
from sekisho.sessions.roomfile import fields
from sekisho.sessions.roomfile.fields import Unfit

_MEBIBYTE = 1024**2
_GIBIBYTE = 1024**3
_DAY = timedelta(days=1)

AS_TEXT, AS_TABLE = "as-text", "as-table"  # these also stand in the path of an error

V = TypeVar("V")


def _text(parse: Callable[[str], V]) -> PlainValidator:
    """Strings only, through one of the parsers of `fields`."""

    def validate(found: object) -> V:
        if not isinstance(found, str):
            raise PydanticCustomError("string_type", "a string")
        try:
            return parse(found)
        except Unfit as unfit:
            raise PydanticCustomError("unfit", "unfit", {"expected": unfit.expected, "hint": unfit.hint}) from unfit

    return PlainValidator(validate)


def _shown(found: str) -> str:
    if not is_showable(found):
        raise PydanticCustomError("unfit", "unfit", {"expected": "text on one line", "hint": "leave out control characters"})
    return found


def _schema(pattern: str, *, example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", "examples": [example]})


def _form(found: object) -> str | None:
    """A rule is written as text or as a table; an error is then about the form that was meant."""
    if isinstance(found, str | tuple):
        return AS_TEXT
    return AS_TABLE if isinstance(found, dict | Section) else None


_BY_FORM = Discriminator(_form)
_NAME = r"^[a-z][a-z0-9.-]{0,63}$"
_DurationSchema = _schema(fields.DURATION_PATTERN, example="1h30m")
_SizeSchema = _schema(fields.SIZE_PATTERN, example="512MiB")

Longest = Annotated[timedelta, _text(lambda found: fields.parse_duration(found, least=timedelta(minutes=1), most=7 * _DAY)), _DurationSchema]
Idle = Annotated[timedelta, _text(lambda found: fields.parse_duration(found, least=timedelta(minutes=1), most=_DAY)), _DurationSchema]
Memory = Annotated[int, _text(lambda found: fields.parse_size(found, least=16 * _MEBIBYTE, most=1024 * _GIBIBYTE)), _SizeSchema]
Space = Annotated[int, _text(lambda found: fields.parse_size(found, least=_MEBIBYTE, most=1024 * _GIBIBYTE)), _SizeSchema]
OpenHours = Annotated[Hours, _text(fields.parse_hours), _schema(fields.HOURS_PATTERN, example="Mon-Fri 09:00-19:00 Asia/Tokyo")]
Endpoint = Annotated[tuple[bool, HostName, int], _text(fields.parse_endpoint), _schema(fields.ENDPOINT_PATTERN, example="www.example.com:443")]
Target = Annotated[tuple[HostName, int], _text(fields.parse_target), _schema(r"[A-Za-z0-9.-]{1,254}:[0-9]{1,5}", example="orders.prod.internal:5432")]
Host = Annotated[HostName, _text(fields.parse_name), WithJsonSchema({"type": "string", "format": "hostname"})]
Source = Annotated[str, _text(fields.parse_source), _schema(fields.SOURCE_PATTERN, example="s3://campaign-exports/2026/")]
Entry = Annotated[str, _text(fields.parse_entry), _schema("(group|person):[a-z][a-z0-9._-]{0,31}", example="group:marketing")]
Ticket = Annotated[str, _text(fields.parse_ticket), WithJsonSchema({"type": "string", "format": "regex", "maxLength": fields.TICKET_MOST_CHARACTERS})]
Word = Annotated[str, StringConstraints(pattern=_NAME)]
Port = Annotated[int, Field(ge=1, le=65535)]
RoomPath = Annotated[str, StringConstraints(pattern=r"^/data(?:/[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}){0,8}$")]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class IdleSection(Section):
    end: Annotated[Idle, Field(description="nobody typed or clicked for so long: the room ends")]


class AccessSection(Section):
    people: Annotated[list[Entry], Field(max_length=256, description="who may ask for it")]
    places: Annotated[list[Word], Field(max_length=64, description="where they must be: names of the settings' places. None: nobody comes in")]
    hours: Annotated[OpenHours | None, Field(description="when it may be used; without them always")] = None
    longest: Annotated[Longest, Field(description="how long it may be had at a time")]
    idle: IdleSection | None = None
    second_factor: Annotated[bool, Field(description="whoever enters, or approves, must have given a code of their authenticator app")] = False


class ApprovalSection(Section):
    by: Annotated[list[Entry], Field(max_length=256, description="who decides; never on their own requests")]
    needed: Annotated[int, Field(ge=1, le=10, description="how many of them must say yes")] = 1
    reason: Annotated[int, Field(ge=1, le=500, description="characters that a reason has at least")] = 10
    ticket: Annotated[Ticket | None, Field(description="a regular expression that the whole ticket must match; without it none is asked for")] = None


class ClipboardSection(Section):
    paste_in: Annotated[bool, Field(alias="in", description=f"may text be pasted in? {PASTE_LIMIT_BYTES:,} bytes of UTF-8 at most each time")] = True
    out: Annotated[Literal[False], Field(description="nothing leaves a room by clipboard")] = False


class FilesSection(Section):
    url: Annotated[Source, Field(alias="from", description="file:NAME/folder of a source, or s3://NAME/prefix/ of a bucket; NAME stands in the settings")]
    to: Annotated[RoomPath, Field(description="the folder they are put into, before entry")] = "/data"


class RuleTable(Section):
    name: Annotated[str, StringConstraints(max_length=256)]
    port: Port
    tls: Literal["required", "none"] = "required"


class EgressSection(Section):
    allow: Annotated[
        list[Annotated[Annotated[Endpoint, Tag(AS_TEXT)] | Annotated[RuleTable, Tag(AS_TABLE)], _BY_FORM]],
        Field(max_length=256, description="names that may be reached, and no others; `*.example.com:443` is any name below example.com"),
    ] = []


class TargetTable(Section):
    name: Host
    port: Port
    tls: Literal["required", "none"] = "none"


def _default(text: str, description: str) -> Any:
    """A default as somebody would write it, so that the schema shows it so."""
    return Field(text, validate_default=True, description=description)


class LimitsSection(Section):
    memory: Memory = _default(
        "512MiB", "for programs, and for the screen of a desktop; data, home and tmp are added to it. A desktop with a browser wants 2GiB"
    )
    data: Space = _default("256MiB", "for /data: the files that are put there, and what is made of them")
    home: Space = _default("64MiB", "for the person's home folder. A browser wants 256MiB")
    tmp: Space = _default("64MiB", "for /tmp, /run and /dev/shm together. A browser wants 512MiB")
    cpu: Annotated[float, Field(ge=0.05, le=256, strict=False, allow_inf_nan=False, description="processors")] = 1.0
    processes: Annotated[int, Field(ge=8, le=32_768, description="processes and threads; a desktop wants 512")] = 256
    noexec: Annotated[
        list[Literal["/data", "/home", "/tmp"]],  # noqa: S108  paths inside the room
        Field(max_length=3, description="folders from which no program can be started"),
    ] = []


class RoomFile(Section):
    title: Annotated[
        str, StringConstraints(min_length=1, max_length=80), AfterValidator(_shown), Field(description="what people see; the file's name is its id")
    ]
    description: Annotated[str, StringConstraints(max_length=500), AfterValidator(_shown), Field(description="a sentence or two, shown below it")] = ""
    image: Annotated[Word, Field(description="what it runs: a name of `sekisho image list`")]
    kind: Annotated[list[Annotated[Kind, Field(strict=False)]], Field(min_length=1, max_length=8, description="how it is shown")]
    access: AccessSection
    approval: ApprovalSection
    clipboard: ClipboardSection = ClipboardSection()
    files: Annotated[list[FilesSection], Field(max_length=64)] = []
    egress: EgressSection = EgressSection()
    targets: Annotated[
        dict[Word, Annotated[Annotated[Target, Tag(AS_TEXT)] | Annotated[TargetTable, Tag(AS_TABLE)], _BY_FORM]],
        Field(max_length=64, description="endpoints of your own, each under a name of your choice; they alone may lead to private addresses"),
    ] = {}
    limits: LimitsSection = LimitsSection()
