"""Distances between the dummy's gradients and the shared ones. Floor 3.

An objective is any callable (dummy, shared) -> scalar on two dicts name -> tensor of one client.
Write your own in the same form and give it to an attack.
"""

import torch
from torch import Tensor

_norm = torch.linalg.vector_norm  # one pass forward, one backward: gradients are the large tensors


def l2(dummy: dict[str, Tensor], shared: dict[str, Tensor]) -> Tensor:
    """D = sum over all parameters of squared differences (Zhu et al. 2019, Algorithm 1, line 6)."""
    return sum(_norm(dummy[n] - g).square() for n, g in shared.items())


def cosine(dummy: dict[str, Tensor], shared: dict[str, Tensor]) -> Tensor:
    """1 - <dummy, shared> / (|dummy| |shared|), one cosine over all parameters (Geiping 2020)."""
    dot = sum(torch.dot(dummy[n].flatten(), g.flatten()) for n, g in shared.items())
    norm = _norm(torch.stack([_norm(dummy[n]) for n in shared]))
    target = _norm(torch.stack([_norm(g) for g in shared.values()]))
    return 1 - dot / (norm * target).clamp_min(1e-30)


def layer_distances(dummy: dict[str, Tensor], shared: dict[str, Tensor]) -> dict[str, Tensor]:
    """Mean squared difference of each parameter tensor, (K,) (Zhu et al. 2019, Fig. 5)."""
    return {n: (dummy[n] - g).square().flatten(1).mean(1) for n, g in shared.items()}
