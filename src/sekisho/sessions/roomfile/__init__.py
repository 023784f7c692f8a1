"""Room files (design §6): TOML text in, a checked `Room` or one clear refusal out. Pure; `sessions.roombook` reads the files."""

import hashlib
import tomllib
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from sekisho.model.errors import Trouble
from sekisho.model.hostname import HostName
from sekisho.model.room import Access, Approval, Clipboard, EgressRule, FileSource, Kind, Limits, Room
from sekisho.policy.texts import shown
from sekisho.sessions.roomfile import fields
from sekisho.sessions.roomfile.complaint import Complaint, first_complaint
from sekisho.sessions.roomfile.fields import Unfit
from sekisho.sessions.roomfile.lines import Path, find_lines, line_of
from sekisho.sessions.roomfile.shape import AccessSection, RoomFile, RuleTable, TargetTable

LIMIT_BYTES = 65_536


class RoomFileRefused(Trouble):
    """A room file is wrong. `file` is its path or name, `line` counts from 1 (0: the file as a whole)."""

    def __init__(self, what: str, *, file: str, line: int, found: str = "", expected: str = "", hint: str = "") -> None:
        super().__init__("room-file", what, expected=expected, found=found, hint=hint)
        self.file = file
        self.line = line

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {super().__str__()}" if self.line else f"{self.file}: {super().__str__()}"


def parse_room(text: str, *, name: str, file: str = "", sources: Collection[str] | None = None, buckets: Collection[str] = ()) -> Room:
    """The room of this text. `sources` and `buckets`, when given, are the names that `file:NAME/…` and `s3://NAME/…` may use. Raises RoomFileRefused."""
    file = file or f"{name}.toml"
    found = _toml(text, file=file)
    lines = find_lines(text)
    try:
        shape = RoomFile.model_validate(found)
        rules = _rules(shape)
        if sources is not None:
            _check_sources(shape, sources, buckets)
    except ValidationError as error:
        raise _refused(first_complaint(error, lines), file=file) from error
    except _Misfit as misfit:
        raise _refused(misfit.complaint(lines), file=file) from misfit
    return _room(shape, rules, name=name, text=text)


def digest_of(text: str) -> str:
    """SHA-256, hex, of the file's bytes: what a grant is bound to."""
    return hashlib.sha256(text.encode()).hexdigest()


def room_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a room file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **RoomFile.model_json_schema(), "title": "A Sekisho room"}


class _Misfit(Exception):
    """Parts that are right by themselves and wrong together."""

    def __init__(self, path: Path, what: str, *, found: str, expected: str, hint: str = "") -> None:
        super().__init__(what)
        self._path = path
        self._texts = (what, found, expected, hint)

    def complaint(self, lines: Mapping[Path, int]) -> Complaint:
        what, found, expected, hint = self._texts
        return Complaint(line_of(self._path, lines), what, found, expected, hint)


def _toml(text: str, *, file: str) -> dict[str, Any]:
    if len(text.encode(errors="replace")) > LIMIT_BYTES:
        raise RoomFileRefused("the file is too long", file=file, line=0, expected=f"{LIMIT_BYTES} bytes at most")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        line = _line_in(str(error), text)
        raise RoomFileRefused(f"this is not TOML: {shown(str(error))}", file=file, line=line, expected="TOML 1.0") from error


def _line_in(message: str, text: str) -> int:
    _, _, rest = message.partition("(at line ")
    number = rest.partition(",")[0]
    return int(number) if number.isdigit() else max(1, text.count("\n"))


def _refused(complaint: Complaint, *, file: str) -> RoomFileRefused:
    return RoomFileRefused(complaint.what, file=file, line=complaint.line, found=complaint.found, expected=complaint.expected, hint=complaint.hint)


def _rules(shape: RoomFile) -> tuple[EgressRule, ...]:
    """Of [egress] and [targets]. A name and port are listed once: two rules for one could say different things."""
    listed: list[tuple[Path, EgressRule]] = [
        *((("egress", "allow", index), _egress_rule(rule, index)) for index, rule in enumerate(shape.egress.allow)),
        *((("targets", name), _target_rule(name, target)) for name, target in shape.targets.items()),
    ]
    seen: set[tuple[HostName, int, bool]] = set()
    for path, rule in listed:
        key = (rule.name, rule.port, rule.wildcard)
        if key in seen:
            raise _Misfit(path, f"{rule} is listed twice", found=str(rule), expected="each name and port once")
        seen.add(key)
    return tuple(rule for _, rule in listed)


def _egress_rule(rule: tuple[bool, HostName, int] | RuleTable, index: int) -> EgressRule:
    if not isinstance(rule, RuleTable):
        is_wildcard, name, port = rule
        return EgressRule(name, port, wildcard=is_wildcard)
    try:
        name = fields.parse_name(rule.name.removeprefix("*."))
    except Unfit as unfit:
        raise _Misfit(("egress", "allow", index, "name"), "the name is wrong", found=shown(rule.name), expected=unfit.expected, hint=unfit.hint) from unfit
    return EgressRule(name, rule.port, wildcard=rule.name.startswith("*."), tls=rule.tls == "required")


def _target_rule(own_name: str, target: tuple[HostName, int] | TargetTable) -> EgressRule:
    if isinstance(target, TargetTable):
        return EgressRule(target.name, target.port, tls=target.tls == "required", target=own_name)
    name, port = target
    return EgressRule(name, port, tls=False, target=own_name)


def _check_sources(shape: RoomFile, sources: Collection[str], buckets: Collection[str]) -> None:
    for index, wanted in enumerate(shape.files):
        source = FileSource(wanted.url)
        word, known = ("bucket", buckets) if source.is_bucket else ("source", sources)
        if source.name not in known:
            expected = f"one of the settings' {word}s: {', '.join(sorted(known)) or 'none is set'}"
            raise _Misfit(("files", index, "from"), f"there is no {word} named {source.name}", found=shown(wanted.url), expected=expected)


def _room(shape: RoomFile, rules: tuple[EgressRule, ...], *, name: str, text: str) -> Room:
    access, limits = shape.access, shape.limits
    return Room(
        name=name,
        digest=digest_of(text),
        text=text,
        title=shape.title,
        description=shape.description,
        image=shape.image,
        kinds=tuple(kind for kind in Kind if kind in shape.kind),
        access=_access(access),
        approval=Approval(tuple(shape.approval.by), shape.approval.needed, shape.approval.reason, shape.approval.ticket),
        limits=Limits(limits.memory, limits.data, limits.home, limits.tmp, limits.cpu, limits.processes),
        clipboard=Clipboard(paste_in=shape.clipboard.paste_in),
        files=tuple(FileSource(wanted.url, wanted.to) for wanted in shape.files),
        egress=rules,
        noexec=tuple(sorted(set(limits.noexec))),
    )


def _access(found: AccessSection) -> Access:
    return Access(
        people=tuple(found.people),
        places=tuple(found.places),
        hours=found.hours,
        longest=found.longest,
        idle_end=found.idle.end if found.idle else None,
        second_factor=found.second_factor,
    )
