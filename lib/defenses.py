"""What a client may do about it.

Floor 2. A defense is a small frozen object with any of these, which `client.share` calls in this
order; a tuple of defenses composes them:

    draw(labels (B,), rng) -> indices            which of its images the client uses
    encode(images (B, C, H, W), targets (B, classes), rng) -> the same pair, changed
    per_example(grads: name -> (B, ...)) -> the same, before they are averaged
    update(grads: name -> tensor, rng) -> the same, the averaged update

`rng` is a CPU `torch.Generator` of the client's own: a defense never depends on K.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class GaussianNoise:
    """Adds zero-mean normal noise of the given *variance* to the update (Zhu 2019, Fig. 7a)."""

    variance: float

    def __post_init__(self):
        if not self.variance >= 0:
            raise ValueError(f"variance must be 0 or more, not {self.variance}")

    def update(self, grads: dict[str, Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        std = self.variance**0.5
        draw = {n: torch.randn(g.shape, generator=rng, dtype=g.dtype) for n, g in grads.items()}
        return {n: g + std * draw[n].to(g.device) for n, g in grads.items()}
