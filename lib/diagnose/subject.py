"""What the checks look at, and the rows that they return."""

import contextlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .. import client, honest
from ..labels import LastLayer, last_layer
from ..update import SharedUpdate

_GUESSED = 0.2  # of a batch's last bias gradient may be left unexplained, to judge its scale


class Row(NamedTuple):
    check: str
    verdict: str
    measured: str
    todo: str


def row(check: str, bad, measured: str, todo: str, verdict: str = "warning") -> Row:
    """`bad`: a bool, or one a client (K,)."""
    bad = torch.as_tensor(bad)
    if not bool(bad.any()):
        return Row(check, "ok", measured, "")
    clients = f"; {int(bad.sum())} of {bad.numel()} clients" if bad.numel() > 1 else ""
    return Row(check, verdict, measured + clients, todo)


def worst_of(values: Tensor, worst, unit: str = "") -> str:
    """The worst client's value, of (K,)."""
    which = f" (client {int(worst)})" if len(values) > 1 else ""
    return f"{float(values[worst]):.3g}{unit}{which}"


def some(names: list[str]) -> str:
    """The first names of a list, after a colon."""
    if not names:
        return ""
    return ": " + ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def norm_of(gradients: dict[str, Tensor]) -> Tensor:
    """(K,), over all tensors."""
    return torch.stack([t.flatten(1).norm(dim=1) for t in gradients.values()]).norm(dim=0)


@dataclass
class Subject:
    """What the checks look at; what several of them need is computed once."""

    update: SharedUpdate
    attack: object = None
    guess: object = None

    @cached_property
    def modules(self) -> set[str]:
        return {type(m).__name__ for m in self.update.model.modules()}

    @cached_property
    def norms(self) -> set[str]:
        """In which modes the model's BatchNorms normalise; a subclass of torch's, which stays as it
        is, in the protocol's."""
        known = {"AffineBatchNorm": "eval", "BatchStatistics": "train"}
        modes = {known[name] for name in self.modules & set(known)}
        subclasses = [m for m in self.update.model.modules()
                if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        return modes | ({self.update.protocol.mode} if subclasses else set())

    @cached_property
    def layer(self) -> LastLayer | None:
        with contextlib.suppress(ValueError):  # the model does not end in a dense layer
            return last_layer(self.update)
        return None

    @cached_property
    def entropy(self) -> bool:
        """A dense last layer with a bias, behind cross-entropy of two outputs or more."""
        return (self.layer is not None and self.layer.bias is not None
                and self.update.protocol.loss == "cross_entropy" and self.update.num_classes > 1)

    @cached_property
    def steps(self) -> int:
        update = self.update
        return max(client.steps_of(update.protocol, update.batch_size, update.members))

    @cached_property
    def norm(self) -> Tensor:  # (K,)
        return norm_of(self.update.gradients)

    @property
    def nothing(self) -> bool:
        return bool((self.norm == 0).all())

    @cached_property
    def zero(self) -> dict[str, Tensor]:  # name -> (K,)
        return {n: (t == 0).flatten(1).all(1) for n, t in self.update.gradients.items()}

    @cached_property
    def simulated(self) -> honest.Simulated:
        update = self.update
        labels = update.labels
        if labels is None and self.layer is not None:
            told = self.layer.weight.sum(-1) if self.layer.bias is None else self.layer.bias
            labels = honest.read_labels(told, update.batch_size)
        if labels is None:
            labels = torch.arange(update.batch_size, device=update.device) % update.num_classes
            labels = labels.expand(len(update), -1)
        return honest.simulate(update, labels, self.layer.prefix if self.entropy else None)

    @cached_property
    def slack(self) -> float:
        """Of the factor: a difference of float32 weights is coarse."""
        return 1e-3 + 1e-6 / (self.update.protocol.local_lr or math.inf)

    @cached_property
    def scale(self) -> honest.Scale:
        return honest.scale(self.update, self.layer, self.simulated, self.slack)

    @cached_property
    def negative(self) -> Tensor:
        """(K,): minus the sum of the last bias gradient's negative entries. An image adds no less
        than -1, so of a mean, over images and steps, it is 1 at most."""
        return self.layer.bias.double().clamp(max=0).sum(-1).neg()

    @cached_property
    def surplus(self) -> Tensor:
        """(K,): the sum of the last bias gradient's entries, 0 for cross-entropy, over that of
        their sizes."""
        bias = self.layer.bias.double()
        whole = bias.abs().sum(-1)
        return torch.where(whole > 1e-3, bias.sum(-1).abs() / whole, 0)  # below, p is rounding

    @cached_property
    def wrong_scale(self) -> Tensor:
        """(K,): the update is not of the scale of a mean loss."""
        if self.update.batch_size == 1:
            return off(self.scale)
        # Noise of a size that the sum tells of moves the factor too, but hardly by a tenth.
        limit = 1 + torch.where(self.surplus > self.slack_of_sum, 0.1, self.slack_of_sum)
        # The features of a batch's images are guessed: no word where they hardly explain it.
        fits = self.scale.misfit <= self.scale.misfit_limit.clamp(max=_GUESSED)
        return (self.negative > limit) | (off(self.scale) & fits)

    @cached_property
    def slack_of_sum(self) -> float:
        """Of sums over the bias gradient: weight decay is taken off as if the bias stood still."""
        decay = self.update.protocol.weight_decay if self.steps > 1 else 0.0
        return self.slack + decay * float(self.layer.b.abs().amax())

    @cached_property
    def uncounted(self) -> Tensor:
        """(K,): the scale keeps the labels of a batch from being counted."""
        if not self.entropy or self.update.batch_size == 1:
            return torch.zeros(len(self.update), dtype=torch.bool)
        return self.wrong_scale


def off(scale: honest.Scale) -> Tensor:
    """(K,): the factor is known, and not where honest clients have it."""
    return scale.factor.isfinite() & ~((scale.low <= scale.factor) & (scale.factor <= scale.high))
