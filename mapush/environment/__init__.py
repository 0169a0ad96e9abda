"""Environments: a task in a simulator, many at a time, episode after episode."""
