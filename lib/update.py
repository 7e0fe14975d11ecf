"""What leaves the client: the shared update, and the doors through which it comes.

The attacker never sees the batch: `SharedUpdate` carries the gradients (or the weight
difference), the public protocol and model, and what the threat model grants; nothing else.
"""

import math
from dataclasses import asdict, dataclass, field, fields, replace

import torch
from torch import Tensor, nn

from . import batching, card, checks, files, intake
from .evidence import Evidence, buffer_evidence, changed_buffers, check_evidence  # noqa: F401
from .members import Members, mean_function, steps_of, unit_of  # noqa: F401
from .messages import check_before, of_clients, with_state
from .protocol import (  # noqa: F401  (public names, kept here)
    LOSSES,
    AssumptionError,
    Protocol,
    ThreatModel,
    certain_logits,
    check_outputs,
    gradient_weight,
    hard_targets,
    local_slices,
    local_step,
    loss_function,
    read_labels,
    soft_targets,
    still,
    tensors,
    to_input,
    update_function,
)
from .update_checks import (  # noqa: F401
    LARGEST,
    check_grants,
    check_kinds,
    check_range,
    checked_labels,
    checked_moments,
    checked_protocol,
    checked_shape,
)
from .update_files import FORMAT, OWN_LOSS, check_state, checked_path, fill, read_file


@dataclass(frozen=True)
class SharedUpdate:
    """What the attacker holds of K clients at once.

    `gradients`: parameter name -> (K, *parameter shape); gradients, or the weight difference when
    the protocol says so; of some layers only where no more was sent (`partial`). `labels` (K, B)
    only where the threat model grants them. The tensors are the update's own.

    Make one with `client.share`, `from_gradients`, `from_weights` or `load`. ValueError for what
    does not fit: names, shapes, types, NaN, labels out of range, a softmax loss of one output."""

    gradients: dict[str, Tensor]
    protocol: Protocol
    model: nn.Module  # prepared: see batching.prepare
    shape: tuple[int, ...]  # (C, H, W) of one image, or (width,) of one embedding
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
    buffers: dict[str, Tensor] | None = None  # buffer in the message -> (K, ...), its change
    notes: tuple[str, ...] = ()  # what the intake converted, in sentences
    members: Members | None = None  # the clients in a mean of several: see client.aggregate

    def __post_init__(self) -> None:
        check_kinds(self)
        params, stacked = tensors(self.model)[0], batching.architecture(self.model)[1]
        if not self.gradients or len(self) < 1:
            raise ValueError("an update needs at least one tensor and one client")
        if unknown := [n for n in self.gradients if n not in params]:
            raise ValueError("update and model disagree about the parameters: unknown: "
                             + ", ".join(map(str, unknown[:4])))
        for name, g in self.gradients.items():
            shape = (len(self), *params[name].shape[1 if stacked else 0:])
            if g.shape != shape:
                raise ValueError(f"update of {name}: {tuple(g.shape)} instead of {shape}")
            if stacked and len(g) != len(params[name]):
                raise ValueError(f"{len(g)} clients share updates of {len(params[name])} victims")
            if not torch.isfinite(g).all():
                raise ValueError(f"the update of {name} holds NaN or infinite values: nothing can "
                                 "be matched; check the client's loss, learning rate and model")
        pixels = len(self) * self.batch_size * math.prod(self.shape)
        if pixels > LARGEST:
            raise ValueError(f"batch_size {self.batch_size} of {len(self)} clients are "
                             f"{pixels:.2g} dummy pixels, more than fit in memory ({LARGEST:.2g})")
        check_grants(self)
        outputs = outputs_of(self.model, self.shape)
        if outputs != self.num_classes:
            raise ValueError(f"the model has {outputs} outputs, not num_classes={self.num_classes}")
        check_outputs(self.protocol, self.num_classes)
        mean, std = checked_moments(self.mean, self.std, self.shape[0], self.protocol.normalise)
        for name, value in (("mean", mean), ("std", std), ("labels", checked_labels(self))):
            object.__setattr__(self, name, value)

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
        mean = sent / unit_of(self.protocol, self.batch_size, self.members)
        if self.protocol.weight_decay == 0:
            return mean
        return mean - self.protocol.weight_decay * tensors(self.model)[0][name].detach()

    @property
    def device(self) -> torch.device:
        return next(iter(self.gradients.values())).device

    @property
    def partial(self) -> bool:
        """Were only some of the parameters sent that the model trains?"""
        return len(self.gradients) < len(tensors(self.model)[0])

    @classmethod
    def from_gradients(cls, model, gradients, protocol=None, *, shape, num_classes, **kwargs) \
            -> "SharedUpdate":
        """An update of your own: what one client's framework sent, or (K, ...) tensors of K.

        model: any module; its weights are those that the clients were sent. gradients: a dict by
        name, a list in the order of parameters() or of state_dict(), or one flat vector, of tensors
        or ndarrays (`intake.read`); names of some layers only make a partial update. With a
        protocol that sends weights they are differences after - before. shape (C, H, W) of an
        image, num_classes the model's outputs; further arguments are fields of the update.
        ValueError for what does not fit, before any work."""
        protocol = checked_protocol(protocol)
        plain, _ = batching.unwrap(model)
        names = intake.names_of(plain)
        message = intake.read(gradients, names, "update")
        return cls._of_message(model, message, protocol, shape, num_classes, kwargs)

    @classmethod
    def _of_message(cls, model, message, protocol, shape, num_classes, kwargs) -> "SharedUpdate":
        """The update of a message whose weights are differences, where the protocol says so."""
        shape = checked_shape(shape)
        checks.whole("num_classes", num_classes)
        ready, notes = batching.ready(model, protocol.mode, shape)
        params, stacked = tensors(ready)[0], batching.architecture(ready)[1]
        notes = (*notes, *message.notes)
        gradients = of_clients(message.trained, params, stacked)
        clients = len(next(iter(gradients.values())))
        if len(gradients) < len(params):
            notes = (*notes, f"a partial update: {len(gradients)} of {len(params)} tensors were "
                             f"sent, {', '.join([*gradients][:4])}"
                             + (", ..." if len(gradients) > 4 else ""))
        update = cls(gradients, protocol, ready, shape, num_classes, notes=notes, **kwargs)
        buffers = changed_buffers(model, message.buffers, protocol, clients)
        update = replace(update, buffers=buffers) if buffers else update
        check_evidence(update)
        return update

    @classmethod
    def from_weights(cls, before, after, model, protocol, *, shape, num_classes, **kwargs) \
            -> "SharedUpdate":
        """The update after - before of two states; `model` gives the architecture of both.

        before, after: state dicts, or lists of tensors or ndarrays in the order of parameters() or
        state_dict() (`intake.read`); after may hold (K, ...) tensors of K clients. The attack
        starts from the weights of `before`. Buffers of BatchNorm in `after` are evidence: a mode
        or a number of steps that they contradict is a ValueError (`buffer_evidence`)."""
        protocol = checked_protocol(protocol)
        if protocol.sends != "weights":
            raise ValueError(
                "from_weights needs a protocol that sends 'weights' (with its local_lr)")
        plain, _ = batching.unwrap(model)
        if batching.architecture(plain)[1]:
            raise ValueError("from_weights takes one module, and an ensemble is many: make an "
                             "update of each")
        names = intake.names_of(plain)
        old = intake.read(before, names, "before")
        new = intake.read(after, names, "after")
        model, notes = with_state(plain, old, names)
        sent = {n: t.detach() for n, t in model.state_dict().items()}
        check_before(old, new, sent)
        change = {n: t - sent[n].to(t) for n, t in new.trained.items()}
        if not any(bool(t.any()) for t in change.values()):
            raise ValueError("before and after are equal: a state_dict is a view of the weights, "
                             "keep copies ({n: v.clone() ...}) before training")
        # Evidence needs both: a model that was trained in place holds the buffers of `after`.
        moved = {n: t - sent[n].to(t) for n, t in new.buffers.items() if n in old.buffers}
        message = intake.Message(change, {}, moved, (*notes, *old.notes, *new.notes))
        return cls._of_message(model, message, protocol, shape, num_classes, kwargs)

    def with_statistics(self) -> "SharedUpdate":
        """The same update, where the attacker takes the private batch's BatchNorm statistics from
        the message's own buffers: `statistics` granted as "exact". ValueError where they do not
        give them away (`buffer_evidence`)."""
        proof = buffer_evidence(self)
        if proof is None or proof.statistics is None:
            raise ValueError("the message's buffers do not give the batch's statistics: they do "
                             "after one step in train mode, with BatchNorm's momentum known")
        return replace(self, statistics=proof.statistics,
                       threat=replace(self.threat, bn_statistics="exact"))

    def card(self) -> dict[str, str]:
        """The assumptions card: what was computed and what the attacker is given, in words."""
        return card.card(self)

    def save(self, path) -> None:
        """Write everything but the model's architecture (tensors and plain values only), whole or
        not at all. A loss of your own is named; `load` needs it again."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("model", "defense", "protocol"):
            plain.pop(name)
        protocol = {f.name: getattr(self.protocol, f.name) for f in fields(self.protocol)}
        if callable(self.protocol.loss):
            protocol["loss"] = OWN_LOSS + self.protocol.loss_name
        plain |= {"protocol": protocol, "threat": asdict(self.threat), "format": FORMAT}
        plain["members"] = None if self.members is None else asdict(self.members)
        plain["state"] = dict(zip(("params", "buffers"), tensors(self.model), strict=True))
        path = checked_path(path)
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise ValueError(f"path names a file in a folder that is there, not {path}")
        with files.atomic(path) as file:
            torch.save(plain, file)

    @classmethod
    def load(cls, path, model: nn.Module, loss=None) -> "SharedUpdate":
        """Read a saved update; `model` gives the architecture, its weights are replaced.

        loss: the client's own loss, where the update was computed with one. FileNotFoundError for
        no file; ValueError for one that is damaged, incomplete, of another version, no update file
        at all, or of another model."""
        path = checked_path(path)
        if not isinstance(model, nn.Module):
            raise ValueError(f"model is a torch.nn.Module, not {type(model).__name__}")
        device = next((p.device for p in model.parameters()), "cpu")
        saved = read_file(path, device, [entry.name for entry in fields(cls)])
        state = saved.pop("state")
        protocol = dict(saved.pop("protocol"))
        if str(protocol.get("loss")).startswith(OWN_LOSS):
            if loss is None:
                name = protocol["loss"].removeprefix(OWN_LOSS)
                raise ValueError(f"{path}: the client's loss was a function of its own, {name}: "
                                 "give load(..., loss=)")
            protocol["loss"] = loss
        try:
            protocol, threat = Protocol(**protocol), ThreatModel(**saved.pop("threat"))
            check_state(batching.unwrap(model)[0], state)
            ready, notes = batching.ready(model, protocol.mode, checked_shape(saved["shape"]))
            fill(ready, state, path)
            saved["shape"] = tuple(saved["shape"])
            saved["notes"] = tuple(dict.fromkeys((*saved.get("notes", ()), *notes)))
            if saved.get("members") is not None:  # files of other versions have none
                saved["members"] = Members(**saved["members"])
            return cls(protocol=protocol, threat=threat, model=ready, **saved)
        except (TypeError, AttributeError, KeyError, ValueError) as error:
            raise ValueError(f"the update file {path} does not fit, or is damaged: {error}") \
                from error


def outputs_of(model: nn.Module, shape: tuple) -> int:
    """The outputs of a prepared model for images (C, H, W); ValueError where they do not fit."""
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
    f = mean_function(base, update.protocol, update.members)
    x = to_input(images, False, update.protocol.normalise, update.mean, update.std)
    axis = 0 if stacked else None
    g = torch.func.vmap(f, in_dims=(axis, axis, 0, 0))(params, buffers, x, soft_targets(logits))
    return {n: t.detach() for n, t in g.items()}
