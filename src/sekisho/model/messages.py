"""A strict JSON form for frozen dataclasses: how Sekisho's processes speak to one another over Unix sockets.

A message is a dataclass with a class variable `VERB`. `render` gives `{"verb": VERB, ...fields}`; `parse` accepts exactly one of the given
classes: an unknown verb, an unknown or missing field, or a value of another type is `MalformedMessage`. Fields may be str, int, float,
bool, None, tuples of those, other dataclasses, or unions with None.
"""

import json
import types
from collections.abc import Hashable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, ClassVar, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

LIMIT_BYTES = 131_072


class MalformedMessage(ValueError):
    """The bytes are not one of the messages that were expected."""


class Message(Protocol):
    VERB: ClassVar[str]


M = TypeVar("M")


def render(message: Message) -> bytes:
    """The bytes of a message, at most `LIMIT_BYTES`; more is a bug of the caller."""
    encoded = json.dumps({"verb": message.VERB, **_plain(message)}, separators=(",", ":"), ensure_ascii=False).encode()
    assert len(encoded) <= LIMIT_BYTES, f"a {message.VERB} message of {len(encoded)} bytes"
    return encoded


def parse(unverified: bytes, family: tuple[type[M], ...]) -> M:
    """The message of one of the classes of `family`. Raises MalformedMessage for anything else."""
    if len(unverified) > LIMIT_BYTES:
        raise MalformedMessage("too long")
    try:
        found = json.loads(unverified)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage("not JSON") from error
    if not isinstance(found, dict):
        raise MalformedMessage("not an object")
    verb = found.pop("verb", None)
    for kind in family:
        if getattr(kind, "VERB", None) == verb:
            return _object(kind, found)
    raise MalformedMessage(f"unknown verb {str(verb)[:40]!r}")


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    return get_type_hints(kind)


def _object(kind: type[M], found: dict[str, Any]) -> M:
    hints = _hints(kind)  # type: ignore[arg-type]  # mypy: a type variable of class is not known to be hashable
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]  # every message is a dataclass
    if extra := found.keys() - known.keys():
        raise MalformedMessage(f"unknown field {min(extra)[:40]!r}")
    values = {}
    for name, field in known.items():
        if name in found:
            values[name] = _value(hints[name], found[name], name)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise MalformedMessage(f"missing field {name!r}")
    return kind(**values)


def _value(hint: Any, found: Any, name: str) -> Any:
    origin = get_origin(hint)
    if origin in (types.UnionType, Union):
        return _optional(hint, found, name)
    if origin is tuple:
        if not isinstance(found, list):
            raise MalformedMessage(f"{name!r} is not a list")
        return tuple(_value(get_args(hint)[0], item, name) for item in found)
    if is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(found, dict):
            raise MalformedMessage(f"{name!r} is not an object")
        return _object(hint, found)
    return _scalar(hint, found, name)


def _optional(hint: Any, found: Any, name: str) -> Any:
    if found is None:
        return None
    (inner,) = (arm for arm in get_args(hint) if arm is not type(None))
    return _value(inner, found, name)


def _scalar(hint: Any, found: Any, name: str) -> Any:
    if hint is float and type(found) is int:
        return float(found)
    if type(found) is hint:
        return found
    if isinstance(hint, type) and issubclass(hint, str) and isinstance(found, str):
        try:
            return hint(found)
        except ValueError as error:
            raise MalformedMessage(f"{name!r} is none of {hint.__name__}") from error
    raise MalformedMessage(f"{name!r} is not {getattr(hint, '__name__', hint)}")
