"""Runs vulture and shows what nobody uses, the tests not counted.

Two things it can't see by itself: a template uses what it names, and a field of a dataclass or model is part of a value's form: other processes,
scripts and the log read it by name.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from vulture import Vulture

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
_NAMES = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXPRESSIONS = re.compile(r"{[{%].*?[}%]}", re.DOTALL)


def names_in_templates() -> set[str]:
    """What Jinja's expressions name."""
    return {name for path in SOURCE.rglob("*.html") for expression in _EXPRESSIONS.findall(path.read_text()) for name in _NAMES.findall(expression)}


def fields(path: Path) -> Iterator[tuple[str, int]]:
    """(name, line) of annotated names in class bodies, and of the members of enumerations: a closed set is whole even where one is not made yet."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ClassDef):
            continue
        is_enumeration = any("Enum" in ast.unparse(base) for base in node.bases)
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                yield statement.target.id, statement.lineno
            elif is_enumeration and isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                yield statement.targets[0].id, statement.lineno


def main() -> int:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["vulture"]
    vulture = Vulture(ignore_names=settings["ignore_names"], ignore_decorators=settings["ignore_decorators"])
    vulture.scavenge([str(ROOT / path) for path in settings["paths"]])
    used = names_in_templates()
    found = 0
    for item in vulture.get_unused_code(min_confidence=settings["min_confidence"]):
        if item.name in used or (item.typ == "variable" and (item.name, item.first_lineno) in set(fields(Path(item.filename)))):
            continue
        print(item.get_report())
        found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
