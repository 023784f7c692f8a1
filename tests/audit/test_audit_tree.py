"""The tree: RFC 6962's definition, and the laws of its proofs."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.audit import tree

SMALL = settings(max_examples=60, deadline=None)


def defined_root(leaves: list[bytes]) -> bytes:
    """MTH, word for word from RFC 6962 §2.1."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + defined_root(leaves[:k]) + defined_root(leaves[k:])).digest()


def leaves_of(size: int) -> list[bytes]:
    return [tree.leaf_hash(str(number).encode()) for number in range(size)]


def node_of(leaves: list[bytes]) -> tree.Node:
    return lambda level, index: defined_root(leaves[index << level : (index + 1) << level])


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7, 8, 9, 255, 256, 257, 511, 512, 513, 1000])
def test_the_root_is_the_one_the_rfc_defines(size):
    leaves = leaves_of(size)
    edge = tree.Edge()
    for leaf in leaves:
        edge.append(leaf)
    assert edge.root() == defined_root(leaves) == tree.root(size, node_of(leaves))


def test_tiles_are_given_when_they_fill_and_hold_the_roots_below_them():
    edge = tree.Edge()
    filled = [tile for leaf in leaves_of(65_536 + 300) for tile in edge.append(leaf)]
    assert [(tile.level, tile.index) for tile in filled if tile.level] == [(1, 0)]
    assert [tile.index for tile in filled if tile.level == 0] == list(range(257))
    assert next(tile for tile in filled if tile.level == 1).hashes == tuple(tree.root_of_full(tile.hashes) for tile in filled[:256])
    assert [len(tail) for tail in edge.tails] == [44, 1, 1]


@SMALL
@given(st.data())
def test_every_inclusion_proof_verifies_and_no_other_leaf_index_size_or_root_does(data):
    size = data.draw(st.integers(1, 300))
    index = data.draw(st.integers(0, size - 1))
    leaves = leaves_of(size)
    root = defined_root(leaves)
    proof = tree.inclusion_proof(index, size, node_of(leaves))
    assert tree.is_included(entry_hash=leaves[index], index=index, size=size, proof=proof, root=root)
    other = data.draw(st.integers(0, size - 1).filter(lambda found: found != index)) if size > 1 else size
    assert not tree.is_included(entry_hash=leaves[index], index=other, size=size, proof=proof, root=root)
    assert not tree.is_included(entry_hash=sha256(b"?").digest(), index=index, size=size, proof=proof, root=root)
    assert not tree.is_included(entry_hash=leaves[index], index=index, size=size, proof=proof, root=sha256(b"?").digest())
    assert not tree.is_included(entry_hash=leaves[index], index=index, size=size, proof=[*proof, root], root=root)
    assert not tree.is_included(entry_hash=leaves[index], index=size, size=size, proof=proof, root=root)
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        assert not tree.is_included(entry_hash=leaves[index], index=index, size=size, proof=tampered(proof, at), root=root)
        assert not tree.is_included(entry_hash=leaves[index], index=index, size=size, proof=proof[:-1], root=root)


@SMALL
@given(st.data())
def test_every_consistency_proof_verifies_and_no_tampered_one_does(data):
    size = data.draw(st.integers(1, 300))
    old_size = data.draw(st.integers(0, size))
    leaves = leaves_of(size)
    root, old_root = defined_root(leaves), defined_root(leaves[:old_size])
    proof = tree.consistency_proof(old_size, size, node_of(leaves))
    assert tree.is_consistent(old_size=old_size, old_root=old_root, size=size, root=root, proof=proof)
    wrong = sha256(b"?").digest()
    assert not tree.is_consistent(old_size=old_size, old_root=wrong, size=size, root=root, proof=proof)
    if old_size:
        assert not tree.is_consistent(old_size=old_size, old_root=old_root, size=size, root=wrong, proof=proof)
    assert not tree.is_consistent(old_size=old_size, old_root=old_root, size=size, root=root, proof=[*proof, wrong])
    assert not tree.is_consistent(old_size=size + 1, old_root=old_root, size=size, root=root, proof=proof)
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        assert not tree.is_consistent(old_size=old_size, old_root=old_root, size=size, root=root, proof=tampered(proof, at))


@SMALL
@given(st.data())
def test_a_rewritten_history_has_no_consistency_proof(data):
    size = data.draw(st.integers(2, 200))
    old_size = data.draw(st.integers(1, size - 1))
    changed = data.draw(st.integers(0, old_size - 1))
    old, new = leaves_of(size), leaves_of(size)
    new[changed] = tree.leaf_hash(b"rewritten")
    proof = tree.consistency_proof(old_size, size, node_of(new))
    assert not tree.is_consistent(old_size=old_size, old_root=defined_root(old[:old_size]), size=size, root=defined_root(new), proof=proof)


def tampered(proof: list[bytes], at: int) -> list[bytes]:
    return [bytes([item[0] ^ 1]) + item[1:] if number == at else item for number, item in enumerate(proof)]
