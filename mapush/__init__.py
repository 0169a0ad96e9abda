"""Multi-robot pushing with Unitree Go1 robots, trained as a job that survives preemption."""

__version__ = "0.1.0"
