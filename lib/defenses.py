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
class _Noise:
    variance: float

    def __post_init__(self):
        if not self.variance >= 0:
            raise ValueError(f"variance is a number of 0 or more, not {self.variance}")


@dataclass(frozen=True)
class GaussianNoise(_Noise):
    """Adds zero-mean normal noise of the given *variance* to the update (Zhu 2019, Fig. 7a)."""

    def update(self, grads: dict[str, Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        std = self.variance**0.5
        draw = {n: torch.randn(g.shape, generator=rng, dtype=g.dtype) for n, g in grads.items()}
        return {n: g + std * draw[n].to(g.device) for n, g in grads.items()}


@dataclass(frozen=True)
class LaplacianNoise(_Noise):
    """Adds zero-mean Laplacian noise of the given *variance* to the update (Zhu 2019, Fig. 7b).

    A Laplacian of scale b has the variance 2 b^2: equal variances mean equal energy of the noise.
    """

    def update(self, grads: dict[str, Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        scale = (self.variance / 2) ** 0.5

        def draw(g):  # the inverse of the distribution function, at u uniform in (-1/2, 1/2)
            u = torch.rand(g.shape, generator=rng, dtype=torch.float64) - 0.5
            return -u.sign() * torch.log1p(-2 * u.abs().clamp(max=0.5 - 2**-54))

        return {n: g + scale * draw(g).to(g) for n, g in grads.items()}


@dataclass(frozen=True)
class LowPrecision:
    """Sends the update in fewer bits: "float16", "bfloat16" or "int8" (Zhu 2019, Fig. 7c, Table 3).

    int8: every tensor is rounded to 255 even steps between -max |g| and max |g|."""

    format: str

    def __post_init__(self):
        if self.format not in ("float16", "bfloat16", "int8"):
            raise ValueError(f"unknown format {self.format!r}: 'float16', 'bfloat16' or 'int8'")

    def update(self, grads: dict[str, Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        if self.format == "int8":
            step = {n: (g.abs().amax() / 127).clamp_min(1e-38) for n, g in grads.items()}
            return {n: (g / step[n]).round() * step[n] for n, g in grads.items()}
        return {n: g.to(getattr(torch, self.format)).to(g) for n, g in grads.items()}


@dataclass(frozen=True)
class GradPrune:
    """Sets the share `p` of smallest magnitude in every tensor of the update to zero.

    Gradient compression of Zhu et al. 2019 (Fig. 7d); GradPrune of Huang et al. 2021, whose code
    also cuts each tensor by itself. Of the P entries of a tensor, floor(p P) are set to zero."""

    p: float

    def __post_init__(self):
        if not 0 <= self.p <= 1:
            raise ValueError(f"p is a share in [0, 1], not {self.p}")

    def update(self, grads: dict[str, Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        def pruned(g):
            smallest = g.flatten().abs().topk(int(self.p * g.numel()), largest=False).indices
            return g.flatten().index_fill(0, smallest, 0).view_as(g)

        return {n: pruned(g) for n, g in grads.items()}


@dataclass(frozen=True)
class EqualLabels:
    """The client uses `batch_size` of its images that share one label (Eloul et al. 2022, 1).

    Of the labels that occur often enough one is drawn, then images of it. ValueError where no label
    does: the client then needs more images."""

    batch_size: int

    def draw(self, labels: Tensor, rng: torch.Generator) -> Tensor:
        values, counts = labels.unique(return_counts=True)
        often = values[counts >= self.batch_size]
        if not len(often):
            raise ValueError(f"no label occurs {self.batch_size} times among {len(labels)} images")
        label = often[int(torch.randint(len(often), (), generator=rng))]
        chosen = (labels == label).nonzero()[:, 0]
        return chosen[torch.randperm(len(chosen), generator=rng)[: self.batch_size]]
