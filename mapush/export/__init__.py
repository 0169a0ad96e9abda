"""Exports: a checkpoint in the forms that OpenRL and robots take."""
