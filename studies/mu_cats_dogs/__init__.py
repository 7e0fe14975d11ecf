"""Notebook 07: Mu 2023."""
