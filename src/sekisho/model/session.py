"""Requests, grants and sessions, as values read from the store.

A request that was approved *is* the grant: `Request.state is APPROVED`, from `starts_at` to `ends_at`. A session is the running
instance of a grant; it has the same id as its request with another prefix, so that one grant can never have two sessions.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class RequestState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"  # by the person who asked, before it was decided
    EXPIRED = "expired"  # nobody decided before its time was over
    ENDED = "ended"  # the grant is over: time ran out, somebody ended it, or the person left


class SessionState(StrEnum):
    OPENING = "opening"  # wanted; the log has it; the runtime is making it
    STAGING = "staging"  # files are being fetched
    READY = "ready"  # may be entered
    FROZEN = "frozen"  # the log or the lease failed: nothing runs, nothing opens
    ENDING = "ending"
    DESTROYED = "destroyed"
    FAILED = "failed"  # could not be opened; nothing is left of it


class EndReason(StrEnum):
    TIME_OVER = "time-over"
    ENDED_BY_APPROVER = "ended-by-approver"
    LEFT = "left"
    IDLE = "idle"
    LOG_UNAVAILABLE = "log-unavailable"
    LEASE_LOST = "lease-lost"
    FILES_FAILED = "files-failed"
    OPEN_FAILED = "open-failed"
    ROOM_STOPPED = "room-stopped"
    SHIM_LOST = "shim-lost"
    PERSON_DISABLED = "person-disabled"
    NO_GRANT = "no-grant"  # the runtime has a session that no grant wants


@dataclass(frozen=True, slots=True)
class Request:
    id: str  # "r-" and 10 characters of base32, lower case
    room: str
    room_digest: str
    person: str
    reason: str
    ticket: str
    address: str
    asked_at: datetime
    starts_at: datetime
    ends_at: datetime
    state: RequestState
    approvals: tuple[str, ...] = ()  # who said yes
    decided_by: str = ""
    note: str = ""
    end_reason: EndReason | None = None
    ended_by: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    id: str  # "s-" and the characters of its request
    request: str
    room: str
    person: str
    state: SessionState
    starts_at: datetime
    ends_at: datetime
    staged_bytes: int = 0
    staged_total_bytes: int = 0
    staged_files: int = 0
    why: str = ""  # of a failure, for people: one sentence
    connections: int = 0


def session_id(request_id: str) -> str:
    return "s-" + request_id.removeprefix("r-")


def request_id(session: str) -> str:
    return "r-" + session.removeprefix("s-")
