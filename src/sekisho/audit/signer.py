"""The signer: the only place that uses the log's key. It remembers what it signed last and signs nothing that does not continue it."""

from collections.abc import Sequence

from sekisho.audit.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from sekisho.audit.durable import Folder
from sekisho.audit.note import SigningKey
from sekisho.audit.tree import EMPTY_ROOT, is_consistent
from sekisho.model.errors import Trouble

SIGNED = "signed"  # the signer's memory: the last note it signed


class Signer:
    """`unverified_last` is the content of the file `SIGNED`, or None if it never signed. Raises MalformedNote or UnverifiedNote if that is not its own."""

    def __init__(self, key: SigningKey, folder: Folder, *, unverified_last: bytes | None) -> None:
        self._key = key
        self._folder = folder
        self.last = None if unverified_last is None else open_checkpoint(unverified_last, key.verifier)

    @property
    def signed_size(self) -> int:
        return self.last.size if self.last else 0

    def sign(self, *, size: int, root: bytes, proof: Sequence[bytes]) -> bytes:
        """The checkpoint's note, remembered before it is given. `proof` shows that the tree continues the one of `signed_size`.
        Raises Trouble `log-inconsistent`."""
        old_root = self.last.root if self.last else EMPTY_ROOT
        if not is_consistent(old_size=self.signed_size, old_root=old_root, size=size, root=root, proof=proof):
            raise Trouble("log-inconsistent", f"a tree of size {size} does not continue the one of size {self.signed_size} that was signed")
        checkpoint = Checkpoint(self._key.name, size, root)
        note = sign_checkpoint(checkpoint, self._key)
        self._folder.put(SIGNED, note)
        self._folder.settle()
        self.last = checkpoint
        return note
