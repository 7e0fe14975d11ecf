"""Batches given back exactly, by linear algebra instead of a search; and what a client can see.

    span       the space that a dense layer's gradient spans; tokens in it (DAGER); its independent
               components (Cocktail Party)
    spear      the batch behind a ReLU, from the zeros of its gradient
    recursive  one image behind convolutions, layer by layer (R-GAP)
    malicious  models of a dishonest server: imprint module, trap weights, class fishing
    detect     what an honest client can see of those
"""

from .detect import signs
from .malicious import (
    Imprint,
    expected_alone,
    fish_class,
    imprint,
    imprinted,
    rows_divided,
    trap_weights,
)
from .recursive import Recursion, recursive
from .span import components, numerical_rank, span_distance, tokens_in_span
from .spear import Unmixed, spear

__all__ = [
    "Imprint", "Recursion", "Unmixed", "components", "expected_alone", "fish_class", "imprint",
    "imprinted", "numerical_rank", "recursive", "rows_divided", "signs", "span_distance", "spear",
    "tokens_in_span", "trap_weights"]
