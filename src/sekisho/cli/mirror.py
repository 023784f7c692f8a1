"""A copy of a published log, fetched file by file from a portal, to be verified here. What it holds is believed by nobody before that."""

from pathlib import Path

from sekisho.audit.checkpoint import parse_checkpoint_text
from sekisho.audit.note import MalformedNote, parse_note
from sekisho.audit.published import CHECKPOINT
from sekisho.audit.tiles import edge_places, full_places
from sekisho.cli.portal import Portal
from sekisho.model.errors import Trouble

_TRIES = 5  # a file that is not full yet goes when the log has grown; then there is a newer checkpoint


def mirror_log(portal: Portal, folder: Path) -> None:
    """Raises Trouble if the portal does not give a whole set of files."""
    for _ in range(_TRIES):
        checkpoint = portal.fetch(f"/api/log/files/{CHECKPOINT}")
        if checkpoint is None:
            break
        places = [*full_places(size := _size(checkpoint)), *edge_places(size)]
        if all(_copy(portal, folder, place.path) for place in places):
            (folder / CHECKPOINT).write_bytes(checkpoint)
            return
    raise Trouble("log-not-whole-here", f"{portal.url} does not give all files of its log", hint="the same again; if it stays so, the log is not whole")


def _copy(portal: Portal, folder: Path, path: str) -> bool:
    target = folder / path
    if target.exists():
        return True
    content = portal.fetch(f"/api/log/files/{path}")
    if content is None:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return True


def _size(checkpoint: bytes) -> int:
    try:
        return parse_checkpoint_text(parse_note(checkpoint).text).size
    except MalformedNote as error:
        raise Trouble("checkpoint-malformed", f"the log's checkpoint is none: {error}", hint="is this a Sekisho portal?") from error
