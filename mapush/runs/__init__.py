"""Where a run lives: its names, its two directories, its record and its owner."""
