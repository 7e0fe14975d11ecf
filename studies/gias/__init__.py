"""Notebook 04: a generative prior (GIAS, GIML)."""
