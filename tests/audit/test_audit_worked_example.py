"""The worked example that four independent verifiers have accepted (facts/audit.md §1.3), byte for byte."""

import base64
import hashlib

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sekisho.audit.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from sekisho.audit.growth import Growth
from sekisho.audit.note import Signature, SigningKey, UnverifiedNote, key_id, parse_note, parse_vkey, render_note, render_vkey
from sekisho.audit.proof import parse_proof, render_proof, verify_proof
from sekisho.audit.tree import consistency_proof, inclusion_proof, is_consistent, leaf_hash, node_hash, root, root_of_full

ENTRIES = [
    b'{"room":"r-1","seq":0,"t":"2026-01-01T00:00:00Z","type":"room.request","who":"alice"}',
    b'{"room":"r-1","seq":1,"t":"2026-01-01T00:01:00Z","type":"room.approve","who":"bob"}',
    b'{"room":"r-1","seq":2,"t":"2026-01-01T00:02:00Z","type":"room.open","who":"system"}',
]
LEAVES = [
    "ac54d8c5f5656c0365a822a36c367d493bb9a229f050b6ad7da9241b9a8b4ec0",
    "238e02de6109c18bbfe3a6333cdf5c237c8e735803cb1052f7a02fb59445f82c",
    "ec409b78a88445f2a459eb2554484eecbd7d17f98abc27e389220a6a7cbfb9ae",
]
NODE_01 = "f5c73e8dccb14e93e6e024610b9d9bfedda80884105fb4a9b752ae4b9137b4c4"
ROOT = "cc4f482ee13346171b07daac5c1c19ec251ad1728c7ca411beeb93fc154f1f15"
LOG_VKEY = "audit.room.example/log1+321145ab+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
WITNESS_VKEY = "witness.example/w1+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X"
PROOF = """c2sp.org/tlog-proof@v1
index 1
rFTYxfVlbANlqCKjbDZ9STu5oinwULatfakkG5qLTsA=
7ECbeKiERfKkWeslVEhO7L19F/mKvCfjiSIKany/ua4=

audit.room.example/log1
3
zE9ILuEzRhcbB9qsXBwZ7CUa0XKMfKQRvuuT/BVPHxU=

— audit.room.example/log1 MhFFq/cMYXrOSk9ylzavimCCP0Rgl31mfuwAK+WCCfvp8ob7FegOj5uUUVJjY1sbDofKXDNgcxjpHbmb+Qczr2jqmgU=
— witness.example/w1 IDJKvgAAAABpVbm0pO4VyolKYa/M7rxxuldfmp519IOb0vhdo2Oo8XYBnTG4R7mqgyErnr9kKtkkDEPjK910HYE2sLIhyCgq0QFXAA==
"""
KEY = SigningKey("audit.room.example/log1", bytes(range(0x20)))
WITNESS = Ed25519PrivateKey.from_private_bytes(bytes(range(0x20, 0x40)))
COSIGNATURE = 0x04


def node(level, index):
    return root_of_full([leaf_hash(entry) for entry in ENTRIES[index << level : (index + 1) << level]])


def test_the_entries_are_canonical_json():
    values = [(0, "0", "request", "alice"), (1, "1", "approve", "bob"), (2, "2", "open", "system")]
    made = [rfc8785.dumps({"who": who, "type": f"room.{what}", "t": f"2026-01-01T00:0{at}:00Z", "seq": seq, "room": "r-1"}) for seq, at, what, who in values]
    assert made == ENTRIES
    assert [len(entry) for entry in ENTRIES] == [85, 83, 83]


def test_leaves_nodes_and_root():
    assert [leaf_hash(entry).hex() for entry in ENTRIES] == LEAVES
    assert node_hash(node(0, 0), node(0, 1)).hex() == NODE_01
    assert root(3, node).hex() == ROOT
    assert node_hash(bytes.fromhex(NODE_01), bytes.fromhex(LEAVES[2])).hex() == ROOT


def test_keys():
    assert KEY.verifier.public.hex() == "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
    assert KEY.verifier.vkey == LOG_VKEY
    assert parse_vkey(LOG_VKEY) == KEY.verifier
    assert render_vkey("witness.example/w1", COSIGNATURE, WITNESS.public_key().public_bytes_raw()) == WITNESS_VKEY


def test_tiles_and_bundles():
    growth = Growth()
    assert [growth.append(entry) for entry in ENTRIES] == [[], [], []]
    files = {file.place.path: file.content for file in growth.edge_files()}
    assert files["tile/0/000.p/3"] == bytes.fromhex("".join(LEAVES))
    assert len(files["tile/entries/000.p/3"]) == 257
    assert files["tile/entries/000.p/3"].hex().startswith("00557b22726f6f6d")
    assert growth.root().hex() == ROOT


def test_the_consistency_proof_from_2_to_3():
    proof = consistency_proof(2, 3, node)
    assert [base64.b64encode(found).decode() for found in proof] == ["7ECbeKiERfKkWeslVEhO7L19F/mKvCfjiSIKany/ua4="]
    assert is_consistent(old_size=2, old_root=bytes.fromhex(NODE_01), size=3, root=bytes.fromhex(ROOT), proof=proof)


def test_the_checkpoint_and_its_signature():
    signed = sign_checkpoint(Checkpoint(KEY.name, 3, bytes.fromhex(ROOT)), KEY).decode()
    checkpoint = PROOF.partition("\n\n")[2]
    assert signed == checkpoint[: checkpoint.index("— witness")]
    assert open_checkpoint(signed.encode(), KEY.verifier) == Checkpoint(KEY.name, 3, bytes.fromhex(ROOT))


def test_the_proof_byte_for_byte_with_its_witness():
    text = Checkpoint(KEY.name, 3, bytes.fromhex(ROOT)).text
    stamp = 0x6955B9B4
    cosigned = stamp.to_bytes(8, "big") + WITNESS.sign(f"cosignature/v1\ntime {stamp}\n{text}".encode())
    witness_id = key_id("witness.example/w1", COSIGNATURE, WITNESS.public_key().public_bytes_raw())
    checkpoint = render_note(text, [KEY.sign(text), Signature("witness.example/w1", witness_id, cosigned)])
    made = render_proof(index=1, path=inclusion_proof(1, 3, node), checkpoint=checkpoint)
    assert made.decode() == PROOF
    assert len(PROOF) == 439


def test_the_proof_shows_that_bob_approved_and_nobody_else():
    assert verify_proof(PROOF.encode(), ENTRIES[1], parse_vkey(LOG_VKEY)).size == 3
    assert parse_proof(PROOF.encode()).index == 1
    assert len(parse_note(parse_proof(PROOF.encode()).checkpoint).signatures) == 2
    with pytest.raises(UnverifiedNote):
        verify_proof(PROOF.encode(), ENTRIES[1].replace(b"bob", b"eve"), parse_vkey(LOG_VKEY))


def test_the_key_id_is_the_hash_of_name_type_and_key():
    public = KEY.verifier.public
    assert KEY.verifier.key_id == hashlib.sha256(b"audit.room.example/log1\n\x01" + public).digest()[:4]
