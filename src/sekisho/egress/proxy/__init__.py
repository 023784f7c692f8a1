"""The explicit proxy at 127.0.0.1:3128 in the room: CONNECT, and plain http for rules without TLS."""
