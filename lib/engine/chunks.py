"""Memory: clients are attacked in slices, and a slice that does not fit is halved."""

import gc
from collections.abc import Callable

import torch

_NO_MEMORY = ("out of memory", "can't allocate memory", "alloc_failed")  # CUDA, CPU, cuBLAS


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error is want of memory, or was raised while one was handled: a capture that ran
    out of memory ends in another error."""
    while error is not None:
        said = str(error).lower()
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or (
                isinstance(error, RuntimeError) and any(word in said for word in _NO_MEMORY)):
            return True
        error = error.__cause__ or error.__context__
    return False


def of_chunks(K: int, chunk: int | None, work: Callable[[slice], object]) -> list:
    """[work(slice), ...] of slices of K clients; one that does not fit in memory is halved."""
    size, first, parts = min(chunk or K, K), 0, []
    while first < K:
        size = min(size, K - first)
        try:
            parts.append(work(slice(first, first + size)))
            first, fits = first + size, True
        except Exception as error:
            if size == 1 or not out_of_memory(error):
                raise
            fits = False
        if not fits:  # here the error is gone, and with its traceback all that it held
            gc.collect()
            torch.cuda.empty_cache()
            size = (size + 1) // 2
    return parts

