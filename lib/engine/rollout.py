"""The gradient through many local steps, one at a time: reverse accumulation by hand.

Forward, step by step, only the weights are kept; then backward each step is computed again and its
vector-Jacobian product taken. Two graphs, one local step and its product, serve all steps; a third
is the objective. So neither the graphs nor the tracing grow with the number of steps.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad_and_value, vjp, vmap

from .problems import Problems, is_run_alone, pair
from .tracing import traced


class Rolled:
    """evaluate(v (K, R, N)) -> (loss (K, R), gradient (K, R, N)) of problems with a `Rollout`."""

    def __init__(self, problems: Problems, K: int, R: int, device: torch.device) -> None:
        self.problems, self.rollout, self.K, self.R = problems, problems.rollout, K, R
        self.alone = is_run_alone(problems, K * R, device)
        self.shapes = [shape for shape in (problems.x_shape, problems.z_shape) if shape is not None]
        self.per_client = {}  # of every problem: (K R, ...)
        for name, tensor in problems.per_client.items():
            self.per_client[name] = tensor.repeat_interleave(R, 0)
        of_first = {name: tensor[0] for name, tensor in self.per_client.items()}
        self.begin = self.rollout.first(problems.shared, of_first)  # what a step hands on
        self.graphs = {}

    def __call__(self, v: Tensor) -> tuple[Tensor, Tensor]:
        parts = self.problems.split(v.flatten(0, 1))
        dummies = [part.contiguous() for part in parts if part is not None]
        if self.alone:
            results = [self._value_and_grad([part[i] for part in dummies], i)
                       for i in range(self.K * self.R)]
            loss = torch.stack([value for value, _ in results])
            gradients = [torch.stack(parts)
                         for parts in zip(*(g for _, g in results), strict=True)]
        else:
            loss, gradients = self._value_and_grad(dummies, slice(None))
        shaped = [g.reshape(self.K, self.R, *shape)
                  for g, shape in zip(gradients, self.shapes, strict=True)]
        joined = self.problems.join(*pair(shaped))
        return loss.view(self.K, self.R), joined.reshape(self.K, self.R, -1)

    def _value_and_grad(self, dummies: list[Tensor], rows: int | slice) -> tuple[Tensor, list]:
        """Objective, and gradients of the dummies, of the problems `rows`."""
        count = len(self.begin)
        theta, path = self._first(dummies, rows), []
        for part in self.rollout.parts:
            path.append(theta)
            theta = list(self._run("step", part, [*theta, *dummies], rows))
        loss, *gradients = self._run("end", None, [*theta, *dummies], rows)
        adjoint, total = gradients[:count], gradients[count:]
        for part, theta in zip(reversed(self.rollout.parts), reversed(path), strict=True):
            gradients = self._run("product", part, [*adjoint, *theta, *dummies], rows)
            adjoint = list(gradients[:count])
            total = [a + b for a, b in zip(total, gradients[count:], strict=True)]
        return loss, total

    def _first(self, dummies: list[Tensor], rows: int | slice) -> list[Tensor]:
        """What the first step starts from, for each of the problems."""
        lead = dummies[0].shape[: -len(self.problems.x_shape)]
        per_client = {name: tensor[rows] for name, tensor in self.per_client.items()}
        start = self.rollout.first(self.problems.shared, per_client)
        return [start[name].expand(*lead, *value.shape).contiguous()
                for name, value in self.begin.items()]

    def _run(self, kind: str, part: slice | None, moving: list[Tensor], rows: int | slice) -> tuple:
        """One of the three functions on (K R, ...) tensors, or one problem's where `alone`."""
        place = None if part is None else (part.start, part.stop)
        name = kind, place, rows if self.alone else None
        if name not in self.graphs:
            function = self._function(kind, part)
            if not self.alone:
                axes = [0] * len(self.per_client) + [None] * len(self.problems.shared)
                function = vmap(function, in_dims=(0, axes))
            fixed = [tensor[rows] for tensor in self.per_client.values()]
            fixed += list(self.problems.shared.values())
            key = (*self.problems.key, "rolled", kind, place, self.alone)
            self.graphs[name] = traced(function, moving, fixed, key, self.problems.graphs)
        return self.graphs[name](*moving)

    def _function(self, kind: str, part: slice | None) -> Callable:
        return {"step": self._step, "product": self._product, "end": self._end}[kind](part)

    def _step(self, part: slice) -> Callable:
        """(theta, dummies), fixed -> the next theta."""
        def step(moving, fixed) -> tuple:
            theta, dummies = self._parted(moving)
            after = self.rollout.step(theta, *pair(dummies), *self._named(fixed), part)
            return tuple(after[name] for name in self.begin)
        return step

    def _product(self, part: slice) -> Callable:
        """(adjoint of the next theta, theta, dummies), fixed -> adjoint of theta, gradients."""
        step, count = self._step(part), len(self.begin)

        def product(moving, fixed) -> tuple:
            adjoint, rest = moving[:count], moving[count:]
            _, pull = vjp(lambda rest: step(rest, fixed), rest)
            return tuple(pull(tuple(adjoint))[0])
        return product

    def _end(self, part: None) -> Callable:
        """(the last theta, dummies), fixed -> objective, adjoint of theta, gradients."""
        def end(moving, fixed) -> tuple:
            def value(moving) -> Tensor:
                theta, dummies = self._parted(moving)
                return self.rollout.objective(theta, *pair(dummies), *self._named(fixed))
            gradients, loss = grad_and_value(value)(moving)
            return (loss, *gradients)
        return end

    def _parted(self, moving: list[Tensor]) -> tuple[dict[str, Tensor], list[Tensor]]:
        count = len(self.begin)
        return dict(zip(self.begin, moving[:count], strict=True)), moving[count:]

    def _named(self, fixed: list[Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The tensors of all clients, and of one, by name."""
        count = len(self.per_client)
        return (dict(zip(self.problems.shared, fixed[count:], strict=True)),
                dict(zip(self.per_client, fixed[:count], strict=True)))
