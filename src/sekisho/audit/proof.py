"""C2SP tlog-proof@v1: a file that shows, with nothing but the log's verifier key, that one entry is in the log. No I/O.

Header, `index N`, the inclusion proof's hashes from the leaf up, an empty line, the checkpoint. https://c2sp.org/tlog-proof
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sekisho.audit.checkpoint import Checkpoint, open_checkpoint
from sekisho.audit.note import LIMIT_BYTES, MalformedNote, UnverifiedNote, Verifier, from_base64
from sekisho.audit.tree import HASH_BYTES, is_included, leaf_hash

HEADER = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})", re.ASCII)
_LONGEST_PATH = 63


@dataclass(frozen=True, slots=True)
class UnverifiedProof:
    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes


def render_proof(*, index: int, path: Sequence[bytes], checkpoint: bytes) -> bytes:
    hashes = "".join(base64.b64encode(found).decode() + "\n" for found in path)
    return f"{HEADER}\nindex {index}\n{hashes}\n".encode() + checkpoint


def parse_proof(unverified: bytes) -> UnverifiedProof:
    """Raises MalformedNote. An `extra` line is legal and ignored."""
    if len(unverified) > 2 * LIMIT_BYTES:
        raise MalformedNote("longer than a proof may be")
    head, parted, checkpoint = unverified.partition(b"\n\n")
    try:
        lines = head.decode().split("\n")
    except UnicodeDecodeError as error:
        raise MalformedNote("not UTF-8") from error
    if not parted or lines.pop(0) != HEADER:
        raise MalformedNote("not a tlog-proof@v1")
    if lines and lines[0].startswith("extra "):
        from_base64(lines.pop(0).removeprefix("extra "))
    index = _INDEX.fullmatch(lines[0]) if lines else None
    if index is None:
        raise MalformedNote("no index")
    return UnverifiedProof(int(index[1]), _path(lines[1:]), checkpoint)


def verify_proof(unverified: bytes, entry: bytes, verifier: Verifier) -> Checkpoint:
    """The checkpoint under which `entry` is in the log. Raises MalformedNote, UnverifiedNote."""
    proof = parse_proof(unverified)
    checkpoint = open_checkpoint(proof.checkpoint, verifier)
    if not is_included(entry_hash=leaf_hash(entry), index=proof.index, size=checkpoint.size, proof=proof.path, root=checkpoint.root):
        raise UnverifiedNote(f"the proof does not lead from this entry to the root at size {checkpoint.size}")
    return checkpoint


def _path(lines: Sequence[str]) -> tuple[bytes, ...]:
    if len(lines) > _LONGEST_PATH:
        raise MalformedNote("more hashes than a proof may have")
    path = tuple(from_base64(line) for line in lines)
    if any(len(found) != HASH_BYTES for found in path):
        raise MalformedNote("a hash that is no SHA-256")
    return path
