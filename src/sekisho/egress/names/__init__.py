"""The room's name server: listed names have synthetic addresses, all others do not exist, and nothing is ever forwarded."""
