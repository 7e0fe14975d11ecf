"""Distances between the dummy's gradients and the shared ones.

An objective is any callable (dummy, shared) -> scalar on two dicts name -> tensor of one client.
Write your own in the same form and give it to an attack; `shared` may hold some of the model's
parameters only, so iterate over that one.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from types import FunctionType

import torch
from torch import Tensor

from . import checks


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.dot(a.flatten(), b.flatten())  # one pass, no temporary: these tensors are large


def _check(dummy: dict[str, Tensor], shared: dict[str, Tensor]) -> None:
    """ValueError where the two are not gradients of the same tensors."""
    if not shared:
        raise ValueError("an objective compares gradients, and shared is empty")
    for name, g in shared.items():
        if name not in dummy:
            raise ValueError(f"the dummy has no gradient of {name}, which was shared")
        if dummy[name].shape != g.shape:
            raise ValueError(f"the gradient of {name} has shape {tuple(dummy[name].shape)} in the "
                             f"dummy, {tuple(g.shape)} in what was shared")


def l2(dummy: dict[str, Tensor], shared: dict[str, Tensor]) -> Tensor:
    """D = sum over all parameters of squared differences (Zhu et al. 2019, Algorithm 1, line 6)."""
    _check(dummy, shared)
    differences = (dummy[n] - g for n, g in shared.items())
    return sum(_dot(d, d) for d in differences)


def relative_l2(dummy: dict[str, Tensor], shared: dict[str, Tensor]) -> Tensor:
    """`l2` with every tensor's distance divided by its own |shared|^2: small layers count as much.

    Ours. Where gradients vanish towards the first layers, plain `l2` does not see those layers."""
    _check(dummy, shared)
    differences = ((dummy[n] - g, g) for n, g in shared.items())
    return sum(_dot(d, d) / _dot(g, g).clamp_min(1e-30) for d, g in differences)


def scaled(objective: Callable, factor: float) -> Callable:
    """An objective times a positive factor: torch's L-BFGS has absolute tolerances, and a small D
    meets them far from its minimum. Any objective, also one of your own or `masked`."""
    return _made_of(_scaled, objective, checks.number("factor", factor, 0, exclude=(0,)))


def _scaled(objective, factor, dummy, shared) -> Tensor:
    return factor * objective(dummy, shared)


def cosine(dummy: dict[str, Tensor], shared: dict[str, Tensor]) -> Tensor:
    """1 - <dummy, shared> / (|dummy| |shared|), one cosine over all parameters (Geiping 2020)."""
    _check(dummy, shared)
    dot = sum(_dot(dummy[n], g) for n, g in shared.items())
    norm = sum(_dot(dummy[n], dummy[n]) for n in shared).sqrt()
    target = sum(_dot(g, g) for g in shared.values()).sqrt()
    return 1 - dot / (norm * target).clamp_min(1e-30)


def layer_cosine(dummy: dict[str, Tensor], shared: dict[str, Tensor]) -> Tensor:
    """The mean of 1 - cosine over the parameter tensors, each by itself ("simlocal" in the code of
    Inverting Gradients)."""
    _check(dummy, shared)
    return sum(cosine({n: dummy[n]}, {n: g}) for n, g in shared.items()) / len(shared)


def masked(objective: Callable) -> Callable:
    """An objective that looks only where the shared update is not zero.

    For an update that was pruned (`defenses.GradPrune`): what the client set to zero says nothing
    about the image, and the plain objectives take it for a measurement."""
    return _made_of(_masked, objective)


def _masked(objective, dummy, shared) -> Tensor:
    return objective({n: dummy[n] * (g != 0) for n, g in shared.items()}, shared)


def _made_of(function: Callable, objective: Callable, *given) -> partial:
    """A partial, in which the engine sees what an objective is made of (`tracing.described`). The
    same one for the same functions, so that attacks compare; objects may be equal and differ."""
    if not callable(objective):
        raise ValueError(f"an objective is a callable of (dummy, shared), not {objective!r}")
    if isinstance(objective, FunctionType | partial):
        return _made(function, objective, *given)
    return _made.__wrapped__(function, objective, *given)


@lru_cache
def _made(function, objective, *given) -> partial:
    composed = partial(function, objective, *given)
    composed.__name__ = f"{function.__name__[1:]} {name_of(objective)}"
    return composed


def name_of(function: Callable) -> str:
    """What to call an objective or a prior by: its own name, or that of its class."""
    if isinstance(function, partial) and not hasattr(function, "__name__"):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)


def layer_distances(dummy: dict[str, Tensor], shared: dict[str, Tensor]) -> dict[str, Tensor]:
    """Mean squared difference of each parameter tensor, (K,) (Zhu et al. 2019, Fig. 5)."""
    return {n: (dummy[n] - g).square().flatten(1).mean(1) for n, g in shared.items()}
