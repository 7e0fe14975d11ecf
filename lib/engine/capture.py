"""CUDA graphs: what runs in each iteration is captured once and replayed."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from .chunks import out_of_memory


class Replayed:
    """`run()` on a CUDA device: eager three times, the warm-up a capture needs, then captured and
    from there on replayed. What cannot be captured stays eager, with one warning; an error for
    want of memory is raised. The result is overwritten by the next call."""

    def __init__(self, run: Callable, device: torch.device) -> None:
        self.run, self.device = run, device
        self.graph, self.result, self.left = None, None, 3  # eager calls left; None: all of them

    def __call__(self) -> object:
        if self.left is None or self.left > 0:
            self.left = None if self.left is None else self.left - 1
            return self.run()
        if self.graph is None:
            self.graph, self.result = captured(self.run, self.device)
        if self.graph is None:
            self.left = None
            return self.run()
        self.graph.replay()
        return self.result

    def release(self) -> None:
        """Give the graph's memory back; a later call captures anew."""
        self.graph = self.result = None


def captured(run: Callable, device: torch.device) -> tuple:
    """(graph, the result that each replay overwrites), or (None, None) where `run` cannot be
    captured, for instance because a prior copies from the device.

    Capture takes place on a stream of `device`, whatever the current one is: on another device's
    stream it would record nothing. A capture that fails leaves its stream current."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(device):
        before = torch.cuda.current_stream(device)
        try:
            torch.cuda.synchronize(device)
            with torch.cuda.graph(graph, stream=torch.cuda.Stream(device)):
                result = run()
            return graph, result
        except Exception as error:
            if out_of_memory(error):
                raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            warnings.warn("this attack is not captured in a CUDA graph and runs slower, since its "
                          f"objective or a prior waits for the device: {reason}", stacklevel=2)
        finally:
            torch.cuda.set_stream(before)
    return None, None


def evaluate_by_graph(evaluate: Callable, v: Tensor) -> Callable:
    """`evaluate` of variables like v, captured; its results are the caller's own."""
    given = torch.empty_like(v)
    replayed = Replayed(lambda: evaluate(given), v.device)

    def at(v: Tensor) -> tuple[Tensor, Tensor]:
        given.copy_(v)
        loss, g = replayed()
        return loss.clone(), g.clone()

    return at
