"""C2SP tlog checkpoints: the signed note that says how long the log is and what its root is. No I/O.

The text is `origin\\nsize\\nbase64(root)\\n`. Extension lines are legal and ignored; we write none. https://c2sp.org/tlog-checkpoint
"""

import base64
import re
from dataclasses import dataclass

from sekisho.audit.note import MalformedNote, SigningKey, Verifier, from_base64, open_note, render_note
from sekisho.audit.tree import HASH_BYTES

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
LARGEST_SIZE = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> bytes:
    """The bytes of the file `checkpoint`."""
    return render_note(checkpoint.text, [key.sign(checkpoint.text)])


def parse_checkpoint_text(text: str) -> Checkpoint:
    """Raises MalformedNote."""
    origin, size, root, *extensions = text.removesuffix("\n").split("\n") if text.count("\n") >= 3 else ("", "", "")
    if not origin:
        raise MalformedNote("a checkpoint has an origin, a size and a root")
    if not _SIZE.fullmatch(size) or int(size) > LARGEST_SIZE:
        raise MalformedNote("the size is no decimal number without leading zeros")
    found = from_base64(root)
    if len(found) != HASH_BYTES:
        raise MalformedNote("the root is no SHA-256 hash")
    if "" in extensions:
        raise MalformedNote("an empty extension line")
    return Checkpoint(origin, int(size), found)


def open_checkpoint(unverified: bytes, verifier: Verifier) -> Checkpoint:
    """The checkpoint that `verifier` signed for the log of its own name. Raises MalformedNote, UnverifiedNote."""
    checkpoint = parse_checkpoint_text(open_note(unverified, verifier))
    if checkpoint.origin != verifier.name:
        raise MalformedNote(f"a checkpoint of {checkpoint.origin[:80]!r}, not of {verifier.name!r}")
    return checkpoint
