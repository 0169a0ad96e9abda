"""Simulators: bodies in, bodies out. They know nothing of observations, rewards or episodes."""
