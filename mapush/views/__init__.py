"""What the runs of a root are, whether they are sound, and what of them can go."""
