"""Where sessions run: the agent, the shim, their protocol, and the drivers."""
