"""Several clients in one mean: what a server sees under secure aggregation.

`Members` says who is in the mean, and `mean_function` computes it: an attack on the mean simulates
every client by itself, since local steps and batch statistics are each client's own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from torch import Tensor, nn

from . import checks
from .protocol import Protocol, gradient_weight, local_slices, update_function


@dataclass(frozen=True)
class Members:
    """The clients in a mean: `sizes`, how many images each holds, and `weights`, what each one's
    update is multiplied by, positive, of sum 1. In a batch of them all, the images of the first
    client come first. ValueError for sizes or weights that are none."""

    sizes: tuple[int, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("sizes", "weights"):
            value = getattr(self, name)
            if not isinstance(value, tuple | list) or not value:
                raise ValueError(f"{name} has a number for each client, not {value!r}")
            object.__setattr__(self, name, tuple(value))
        for size in self.sizes:
            checks.whole("each of sizes", size)
        for weight in self.weights:
            checks.number("each of weights", weight, 0, exclude=(0,))
        if len(self.sizes) != len(self.weights):
            raise ValueError(f"{len(self.weights)} weights of {len(self.sizes)} clients")
        if not math.isclose(sum(self.weights), 1, rel_tol=1e-6):
            raise ValueError(f"the weights of a mean sum to 1, not {sum(self.weights):g}")

    def __len__(self) -> int:  # how many clients
        return len(self.sizes)

    @property
    def slices(self) -> list[slice]:
        """Where each client's images are in the batch of all."""
        ends = list(accumulate(self.sizes))
        return [slice(end - size, end) for end, size in zip(ends, self.sizes, strict=True)]

    @property
    def even(self) -> bool:
        """Does every image count the same, whoever holds it?"""
        images = sum(self.sizes)
        return all(math.isclose(weight * images, size, rel_tol=1e-6)
                   for size, weight in zip(self.sizes, self.weights, strict=True))


def mean_function(base: nn.Module, protocol: Protocol, members: Members | None) \
        -> Callable[..., dict[str, Tensor]]:
    """f(params, buffers, x, target) -> dict: `protocol.update_function`, and with `members` the
    weighted mean of what each of them sends of its own images (McMahan et al. 2017, Algorithm 1).

    One gradient in eval mode, where every image counts the same, is that of the whole batch."""
    of_one = update_function(base, protocol)
    if members is None or len(members) == 1 or _is_of_one_batch(protocol, members):
        return of_one

    def mean(params, buffers, x, target) -> dict[str, Tensor]:
        total = {}
        for part, weight in zip(members.slices, members.weights, strict=True):
            sent = of_one(params, buffers, x[part], target[part])
            total = {n: weight * g + total.get(n, 0) for n, g in sent.items()}
        return total

    return mean


def _is_of_one_batch(protocol: Protocol, members: Members) -> bool:
    """Is the mean the gradient of all images together? A loss of the user's own may be no mean."""
    one_gradient = protocol.local_lr is None and isinstance(protocol.loss, str)
    return one_gradient and protocol.mode == "eval" and members.even


def steps_of(protocol: Protocol, batch_size: int, members: Members | None = None) -> list[int]:
    """How many local steps each client takes: one number, or one for each of the members."""
    sizes = (batch_size,) if members is None else members.sizes
    return [len(local_slices(protocol, size)) for size in sizes]


def unit_of(protocol: Protocol, batch_size: int, members: Members | None = None) -> float:
    """The update of a gradient that is 1 in every step, without weight decay."""
    if protocol.local_lr is None:
        return 1.0
    steps = steps_of(protocol, batch_size, members)
    weights = (1.0,) if members is None else members.weights
    whole = sum(weight * gradient_weight(protocol, count)
                for weight, count in zip(weights, steps, strict=True))
    return -protocol.local_lr * whole
