"""Training: one run from its directory's name to its final move."""
