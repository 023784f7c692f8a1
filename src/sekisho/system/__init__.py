"""The only wrappers round clock, randomness, processes, files, sockets, netlink and logging."""
