"""`sekisho image`: what rooms run. Lists the definitions, builds one, says what is in it."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from sekisho.runtime import images
from sekisho.runtime.image_sources import machine_sources
from sekisho.settings import DEFAULT_STATE, read_settings

app = typer.Typer(help="What rooms run: list, build and inspect images.", no_args_is_help=True)

_State = Annotated[Path, typer.Option("--state", help="The installation's folder; its settings say where images are kept.")]
_Json = Annotated[bool, typer.Option("--json", help="For scripts.")]
_Name = Annotated[str, typer.Argument(help="The image's name, as a room file has it.")]


@app.command("list")
def list_images(state: _State = DEFAULT_STATE, as_json: _Json = False) -> None:
    """The images that have a definition, and what is built of them."""
    cache = read_settings(state).runtime.images
    found = [_listed(images.definition(name), images.installed(name, cache)) for name in images.names()]
    if as_json:
        _print_json({"images": found})
        return
    table = Table("Image", "Built", "Size", "Digest", "What it is")
    for row in found:
        built = str(row["built_at"] or "not yet")[:10] + (" (definition changed)" if row["built_at"] and not row["is_current"] else "")
        table.add_row(str(row["name"]), built, _size(row["size_bytes"]), str(row["digest"] or "")[:16], str(row["description"]))
    Console().print(table)


@app.command()
def build(
    name: _Name,
    state: _State = DEFAULT_STATE,
    fresh: Annotated[bool, typer.Option("--fresh", help="Build again although the definition has not changed: that is how security updates get in.")] = False,
    as_json: _Json = False,
) -> None:
    """Build an image with mmdebstrap, as root. At once if it is built already."""
    definition = images.definition(name)
    cache = read_settings(state).runtime.images
    built = images.build(definition, cache=cache, sources=machine_sources(definition.recipe.suite), progress=_tell, fresh=fresh)
    if as_json:
        _print_json(_facts(built))
    else:
        print(f"{built.name} {built.digest} {_size(built.size_bytes)}, {len(built.packages)} packages")


@app.command()
def inspect(name: _Name, state: _State = DEFAULT_STATE, as_json: _Json = False) -> None:
    """What is in a built image, and whether its bytes are still those of its digest."""
    built = images.require(name, read_settings(state).runtime.images)
    is_whole = images.verify(built.path, built.digest)
    if as_json:
        _print_json({**_facts(built), "is_whole": is_whole})
    else:
        print(f"name      {built.name}\ndigest    {built.digest}\nfile      {built.path}\nsize      {_size(built.size_bytes)}\nbuilt     {built.built_at}")
        print(f"whole     {'yes' if is_whole else 'NO: the file is not what its name says; build it again'}\npackages  {len(built.packages)}")
        print("".join(f"  {package}\n" for package in built.packages), end="")
    if not is_whole:
        raise typer.Exit(1)


def _listed(definition: images.ImageDefinition, built: images.BuiltImage | None) -> dict[str, object]:
    return {
        "name": definition.name,
        "description": definition.description,
        "digest": built.digest if built else None,
        "size_bytes": built.size_bytes if built else None,
        "built_at": built.built_at if built else None,
        "is_current": built is not None and built.definition == definition.digest,
    }


def _facts(built: images.BuiltImage) -> dict[str, object]:
    return {
        "name": built.name,
        "digest": built.digest,
        "path": str(built.path),
        "size_bytes": built.size_bytes,
        "built_at": built.built_at,
        "packages": list(built.packages),
    }


def _tell(line: str) -> None:
    """mmdebstrap's own steps; what apt and dpkg say is for the error message alone."""
    if line.startswith(("I: ", "another build")):
        print(line.removeprefix("I: "), file=sys.stderr)


def _size(size_bytes: object) -> str:
    return f"{size_bytes / 1e6:.0f} MB" if isinstance(size_bytes, int) else ""


def _print_json(value: Mapping[str, object]) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=1))
