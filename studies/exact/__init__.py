"""Notebook 09: batches given back exactly, and the models of a dishonest server."""
