"""What is agreed with the clients and granted to the attacker; the update as a function.

`Protocol` says how a client computes what it sends, `ThreatModel` what the attacker is given, and
`update_function` is that computation as a function of images and targets.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import grad
from torch.nn.functional import log_softmax, softmax

from . import batching, checks


class AssumptionError(ValueError):
    """An attack needs something that the threat model does not grant."""


@dataclass(frozen=True)
class Protocol:
    """How a client computes its update: public knowledge, so it travels in the update.

    loss: "cross_entropy", "mse" (logits to one-hot), "mse_softmax", or a callable of logits
    (B, classes) and targets (B, classes) that returns a scalar. Targets are probabilities: a hard
    label is its one-hot row, a mixed label a soft one, and dummy labels are the softmax of free
    logits. Of a model with one output they are (B, 1): the label, 0 or 1, or the sigmoid of a free
    logit; a softmax loss of one output is refused, since it is constant.

    Local steps are those of `torch.optim.SGD` with local_lr, momentum, nesterov and weight_decay
    (dampening 0), from an optimiser that the client makes anew in each round. That a gradient is
    computed in eval mode is itself an assumption of the papers: a PyTorch client trains in train
    mode unless it called `.eval()`. ValueError for a value of another type or range."""

    loss: str | Callable[[Tensor, Tensor], Tensor] = "cross_entropy"
    mode: str = "eval"  # BatchNorm with stored statistics; "train": with the batch's own
    epochs: int = 1  # passes over the batch, when local_lr is given
    local_batch: int | None = None  # images a local step; None: the whole batch
    local_lr: float | None = None  # None: one gradient; else local SGD with this learning rate
    sends: str = "gradients"  # "weights": the difference after - before
    normalise: bool = False  # the model is fed (x - mean) / std instead of x in [0, 1]
    momentum: float = 0.0  # of local SGD, in [0, 1)
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        named = isinstance(self.loss, str) and self.loss in LOSSES
        if not named and not callable(self.loss):
            raise ValueError(f"unknown loss {self.loss!r}: one of {', '.join(LOSSES)}, or a "
                             "function of logits and targets")
        checks.one_of("mode", self.mode, ("eval", "train"))
        checks.one_of("sends", self.sends, ("gradients", "weights"))
        checks.flag("normalise", self.normalise)
        checks.flag("nesterov", self.nesterov)
        checks.whole("epochs", self.epochs)
        checks.number("momentum", self.momentum, 0, 1, exclude=(1,))
        checks.number("weight_decay", self.weight_decay, 0)
        if self.local_batch is not None:
            checks.whole("local_batch", self.local_batch)
        if self.local_lr is not None:
            checks.number("local_lr", self.local_lr, 0, exclude=(0,))
        if (self.local_lr is None) != (self.sends == "gradients"):
            raise ValueError(
                "local steps send weights: give local_lr with sends='weights', or neither")
        stepwise = (self.epochs > 1, self.local_batch is not None, self.momentum > 0,
                    self.weight_decay > 0)
        if self.local_lr is None and any(stepwise):
            raise ValueError("epochs, local_batch, momentum and weight_decay belong to local "
                             "steps: give local_lr too")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")

    @property
    def loss_name(self) -> str:
        """The loss in a word, for cards and messages."""
        if isinstance(self.loss, str):
            return self.loss
        return getattr(self.loss, "__qualname__", type(self.loss).__name__)


@dataclass(frozen=True)
class ThreatModel:
    """What the attacker is given besides update, protocol and model. The default grants nothing.

    ValueError for a value that is none of those named."""

    labels: str = "unknown"  # "known"; "equal": one label in a batch; "unique": no label twice
    bn_statistics: str = "inferred"  # the dummy batch's; "proxy": the global model's; "exact"
    prior_data: str | None = None  # name of a public image set like the client's
    defense_known: bool = False  # the attacker knows the defense and its strength
    server: str = "honest"  # but curious; "active": it sends a model made to leak
    mixing_keys: bool = False  # which images an encoding mixes, and with which coefficients

    def __post_init__(self) -> None:
        checks.one_of("server", self.server, ("honest", "active"))
        checks.one_of("labels", self.labels, ("unknown", "known", "equal", "unique"))
        checks.one_of("bn_statistics", self.bn_statistics, ("inferred", "proxy", "exact"))
        checks.flag("defense_known", self.defense_known)
        checks.flag("mixing_keys", self.mixing_keys)
        if self.prior_data is not None and not (
                isinstance(self.prior_data, str) and self.prior_data):
            raise ValueError("prior_data is the name of a public image set, or None, not "
                             f"{self.prior_data!r}")


# --- the update as a function --------------------------------------------------------------------

LOSSES = {  # of logits and targets (B, classes)
    "cross_entropy": lambda y, target: -(target * log_softmax(y, -1)).sum(-1).mean(),
    "mse": lambda y, target: (y - target).square().sum(-1).mean(),
    "mse_softmax": lambda y, target: (softmax(y, -1) - target).square().sum(-1).mean(),
}
_OF_SOFTMAX = ("cross_entropy", "mse_softmax")


def check_outputs(protocol: Protocol, classes: int) -> None:
    """ValueError for a softmax of one output, whose gradient is 0 whatever the image."""
    if classes == 1 and protocol.loss in _OF_SOFTMAX:
        raise ValueError(
            f"the model has one output, and {protocol.loss} of one output is constant: say what "
            "the client computed, Protocol(loss=function of logits (B, 1) and targets (B, 1)), for "
            "instance torch.nn.functional.binary_cross_entropy_with_logits")


def hard_targets(labels: Tensor, classes: int) -> Tensor:
    """Targets (..., classes) of hard labels (...): one-hot rows; the label itself of one output."""
    if classes == 1:
        return labels[..., None]
    return torch.nn.functional.one_hot(labels, classes)


def soft_targets(logits: Tensor) -> Tensor:
    """Targets of free label logits (..., classes): their softmax; the sigmoid of one output."""
    return logits.sigmoid() if logits.shape[-1] == 1 else softmax(logits, -1)


def certain_logits(labels: Tensor, classes: int) -> Tensor:
    """Label logits (..., classes) whose `soft_targets` are the hard labels (...), exactly."""
    if classes == 1:
        return (2e4 * labels - 1e4)[..., None]
    return 1e4 * torch.nn.functional.one_hot(labels, classes).float()


def read_labels(logits: Tensor) -> Tensor:
    """The labels (...) that free label logits (..., classes) stand for: the largest; of one output,
    1 where it is positive."""
    return (logits[..., 0] > 0).long() if logits.shape[-1] == 1 else logits.argmax(-1)


def loss_function(base: nn.Module, protocol: Protocol) -> Callable[..., Tensor]:
    """loss(params, buffers, x, target): the mean over the batch, in x as the model is fed."""
    criterion = protocol.loss if callable(protocol.loss) else LOSSES[protocol.loss]

    def loss(params, buffers, x, target) -> Tensor:
        return criterion(batching.call(base, params | buffers, x), target)

    return loss


def local_slices(protocol: Protocol, batch_size: int) -> list[slice]:
    """The images of each local step: consecutive slices of the batch, over again each epoch."""
    size = protocol.local_batch or batch_size
    once = [slice(i, min(i + size, batch_size)) for i in range(0, batch_size, size)]
    return once * protocol.epochs


def local_step(base: nn.Module, protocol: Protocol) -> Callable[..., tuple[dict, dict]]:
    """step(params, velocity, buffers, x, target) -> (params, velocity): one step of local SGD.

    As `torch.optim.SGD` without dampening: g + weight_decay theta is the slope, the velocity v
    becomes momentum v + slope, and theta moves by -local_lr times v, or slope + momentum v with
    nesterov. velocity: name -> tensor, zeros before the first step; without momentum an empty
    dict, before and after."""
    slope_of = grad(loss_function(base, protocol))
    lr, momentum, decay = protocol.local_lr, protocol.momentum, protocol.weight_decay

    def step(params, velocity, buffers, x, target) -> tuple:
        slope = slope_of(params, buffers, x, target)
        if decay:
            slope = {name: g + decay * params[name] for name, g in slope.items()}
        direction = slope
        if momentum:
            velocity = {name: momentum * velocity[name] + g for name, g in slope.items()}
            direction = velocity
        if protocol.nesterov:
            direction = {name: g + momentum * velocity[name] for name, g in slope.items()}
        return {name: p - lr * direction[name] for name, p in params.items()}, velocity

    return step


def still(params: dict[str, Tensor], protocol: Protocol) -> dict[str, Tensor]:
    """The velocity before the first local step: zeros with momentum, an empty dict without."""
    if protocol.momentum == 0:
        return {}
    return {name: torch.zeros_like(p) for name, p in params.items()}


def gradient_weight(protocol: Protocol, steps: int) -> float:
    """How many gradients a difference of `steps` local steps adds up, if they were all equal.

    The difference is then -local_lr times this times the gradient: the number of steps itself
    without momentum mu, else the sum of (1 - mu^t) / (1 - mu) over the steps, and with nesterov of
    1 + mu (1 - mu^t) / (1 - mu). Weight decay is left out."""
    mu = protocol.momentum
    if mu == 0:
        return float(steps)
    after = [(1 - mu**t) / (1 - mu) for t in range(1, steps + 1)]
    return sum(1 + mu * a if protocol.nesterov else a for a in after)


def update_function(base: nn.Module, protocol: Protocol) -> Callable[..., dict[str, Tensor]]:
    """f(params, buffers, x, target) -> dict: what one client sends, differentiable in x and target.

    `x` (B, C, H, W) as the model is fed, `target` (B, classes) probabilities: the hard label as a
    one-hot row, or DLG's softmax of free logits (Zhu et al. 2019, Algorithm 1). The loss is the
    mean over the batch. With local steps the update is theta_K - theta_0 of SGD over consecutive
    slices of the batch (McMahan et al. 2017, Algorithm 1, without shuffling)."""
    if protocol.local_lr is None:
        return grad(loss_function(base, protocol))
    step = local_step(base, protocol)

    def difference(params, buffers, x, target) -> dict[str, Tensor]:
        now, velocity = params, still(params, protocol)
        for part in local_slices(protocol, len(x)):
            now, velocity = step(now, velocity, buffers, x[part], target[part])
        return {name: p - params[name] for name, p in now.items()}

    return difference


def tensors(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(trainable parameters, frozen ones and buffers), detached; leading K axis in an ensemble.

    A client sends what it trains: `requires_grad=False` parameters are not part of the update."""
    base, _ = batching.architecture(model)
    named = [(n, p.detach(), p.requires_grad) for n, p in base.named_parameters()]
    fixed = {n: p for n, p, trained in named if not trained}
    fixed |= {n: b.detach() for n, b in base.named_buffers()}
    return {n: p for n, p, trained in named if trained}, fixed


def to_input(x: Tensor, normalised_in: bool, normalised_out: bool, mean: Tensor, std: Tensor) \
        -> Tensor:
    """Images (..., C, H, W) from [0, 1] or z = (x - mean) / std to the other, or unchanged."""
    if normalised_in == normalised_out:
        return x
    mean, std = (t.to(x).reshape(-1, 1, 1) for t in (mean, std))
    return x * std + mean if normalised_in else (x - mean) / std
