"""What leaves the client: the shared update, and the doors through which it comes. Floor 3.

The attacker never sees the batch: `SharedUpdate` carries the gradients (or the weight
difference), the public protocol and model, and what the threat model grants; nothing else.
"""

import copy
from dataclasses import asdict, dataclass, field, fields

import torch
from torch import Tensor, nn

from lib import batching
from lib.protocol import (  # noqa: F401  (public names, kept here)
    LOSSES,
    AssumptionError,
    Protocol,
    ThreatModel,
    check_outputs,
    gradient_weight,
    hard_targets,
    local_slices,
    local_step,
    loss_function,
    soft_targets,
    still,
    tensors,
    update_function,
)


def _check_names(given, wanted, what: str) -> None:
    """ValueError where the names in `given` are not those in `wanted`, or a value is None."""
    odd = {"missing": [n for n in wanted if n not in given],
           "unknown": [n for n in given if n not in wanted],
           "without a gradient": [n for n in wanted if n in given and given[n] is None]}
    if any(odd.values()):
        said = "; ".join(f"{k}: {', '.join(map(str, v[:4]))}" for k, v in odd.items() if v)
        if all(str(n).startswith("module.") for n in odd["unknown"] or [""]):
            said += "; names start with 'module.' (DataParallel): strip it"
        raise ValueError(f"{what} and model disagree about the parameters: {said}")


def _moments(mean, std, channels: int, needed: bool) -> tuple[Tensor | None, Tensor | None]:
    """mean and std as tensors (channels,), checked; both None where they are not given."""
    given = [1.0 * torch.as_tensor(t) for t in (mean, std) if t is not None]
    if not given:
        if needed:
            raise ValueError("protocol.normalise needs mean and std")
        return None, None
    fit = [t.shape == (channels,) and bool(((t >= 0) & (t <= 1)).all()) for t in given]
    if fit != [True, True] or not (given[1] > 0).all():
        raise ValueError(f"mean and std go together, one value for each of the {channels} "
                         "channels, in units of [0, 1]; std must be positive")
    return given[0], given[1]


# --- the shared update ---------------------------------------------------------------------------

@dataclass(frozen=True)
class SharedUpdate:
    """What the attacker holds of K clients at once.

    `gradients`: parameter name -> (K, *parameter shape); gradients, or the weight difference when
    the protocol says so. `labels` (K, B) only where the threat model grants them."""

    gradients: dict[str, Tensor]
    protocol: Protocol
    model: nn.Module  # prepared: see batching.prepare
    shape: tuple[int, int, int]  # (C, H, W) of one image
    num_classes: int
    batch_size: int = 1
    threat: ThreatModel = field(default_factory=ThreatModel)
    mean: Tensor | None = None  # (C,) of the public image set, in [0, 1]
    std: Tensor | None = None
    labels: Tensor | None = None
    defense: object = None  # given only when threat.defense_known
    targets: Tensor | None = None  # (K, B, classes) beside labels, where a defense mixed them
    statistics: dict[str, Tensor] | None = None  # buffer of a BatchNorm -> (K, channels): "exact"
    keys: tuple[Tensor, Tensor] | None = None  # (K, B, k) each: see defenses.MixUp.keys

    def __post_init__(self):
        params, stacked = tensors(self.model)[0], batching.architecture(self.model)[1]
        _check_names(self.gradients, params, "update")
        if self.batch_size < 1 or len(self) < 1:
            raise ValueError("an update needs at least one client and one image (K, B >= 1)")
        for name, g in self.gradients.items():
            shape = (len(self), *params[name].shape[1 if stacked else 0:])
            if g.shape != shape:
                raise ValueError(f"update of {name}: {tuple(g.shape)} instead of {shape}")
            if stacked and len(g) != len(params[name]):
                raise ValueError(f"{len(g)} clients share updates of {len(params[name])} victims")
            if not torch.isfinite(g).all():
                raise ValueError(f"the update of {name} holds NaN or infinite values: nothing can "
                                 "be matched; check the client's loss and learning rate")
        if (self.labels is not None) != (self.threat.labels == "known"):
            raise ValueError(
                "give labels=... together with threat=ThreatModel(labels='known'), or neither")
        if (self.statistics is not None) != (self.threat.bn_statistics == "exact"):
            raise ValueError("give statistics=... together with "
                             "threat=ThreatModel(bn_statistics='exact'), or neither")
        if (outputs := _fits(self.model, self.shape)) != self.num_classes:
            raise ValueError(f"the model has {outputs} outputs, not num_classes={self.num_classes}")
        check_outputs(self.protocol, self.num_classes)
        mean, std = _moments(self.mean, self.std, self.shape[0], self.protocol.normalise)
        for name, value in (("mean", mean), ("std", std), ("labels", self._checked_labels())):
            object.__setattr__(self, name, value)

    def _checked_labels(self) -> Tensor | None:
        if self.labels is None:
            return None
        labels = torch.as_tensor(self.labels).long().to(self.device)
        need, shape = (len(self), self.batch_size), tuple(labels.shape)
        if shape != need:
            one = ": for one client give labels[None]" if (1, *shape) == need else ""
            raise ValueError(f"labels have shape {shape}, need (clients, images) = {need}{one}")
        _check_range(labels, self.num_classes)
        return labels

    def __repr__(self) -> str:
        return (f"SharedUpdate(K={len(self)} clients, B={self.batch_size} images of shape "
                f"{tuple(self.shape)}, {self.num_classes} classes, {len(self.gradients)} tensors; "
                f"{self.protocol}, {self.threat})")

    def __len__(self) -> int:  # K
        return len(next(iter(self.gradients.values())))

    def mean_gradient(self, name: str) -> Tensor:
        """The gradient (K, ...) of a parameter that the update stands for: what was sent itself, or
        a weight difference turned back into the mean of its steps' gradients. Exact for one step,
        or where all steps had one gradient."""
        sent = self.gradients[name]
        if self.protocol.sends == "gradients":
            return sent
        steps = len(local_slices(self.protocol, self.batch_size))
        mean = -1 / (self.protocol.local_lr * gradient_weight(self.protocol, steps)) * sent
        if self.protocol.weight_decay == 0:
            return mean
        return mean - self.protocol.weight_decay * tensors(self.model)[0][name].detach()

    @property
    def device(self) -> torch.device:
        return next(iter(self.gradients.values())).device

    @classmethod
    def from_gradients(cls, model, gradients, protocol=None, *, shape, num_classes, **kwargs):
        """An update of your own: `gradients` maps names to one client's tensors, or (K, ...) of K.

        An auditor brings what their framework sent; no batch is needed."""
        protocol = protocol or Protocol()
        ready = batching.prepare(model, protocol.mode)
        _fits(ready, tuple(shape))
        batching.try_batched(ready, shape)
        params, stacked = tensors(ready)[0], batching.architecture(ready)[1]
        given, named = gradients, hasattr(gradients, "items")
        if not named:
            given = list(gradients)
            if len(given) != len(params):
                raise ValueError(f"{len(given)} gradients for the {len(params)} parameters that "
                                 f"the model trains: {', '.join([*params][:4])}, ...")
            given = dict(zip(params, given, strict=True))
        _check_names(given, params, "update")
        g = {n: torch.as_tensor(t).detach().to(params[n]) for n, t in given.items()}
        for n, t in g.items():
            if (own := params[n].shape[int(stacked):]) not in (t.shape, t.shape[1:]):
                raise ValueError(
                    f"update of {n} has shape {tuple(t.shape)}, the model's parameter {tuple(own)}"
                    + ("" if named else ": is it in the order of model.parameters()?"))
        if not stacked and all(t.shape == params[n].shape for n, t in g.items()):
            g = {n: t[None] for n, t in g.items()}  # one client
        return cls(g, protocol, ready, tuple(shape), num_classes, **kwargs)

    @classmethod
    def from_weights(cls, before, after, model, protocol, *, shape, num_classes, **kwargs):
        """The update after - before of two state dicts; `model` gives the architecture of both.

        The attack starts from the weights of `before`."""
        if protocol.sends != "weights":
            raise ValueError(
                "from_weights needs a protocol that sends 'weights' (with its local_lr)")
        model = copy.deepcopy(model)  # the caller's keeps its weights
        names = [n for n, p in model.named_parameters() if p.requires_grad]
        others = set(model.state_dict()) - set(names)  # frozen parameters and buffers
        for what, state in (("before", before), ("after", after)):
            _check_names({n: v for n, v in state.items() if n not in others}, names, what)
        model.load_state_dict(before)
        change = {n: after[n] - before[n] for n in names}
        if not any(t.any() for t in change.values()):
            raise ValueError("before and after are equal: a state_dict is a view of the weights, "
                             "keep copies ({n: v.clone() ...}) before training")
        kwargs |= {"shape": shape, "num_classes": num_classes}
        return cls.from_gradients(model, change, protocol, **kwargs)

    def save(self, path) -> None:
        """Write everything but the model's architecture (tensors and plain values only)."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain.pop("model"), plain.pop("defense")
        plain |= {"protocol": asdict(self.protocol), "threat": asdict(self.threat)}
        plain["state"] = dict(zip(("params", "buffers"), tensors(self.model), strict=True))
        torch.save(plain, path)

    @classmethod
    def load(cls, path, model: nn.Module) -> "SharedUpdate":
        """Read a saved update; `model` gives the architecture, its weights are replaced."""
        device = next(model.parameters()).device
        saved = torch.load(path, weights_only=True, map_location=device)
        state = saved.pop("state")
        protocol, threat = Protocol(**saved.pop("protocol")), ThreatModel(**saved.pop("threat"))
        ready = batching.prepare(model, protocol.mode)
        base, _ = batching.architecture(ready)
        named = dict(base.named_parameters()) | dict(base.named_buffers())
        for name, value in (state["params"] | state["buffers"]).items():
            own = tuple(named[name].shape) if name in named else "no such name"
            if own != tuple(value.shape):
                raise ValueError(f"the update's {name} {tuple(value.shape)} does not fit this "
                                 f"model: {own}")
            named[name].data = value  # with its dtype
        saved["shape"] = tuple(saved["shape"])
        return cls(protocol=protocol, threat=threat, model=ready, **saved)

    def card(self) -> dict[str, str]:
        """The assumptions card: what was computed and what the attacker is given, in words."""
        p, t = self.protocol, self.threat
        dropout = "Dropout off" if p.mode == "eval" else "Dropout off (an assumption)"
        steps = "one gradient" if p.local_lr is None else (
            f"weight difference after {p.epochs} epoch(s) of SGD, learning rate {p.local_lr}, "
            f"{p.local_batch or self.batch_size} images a step")
        base, _ = batching.architecture(self.model)
        if isinstance(base, batching.Rounds):
            steps = f"{len(base.rounds)} rounds of the same batch, each {steps}"
        return {"clients x images": f"{len(self)} x {self.batch_size}",
                "shared": f"{steps} of the mean {p.loss.replace('_', ' ')}, all parameters",
                "model mode": f"{p.mode} ({dropout})",
                "input of the model": "(x - mean) / std" if p.normalise else "x in [0, 1]",
                "batch size": "known to the attacker", "labels": t.labels,
                "BatchNorm statistics": "stored, public" if p.mode == "eval" else t.bn_statistics,
                "prior data": t.prior_data or "none",
                "server": {"honest": "honest but curious", "active": "active: it chose the model"}
                          [t.server],
                "mixing keys": "known" if t.mixing_keys else "unknown",
                "defense": "known" if t.defense_known else "not known to the attacker"}


def to_input(x: Tensor, normalised_in: bool, normalised_out: bool, mean: Tensor, std: Tensor) \
        -> Tensor:
    """Images (..., C, H, W) from [0, 1] or z = (x - mean) / std to the other, or unchanged."""
    if normalised_in == normalised_out:
        return x
    mean, std = (t.to(x).reshape(-1, 1, 1) for t in (mean, std))
    return x * std + mean if normalised_in else (x - mean) / std


def _check_range(labels: Tensor, classes: int) -> None:
    last = max(classes - 1, 1)  # one output tells two classes apart
    if int(labels.min()) < 0 or int(labels.max()) > last:
        raise ValueError(f"labels must lie in 0..{last}, the model has {classes} outputs")


def _fits(model: nn.Module, shape: tuple) -> int:
    """The number of classes; ValueError when images of this shape do not fit."""
    base, stacked = batching.architecture(model)
    p, b = ({n: t[0] if stacked else t for n, t in d.items()} for d in tensors(model))
    try:
        out = batching.call(base, p | b, next(iter(p.values())).new_zeros(2, *shape))
    except RuntimeError as error:
        raise ValueError(f"images of shape {shape} do not fit the model; shape is (channels, "
                         f"height, width): {error}") from error
    if not isinstance(out, Tensor) or out.dim() != 2 + isinstance(base, batching.Rounds):
        raise ValueError("the model must return logits of shape (batch, classes)")
    return out.shape[-1]


def dummy_gradients(update: SharedUpdate, images: Tensor, logits: Tensor) -> dict[str, Tensor]:
    """The update of dummy images (K, B, C, H, W) in [0, 1] and label logits (K, B, classes)."""
    base, stacked = batching.architecture(update.model)
    params, buffers = tensors(update.model)
    f = update_function(base, update.protocol)
    x = to_input(images, False, update.protocol.normalise, update.mean, update.std)
    axis = 0 if stacked else None
    g = torch.func.vmap(f, in_dims=(axis, axis, 0, 0))(params, buffers, x, soft_targets(logits))
    return {n: t.detach() for n, t in g.items()}
