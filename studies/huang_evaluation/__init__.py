"""Notebook 05: Huang et al.'s evaluation of attacks and defenses."""
