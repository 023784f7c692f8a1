"""What the agent has to say about a session, in the words of the log: created, files staged, ready, frozen, ended, destroyed."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from sekisho.model.event import EventKind
from sekisho.model.session import EndReason
from sekisho.runtime.journal import Journal, Record
from sekisho.runtime.protocol import RuntimeState, SessionSeen

_STAGED_LIMIT_BYTES = 24_000  # of manifest lines in one event: an entry may have 65,535 bytes


def note_created(journal: Journal, record: Record) -> None:
    spec = record.spec
    journal.note(
        record,
        EventKind.SESSION_CREATED,
        details={"image": spec.image, "uid_base": record.uid_base, "ends_at": spec.ends_at, "limits": asdict(spec.limits), "ports": list(spec.ports)},
    )


def note_change(journal: Journal, record: Record, seen: SessionSeen, manifest: Path) -> bool:
    """Note what this change means, once. True if anything was noted."""
    before = len(record.notes)
    if seen.state is RuntimeState.READY and not record.told_ready:
        record.told_ready = True
        for number, files in enumerate(_manifest(manifest)):
            journal.note(record, EventKind.FILES_STAGED, details={"part": number + 1, "files": files})
        journal.note(record, EventKind.SESSION_READY, details={"staged_files": seen.staged_files, "staged_bytes": str(seen.staged_bytes)})
    frozen = seen.state is RuntimeState.FROZEN and seen.end_reason is EndReason.LEASE_LOST
    if frozen and not record.lease_frozen:
        journal.note(record, EventKind.SESSION_FROZEN, reason=EndReason.LEASE_LOST.value)
    if record.lease_frozen and seen.state is RuntimeState.READY:
        journal.note(record, EventKind.SESSION_THAWED, reason=EndReason.LEASE_LOST.value)
    record.lease_frozen = frozen
    return len(record.notes) > before


def note_over(journal: Journal, record: Record, seen: SessionSeen) -> None:
    """The end, and the certificate of what was destroyed. Its signature is the log's own: the checkpoint that covers this entry."""
    reason = seen.end_reason.value if seen.end_reason else ""
    certificate = asdict(seen.certificate) if seen.certificate else {}
    certificate["data_bytes"] = str(certificate.get("data_bytes", 0))
    if seen.state is RuntimeState.FAILED:
        journal.note(record, EventKind.SESSION_FAILED, reason=reason, details={"why": seen.why[:1000]})
    else:
        journal.note(record, EventKind.SESSION_ENDED, reason=reason, details={"why": seen.why[:1000]} if seen.why else {})
    journal.note(record, EventKind.SESSION_DESTROYED, reason=reason, details={"certificate": certificate})


def _manifest(path: Path) -> Iterator[list[dict[str, object]]]:
    """The staged files, each with path, size and SHA-256, in parts that fit into an entry."""
    part: list[dict[str, object]] = []
    size = 0
    with suppress(FileNotFoundError), path.open(encoding="ascii") as lines:
        for line in lines:
            if part and size + len(line) > _STAGED_LIMIT_BYTES:
                yield part
                part, size = [], 0
            part.append(json.loads(line))
            size += len(line)
    if part:
        yield part
