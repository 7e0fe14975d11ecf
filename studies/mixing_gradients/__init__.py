"""Notebook 06: mixing gradients and AVD."""
