"""How many of a machine's cores are this process's."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Cores this process may use: a cluster's nodes have more than a job is given."""
    cores = len(os.sched_getaffinity(0))
    granted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(cores, int(granted)) if granted.isdecimal() and int(granted) else cores
