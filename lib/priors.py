"""Regularisers on the dummy images. Floor 3.

A prior is any callable (x (B, C, H, W)) -> scalar, in the space the attack optimises.
"""

from torch import Tensor


def tv(x: Tensor) -> Tensor:
    """Anisotropic total variation: mean |dx| + mean |dy| (Geiping et al. 2020, code means)."""
    across, down = x[..., :, 1:] - x[..., :, :-1], x[..., 1:, :] - x[..., :-1, :]
    return across.abs().mean() + down.abs().mean()
