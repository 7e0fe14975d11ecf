"""Notebook 08: every attack under every defense."""
