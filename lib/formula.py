"""The function that an attack minimises: from one problem's dummy variables to a number.

All tensors are its arguments, in two dicts: `shared` of all clients, `per_client` of one. Their
names say whose they are: "p " parameters of the victim, "b " its buffers, "g " the shared update,
"G " a generator's tensors; beside them `target`, `mean`, `std` and `latent`.
"""

from collections.abc import Callable
from dataclasses import fields

import torch
from torch import Tensor, nn

from . import batching, client, descriptions, engine, objectives, priors
from .spaces import Opened, of
from .update import SharedUpdate

UNROLLED_STEPS = 10  # local steps in one traced graph; more run one at a time (engine.Rollout)


class Formula:
    """An attack's objective on one victim, with priors; and the same step by step (`rollout`)."""

    def __init__(self, update: SharedUpdate, attack, base: nn.Module, space: Opened) -> None:
        self.update, self.attack, self.base, self.space = update, attack, base, space
        self.protocol = update.protocol
        self.members = update.members
        self.gradient = client.mean_function(base, update.protocol, update.members)
        self.parts = _parts(update)  # of the local steps
        self.local_step = client.local_step(base, update.protocol)
        self.like = next(iter(update.gradients.values()))

    def fed(self, x: Tensor, z: Tensor | None, state: dict) -> tuple[Tensor, Tensor]:
        """What the client's model would be fed (B, C, H, W), and the targets (B, classes)."""
        images = self.space.image(x, state)
        moments = state.get("mean"), state.get("std")
        v = client.to_input(images, self.attack.normalise, self.protocol.normalise, *moments)
        targets = state["target"] if z is None else client.soft_targets(z)
        return v, targets

    def objective(self, x: Tensor, z: Tensor | None, shared: dict, per_client: dict) -> Tensor:
        """The distance of the dummy's update from the shared one, with the weighed priors."""
        state = shared | per_client
        v, targets = self.fed(x, z, state)
        dummy = self.gradient(of("p ", state), of("b ", state), v, targets)
        return self.distance(dummy, x, v, state)

    def distance(self, dummy: dict, x: Tensor, v: Tensor, state: dict) -> Tensor:
        """The same, of an update that was computed; v is what the model was fed."""
        value = self.attack.objective(dummy, of("g ", state))
        loss = _number("the objective", value, self.like)
        for weight, prior in self.attack.priors:
            value = prior(self._read(prior, x, v, state))
            name = f"the prior {objectives.name_of(prior)}"
            loss = loss + weight * _number(name, value, self.like)
        return loss

    def _read(self, prior: Callable, x: Tensor, v: Tensor, state: dict) -> Tensor | list:
        """What a prior declares that it reads (`priors.WHAT`)."""
        what = priors.read_by(prior)
        if what == "moments":
            return batching.moments(self.base, of("p ", state) | of("b ", state), v)
        return x if what == "variables" else self.space.image(x, state)

    # --- many local steps, one at a time: the functions of an engine.Rollout

    def rollout(self) -> engine.Rollout | None:
        """The local steps one at a time, where there are too many for one graph."""
        if self.protocol.local_lr is None or len(self.parts) <= UNROLLED_STEPS:
            return None
        return engine.Rollout(self.first, self.step, self.distance_after, self.parts)

    def first(self, shared: dict, per_client: dict) -> dict[str, Tensor]:
        """The weights that the client was sent and, with momentum, the velocity beside them."""
        params = of("p ", shared | per_client)
        velocity = client.still(params, self.protocol)
        mean = {f"mean {name}": torch.zeros_like(p) for name, p in params.items()}
        return params | _velocities(velocity) | (mean if self.members else {})

    def step(self, theta: dict, x: Tensor, z: Tensor | None, shared: dict, per_client: dict,
             part: slice) -> dict[str, Tensor]:
        """One local step, on the images `part`; without images one of several clients ends."""
        state = shared | per_client
        mean = {name: value for name, value in theta.items() if name.startswith("mean ")}
        theta = {name: value for name, value in theta.items() if name not in mean}
        if part.start == part.stop:
            return self._handed_over(theta, mean, state, part.stop)
        v, targets = self.fed(x, z, state)
        weights, velocity = _parted(theta)
        weights, velocity = self.local_step(weights, velocity, of("b ", state), v[part],
                                            targets[part])
        return weights | _velocities(velocity) | mean

    def _handed_over(self, theta: dict, mean: dict, state: dict, end: int) -> dict[str, Tensor]:
        """The client whose images end there sends its difference into the mean, and the next one
        begins."""
        number = [part.stop for part in self.members.slices].index(end)
        weights, _ = _parted(theta)
        sent, weight = of("p ", state), self.members.weights[number]
        for name, value in weights.items():
            mean[f"mean {name}"] = mean[f"mean {name}"] + weight * (value - sent[name])
        return sent | _velocities(client.still(sent, self.protocol)) | mean

    def distance_after(self, theta: dict, x: Tensor, z: Tensor | None, shared: dict,
                       per_client: dict) -> Tensor:
        """`distance` of the weights after all steps."""
        state = shared | per_client
        sent = of("p ", state)
        change = of("mean ", theta)
        if not self.members:
            weights, _ = _parted(theta)
            change = {name: weight - sent[name] for name, weight in weights.items()}
        v, _ = self.fed(x, z, state)
        return self.distance(change, x, v, state)

    # --- what tells it from others

    def described(self) -> tuple[tuple, bool]:
        """What tells this formula's parts from others, and whether they stay what they are: graphs
        of a user's own model, objective, prior or loss are not kept for the next attack."""
        parts = [descriptions.described_module(self.base),
                 descriptions.described(self.attack.objective),
                 descriptions.described(self.attack.priors)]
        if self.members:
            parts += [descriptions.described(self.members.sizes),
                      descriptions.described(self.members.weights)]
        for entry in fields(self.protocol):
            value = getattr(self.protocol, entry.name)
            parts.append(descriptions.described(value))
            if entry.name == "loss" and isinstance(value, str):
                parts.append((value, descriptions.of_a_library(client.LOSSES[value])))
        return tuple(key for key, _ in parts), all(stays for _, stays in parts)


def _parts(update: SharedUpdate) -> list[slice]:
    """The images of each local step; of several clients one after the other, each followed by an
    empty slice where its images end."""
    if update.members is None:
        return client.local_slices(update.protocol, update.batch_size)
    parts = []
    for held in update.members.slices:
        own = client.local_slices(update.protocol, held.stop - held.start)
        parts += [slice(held.start + s.start, held.start + s.stop) for s in own]
        parts.append(slice(held.stop, held.stop))
    return parts


def _velocities(velocity: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"velocity {name}": tensor for name, tensor in velocity.items()}


def _parted(theta: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights, and their velocities by the weights' names."""
    weights, velocity = {}, {}
    for name, tensor in theta.items():
        if name.startswith("velocity "):
            velocity[name.removeprefix("velocity ")] = tensor
        else:
            weights[name] = tensor
    return weights, velocity


def _number(what: str, value, like: Tensor) -> Tensor:
    """What an objective or a prior returned; ValueError where it is no real number."""
    if not isinstance(value, Tensor) or value.dim() or not value.is_floating_point():
        shape = f" {tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else ""
        raise ValueError(f"{what} must return one real number, a tensor of no axes, not "
                         f"{type(value).__name__}{shape}")
    if value.device.type != like.device.type:
        raise ValueError(f"{what} returned a tensor on {value.device}, not on {like.device}")
    return value
