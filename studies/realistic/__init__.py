"""Notebook 10: what federated learning really sends."""
