"""The problem that an attack poses on an update: what the engine minimises, from where, with which
optimiser.
"""

import itertools
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from . import batching, checks, client, engine, run
from .attack import Attack, check_granted, check_pair
from .engine import optimizers, tracing
from .formula import Formula
from .labels import infer
from .spaces import NAMES, Opened, Space
from .update import SharedUpdate

# --- where it starts -----------------------------------------------------------------------------


def starts(update: SharedUpdate, attack: Attack, restarts: int = 1, seed: int = 0,
           first: int = 0) -> tuple[Tensor, Tensor | None]:
    """Dummy images (K, R, B, C, H, W) ~ N(0, 1) in the optimised space, and label logits or None.

    Drawn on the CPU for each (seed, client, restart), so they depend on nothing else. `first` is
    the number of the first client, where the update is a part of a longer sweep. With a generator
    latents take the images' place."""
    check_pair(update, attack)
    checks.whole("restarts", restarts)
    image, labels = attack.space.drawn_shape(update), (update.num_classes,)
    drawn = []
    for k, r in itertools.product(range(len(update)), range(restarts)):
        rng = run.generator("start", seed, first + k, r)
        drawn.append([torch.randn(update.batch_size, *shape, generator=rng)
                      for shape in (image, labels)])
    like = next(iter(update.gradients.values()))
    x, z = (torch.stack(t).to(like).unflatten(0, (-1, restarts)) for t in zip(*drawn, strict=True))
    joint = attack.labels == "joint" and update.labels is None
    return x, z if joint else None


def _begin(update: SharedUpdate, attack: Attack, restarts: int, seed: int, start) \
        -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Variables (K, R, ...) and label logits or None to start from, and the latents (K, B, ...)
    that the stage keeps."""
    space = attack.space
    if isinstance(start, tuple):
        return *_given(update, space, start), None
    if start is not None and not hasattr(start, "latents"):
        raise ValueError("start is (images, label logits or None) or a reconstruction, not "
                         f"{type(start).__name__}")
    if space.is_drawn and start is None:
        return *starts(update, attack, restarts, seed), None
    if restarts > 1:
        raise ValueError("what goes on from one state has one restart")
    images, latents = (None, None) if start is None else (start.images, start.latents)
    if start is None:
        latents = starts(update, attack, 1, seed)[0][:, 0]
    x = space.start(update, attack.normalise, latents, images)
    return x, None, None if space.gives_latents else latents


def _given(update: SharedUpdate, space: Space, start: tuple) -> tuple[Tensor, Tensor | None]:
    """A start of the user's own, in the update's type and on its device."""
    if not space.is_drawn:
        raise ValueError(f"to search {NAMES[space.letter]} start from a reconstruction, or nothing")
    if len(start) != 2 or not isinstance(start[0], Tensor) \
            or not isinstance(start[1], Tensor | None):
        raise ValueError("a start is a pair of tensors: images, and label logits or None")
    like = next(iter(update.gradients.values()))
    x, z = start
    return x.to(like), None if z is None else z.to(like)


# --- the problem ---------------------------------------------------------------------------------


@dataclass
class Problem:
    """An attack on an update, as the engine minimises it: see `problem`."""

    update: SharedUpdate
    attack: Attack
    problems: engine.Problems  # K x R of them: the formula and its tensors
    space: Opened
    variables: Tensor  # (K, R, N): where it starts
    labels: Tensor | None  # (K, B), where they are not optimised
    logits: Tensor | None  # (K, R, B, classes): where the labels start, if they are optimised
    latents: Tensor | None  # (K, B, ...): those that stay

    def of_clients(self, clients: slice | Tensor) -> engine.Problems:
        """The problems of some of the clients."""
        numbers = torch.arange(len(self.update), device=self.variables.device)
        return self.problems.select(numbers[clients])

    def optimizer(self, variables: Tensor) \
            -> optimizers.Adam | optimizers.LBFGS | optimizers.InTurn:
        """The attack's optimiser, at these variables (K, R, N)."""
        attack, problems = self.attack, self.problems
        if attack.is_adam:
            count = torch.Size(problems.x_shape).numel()
            settings = (attack.optimizer == "signed_adam", attack.decay, self._box(),
                        attack.space.tied)
            return optimizers.Adam(variables, attack.lr, attack.iterations, count, *settings)
        settings = {"lr": attack.lr, "line_search": attack.optimizer == "lbfgs_line_search",
                    "relative": not attack.is_as_published}
        if attack.in_turn:
            blocks = problems.of_each_image(variables.device)
            return optimizers.InTurn(variables, blocks, **settings)
        return optimizers.LBFGS(variables, **settings)

    def _box(self) -> list[Tensor] | None:
        """The lowest and highest value of each pixel, in the space of the attack."""
        if not self.attack.box:
            return None
        update, ends = self.update, []
        for value in (0.0, 1.0):
            end = torch.full(self.problems.x_shape, value, device=update.device)
            end = client.to_input(end, False, self.attack.normalise, update.mean, update.std)
            ends.append(end.flatten())
        return ends

    def replaced(self, attack: Attack) -> "Problem":
        """The same problem with another attack, from the same start."""
        problems, space = _problems(self.update, attack, self.logits, self.latents, self.labels)
        return replace(self, attack=attack, problems=problems, space=space)


def problem(update: SharedUpdate, attack: Attack, restarts: int = 1, seed: int = 0, start=None) \
        -> Problem:
    """What `reconstruct` minimises, without minimising it: formula, start and optimiser.

    `.problems` is an `engine.Problems`, `.variables` (K, R, N) where they start, `.optimizer(v)`
    the attack's; `engine.evaluator(p.problems, K, R, device)` gives objective and gradient at any
    variables. restarts, seed, start: see `reconstruct`, as are the errors."""
    check_pair(update, attack)
    check_granted(update, attack)
    run.current()  # ieee float32
    x, z, latents = _begin(update, attack, restarts, seed, start)
    if z is None and update.labels is None and attack.labels == "joint":
        raise ValueError("this attack optimises labels too: start with their logits, or give the "
                         "attack a label rule")
    labels = update.labels
    if z is None and labels is None:
        labels = infer(update, attack.labels)
    problems, space = _problems(update, attack, z, latents, labels)
    shape = (len(update), restarts, *space.shape)
    given = x.shape, None if z is None else z.shape[2:]
    if given != (shape, problems.z_shape):
        raise ValueError(f"a start is images {shape} and label logits or None")
    return Problem(update, attack, problems, space, problems.join(x, z), labels, z, latents)


def _problems(update: SharedUpdate, attack: Attack, z: Tensor | None, latents: Tensor | None,
              labels: Tensor | None) -> tuple[engine.Problems, Opened]:
    """The formula with its tensors, and the space of its variables."""
    base, stacked = batching.architecture(update.model)
    space = attack.space.opened(update, attack.normalise, latents)
    formula = Formula(update, attack, base, space)
    shared, per_client = _tensors(update, attack, space, labels)
    described, stays = formula.described()
    convert = attack.normalise != update.protocol.normalise
    names = tuple(per_client), tuple(shared)
    key = (described, convert, attack.normalise, stacked, *names, space.key)
    graphs = tracing.GRAPHS if stays and space.stays else {}
    z_shape = None if z is None else (update.batch_size, update.num_classes)
    problems = engine.Problems(formula.objective, shared, per_client, space.shape, z_shape, key,
                               _flops(update), formula.rollout(), graphs)
    return problems, space


def _tensors(update: SharedUpdate, attack: Attack, space: Opened, labels: Tensor | None) \
        -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of a formula by name: of all clients, and of each (K, ...)."""
    params, buffers = client.tensors(update.model)
    _, stacked = batching.architecture(update.model)
    shared, per_client = {}, {f"g {name}": g for name, g in update.gradients.items()}
    victim = {f"p {name}": p for name, p in params.items()}
    victim |= {f"b {name}": b for name, b in buffers.items()}
    if stacked:
        per_client |= victim
    else:
        shared |= victim
    for name, value in (update.statistics or {}).items():  # each client's own, where granted
        per_client[f"b {name}"] = value
        shared.pop(f"b {name}", None)
    shared, per_client = shared | space.shared, per_client | space.per_client
    if attack.normalise != update.protocol.normalise:
        shared |= {"mean": update.mean.to(update.device), "std": update.std.to(update.device)}
    if update.targets is not None and labels is not None:
        per_client["target"] = update.targets
    elif labels is not None:
        like = next(iter(params.values()))
        per_client["target"] = client.hard_targets(labels, update.num_classes).to(like)
    return shared, per_client


def _flops(update: SharedUpdate) -> float:
    """Operations of a forward pass of one client's batch."""
    base, stacked = batching.architecture(update.model)
    params, buffers = client.tensors(update.model)
    state = {name: t[0] if stacked else t for name, t in (params | buffers).items()}
    images = next(iter(params.values())).new_zeros(update.batch_size, *update.shape)
    return engine.forward_flops(lambda v: batching.call(base, state, v), images)
