"""Notebook 02: iDLG, and label rules."""
