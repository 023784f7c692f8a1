"""Web pages and the API: what people see of Sekisho outside a room. No channel of a session, no agent socket, no log key."""
