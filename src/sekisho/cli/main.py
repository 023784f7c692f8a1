"""`sekisho`: puts the commands together. Each module of this package that has commands registers its own; here is only how they all begin and end.

Exit codes: 0 done, 1 refused or trouble, 2 the command was not understood.
"""

import sys
from collections.abc import Sequence

import typer

from sekisho.cli import log, machine, people, requests, sessions
from sekisho.cli.portal import Refused
from sekisho.cli.showing import tell
from sekisho.model.errors import Trouble

app = typer.Typer(
    name="sekisho",
    help="Virtual secure rooms that you run yourself: ask, approve, enter, and see that everything was destroyed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for part in (people, requests, sessions, log, machine):
    part.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    try:
        app(args=arguments)
    except Refused as refusal:
        tell(f"Refused ({refusal.reason}): {refusal.sentence}")
        sys.exit(1)
    except Trouble as trouble:
        tell(f"sekisho: {trouble.what}{f'; expected {trouble.expected}' if trouble.expected else ''}{f'; found {trouble.found}' if trouble.found else ''}.")
        if trouble.hint:
            tell(f"Try: {trouble.hint}")
        sys.exit(1)
