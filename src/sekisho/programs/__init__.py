"""One module for each process, and `up`, which starts them all: the only place that chooses real parts and puts them together."""

PROCESSES = ("audit", "agent", "egress", "control", "gateway", "portal")  # each may count on those before it
