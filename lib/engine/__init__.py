"""The batched attack step: K x R problems at once, traced once a shape, run many times.

`problems` says what is minimised, `evaluation` makes its gradient, `rollout` that of many local
steps, `tracing` a flat graph of either, `optimizers` moves all problems, `loop` runs them to
their end, `capture` is for CUDA, `chunks` for memory.
"""

from .capture import Replayed, captured
from .chunks import of_chunks, out_of_memory
from .evaluation import evaluator
from .loop import CONVERGED, ENDED, Outcome, joined, minimise
from .problems import (
    ONE_BY_ONE_FLOPS,
    Problems,
    Rollout,
    forward_flops,
    is_run_alone,
)

__all__ = [
    "CONVERGED", "ENDED", "ONE_BY_ONE_FLOPS", "Outcome", "Problems", "Replayed", "Rollout",
    "captured", "evaluator", "forward_flops", "is_run_alone", "joined", "minimise", "of_chunks",
    "out_of_memory"]
