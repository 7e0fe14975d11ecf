"""Defenses that mix images, and how an attacker who knows the keys undoes the mixture."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from . import checks, run


@lru_cache
def _share_within(k: int, bound: float) -> float:
    """Of 4,096 draws of `MixUp`'s coefficients, the share of those with none above `bound`."""
    draws = np.random.default_rng(0).dirichlet([3] + [1] * (k - 1), 4096)
    return float((draws.max(axis=1) <= bound).mean())


@dataclass(frozen=True)
class MixUp:
    """Trains on weighted means of k of the client's images, labels too (Huang et al. 2021, 3).

    Each image is mixed with k - 1 others, so that every image is used k times. The coefficients are
    drawn from Dirichlet(3, 1, ..., 1) until none is above `bound` (the official code's draw). The
    first `batch_size` of the client's N >= k images are shared (None: all); the others are only
    mixed in. ValueError for k < 2, too few images, or a bound that fewer than one in a thousand
    draws of k coefficients satisfy: drawing them would take for ever."""

    k: int
    bound: float = 0.65
    batch_size: int | None = None

    def __post_init__(self) -> None:
        k = checks.whole("k, the number of images mixed,", self.k, 2, 1000)
        bound = checks.number(f"bound, of k = {k} coefficients of sum 1,", self.bound, 1 / k, 1,
                              exclude=(1 / k,))
        if self.batch_size is not None:
            checks.whole("batch_size", self.batch_size)
        if (share := _share_within(k, bound)) < 1e-3:
            raise ValueError(
                f"a bound of {bound:g} on k = {k} coefficients is met by a share of {share:g} of "
                "their draws, less than one in a thousand: give a larger bound or k")

    def keys(self, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Which of `count` images each encoding mixes, (B, k), itself first, and how: (B, k)."""
        checks.whole("count", count)
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

    def encode(self, images: Tensor, targets: Tensor, rng: torch.Generator) \
            -> tuple[Tensor, Tensor]:
        chosen, weights = self.keys(len(images), rng)
        return tuple(torch.einsum("bk,bk...->b...", weights.to(t), t[chosen])
                     for t in (images, targets))


@dataclass(frozen=True)
class InstaHide(MixUp):
    """`MixUp`, then every pixel's sign is flipped with probability 1/2, in 2x - 1 (Intra-InstaHide:
    partners are the client's own images; Huang et al. 2020; 2021, section 3)."""

    def encode(self, images: Tensor, targets: Tensor, rng: torch.Generator) \
            -> tuple[Tensor, Tensor]:
        x, y = super().encode(images, targets, rng)
        flip = torch.randint(2, x.shape, generator=rng).bool().to(x.device)
        return torch.where(flip, 1 - x, x), y


def decode(encodings: Tensor, keys: tuple[Tensor, Tensor], count: int, signs=False,
           iterations=1000, lr=0.01, weight=0.05) -> Tensor:
    """Private images (count, C, H, W) in [0, 1] from recovered encodings (M, C, H, W) in [0, 1].

    The attacker knows which images each encoding mixes and how: keys (M, k) and (M, k), of
    `ThreatModel(mixing_keys=True)`. In e = 2x - 1: Adam from zero on the mean squared error between
    encoding and mixture, with signs=True (InstaHide) between their magnitudes, plus `weight` times
    the mean of 1 - |e| there (Carlini et al. 2021, as Huang et al. 2021 use it). Without signs the
    mixtures are linear and this is least squares. Images that no key names stay grey."""
    checks.flag("signs", signs)
    checks.whole("iterations", iterations)
    checks.number("lr", lr, 0, exclude=(0,))
    checks.number("weight", weight, 0)
    chosen, weights = _checked_keys(encodings, keys, checks.whole("count", count))
    e = 2 * encodings - 1
    x = torch.zeros(count, *e.shape[1:], device=e.device).requires_grad_()
    if signs:  # at zero |x| has no slope: start from a little noise
        x.data = 0.01 * torch.randn(x.shape, generator=run.generator("decode", 0)).to(e)
    optimizer = torch.optim.Adam([x], lr)
    for _ in range(iterations):
        mixed = torch.einsum("mk,mk...->m...", weights.to(e), x[chosen])
        loss = (mixed.abs() - e.abs()).square().mean() if signs else (mixed - e).square().mean()
        loss = loss + weight * (1 - x.abs()).mean() if signs else loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return ((x.detach() + 1) / 2).clamp(0, 1)


def _checked_keys(encodings, keys, count: int) -> tuple[Tensor, Tensor]:
    """The keys (M, k), (M, k) of M encodings; ValueError for what `decode` does not take."""
    if not isinstance(encodings, Tensor) or encodings.dim() != 4 \
            or not encodings.is_floating_point() or not encodings.isfinite().all() \
            or encodings.min() < 0 or encodings.max() > 1:
        raise ValueError("encodings must be a float tensor (M, C, H, W) in [0, 1]")
    if not isinstance(keys, tuple | list) or len(keys) != 2 or not all(
            isinstance(t, Tensor) and t.dim() == 2 for t in keys):
        raise ValueError("keys must be two tensors (M, k): which images each encoding mixes, and "
                         "with which coefficients")
    chosen, weights = keys
    if chosen.shape != weights.shape or len(encodings) != len(chosen):
        raise ValueError(f"{len(encodings)} encodings, keys of shapes {tuple(chosen.shape)} and "
                         f"{tuple(weights.shape)}: all must be of one M")
    if chosen.dtype != torch.int64 or chosen.min() < 0 or chosen.max() >= count:
        raise ValueError(f"keys must name images by whole numbers in 0..{count - 1}, the count")
    if not weights.is_floating_point() or not weights.isfinite().all():
        raise ValueError("the coefficients in keys must be finite floating point numbers")
    return chosen, weights
