"""The way out of a room: names, proxy and listeners inside it, decided by name, written down, then relayed. One process, plain epoll."""
