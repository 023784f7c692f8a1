"""Writes the reference pages under docs/reference/ from the code, or with --check says which of them are no longer true."""

import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from sekisho.cli.main import app as command_line
from sekisho.model.event import EventKind
from sekisho.model.reasons import SENTENCES, Reason
from sekisho.portal.app import routers
from sekisho.sessions.roomfile import room_schema
from sekisho.sessions.states import render_states_page
from sekisho.settings import Settings

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
_MEMBER = re.compile(r'(?P<name>[A-Z_]+) = "(?P<value>[^"]+)"(?:  #(?: noqa: \w+)? *(?P<comment>.*))?')
_BRACKETS = {"one": "[{}]", "list": "[[{}]]", "names": "[{}.NAME]"}  # as TOML has them
_GROUP = re.compile(r"# (?P<title>.+)")


def pages() -> dict[str, str]:
    """File name to content."""
    return {
        "api.md": api_page(),
        "cli.md": command_line_page(),
        "events.md": events_page(),
        "reasons.md": reasons_page(),
        "room-file.md": schema_page("Room files", "src/sekisho/sessions/roomfile/shape.py", room_schema()),
        "room-file.schema.json": json.dumps(room_schema(), indent=1, ensure_ascii=False, default=str) + "\n",
        "settings.md": schema_page("Settings: sekisho.toml", "src/sekisho/settings.py", Settings.model_json_schema(by_alias=True)),
        "states.md": render_states_page(),
    }


def page(title: str, source: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", f"Produced from `{source}`. Do not edit.", *filter(None, (part.strip("\n") for part in parts))]) + "\n"


def table(*head: str, rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines)


def reasons_page() -> str:
    rows = [(f"`{reason.value}`", SENTENCES[reason]) for reason in Reason]
    return page("Reasons", "src/sekisho/model/reasons.py", "The same word stands in the answer, in the log and here.", table("reason", "sentence", rows=rows))


def events_page() -> str:
    """The enumeration's own grouping comments are the headings."""
    parts: list[str] = []
    rows: list[tuple[str, ...]] = []
    for line in map(str.strip, inspect.getsource(EventKind).splitlines()):
        if group := _GROUP.fullmatch(line):
            parts, rows = [*parts, *_events(rows), f"## {group['title'].capitalize()}"], []
        elif member := _MEMBER.fullmatch(line):
            comment = member["comment"] or ""
            rows.append((f"`{member['value']}`", "" if comment.startswith(("a kind of event", "noqa")) else comment))
    return page("Events", "src/sekisho/model/event.py", "The `kind` of an entry in the audit log. Refusals are events too.", *parts, *_events(rows))


def _events(rows: list[tuple[str, ...]]) -> list[str]:
    return [table("kind", "when", rows=rows)] if rows else []


def schema_page(title: str, source: str, schema: Mapping[str, Any]) -> str:
    return page(title, source, str(schema.get("description", "")), *_sections(schema, schema.get("$defs", {}), "", ""))


def _sections(schema: Mapping[str, Any], definitions: Mapping[str, Any], path: str, about: str) -> Iterator[str]:
    """A table of an object's own keys, then a section for each object below it. `path` as TOML has it in brackets."""
    required = schema.get("required", [])
    rows: list[tuple[str, ...]] = []
    below: list[tuple[str, Mapping[str, Any], str]] = []
    for key, value in schema.get("properties", {}).items():
        inner, bracket = _object_below(value, definitions)
        if inner is not None:
            dotted = f"{path.strip('[]')}.{key}" if path else key
            below.append((_BRACKETS[bracket].format(dotted), inner, value.get("description", inner.get("description", ""))))
        else:
            default = "required" if key in required else _shown(value.get("default"))
            rows.append((f"`{key}`", _form(value, definitions), default, str(value.get("description", ""))))
    if path:
        yield f"## `{path}`"
        yield about
    if rows:
        yield table("key", "form", "default", "what it is", rows=rows)
    for name, inner, description in below:
        yield from _sections(inner, definitions, name, description)


def _shown(default: object) -> str:
    return "" if default is None else f"`{json.dumps(default, default=str)}`"


def _object_below(value: Mapping[str, Any], definitions: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str]:
    """The object that a key holds, or holds a list of, or holds by names of their own; and which of them."""
    for arm in (value, *value.get("anyOf", ()), *value.get("allOf", ())):
        target = _resolved(arm, definitions)
        if "properties" in target:
            return target, "one"
        for inner, holds in ((target.get("items", {}), "list"), (_each(target), "names")):
            if "properties" in _resolved(inner, definitions):
                return _resolved(inner, definitions), holds
    return None, ""


def _each(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """What stands under each of the names of a table that has no keys of its own."""
    found = table.get("additionalProperties") or next(iter(table.get("patternProperties", {}).values()), {})
    return found if isinstance(found, dict) else {}


def _resolved(value: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    return definitions[value["$ref"].rpartition("/")[2]] if "$ref" in value else value


def _form(value: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """What a key may hold, in words."""
    found = _resolved(value, definitions)
    arms = [arm for arm in found.get("anyOf", found.get("oneOf", ())) if arm.get("type") != "null"]
    choices = found.get("enum", [found["const"]] if "const" in found else [])
    if arms or choices:
        return " or ".join([*(_form(arm, definitions) for arm in arms), *(f"`{json.dumps(each)}`" for each in choices)])
    match found.get("type"):
        case "array":
            return f"list of {_form(found.get('items', {}), definitions)}"
        case "object":
            return _table_form(found, definitions)
        case kind:
            examples = "".join(f", such as `{json.dumps(example)}`" for example in found.get("examples", [])[:1])
            return f"{found.get('format') or kind or 'anything'}{examples}"


def _table_form(found: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "properties" in found:
        return "table of " + ", ".join(f"`{key}`" for key in found["properties"])
    return f"table of names to {_form(_each(found), definitions)}"


def api_page() -> str:
    described = FastAPI()
    for router in routers():
        described.include_router(router)
    schema = get_openapi(title="Sekisho", version="1", routes=described.routes)
    parts = []
    values = schema.get("components", {}).get("schemas", {})
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            parts += [f"## {method.upper()} {path}", *_operation(operation, values)]
    parts.append("## Values")
    for name, value in values.items():
        if rows := [(f"`{key}`", _json_form(form, values), str(form.get("description", ""))) for key, form in value.get("properties", {}).items()]:
            parts += [f"### {name}", str(value.get("description", "")), table("key", "form", "what it is", rows=rows)]
    about = "JSON. `Authorization: Bearer TOKEN`. A refusal is 403 (401: not signed in) with `reason`, `sentence` and `facts`; what is malformed is 422."
    return page("HTTP API", "src/sekisho/portal/api", about, *parts)


def _operation(operation: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    if description := operation.get("description") or operation.get("summary"):
        yield str(description)
    if parameters := [(f"`{each['name']}`", each["in"], _json_form(each["schema"], values)) for each in operation.get("parameters", [])]:
        yield table("parameter", "in", "form", rows=parameters)
    if body := _content(operation.get("requestBody", {})):
        yield f"Body: {_json_form(body, values)}"
    for status, answer in operation.get("responses", {}).items():
        if status.startswith("2") and (content := _content(answer)):
            yield f"Answer {status}: {_json_form(content, values)}"


def _content(holder: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = holder.get("content", {}).get("application/json", {}).get("schema")
    return found


def _json_form(value: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """As `_form`, but an object is a link to its own table."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        if values[name].get("properties"):
            return f"[{name}](#{name.lower()})"
        return "an object without keys" if values[name].get("type") == "object" else _form(values[name], values)
    if value.get("type") == "array":
        return f"list of {_json_form(value.get('items', {}), values)}"
    arms = [_json_form(arm, values) for arm in value.get("anyOf", ())]
    return " or ".join(arms) if arms else _form(value, values)


def command_line_page() -> str:
    root = typer.main.get_command(command_line)
    return page("Command line", "src/sekisho/cli", *_commands(root, "sekisho"))


def _commands(command: Any, path: str) -> Iterator[str]:
    """A section for each command, in the order of `--help`."""
    if hasattr(command, "commands"):
        yield inspect.cleandoc(command.help or "")
        for name, inner in command.commands.items():
            yield from _commands(inner, f"{path} {name}")
        return
    arguments = [each.name.upper() if each.required else f"[{each.name.upper()}]" for each in command.params if each.param_type_name == "argument"]
    yield f"## {' '.join([path, *arguments])}"
    yield inspect.cleandoc(command.help or "")
    options = [(f"`{', '.join(each.opts)}`", _option_default(each), each.help or "") for each in command.params if each.param_type_name == "option"]
    if options:
        yield table("option", "default", "what it does", rows=options)


def _option_default(option: Any) -> str:
    return "" if option.default in (None, False, (), "") or callable(option.default) else f"`{option.default}`"


def main() -> int:
    made = pages()
    if "--check" in sys.argv[1:]:
        stale = [name for name, content in made.items() if not (FOLDER / name).is_file() or (FOLDER / name).read_text() != content]
        print(f"no longer true: {', '.join(stale)}; try: make docs" if stale else f"{len(made)} reference pages are true")
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, content in made.items():
        (FOLDER / name).write_text(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
