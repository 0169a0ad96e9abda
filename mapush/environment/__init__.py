"""The pushing task on tensors of any device: the same code for every simulator."""
