"""What a client may do about it.

Floor 1. A defense is a small frozen object with any of these, which `client.share` calls in this
order; a tuple of defenses composes them:

    draw(labels (B,), rng) -> indices            which of its images the client uses
    encode(images (B, C, H, W), targets (B, classes), rng) -> the same pair, changed
    per_example(grads: name -> (B, ...)) -> the same, before they are averaged
    update(grads: name -> tensor, rng) -> the same, the averaged update

`rng` is a CPU `torch.Generator` of the client's own: a defense never depends on K.
"""

import math
from dataclasses import dataclass

import numpy as np
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


@dataclass(frozen=True)
class MixUp:
    """Trains on weighted means of k of the client's images, labels too (Huang et al. 2021, 3).

    Each image is mixed with k - 1 others, so that every image is used k times. The coefficients are
    drawn from Dirichlet(3, 1, ..., 1) until none is above `bound` (the official code's draw). The
    first `batch_size` of the client's N >= k images are shared (None: all); the others are only
    mixed in. ValueError for k < 2, a bound that no k coefficients satisfy, or too few images."""

    k: int
    bound: float = 0.65
    batch_size: int | None = None

    def __post_init__(self):
        if self.k < 2 or not 1 / self.k < self.bound <= 1:
            raise ValueError(f"k is 2 or more and 1/k < bound <= 1, not {self.k}, {self.bound}")

    def keys(self, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Which of `count` images each encoding mixes, (B, k), itself first, and how: (B, k)."""
        if count < max(self.k, self.batch_size or 0):
            raise ValueError(f"{self} needs more than the client's {count} images")
        B, order = self.batch_size or count, torch.randperm(count, generator=rng)
        shifts = torch.randperm(count - 1, generator=rng)[: self.k - 1] + 1
        place = order.argsort()[:B, None] + torch.cat([torch.zeros(1, dtype=torch.long), shifts])
        draw = np.random.default_rng(int(torch.randint(2**62, (), generator=rng)))
        rows, alpha = [], [3] + [1] * (self.k - 1)
        while len(rows) < B:
            rows += [row for row in draw.dirichlet(alpha, 64) if row.max() <= self.bound]
        return order[place % count], torch.tensor(np.array(rows[:B]), dtype=torch.float32)

    def encode(self, images: Tensor, targets: Tensor, rng: torch.Generator):
        chosen, weights = self.keys(len(images), rng)
        return tuple(torch.einsum("bk,bk...->b...", weights.to(t), t[chosen])
                     for t in (images, targets))


@dataclass(frozen=True)
class InstaHide(MixUp):
    """`MixUp`, then every pixel's sign is flipped with probability 1/2, in 2x - 1 (Intra-InstaHide:
    partners are the client's own images; Huang et al. 2020; 2021, section 3)."""

    def encode(self, images: Tensor, targets: Tensor, rng: torch.Generator):
        x, y = super().encode(images, targets, rng)
        flip = torch.randint(2, x.shape, generator=rng).bool().to(x.device)
        return torch.where(flip, 1 - x, x), y


@dataclass(frozen=True)
class DPSGD:
    """Clips every image's gradient to the norm `clip`, then adds normal noise of standard deviation
    noise_multiplier x clip / batch_size to their mean (Abadi et al. 2016, Algorithm 1).

    What that guarantees over a training: `epsilon`. batch_size: the images of one update."""

    clip: float
    noise_multiplier: float
    batch_size: int

    def __post_init__(self):
        if not (self.clip > 0 and self.noise_multiplier >= 0 and self.batch_size >= 1):
            raise ValueError(f"clip and batch_size are positive, noise 0 or more: {self}")

    def per_example(self, grads: dict[str, Tensor]) -> dict[str, Tensor]:
        norm = sum(g.flatten(1).square().sum(1) for g in grads.values()).sqrt()  # (B,)
        scale = (self.clip / norm.clamp_min(1e-30)).clamp(max=1)
        return {n: g * scale.view(-1, *[1] * (g.dim() - 1)) for n, g in grads.items()}

    def update(self, grads: dict[str, Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        std = self.noise_multiplier * self.clip / self.batch_size
        return GaussianNoise(std**2).update(grads, rng)

    def epsilon(self, examples: int, steps: int, delta: float = 1e-5) -> float:
        """The privacy budget of `steps` updates on batches drawn from `examples` images, by opacus'
        RDP accountant (its sampling is Poisson's, at the rate batch_size / examples)."""
        if not (self.batch_size <= examples and steps >= 1 and 0 < delta < 1):
            raise ValueError("examples >= batch_size, steps >= 1 and 0 < delta < 1 are needed")
        if self.noise_multiplier == 0:
            return math.inf
        from opacus.accountants import RDPAccountant  # slow to import

        accountant = RDPAccountant()
        rate = self.batch_size / examples
        accountant.history = [(self.noise_multiplier, rate, steps)]
        return float(accountant.get_epsilon(delta))
