"""Learners: tensors in, weights out. They know nothing of pushing."""
