"""Sekisho: a virtual secure room that you run yourself."""
