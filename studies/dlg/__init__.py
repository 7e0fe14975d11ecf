"""Notebook 01: Deep Leakage from Gradients."""
