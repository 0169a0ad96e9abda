"""Robots: what a Go1 is to a simulator, as a planar body or on its own legs."""
