"""One module for each process, and `up`, which starts them all: the only place that chooses real parts and puts them together."""
