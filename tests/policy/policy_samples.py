"""A room, a person, a place, and what may vary of them."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

from sekisho.model.people import Caller, Channel, Person
from sekisho.model.room import Access, Approval, Hours, Kind, Limits, Place, Room
from sekisho.model.session import Request, RequestState

NOW = datetime(2026, 3, 4, 3, 0, tzinfo=UTC)  # a Wednesday, noon in Tokyo
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)

PLACES = (Place("office", ("192.0.2.0/24", "2001:db8:1::/48")), Place("vpn", ("198.51.100.0/25",)))
OFFICE, VPN, ELSEWHERE = "192.0.2.7", "198.51.100.9", "203.0.113.5"
WORKDAYS = Hours(frozenset(range(5)), time(9), time(19), "Asia/Tokyo")

HANAKO = Person("hanako", frozenset({"marketing"}))
TARO = Person("taro", frozenset({"security"}))
ADMIN = Person("admin", frozenset({"administrators"}))
AOI = Person("aoi", frozenset({"auditors"}))

_MIB = 1024**2
ROOM = Room(
    name="campaign",
    digest="d" * 64,
    title="Campaign data",
    image="terminal",
    kinds=(Kind.TERMINAL,),
    access=Access(people=("group:marketing",), places=("office",), hours=WORKDAYS, longest=2 * HOUR),
    approval=Approval(by=("group:security",), needed=1, reason_characters=10, ticket=r"MKT-\d+"),
    limits=Limits(512 * _MIB, 64 * _MIB, 64 * _MIB, 64 * _MIB, 1.0, 256),
)
REQUEST = Request(
    id="r-aaaaaaaaaa",
    room="campaign",
    room_digest=ROOM.digest,
    person="hanako",
    reason="Export of last week",
    ticket="MKT-42",
    address=OFFICE,
    asked_at=NOW,
    starts_at=NOW,
    ends_at=NOW + HOUR,
    state=RequestState.PENDING,
)
GRANT = replace(REQUEST, state=RequestState.APPROVED, approvals=("taro",), decided_by="taro")


def caller(person: Person = HANAKO, address: str = OFFICE) -> Caller:
    return Caller(person, address, Channel.PAGE)


def room(**access: object) -> Room:
    """The room with other access."""
    return replace(ROOM, access=replace(ROOM.access, **access))  # type: ignore[arg-type]


def approval(**changed: object) -> Room:
    """The room with another approval."""
    return replace(ROOM, approval=replace(ROOM.approval, **changed))  # type: ignore[arg-type]
