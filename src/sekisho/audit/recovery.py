"""What the audit process does before it serves: database, tiles, checkpoint and the signer's memory must tell one story, or it does not start.

Every entry of the database is hashed again (some microseconds each). What a crash may have left is mended: files that are written but not covered by
a checkpoint are kept if they are right, missing ones beyond the checkpoint are written, partial tiles beside their full one are removed.
"""

from dataclasses import dataclass
from pathlib import Path

from sekisho.audit.checkpoint import Checkpoint
from sekisho.audit.growth import Growth, PlacedFile
from sekisho.audit.published import PublishedLog, published_files
from sekisho.audit.publisher import remove_partials
from sekisho.audit.sequencer import Sequencer
from sekisho.audit.tiles import is_beginning, width_at
from sekisho.audit.tree import TILE_WIDTH
from sekisho.model.errors import Trouble


class LogDisagrees(Trouble):
    """The parts of the log do not tell one story: it was altered, or a part was restored from an older copy."""

    def __init__(self, what: str) -> None:
        hint = "keep the directory as it is for an auditor, run `sekisho verify`, and restore all parts from the newest copy"
        super().__init__("log-disagrees", what, hint=hint)


@dataclass(frozen=True, slots=True)
class Recovered:
    growth: Growth  # at the size of the database
    filled: list[PlacedFile]  # full files that are to be written


def recover(directory: Path, sequencer: Sequencer, *, published: Checkpoint | None, signed: Checkpoint | None) -> Recovered:
    """Raises LogDisagrees."""
    _check_sizes(sequencer.size, published, signed)
    log = PublishedLog(directory)
    growth = Growth()
    filled: list[PlacedFile] = []
    covered = published.size if published else 0
    sizes = {checkpoint.size for checkpoint in (published, signed) if checkpoint}
    _check_at(growth, log, published, signed)
    for index, entry in sequencer.entries():
        if index != growth.size:
            raise LogDisagrees(f"the database has no entry {growth.size}")
        files = growth.append(entry)
        filled += [file for file in files if not _is_written(log, file, is_needed=growth.size <= covered)]
        if growth.size in sizes:
            _check_at(growth, log, published, signed)
    _check_files(directory, log, growth)
    return Recovered(growth, filled)


def _check_sizes(stored: int, published: Checkpoint | None, signed: Checkpoint | None) -> None:
    signed_size = signed.size if signed else 0
    published_size = published.size if published else 0
    if stored < signed_size:
        raise LogDisagrees(f"the database has {stored} entries, and {signed_size} were signed")
    if signed_size < published_size or (published and not signed):
        raise LogDisagrees(f"the checkpoint is of size {published_size}, and the signer knows of {signed_size} only")


def _check_at(growth: Growth, log: PublishedLog, published: Checkpoint | None, signed: Checkpoint | None) -> None:
    for what, checkpoint in (("checkpoint", published), ("signer's last note", signed)):
        if checkpoint and checkpoint.size == growth.size and checkpoint.root != growth.root():
            raise LogDisagrees(f"the database's first {growth.size} entries do not give the root of the {what}")
    if published and published.size == growth.size:
        for file in growth.edge_files():
            _is_written(log, file, is_needed=True)


def _is_written(log: PublishedLog, file: PlacedFile, *, is_needed: bool) -> bool:
    found = log.file(file.place)
    if found is None and is_needed:
        raise LogDisagrees(f"{file.place.path} is missing")
    if found is not None and found != file.content:
        raise LogDisagrees(f"{file.place.path} is not what the database gives")
    return found is not None


def _check_files(directory: Path, log: PublishedLog, growth: Growth) -> None:
    """Every published file belongs to a log of this size, and a partial one is the beginning of its tile."""
    edge = {file.place.full: file.content for file in growth.edge_files()}
    for path, place in published_files(directory):
        if place is None or place.width > width_at(place, growth.size):
            raise LogDisagrees(f"{path} does not belong to a log of {growth.size} entries")
        if place.width == TILE_WIDTH:
            continue
        if place.full not in edge:
            remove_partials(directory, place.full)
        elif not is_beginning(log.file(place) or b"", place, edge[place.full]):
            raise LogDisagrees(f"{path} is not what the database gives")
