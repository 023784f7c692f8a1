"""What a TLS client says first: enough of it to know whom it means."""
