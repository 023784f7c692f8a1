"""The audit log: entries, spools, the sequencer, the Merkle tree in tlog-tiles form, signed checkpoints, and verification without the server."""
