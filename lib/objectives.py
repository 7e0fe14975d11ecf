"""Distances between the dummy's gradients and the shared ones. Floor 3.

An objective is any callable (dummy, shared) -> scalar on two dicts name -> tensor of one client.
Write your own in the same form and give it to an attack.
"""

from functools import lru_cache

import torch
from torch import Tensor


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.dot(a.flatten(), b.flatten())  # one pass, no temporary: these tensors are large


def l2(dummy: dict[str, Tensor], shared: dict[str, Tensor]) -> Tensor:
    """D = sum over all parameters of squared differences (Zhu et al. 2019, Algorithm 1, line 6)."""
    differences = (dummy[n] - g for n, g in shared.items())
    return sum(_dot(d, d) for d in differences)


def relative_l2(dummy: dict[str, Tensor], shared: dict[str, Tensor]) -> Tensor:
    """`l2` with every tensor's distance divided by its own |shared|^2: small layers count as much.

    Ours. Where gradients vanish towards the first layers, plain `l2` does not see those layers."""
    differences = ((dummy[n] - g, g) for n, g in shared.items())
    return sum(_dot(d, d) / _dot(g, g).clamp_min(1e-30) for d, g in differences)


@lru_cache  # an attack's graph is found by its objective: the same factor, the same callable
def scaled(objective, factor: float):
    """An objective times a factor: L-BFGS's tolerances are absolute, so a small D needs one."""
    return lambda dummy, shared: factor * objective(dummy, shared)


def cosine(dummy: dict[str, Tensor], shared: dict[str, Tensor]) -> Tensor:
    """1 - <dummy, shared> / (|dummy| |shared|), one cosine over all parameters (Geiping 2020)."""
    dot = sum(_dot(dummy[n], g) for n, g in shared.items())
    norm = sum(_dot(dummy[n], dummy[n]) for n in shared).sqrt()
    target = sum(_dot(g, g) for g in shared.values()).sqrt()
    return 1 - dot / (norm * target).clamp_min(1e-30)


def layer_cosine(dummy: dict[str, Tensor], shared: dict[str, Tensor]) -> Tensor:
    """The mean of 1 - cosine over the parameter tensors, each by itself ("simlocal" in the code of
    Inverting Gradients)."""
    return sum(cosine({n: dummy[n]}, {n: g}) for n, g in shared.items()) / len(shared)


@lru_cache
def masked(objective):
    """An objective that looks only where the shared update is not zero.

    For an update that was pruned (`defenses.GradPrune`): what the client set to zero says nothing
    about the image, and the plain objectives take it for a measurement."""
    def seen(dummy, shared):
        return objective({n: dummy[n] * (g != 0) for n, g in shared.items()}, shared)
    return seen


def layer_distances(dummy: dict[str, Tensor], shared: dict[str, Tensor]) -> dict[str, Tensor]:
    """Mean squared difference of each parameter tensor, (K,) (Zhu et al. 2019, Fig. 5)."""
    return {n: (dummy[n] - g).square().flatten(1).mean(1) for n, g in shared.items()}
