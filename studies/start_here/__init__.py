"""Notebook 00: every attack under every defense."""
