"""A task and a simulator as one kernel: a decision of every environment in one launch."""
