"""Evaluation: what a policy achieves, in figures and in pictures."""
