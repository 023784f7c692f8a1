"""What may be said to the agent, and what it says.

Two Unix SOCK_SEQPACKET sockets, one message a packet (`model.messages`). `agent.sock` is for control alone: sessions are created and ended,
capabilities registered. `open.sock` is for the gateway and egress: a one-time capability is exchanged for descriptors. Who may speak on which is
decided by SO_PEERCRED. A request carries a `number` of the asker's own; its answer repeats it as `to`; what the agent says unasked has none.

Times are UNIX seconds; sizes bytes. Descriptors travel as SCM_RIGHTS with the packet that names them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from sekisho.model.session import EndReason

PAGE_SESSIONS = 60
PAGE_WHY = 200
CAPABILITY_BYTES = 32  # the secret; only its SHA-256 is registered


class OpenKind(StrEnum):
    """What a capability opens. `DESKTOP` gives a connection of its own to the screen's RFB server, a stream socket on which that server speaks first
    (RFC 6143 §7.1), and a lifeline; `TERMINAL` the pseudo-terminal's master and a lifeline; `EGRESS` a lifeline, the UDP and TCP sockets of the room's
    name server, the proxy's listener, and a listener for each of `Opened.ports`, in this order. A lifeline reads end-of-file when the session is over or its
    shim is dead: close everything of that session then."""

    DESKTOP = "desktop"
    TERMINAL = "terminal"
    EGRESS = "egress"


class RuntimeState(StrEnum):
    CREATING = "creating"
    STAGING = "staging"
    READY = "ready"
    FROZEN = "frozen"
    ENDING = "ending"
    DESTROYED = "destroyed"  # the certificate says of what
    FAILED = "failed"  # never became ready; nothing is left of it


@dataclass(frozen=True, slots=True)
class FolderWanted:
    """A folder on this machine, already resolved from the settings' sources, to be copied before entry."""

    source: str
    to: str


@dataclass(frozen=True, slots=True)
class BucketWanted:
    """What lies below a prefix of a bucket, to be fetched before entry. `name` is the settings': where it is and what opens it, only the agent knows."""

    name: str
    prefix: str  # empty, or with a slash at its end
    to: str


@dataclass(frozen=True, slots=True)
class SpecLimits:
    memory_bytes: int
    data_bytes: int
    home_bytes: int
    tmp_bytes: int
    cpu: float
    processes: int

    @property
    def total_bytes(self) -> int:
        """What admission counts: the applications and the three folders in memory, which the same cgroup is charged for."""
        return self.memory_bytes + self.data_bytes + self.home_bytes + self.tmp_bytes


@dataclass(frozen=True, slots=True)
class SessionSpec:
    session: str
    request: str
    room: str
    person: str
    image: str  # SHA-256 hex of the squashfs file
    ends_at: float
    limits: SpecLimits
    folders: tuple[FolderWanted, ...] = ()
    buckets: tuple[BucketWanted, ...] = ()
    ports: tuple[int, ...] = ()  # TCP ports of listed names; 53 and 3128 are always there
    noexec: tuple[str, ...] = ()
    trust: str = ""  # PEM of certificate authorities that the room trusts besides the image's own
    language: str = "C.UTF-8"
    kinds: tuple[str, ...] = ("terminal",)  # values of model.room.Kind: what the room is shown as


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was destroyed, and that it was looked for afterwards."""

    processes_killed: int
    data_bytes: int  # of /data, /home and /tmp when they were unmounted
    files: int
    mounts: int
    uid_base: int
    cgroup_empty: bool
    namespaces_gone: bool
    clean: bool  # nothing was left: process, mount, cgroup, file


@dataclass(frozen=True, slots=True)
class SessionSeen:
    session: str
    state: RuntimeState
    ends_at: float
    staged_bytes: int = 0
    staged_total_bytes: int = 0
    staged_files: int = 0
    end_reason: EndReason | None = None
    why: str = ""  # one sentence for people when it failed
    certificate: Certificate | None = None


# control -> agent


@dataclass(frozen=True, slots=True)
class Create:
    VERB: ClassVar[str] = "create"
    number: int
    spec: SessionSpec


@dataclass(frozen=True, slots=True)
class End:
    """Destroy now. Ending what is over already is done at once."""

    VERB: ClassVar[str] = "end"
    number: int
    session: str
    reason: EndReason


@dataclass(frozen=True, slots=True)
class Extend:
    VERB: ClassVar[str] = "extend"
    number: int
    session: str
    ends_at: float


@dataclass(frozen=True, slots=True)
class Freeze:
    VERB: ClassVar[str] = "freeze"
    number: int
    session: str


@dataclass(frozen=True, slots=True)
class Thaw:
    VERB: ClassVar[str] = "thaw"
    number: int
    session: str


@dataclass(frozen=True, slots=True)
class Renew:
    """The lease. Every 10 s; after 60 s without it nothing new opens, after 5 min sessions freeze."""

    VERB: ClassVar[str] = "renew"
    number: int


@dataclass(frozen=True, slots=True)
class Register:
    VERB: ClassVar[str] = "register"
    number: int
    capability_sha256: str
    session: str
    kind: OpenKind
    person: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class List:
    """The sessions whose ids come after `after`, in the order of ids; asked again until there are no `more`."""

    VERB: ClassVar[str] = "list"
    number: int
    after: str = ""


@dataclass(frozen=True, slots=True)
class Forget:
    """Control has written down how a session ended; the agent may drop it from its journal. Only what is over is dropped."""

    VERB: ClassVar[str] = "forget"
    number: int
    session: str


# gateway or egress -> agent


@dataclass(frozen=True, slots=True)
class Open:
    VERB: ClassVar[str] = "open"
    number: int
    capability: str  # hex


# agent ->


@dataclass(frozen=True, slots=True)
class Done:
    VERB: ClassVar[str] = "done"
    to: int


@dataclass(frozen=True, slots=True)
class Failed:
    """`reference` is stable kebab-case: `no-such-session`, `exists`, `no-room`, `no-image`, `capability-refused`, `lease-lost`, `not-ready`, …"""

    VERB: ClassVar[str] = "failed"
    to: int
    reference: str
    what: str = ""


@dataclass(frozen=True, slots=True)
class Sessions:
    """At most `PAGE_SESSIONS` of them, each `why` cut to `PAGE_WHY` characters: a packet has a limit, the number of sessions has none."""

    VERB: ClassVar[str] = "sessions"
    to: int
    sessions: tuple[SessionSeen, ...]
    more: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    VERB: ClassVar[str] = "opened"
    to: int
    session: str
    kind: OpenKind
    ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Changed:
    VERB: ClassVar[str] = "changed"
    seen: SessionSeen


ToAgent = (Create, End, Extend, Freeze, Thaw, Renew, Register, List, Forget)
FromAgent = (Done, Failed, Sessions, Changed)
ToOpener = (Open,)
FromOpener = (Opened, Failed)
