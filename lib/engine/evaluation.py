"""The objective of all problems and its gradient, as one flat graph.

The objective of one problem is a function of its dummy variables, and `tracing` makes a flat graph
of its gradient, double backward included. On a CPU that graph runs for eight problems at once
(`lanes`), where they gain by it; else `vmap` makes it one of all problems.
"""

from collections.abc import Callable

import torch
from torch import Tensor, fx
from torch.func import grad_and_value, vmap

from . import lanes
from .problems import ONE_BY_ONE_FLOPS, Problems, is_run_alone, pair
from .rollout import Rolled
from .tracing import graph_pair, traced

# In lanes a group of eight costs the same, however few problems it holds. For networks up to
# SMALL_FLOPS a forward pass a single problem gains by it all the same (bench/README.md); larger
# ones from FEWEST problems on.
SMALL_FLOPS = 1e7
FEWEST = 4


def evaluator(problems: Problems, K: int, R: int, device: torch.device) -> Callable:
    """evaluate(v (K, R, N)) -> (loss (K, R), gradient (K, R, N))."""
    if problems.rollout is not None:
        return Rolled(problems, K, R, device)
    if _gains_in_lanes(problems, K * R, device):
        try:
            return _InLanes(problems, K, R)
        except lanes.Unsupported:
            pass  # runs as it would without
    if is_run_alone(problems, K * R, device):
        return _OneByOne(problems, K, R)
    return _Batched(problems, K, R)


def _gains_in_lanes(problems: Problems, count: int, device: torch.device) -> bool:
    """Whether the problems run in lanes, by a fixed rule, so that no two runs of a machine part."""
    floats = {t.dtype for t in (*problems.per_client.values(), *problems.shared.values())
              if t.is_floating_point()}
    if device.type != "cpu" or floats != {torch.float32} or problems.flops > ONE_BY_ONE_FLOPS:
        return False
    enough = problems.flops <= SMALL_FLOPS or count >= FEWEST
    return enough and lanes.library() is not None


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


class _InLanes(_Unrolled):
    """The graph of one problem, run for eight problems at once."""

    def __init__(self, problems: Problems, K: int, R: int) -> None:
        super().__init__(problems, K, R)
        count = len(self.per_client)

        def step(dummies, tensors) -> tuple:
            gradients, loss = self.of_one(dummies, tensors[:count], tensors[count:])
            return *gradients, loss

        first = [tensor[0] for tensor in self.per_client] + self.shared
        body, prologue = graph_pair(step, self.example(()), first, (*problems.key, "single"),
                                    problems.graphs)
        self.step = lanes.Step(body.graph, self.shapes, self._fixed(prologue), K * R)

    def _fixed(self, prologue: fx.GraphModule) -> list[tuple[Tensor, bool]]:
        """What the body takes after the dummies: tensors of all problems, and (problems, ...) of
        each, with whether it is each problem's own."""
        own = _depends(prologue.graph, len(self.per_client))
        results = [prologue.forward(*(t[k] for t in self.per_client), *self.shared)
                   for k in range(self.K if any(own) else 1)]
        stacked = []
        for values, is_own in zip(zip(*results, strict=True), own, strict=True):
            if is_own:
                values = torch.stack(values).repeat_interleave(self.R, 0)
            stacked.append((values if is_own else values[0], is_own))
        return stacked

    def __call__(self, v: Tensor) -> tuple[Tensor, Tensor]:
        *gradients, loss = self.step(*self.dummies(v))
        return self.flat(loss, gradients)


def _depends(graph: fx.Graph, count: int) -> list[bool]:
    """Which results of a graph depend on its first `count` inputs."""
    nodes = list(graph.nodes)
    reached = {n for n in nodes if n.op == "placeholder"}
    reached = set([n for n in nodes if n in reached][:count])
    for node in nodes:
        if any(parent in reached for parent in node.all_input_nodes):
            reached.add(node)
    return [result in reached for result in nodes[-1].args[0]]


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
