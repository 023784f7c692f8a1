"""The words of Sekisho: frozen values and the base error. Standard library only, no I/O, no time, no randomness."""
