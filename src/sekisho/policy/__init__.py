"""The decisions, pure: from values to a verdict with a reason. No I/O, time or randomness; deny by default."""
