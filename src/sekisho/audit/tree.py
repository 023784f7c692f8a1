"""The Merkle tree of RFC 6962 §2.1: hashes, roots, proofs, and the right edge of a growing tree. Pure.

A leaf is SHA-256(0x00 ‖ entry), a node SHA-256(0x01 ‖ left ‖ right), the root of no entries SHA-256 of nothing. Proofs are verified by the
iterative algorithms of RFC 9162 §2.1.3.2 and §2.1.4.2. Tiles are those of C2SP tlog-tiles: 256 hashes wide, tile level L holds
the hashes of full subtrees of 256**L entries.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

HASH_BYTES = 32
TILE_WIDTH = 256
EMPTY_ROOT = sha256(b"").digest()

Node = Callable[[int, int], bytes]
"""Gives the hash of the complete subtree at (level, index): it covers entries index * 2**level up to (index + 1) * 2**level."""


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def root_of_full(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of sibling hashes, one at least."""
    assert hashes
    assert len(hashes).bit_count() == 1, f"{len(hashes)} is no power of two"
    row = list(hashes)
    while len(row) > 1:
        row = [sha256(b"\x01" + row[at] + row[at + 1]).digest() for at in range(0, len(row), 2)]
    return row[0]


def root(size: int, node: Node) -> bytes:
    """The root of a tree of `size` entries."""
    return _range_hash(0, size, node) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962 §2.1.1: sibling hashes from the leaf up. `0 <= index < size`."""
    assert 0 <= index < size
    low, high, path = 0, size, []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_range_hash(middle, high, node))
            high = middle
        else:
            path.append(_range_hash(low, middle, node))
            low = middle
    return path[::-1]


def consistency_proof(old_size: int, size: int, node: Node) -> list[bytes]:
    """PROOF(old_size, D[size]) of RFC 6962 §2.1.2. Empty where there is nothing to prove: `old_size` 0, or equal to `size`."""
    assert 0 <= old_size <= size
    if old_size in (0, size):
        return []
    low, high, path = 0, size, []
    while high != old_size:
        middle = low + _split(high - low)
        if old_size <= middle:
            path.append(_range_hash(middle, high, node))
            high = middle
        else:
            path.append(_range_hash(low, middle, node))
            low = middle
    if low:
        path.append(_range_hash(low, high, node))
    return path[::-1]


def is_included(*, entry_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows that the leaf `entry_hash` is number `index` of the tree (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last, found = index, size - 1, entry_hash
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            found = node_hash(sibling, found)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and found == root


def is_consistent(*, old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the tree of `size` begins with the tree of `old_size` (RFC 9162 §2.1.4.2)."""
    if not 0 <= old_size <= size:
        return False
    if old_size == size:
        return not proof and old_root == root
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT
    return _is_extended(old_size, old_root, size, root, proof)


def _is_extended(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    path = [old_root, *proof] if old_size.bit_count() == 1 else list(proof)
    if not path:
        return False
    position, last = old_size - 1, size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old_found = found = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old_found, found = node_hash(sibling, old_found), node_hash(sibling, found)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and old_found == old_root and found == root


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1


def _range_hash(low: int, high: int, node: Node) -> bytes:
    """The hash of a subtree of RFC 6962's recursion, which may be incomplete on the right: complete subtrees folded from the right."""
    peaks = []
    while low < high:
        level = (high - low).bit_length() - 1
        peaks.append(node(level, low >> level))
        low += 1 << level
    return _fold(peaks)


def _fold(peaks: Sequence[bytes]) -> bytes:
    found = peaks[-1]
    for peak in reversed(peaks[:-1]):
        found = node_hash(peak, found)
    return found


@dataclass(frozen=True, slots=True)
class FullTile:
    level: int
    index: int
    hashes: tuple[bytes, ...]  # TILE_WIDTH of them


class Edge:
    """The right edge of a growing tree: at each tile level, the hashes that fill no tile yet."""

    def __init__(self) -> None:
        self.size = 0
        self.tails: list[list[bytes]] = [[]]

    def append(self, entry_hash: bytes) -> list[FullTile]:
        """Take one leaf. Gives the tiles that it filled, lowest level first."""
        filled: list[FullTile] = []
        self.size += 1
        self._push(0, entry_hash, filled)
        return filled

    def _push(self, level: int, found: bytes, filled: list[FullTile]) -> None:
        if level == len(self.tails):
            self.tails.append([])
        tail = self.tails[level]
        tail.append(found)
        if len(tail) == TILE_WIDTH:
            index = (self.size >> 8 * (level + 1)) - 1
            filled.append(FullTile(level, index, tuple(tail)))
            top = root_of_full(tail)
            tail.clear()
            self._push(level + 1, top, filled)

    def root(self) -> bytes:
        return root_of_tails(self.tails)


def root_of_tails(tails: Sequence[Sequence[bytes]]) -> bytes:
    """The root of a tree from its right edge: `tails[L]` holds the hashes of tile level L that fill no tile."""
    peaks: list[bytes] = []
    for tail in reversed(tails):
        peaks += _peaks(tail)
    return _fold(peaks) if peaks else EMPTY_ROOT


def _peaks(tail: Sequence[bytes]) -> list[bytes]:
    peaks, start = [], 0
    while start < len(tail):
        count = 1 << (len(tail) - start).bit_length() - 1
        peaks.append(root_of_full(tail[start : start + count]))
        start += count
    return peaks
