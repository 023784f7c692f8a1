"""A pydantic error as one sentence for the person who wrote the file: where, what was found, what was expected, what to try."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from sekisho.model.room import Kind
from sekisho.policy.texts import shown
from sekisho.sessions.roomfile.lines import Path, line_of
from sekisho.sessions.roomfile.shape import AS_TABLE, AS_TEXT, RoomFile

_KINDS_TO_COME = ("ssh", "tunnel", "web")
_EXPECTED: Mapping[str, str] = MappingProxyType(
    {
        "string_type": "a string",
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "float_parsing": "a number",
        "bool_type": "true or false",
        "list_type": "a list",
        "dict_type": "a table",
        "model_type": "a table",
        "model_attributes_type": "a table",
        "union_tag_not_found": "a string or a table",
    },
)

_BOUNDS: Mapping[str, str] = MappingProxyType(
    {
        "greater_than_equal": "{ge} at least",
        "less_than_equal": "{le} at most",
        "too_long": "a length of {max_length} at most",
        "too_short": "a length of {min_length} at least",
        "string_too_long": "a length of {max_length} at most",
        "string_too_short": "a length of {min_length} at least",
        "string_pattern_mismatch": "text like {pattern}",
        "literal_error": "one of: {expected}",
        "enum": "one of: {expected}",
    },
)


@dataclass(frozen=True, slots=True)
class Complaint:
    line: int
    what: str
    found: str
    expected: str
    hint: str


def first_complaint(error: ValidationError, lines: Mapping[Path, int]) -> Complaint:
    """A misspelt key before the one that is missing because of it; else the one that stands first in the file."""
    found = error.errors(include_url=False)
    misspelt = [one for one in found if one["type"] == "extra_forbidden"]
    return min((_complaint(one, lines) for one in misspelt or found), key=lambda complaint: complaint.line)


def _complaint(one: Any, lines: Mapping[Path, int]) -> Complaint:
    path = tuple(part for part in one["loc"] if part not in (AS_TEXT, AS_TABLE, "[key]"))
    where, line = _dotted(path), line_of(path, lines)
    context: Mapping[str, Any] = one.get("ctx", {})
    match one["type"]:
        case "extra_forbidden":
            return _unknown_key(path, line)
        case "missing":
            return Complaint(line, f"{where} is missing", "nothing", f"a value for {where}", "")
        case "enum" if path[0] == "kind":
            hint = "this kind is not offered yet" if one["input"] in _KINDS_TO_COME else ""
            return Complaint(line, f"{where} is not a kind of room that is known", _found(one["input"]), f"one of: {', '.join(Kind)}", hint)
        case "unfit":
            return Complaint(line, f"{where} is wrong", _found(one["input"]), str(context["expected"]), str(context["hint"]))
        case "literal_error" if path == ("clipboard", "out"):
            return Complaint(line, "clipboard.out is wrong", _found(one["input"]), "false, or nothing", "nothing leaves a room by clipboard")
        case kind:
            return Complaint(line, f"{where} is wrong", _found(one["input"]), _EXPECTED.get(kind) or _expected(kind, context, one["msg"]), "")


def _expected(kind: str, context: Mapping[str, Any], message: str) -> str:
    """pydantic's own bounds, said as the other messages are."""
    if kind in _BOUNDS:
        return _BOUNDS[kind].format_map(context)
    return message[:1].lower() + message[1:]


def _unknown_key(path: Path, line: int) -> Complaint:
    known = _known_keys(path[:-1])
    close = difflib.get_close_matches(str(path[-1]), known, n=1)
    hint = f"did you mean {close[0]}?" if close else ""
    return Complaint(line, f"{_dotted(path)} is not known", shown(str(path[-1])), f"one of: {', '.join(known)}", hint)


def _known_keys(path: Path) -> Sequence[str]:
    model: type[BaseModel] = RoomFile
    for part in path:
        if isinstance(part, str) and (found := next((field.annotation for name, field in model.model_fields.items() if name == part), None)) is not None:
            model = next(iter(_models_in(found)), model)
    return [field.alias or name for name, field in model.model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _dotted(path: Path) -> str:
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{shown(part)}" for part in path).removeprefix(".") or "the file"


def _found(value: object) -> str:
    match value:
        case str():
            return f'"{shown(value)}"'
        case bool():
            return str(value).lower()
        case int() | float():
            return shown(str(value))
        case list():
            return "a list" if value else "an empty list"
        case dict():
            return "a table"
        case _:
            return f"a {type(value).__name__}"
