"""Notebook 03: Inverting Gradients."""
