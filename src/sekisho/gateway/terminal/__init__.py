"""The terminal of a room, in a browser or by `sekisho enter`: one pseudo-terminal, any number of that person's connections."""
