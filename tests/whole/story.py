"""What the log must tell of a session, whatever was killed on the way: every event that belongs to it, once, in an order that can be.

Strict: each function gives the faults that it found, in words, and an empty list for a log that is right.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

import rfc8785

from sekisho.audit.reading import read_entries

_AGENT = re.compile(  # what the agent tells of one session, from its beginning to its end
    r"created (staged )*(ready (frozen thawed )*(frozen )?ended|failed|ended) destroyed"
)
_ONCE = ("request.made", "request.approved", "session.opening", "session.created", "session.destroyed", "grant.ended")
_AT_MOST_ONCE = ("session.ready", "session.ended", "session.failed")
_BEFORE = (  # in the log itself: the second waited until the log had the first
    ("request.made", "request.approved"),
    ("request.approved", "session.opening"),
    ("session.opening", "session.created"),
    ("session.opening", "grant.ended"),
)


def read_log(directory: Path) -> list[dict]:
    """All entries, in the log's order."""
    found: list[dict] = []
    while page := read_entries(directory, after=len(found) - 1, limit=5000):
        found += [dict(entry.fields) for entry in page]
    return found


def producer_faults(entries: Iterable[dict]) -> list[str]:
    """Each producer's numbers from 1 without a gap, each entry naming the one before it by its digest; audit had nothing to complain of."""
    faults, heads = [], defaultdict(lambda: (0, ""))
    for entry in entries:
        number, prev = heads[entry["producer"]]
        if (int(entry["number"]), entry["prev"]) != (number + 1, prev):
            faults.append(f"{entry['producer']} {entry['number']} does not continue {number}")
        heads[entry["producer"]] = (int(entry["number"]), sha256(rfc8785.dumps(entry)).hexdigest())
        if entry["kind"].startswith("producer."):
            faults.append(f"audit complains: {entry}")
    return faults


def session_faults(entries: Sequence[dict], session: str) -> list[str]:
    """The story of a session that is over: complete, nothing twice, nothing after its end."""
    request = "r-" + session.removeprefix("s-")
    mine = [entry for entry in entries if session == entry.get("session") or request in (entry.get("request"), entry.get("details", {}).get("request"))]
    kinds = [entry["kind"] for entry in mine]
    counts = Counter(kinds)
    faults = [f"{kind}: {counts[kind]} times" for kind in _ONCE if counts[kind] != 1]
    faults += [f"{kind}: {counts[kind]} times" for kind in _AT_MOST_ONCE if counts[kind] > 1]
    faults += [f"{second} before {first}" for first, second in _BEFORE if {first, second} <= counts.keys() and kinds.index(first) > kinds.index(second)]
    told = " ".join(entry["kind"].partition(".")[2] for entry in mine if entry["producer"] == "agent")
    if not _AGENT.fullmatch(told):
        faults.append(f"the agent told: {told}")
    faults += [f"not clean: {entry['details']}" for entry in mine if entry["kind"] == "session.destroyed" and not entry["details"]["certificate"]["clean"]]
    faults += _staging_faults(mine)
    faults += _entry_faults([entry for entry in mine if entry["producer"] == "store"])
    faults += _flow_faults([entry for entry in entries if entry["producer"] == "egress"], session)
    return faults


def _staging_faults(mine: list[dict]) -> list[str]:
    """Every staged file is named once."""
    parts = [entry["details"] for entry in mine if entry["kind"] == "files.staged"]
    faults = [] if [part["part"] for part in parts] == list(range(1, len(parts) + 1)) else ["parts of files.staged"]
    named = Counter(file["path"] for part in parts for file in part["files"])
    ready = [entry for entry in mine if entry["kind"] == "session.ready"]
    if ready and (max(named.values(), default=0) > 1 or len(named) != ready[0]["details"]["staged_files"]):
        faults.append(f"{len(named)} files named, {ready[0]['details']['staged_files']} staged")
    return faults


def _entry_faults(mine: list[dict]) -> list[str]:
    """Nobody is let in after the end; each connection is opened once, cut at most once, closed once, in this order."""
    faults, connections = [], defaultdict(list)
    kinds = [entry["kind"] for entry in mine]
    if "grant.ended" in kinds:
        late = {"entry.allowed", "connection.opened"} & set(kinds[kinds.index("grant.ended") :])
        faults += [f"{kind} after the end" for kind in sorted(late)]
    for entry in mine:
        if entry["kind"].startswith("connection."):
            connections[entry["details"]["connection"]].append(entry["kind"].removeprefix("connection."))
    if kinds.count("connection.opened") > kinds.count("entry.allowed"):
        faults.append("a connection that no entry allowed")
    faults += [f"{name}: {told}" for name, told in connections.items() if told not in (["opened", "closed"], ["opened", "cut", "closed"])]
    return faults + _paste_faults(mine)


def _paste_faults(mine: list[dict]) -> list[str]:
    """Nothing is pasted but through a connection that is open."""
    faults, inside = [], set()
    for entry in mine:
        connection = entry["details"].get("connection")
        match entry["kind"]:
            case "connection.opened":
                inside.add(connection)
            case "connection.closed":
                inside.discard(connection)
            case "clipboard.pasted" if connection not in inside:
                faults.append(f"pasted through {connection}, which is not open")
            case _:
                pass
    return faults


def _flow_faults(told: list[dict], session: str) -> list[str]:
    """What was reached was closed, once and after. Only if egress was killed in between, nothing more is said of it than that egress started anew."""
    flows, faults = defaultdict(list), []
    for entry in told:
        if entry["kind"] == "system.started":
            flows.clear()
        elif entry.get("session") == session and entry["kind"] in {"name.reached", "name.closed"}:
            flows[entry["details"]["flow"]].append(entry["kind"])
            if flows[entry["details"]["flow"]] not in (["name.reached"], ["name.reached", "name.closed"]):
                faults.append(f"{entry}")
    return faults + [f"{flow}: {kinds}" for flow, kinds in flows.items() if len(kinds) != 2]
