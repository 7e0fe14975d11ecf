"""Clients in the lanes of the processor's vectors: the graph of one problem, run for eight at once.
"""

from .build import library
from .lbfgs import directions, has_directions
from .step import LANES, Step
from .values import Unsupported

__all__ = ["LANES", "Step", "Unsupported", "directions", "has_directions", "library"]
