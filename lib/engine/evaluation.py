"""The objective of all problems and its gradient, as one flat graph.

The objective of one problem is a function of its dummy variables; `vmap(grad_and_value(...))` makes
it one of all problems, and `tracing` a flat graph of that, double backward included.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from .problems import Problems, is_run_alone, pair
from .rollout import Rolled
from .tracing import traced


def evaluator(problems: Problems, K: int, R: int, device: torch.device) -> Callable:
    """evaluate(v (K, R, N)) -> (loss (K, R), gradient (K, R, N))."""
    if problems.rollout is not None:
        return Rolled(problems, K, R, device)
    if is_run_alone(problems, K * R, device):
        return _OneByOne(problems, K, R)
    return _Batched(problems, K, R)


class _Unrolled:
    """What both ways of evaluating share: the formula of one problem, and shapes."""

    def __init__(self, problems: Problems, K: int, R: int) -> None:
        self.problems, self.K, self.R = problems, K, R
        self.per_client = list(problems.per_client.values())
        self.shared = list(problems.shared.values())
        self.shapes = [shape for shape in (problems.x_shape, problems.z_shape) if shape is not None]
        self.lead = (K,) if R == 1 else (K, R)

    def of_one(self, dummies: list[Tensor], per_client: list[Tensor], shared: list[Tensor]) \
            -> tuple:
        """(gradients of the dummies, objective) of one problem."""
        of_all = dict(zip(self.problems.shared, shared, strict=True))
        of_client = dict(zip(self.problems.per_client, per_client, strict=True))

        def objective(dummies) -> Tensor:
            return self.problems.objective(*pair(dummies), of_all, of_client)
        return grad_and_value(objective)(dummies)

    def example(self, lead: tuple[int, ...]) -> list[Tensor]:
        """Dummies to trace with, of problems on the leading axes `lead`."""
        like = (self.per_client or self.shared)[0]
        return [like.new_full((*lead, *shape), 0.5) for shape in self.shapes]

    def dummies(self, v: Tensor) -> list[Tensor]:
        """(K, R, N) variables as images and, where they are optimised, label logits, on `lead`."""
        parts = self.problems.split(v.view(*self.lead, v.shape[-1]))
        return [part.contiguous() for part in parts if part is not None]

    def flat(self, loss: Tensor, gradients: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Objective (K, R) and gradient (K, R, N), from those on `lead`."""
        shaped = [g.reshape(*self.lead, *shape)
                  for g, shape in zip(gradients, self.shapes, strict=True)]
        joined = self.problems.join(*pair(shaped))
        return loss.view(self.K, self.R), joined.reshape(self.K, self.R, -1)


class _Batched(_Unrolled):
    """All problems in one graph."""

    def __init__(self, problems: Problems, K: int, R: int) -> None:
        super().__init__(problems, K, R)
        of_client = self.of_one
        if R > 1:
            of_client = vmap(of_client, in_dims=(0, None, None))  # targets are not copied
        of_all = vmap(of_client, in_dims=(0, 0, None))
        count = len(self.per_client)

        def step(dummies, tensors) -> tuple:
            gradients, loss = of_all(dummies, tensors[:count], tensors[count:])
            return *gradients, loss

        fixed = self.per_client + self.shared
        self.step = traced(step, self.example(self.lead), fixed, problems.key, problems.graphs)

    def __call__(self, v: Tensor) -> tuple[Tensor, Tensor]:
        *gradients, loss = self.step(*self.dummies(v))
        return self.flat(loss, gradients)


class _OneByOne(_Unrolled):
    """One graph, run for each problem with its client's tensors."""

    def __init__(self, problems: Problems, K: int, R: int) -> None:
        super().__init__(problems, K, R)
        count = len(self.per_client)

        def step(dummies, tensors) -> tuple:
            gradients, loss = self.of_one(dummies, tensors[:count], tensors[count:])
            return *gradients, loss

        key = (*problems.key, "single")
        self.steps = []
        for k in range(K):
            fixed = [tensor[k] for tensor in self.per_client] + self.shared
            self.steps.append(traced(step, self.example(()), fixed, key, problems.graphs))

    def __call__(self, v: Tensor) -> tuple[Tensor, Tensor]:
        dummies = [part.flatten(0, len(self.lead) - 1) for part in self.dummies(v)]
        results = [self.steps[i // self.R](*(part[i] for part in dummies))
                   for i in range(self.K * self.R)]
        *gradients, loss = (torch.stack(parts) for parts in zip(*results, strict=True))
        return self.flat(loss, gradients)
