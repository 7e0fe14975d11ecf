"""Notebook 00: the first attack, the words, and what a first try of one's own meets."""
