"""Egress by name: the room's name server, the proxy, the synthetic addresses, the TLS name check, and the relay."""
