"""What is minimised: K x R problems that share a formula."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

# A forward pass of more floating point operations than this keeps both cores busy with one
# problem; batching it only spills the caches (bench/table.md, ConvNet width 64 against 16). A
# fixed rule and not a timing, so that the same run gives the same bytes.
ONE_BY_ONE_FLOPS = 1e9


@dataclass
class Problems:
    """K x R minimisation problems that share a formula.

    `objective(x, z, shared, per_client) -> scalar`: `x` what is searched, dummy images (B, C, H, W)
    or another space's variables, `z` (B, classes) dummy label logits or None, `shared` tensors of
    all clients, `per_client` one client's tensors. The field `per_client` holds them stacked,
    (K, ...). `key` tells formulas apart, and `graphs` holds those traced so far: `tracing.GRAPHS`
    where the formula is torch's and lib's alone, else a dict of this attack's. `flops` is a forward
    pass of one problem."""

    objective: Callable
    shared: dict[str, Tensor]
    per_client: dict[str, Tensor]
    x_shape: tuple[int, ...]  # (B, C, H, W)
    z_shape: tuple[int, ...] | None  # (B, classes) when the labels are optimised too
    key: tuple
    flops: float = 0.0
    rollout: "Rollout | None" = None  # where the objective is that of many local steps
    graphs: dict = field(default_factory=dict)

    def select(self, keep: Tensor) -> "Problems":
        return replace(self, per_client={n: t[keep] for n, t in self.per_client.items()})

    def split(self, v: Tensor) -> tuple[Tensor, Tensor | None]:
        """(..., N) variables as images (..., B, C, H, W) and label logits (..., B, classes)."""
        n = torch.Size(self.x_shape).numel()
        x = v[..., :n].reshape(*v.shape[:-1], *self.x_shape)
        return x, None if self.z_shape is None else v[..., n:].reshape(*v.shape[:-1], *self.z_shape)

    def of_each_image(self, device) -> list[Tensor]:
        """For each image of the batch, the indices of its variables: pixels, then label logits."""
        sizes = [torch.Size(s or (0,)).numel() for s in (self.x_shape, self.z_shape)]
        parts = torch.arange(sum(sizes), device=device).split(sizes)
        return list(torch.cat([part.view(self.x_shape[0], -1) for part in parts], 1))

    def join(self, x: Tensor, z: Tensor | None) -> Tensor:
        x = x.flatten(-len(self.x_shape))
        return x if z is None else torch.cat((x, z.flatten(-2)), -1)


@dataclass
class Rollout:
    """Local steps theta_0, ..., theta_n of a client, one at a time, for a gradient without one
    graph of all steps: time and memory of tracing do not grow with n.

    `first(shared, per_client)` are the weights that the client was sent, and beside them what else
    a step hands to the next, the velocity of momentum; `step(theta, x, z, shared, per_client,
    part)` one step on the images `part`; `parts` those of all steps; `objective(theta, x, z,
    shared, per_client)` the distance of the last weights, with the priors."""

    first: Callable
    step: Callable
    objective: Callable
    parts: list[slice]


def pair(dummies: list[Tensor]) -> tuple[Tensor, Tensor | None]:
    """[images] or [images, label logits] as images, and label logits or None."""
    return dummies[0], dummies[1] if len(dummies) == 2 else None


def is_run_alone(problems: Problems, count: int, device: torch.device) -> bool:
    """Whether the problems are run one by one, by a fixed rule (`ONE_BY_ONE_FLOPS`)."""
    return count == 1 or (device.type == "cpu" and problems.flops > ONE_BY_ONE_FLOPS)


def forward_flops(call: Callable, *args) -> float:
    """Floating point operations of `call(*args)`."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call(*args)
    return float(counter.get_total_flops())
