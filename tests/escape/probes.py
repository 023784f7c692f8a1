"""Runs inside a room, out of /data: the attempts to get out of it or into another. Standard library only.

`probes.py NAME [ARGUMENT...]` makes one attempt and prints one line: `refused: how` or `BREACH: what came of it`. `probes.py --all FACTS` makes each
attempt that needs nothing but the facts, in a child of its own, and prints `NAME: line` for each; `--all-on-screen FACTS` each of those that are made on a
desktop. `--list` and `--list-on-screen` print their names.
"""

import os
import signal
import sys
from pathlib import Path

from attempts import (  # noqa: F401  each registers its attempts
    bombs,
    escalation,
    files,
    kernel,
    listeners,
    namespaces,
    network,
    others,
    processes,
    screen,
    screen_bombs,
    screen_doors,
    screen_spying,
)
from attempts.attempt import ATTEMPTS, Breach, Facts, say
from attempts.x11 import Display

SECONDS = 10


def outcome(name, arguments):
    try:
        if ATTEMPTS[name].wants_display:
            arguments = [Display(), *arguments]
        return f"refused: {ATTEMPTS[name].act(*arguments)}"
    except Breach as breach:
        return f"BREACH: {breach}"
    except Exception as error:  # noqa: BLE001  an attempt that went wrong has shown nothing, and must not pass for a refusal
        return f"BREACH? the attempt itself failed: {type(error).__name__}: {error}"


def in_a_child(name, facts):
    """One attempt in a process of its own: some kill whoever makes them."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        os.write(write, outcome(name, [facts] if "facts" in ATTEMPTS[name].wants else []).encode()[:4000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        found = answer.read().decode(errors="replace")
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return found or f"BREACH? the attempt died with {status}"


def names(*, on_screen):
    return [name for name, attempt in ATTEMPTS.items() if not attempt.wants_arguments and attempt.wants_display == on_screen]


def make_all(facts, *, on_screen):
    told = Facts.parse(Path(facts).read_text())
    for name in names(on_screen=on_screen):
        say(f"{name}: {in_a_child(name, told)}")


def main():
    match sys.argv[1:]:
        case ["--list"]:
            say("\n".join(names(on_screen=False)))
        case ["--list-on-screen"]:
            say("\n".join(names(on_screen=True)))
        case ["--all", facts]:
            make_all(facts, on_screen=False)
        case ["--all-on-screen", facts]:
            make_all(facts, on_screen=True)
        case [name, *arguments]:
            say(outcome(name, arguments))


if __name__ == "__main__":
    main()
