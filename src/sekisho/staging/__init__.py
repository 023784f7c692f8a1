"""Files in, before entry: fetched from outside the room by a process of the session's own, limits enforced, hashes recorded."""
