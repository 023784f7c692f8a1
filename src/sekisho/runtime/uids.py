"""Uid ranges: one block of 65,536 for each session, leased machine-wide, clear of /etc/subuid's usual ranges, and not given again before
its clean-up was checked.

A lease is a file in a folder that every installation on the machine shares; creating it exclusively is the lease, removing it the return.
The folder lies on /run, so a
reboot, which ends every session, also ends every lease.
"""

import os
from pathlib import Path

from sekisho.model.errors import Trouble

FIRST = 2_000_000_000
SIZE = 65_536
BLOCKS = 2_000
FOLDER = Path("/run/sekisho-uids")
PERSON = 1_000  # within a block
STAGER = 65_000
SCREEN = 65_001


def lease(owner: str, *, folder: Path = FOLDER) -> int:
    """The first uid of a block that nobody else has. `owner` names installation and session, for people who look."""
    folder.mkdir(mode=0o700, exist_ok=True)
    start = int.from_bytes(owner.encode()[-4:], "big") % BLOCKS
    named = folder / f".{owner.replace('/', '-')}"
    named.write_text(owner, encoding="ascii")
    try:
        for step in range(BLOCKS):
            block = (start + step) % BLOCKS
            try:
                os.link(named, folder / str(block))  # whole or not there: a lease always names its owner
            except FileExistsError:
                continue
            return FIRST + block * SIZE
    finally:
        named.unlink()
    raise Trouble("no-uid-range", f"all {BLOCKS} uid ranges of this machine are leased", hint="end sessions, or look into " + str(folder))


def give_back(base: int, owner: str, *, folder: Path = FOLDER) -> None:
    """Return a block. What another owner holds is left alone."""
    path = folder / str((base - FIRST) // SIZE)
    try:
        if path.read_text(encoding="ascii") == owner:
            path.unlink()
    except FileNotFoundError:
        return


def leased_by(prefix: str, *, folder: Path = FOLDER) -> dict[str, int]:
    """Owner -> first uid, of the leases whose owner starts with `prefix`."""
    found = {}
    for path in folder.glob("[0-9]*"):
        try:
            owner = path.read_text(encoding="ascii")
        except FileNotFoundError:
            continue
        if owner.startswith(prefix):
            found[owner] = FIRST + int(path.name) * SIZE
    return found
