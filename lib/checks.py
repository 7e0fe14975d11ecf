"""Checks of what a caller gives: each returns the value, or raises one ValueError that names it.

Truth values are no numbers here, NaN and infinity are none either, and numpy's scalars
count as Python's.
"""

import math
from collections.abc import Iterable
from numbers import Integral, Real

import numpy as np


def whole(name: str, value, least: int = 1, most: int | None = None) -> int:
    """A whole number of at least `least` and at most `most` (None: no upper bound)."""
    fits = isinstance(value, Integral) and not isinstance(value, bool) and value >= least \
        and (most is None or value <= most)
    if not fits:
        bound = f"of {least} or more" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be a whole number {bound}, not {shown(value)}")
    return int(value)


def number(name: str, value, low: float = -math.inf, high: float = math.inf,
           exclude: tuple[float, ...] = ()) -> float:
    """A finite number from `low` to `high`; `exclude` names bounds that do not belong to it."""
    fits = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value) \
        and low <= value <= high and value not in exclude
    if not fits:
        opening = "(" if low in exclude or low == -math.inf else "["
        closing = ")" if high in exclude or high == math.inf else "]"
        raise ValueError(f"{name} must be a finite number in {opening}{low:g}, {high:g}{closing}, "
                         f"not {shown(value)}")
    return float(value)


def flag(name: str, value) -> bool:
    """True or False; no other value is taken for one of them."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, not {shown(value)}")
    return bool(value)


def one_of(name: str, value, allowed: Iterable) -> object:
    """One of the `allowed` values (strings, whole numbers, None)."""
    allowed = tuple(allowed)
    plain = isinstance(value, str | Integral | None) and not isinstance(value, bool)
    if not (plain and value in allowed):
        raise ValueError(f"unknown {name} {shown(value)}: one of {', '.join(map(repr, allowed))}")
    return value


def shown(value, most: int = 80) -> str:
    """What `repr` says of a value, on one line and cut: no message should hold a whole tensor."""
    text = " ".join(repr(value).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."
