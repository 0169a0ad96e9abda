"""MuJoCo, stepped in batch on every core."""
