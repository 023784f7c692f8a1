"""The publisher: writes tiles, bundles and the signed checkpoint that covers them, in that order, each durable before the next.

Full tiles are written once and never again. The partial ones of a tile are kept until it is full, so that a reader of an older checkpoint finds them.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

from sekisho.audit.durable import Folder
from sekisho.audit.growth import Growth, PlacedFile
from sekisho.audit.published import CHECKPOINT, PublishedLog
from sekisho.audit.signer import Signer
from sekisho.audit.tiles import Place
from sekisho.audit.tree import consistency_proof


class Publisher:
    """`growth` stands at the size of the sequencer's store; `filled` are full files of it that are not on disk yet."""

    def __init__(self, directory: Path, *, folder: Folder, signer: Signer, growth: Growth, filled: Iterable[PlacedFile]) -> None:
        self._directory = directory
        self._folder = folder
        self._signer = signer
        self._growth = growth
        self._filled = list(filled)

    def take(self, entries: Iterable[bytes]) -> None:
        """Entries that are durable in the store, in order. They are published by the next `publish`."""
        for entry in entries:
            self._filled += self._growth.append(entry)

    def publish(self) -> None:
        """Write what is not yet published and a checkpoint over all of it."""
        filled, self._filled = self._filled, []
        for file in [*filled, *self._growth.edge_files()]:
            self._folder.put_new(file.place.path, file.content)
        self._folder.settle()
        self._folder.put(CHECKPOINT, self._signed())
        self._folder.settle()
        for file in filled:
            remove_partials(self._directory, file.place)

    def _signed(self) -> bytes:
        size = self._growth.size
        node = PublishedLog(self._directory).node(size)
        proof = consistency_proof(self._signer.signed_size, size, node)
        return self._signer.sign(size=size, root=self._growth.root(), proof=proof)


def remove_partials(directory: Path, full: Place) -> None:
    """Remove what stood for a tile before it was full."""
    folder = directory / f"{full.path}.p"
    if folder.is_dir():
        shutil.rmtree(folder)
