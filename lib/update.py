"""What leaves the client: the shared update, and the doors through which it comes. Floor 4.

The attacker never sees the batch: `SharedUpdate` carries the gradients (or the weight
difference), the public protocol and model, and what the threat model grants; nothing else.
"""

import math
import os
import zipfile
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from lib import batching, checks, defenses, files, intake
from lib.evidence import Evidence, buffer_evidence, changed_buffers, check_evidence  # noqa: F401
from lib.protocol import (  # noqa: F401  (public names, kept here)
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
    update_function,
)


def checked_moments(mean, std, channels: int, needed: bool) -> tuple[Tensor | None, Tensor | None]:
    """mean and std as tensors (channels,), checked; both None where they are not given."""
    try:
        given = [1.0 * torch.as_tensor(t) for t in (mean, std) if t is not None]
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"mean and std are tensors of one value a channel: {error}") from error
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

LARGEST = 2**31  # dummy pixels of all clients: 8 GiB in float32


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

    def __post_init__(self):
        _check_kinds(self)
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
        self._check_grants()
        outputs = outputs_of(self.model, self.shape)
        if outputs != self.num_classes:
            raise ValueError(f"the model has {outputs} outputs, not num_classes={self.num_classes}")
        check_outputs(self.protocol, self.num_classes)
        mean, std = checked_moments(self.mean, self.std, self.shape[0], self.protocol.normalise)
        for name, value in (("mean", mean), ("std", std), ("labels", self._checked_labels())):
            object.__setattr__(self, name, value)

    def _check_grants(self) -> None:
        """What stands beside the gradients is what the threat model grants."""
        if (self.labels is not None) != (self.threat.labels == "known"):
            raise ValueError(
                "give labels=... together with threat=ThreatModel(labels='known'), or neither")
        if (self.statistics is not None) != (self.threat.bn_statistics == "exact"):
            raise ValueError("give statistics=... together with "
                             "threat=ThreatModel(bn_statistics='exact'), or neither")
        own = tensors(self.model)[1]
        if self.statistics is not None and not (
                isinstance(self.statistics, dict) and self.statistics):
            raise ValueError("statistics is a dict from buffers of a BatchNorm to tensors (K, "
                             f"channels), not {type(self.statistics).__name__} of nothing")
        for name, value in (self.statistics or {}).items():
            if name not in own or not isinstance(value, Tensor) \
                    or value.shape != (len(self), own[name].shape[-1]):
                raise ValueError(f"statistics: {name} is no buffer of a BatchNorm of this model "
                                 "with a row (channels,) a client")
        if self.defense is not None and not self.threat.defense_known:
            raise ValueError("give defense=... together with threat=ThreatModel(defense_known="
                             "True), or neither")
        defenses.steps(self.defense)
        if (self.keys is not None) != self.threat.mixing_keys:
            raise ValueError("give keys=... together with threat=ThreatModel(mixing_keys=True), or "
                             "neither")
        if self.keys is not None and not (isinstance(self.keys, tuple) and len(self.keys) == 2
                                          and all(isinstance(t, Tensor) and t.dim() == 3
                                                  and len(t) == len(self) for t in self.keys)):
            raise ValueError("keys are two tensors (clients, encodings, k), of `MixUp.keys`")
        targets = (len(self), self.batch_size, self.num_classes)
        if self.targets is not None and (self.labels is None or tuple(
                getattr(self.targets, "shape", ())) != targets):
            raise ValueError("targets are probabilities (clients, images, classes) = "
                             f"{targets}, beside granted labels")
        if self.targets is not None and not (self.targets.is_floating_point() and bool(
                ((self.targets >= 0) & (self.targets <= 1)).all())):
            raise ValueError("targets are probabilities: floating point numbers in [0, 1]")

    def _checked_labels(self) -> Tensor | None:
        if self.labels is None:
            return None
        try:
            labels = torch.as_tensor(self.labels)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"labels are whole numbers (clients, images): {error}") from error
        broken = labels.is_floating_point() and bool((labels != labels.round()).any())
        if broken or labels.is_complex() or labels.dtype == torch.bool:
            raise ValueError("labels are whole numbers (clients, images), not "
                             f"{labels.flatten()[0].item()!r}, ... of {labels.dtype}")
        labels = labels.long().to(self.device)
        need, shape = (len(self), self.batch_size), tuple(labels.shape)
        if shape != need:
            one = ": for one client give labels[None]" if (1, *shape) == need else ""
            raise ValueError(f"labels have shape {shape}, need (clients, images) = {need}{one}")
        check_range(labels, self.num_classes)
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
        shape = _checked_shape(shape)
        checks.whole("num_classes", num_classes)
        ready, notes = batching.ready(model, protocol.mode, shape)
        params, stacked = tensors(ready)[0], batching.architecture(ready)[1]
        notes = (*notes, *message.notes)
        gradients = _of_clients(message.trained, params, stacked)
        clients = len(next(iter(gradients.values())))
        if len(gradients) < len(params):
            notes = (*notes, f"a partial update: {len(gradients)} of {len(params)} tensors were "
                             f"sent, {', '.join([*gradients][:4])}"
                             + (", ..." if len(gradients) > 4 else ""))
        made = cls(gradients, protocol, ready, shape, num_classes, notes=notes, **kwargs)
        buffers = changed_buffers(model, message.buffers, protocol, clients)
        made = replace(made, buffers=buffers) if buffers else made
        check_evidence(made)
        return made

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
        model, notes = _with_state(plain, old, names)
        own = {n: t.detach() for n, t in model.state_dict().items()}
        _check_before(old, new, own)
        change = {n: t - own[n].to(t) for n, t in new.trained.items()}
        if not any(bool(t.any()) for t in change.values()):
            raise ValueError("before and after are equal: a state_dict is a view of the weights, "
                             "keep copies ({n: v.clone() ...}) before training")
        # Evidence needs both: a model that was trained in place holds the buffers of `after`.
        moved = {n: t - own[n].to(t) for n, t in new.buffers.items() if n in old.buffers}
        message = intake.Message(change, {}, moved, (*notes, *old.notes, *new.notes))
        return cls._of_message(model, message, protocol, shape, num_classes, kwargs)

    def with_statistics(self) -> "SharedUpdate":
        """The same update, where the attacker takes the private batch's BatchNorm statistics from
        the message's own buffers: `statistics` granted as "exact". ValueError where they do not
        give them away (`buffer_evidence`)."""
        found = buffer_evidence(self)
        if found is None or found.statistics is None:
            raise ValueError("the message's buffers do not give the batch's statistics: they do "
                             "after one step in train mode, with BatchNorm's momentum known")
        return replace(self, statistics=found.statistics,
                       threat=replace(self.threat, bn_statistics="exact"))

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
        plain["state"] = dict(zip(("params", "buffers"), tensors(self.model), strict=True))
        path = _checked_path(path)
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
        path = _checked_path(path)
        if not isinstance(model, nn.Module):
            raise ValueError(f"model is a torch.nn.Module, not {type(model).__name__}")
        saved = _read_file(path, next((p.device for p in model.parameters()), "cpu"))
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
            _check_state(batching.unwrap(model)[0], state)
            ready, notes = batching.ready(model, protocol.mode, _checked_shape(saved["shape"]))
            _fill(ready, state, path)
            saved["shape"] = tuple(saved["shape"])
            saved["notes"] = tuple(dict.fromkeys((*saved.get("notes", ()), *notes)))
            return cls(protocol=protocol, threat=threat, model=ready, **saved)
        except (TypeError, AttributeError, KeyError, ValueError) as error:
            raise ValueError(f"the update file {path} does not fit, or is damaged: {error}") \
                from error

    def card(self) -> dict[str, str]:
        """The assumptions card: what was computed and what the attacker is given, in words."""
        p, t = self.protocol, self.threat
        dropout = "Dropout off" if p.mode == "eval" else "Dropout off (an assumption)"
        steps = "one gradient" if p.local_lr is None else (
            f"weight difference after {p.epochs} epoch(s) of SGD, learning rate {p.local_lr}, "
            f"{p.local_batch or self.batch_size} images a step")
        for name in ("momentum", "nesterov", "weight_decay"):
            if value := getattr(p, name):
                steps += f", {name.replace('_', ' ')}" + ("" if value is True else f" {value:g}")
        sent = "all parameters"
        if self.partial:
            sent = f"{len(self.gradients)} of {len(tensors(self.model)[0])} parameter tensors"
        base, _ = batching.architecture(self.model)
        if isinstance(base, batching.Rounds):
            steps = f"{len(base.rounds)} rounds of the same batch, each {steps}"
        card = {"clients x images": f"{len(self)} x {self.batch_size}",
                "shared": f"{steps} of the mean {p.loss_name.replace('_', ' ')}, {sent}",
                "model mode": f"{p.mode} ({dropout})",
                "input of the model": "(x - mean) / std" if p.normalise else "x in [0, 1]",
                "batch size": "known to the attacker", "labels": t.labels,
                "BatchNorm statistics": "stored, public" if p.mode == "eval" else t.bn_statistics,
                "prior data": t.prior_data or "none",
                "server": {"honest": "honest but curious", "active": "active: it chose the model"}
                          [t.server],
                "mixing keys": "known" if t.mixing_keys else "unknown",
                "defense": "known" if t.defense_known else "not known to the attacker"}
        return card | ({"intake": "; ".join(self.notes)} if self.notes else {})


# --- the doors' checks ----------------------------------------------------------------------------

FORMAT = "leaky-gradients update 2"  # written by `save`; files of version 0.1 have none
OWN_LOSS = "a function: "


def checked_protocol(protocol) -> Protocol:
    if protocol is not None and not isinstance(protocol, Protocol):
        raise ValueError(f"protocol is a client.Protocol, not {type(protocol).__name__}")
    return protocol or Protocol()


def _checked_path(path) -> Path:
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise ValueError(f"path is the name of an update file, not {path!r}")
    return Path(path)


def _checked_shape(shape) -> tuple[int, ...]:
    """(C, H, W) of an image, or (width,) of an embedded token; ValueError for anything else."""
    if not isinstance(shape, tuple | list | torch.Size) or len(shape) not in (1, 3):
        raise ValueError("shape is (channels, height, width) of one image, or (width,) of one "
                         f"embedding, not {shape!r}")
    sides = ("channels", "height", "width")[-len(shape):]
    shape = tuple(checks.whole(f"{what} in shape", n) for what, n in zip(sides, shape, strict=True))
    if math.prod(shape) > LARGEST:
        raise ValueError(f"shape {shape} is more pixels than fit in memory ({LARGEST:.2g})")
    return shape


def _check_kinds(update: SharedUpdate) -> None:
    """ValueError for a field of another type."""
    checked_protocol(update.protocol)
    if not isinstance(update.threat, ThreatModel):
        raise ValueError(f"threat is a client.ThreatModel, not {type(update.threat).__name__}")
    if not isinstance(update.model, nn.Module):
        raise ValueError(f"model is a torch.nn.Module, not {type(update.model).__name__}")
    checks.whole("batch_size", update.batch_size)
    checks.whole("num_classes", update.num_classes)
    _checked_shape(update.shape)
    values = update.gradients.values() if isinstance(update.gradients, dict) else (None,)
    if not all(isinstance(g, Tensor) and g.is_floating_point() and g.dim()
               and g.layout == torch.strided for g in values):
        raise ValueError("gradients is a dict from names to float tensors (K, ...); "
                         "SharedUpdate.from_gradients takes other forms")
    if not isinstance(update.notes, tuple | list) or not all(
            isinstance(note, str) for note in update.notes):
        raise ValueError("notes is a tuple of sentences")
    if update.buffers is not None:
        _check_buffers(update)


def _check_buffers(update: SharedUpdate) -> None:
    """ValueError where `buffers` are no finite tensors (K, ...) of the model's shapes."""
    if not isinstance(update.buffers, dict):
        raise ValueError("buffers is a dict from names to tensors (K, ...), not "
                         f"{type(update.buffers).__name__}")
    own, stacked = tensors(update.model)[1], batching.architecture(update.model)[1]
    for name, value in update.buffers.items():
        if not isinstance(value, Tensor) or value.dim() < 1 or len(value) != len(update):
            raise ValueError(f"buffers: {name} is no tensor ({len(update)} clients, ...)")
        shape = own[name].shape[int(stacked):] if name in own else value.shape[1:]
        if value.shape[1:] != shape:
            raise ValueError(f"buffers: {name} is {tuple(value.shape[1:])} of a client, and the "
                             f"model's {tuple(shape)}")
        if not value.isfinite().all():
            raise ValueError(f"buffers: {name} holds NaN or infinite values")


def _of_clients(trained: dict[str, Tensor], params: dict, stacked: bool) -> dict[str, Tensor]:
    """The message as (K, ...) tensors in the model's type and on its device."""
    moved = {n: t.to(params[n]) for n, t in trained.items()}
    skip = int(stacked)
    single = [n for n, t in moved.items() if t.shape == params[n].shape[skip:]]
    if single and stacked:
        raise ValueError(f"update of {single[0]} is of one client, and the model is an ensemble of "
                         f"{len(params[single[0]])} victims: give tensors (clients, ...)")
    if single and len(single) < len(moved):
        other = next(n for n in moved if n not in single)
        raise ValueError(f"update of {single[0]} is of one client, and that of {other} of "
                         f"{len(moved[other])}")
    return {n: t[None] for n, t in moved.items()} if single else moved


def _with_state(plain: nn.Module, old: intake.Message, names: intake.Names) \
        -> tuple[nn.Module, tuple[str, ...]]:
    """A copy of the module with the weights of `old`, and notes on what it did not hold."""
    model = batching.copied(plain)
    given = old.trained | old.frozen | old.buffers
    for name, value in given.items():
        if tuple(value.shape) != names.all[name]:
            raise ValueError(f"before of {name} has shape {tuple(value.shape)}: the weights that "
                             f"the clients were sent are one state, {names.all[name]}")
    own = dict(model.named_parameters()) | dict(model.named_buffers())
    with torch.no_grad():
        for name, value in given.items():
            own[name].copy_(value)
    notes = []
    for what, group in (("trained parameters", names.trained), ("frozen parameters", names.frozen),
                        ("buffers", names.buffers)):
        left = [n for n in group if n not in given and not n.endswith("num_batches_tracked")]
        if left:
            notes.append(f"before holds no {', '.join(left[:3])}"
                         + (f" and {len(left) - 3} more" if len(left) > 3 else "")
                         + f": these {what} are those of the model given")
    return model, tuple(notes)


def _check_before(old: intake.Message, new: intake.Message, own: dict[str, Tensor]) -> None:
    """ValueError where `after` holds what `before` lacks, or a frozen parameter that moved."""
    for name in new.trained:
        if name not in old.trained:
            raise ValueError(f"before lacks {name}, which after holds: the difference needs both")
    for name, value in new.frozen.items():
        if not torch.allclose(value, own[name].to(value).expand_as(value), rtol=1e-6, atol=0):
            raise ValueError(f"{name} is frozen (requires_grad=False) in the model and differs "
                             "between before and after: the client trained it, so unfreeze it")


def _read_file(path, device) -> dict:
    """The plain dict of an update file, of this version or the first; ValueError for others."""
    if not path.exists():
        raise FileNotFoundError(f"no update file {path}")
    try:
        saved = torch.load(path, weights_only=True, map_location=device)
    except Exception as error:  # a damaged or foreign file fails in a dozen ways
        raise ValueError(f"{path} is damaged, or no update file of SharedUpdate.save: "
                         f"{type(error).__name__}") from error
    if damaged := _damaged_part(path):
        raise ValueError(f"{path} is damaged: the checksum of {damaged} is another")
    needed = {"gradients", "protocol", "threat", "state", "shape", "num_classes", "batch_size"}
    if not isinstance(saved, dict):
        raise ValueError(f"{path} is no update file of SharedUpdate.save: it holds "
                         f"{type(saved).__name__}")
    if lacking := sorted(needed - set(saved)):
        raise ValueError(f"{path} is incomplete, or no update file of SharedUpdate.save: it lacks "
                         + ", ".join(lacking))
    version = saved.pop("format", None)
    if version == FORMAT and isinstance(saved["protocol"], dict) and (
            lacking := [f.name for f in fields(Protocol) if f.name not in saved["protocol"]]):
        raise ValueError(f"{path} is incomplete: its protocol lacks {', '.join(lacking)}")
    if version not in (None, FORMAT):
        raise ValueError(f"{path} is of another version, {version!r}: this reads {FORMAT!r}")
    known = {f.name for f in fields(SharedUpdate)} | {"state"}
    if unknown := sorted(map(str, set(saved) - known)):
        raise ValueError(f"{path} is of another version: it holds {', '.join(unknown[:4])}")
    for name in ("protocol", "threat", "state", "gradients"):
        if not isinstance(saved[name], dict):
            raise ValueError(f"{path} is damaged: {name} is {type(saved[name]).__name__}")
    return saved


def _damaged_part(path: Path) -> str | None:
    """A part of a file of torch.save, a zip, that is not as it was written: torch reads it all the
    same, and takes a flipped bit for another number."""
    if not zipfile.is_zipfile(path):  # of a torch before 1.6
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        return f"the archive ({error})"


def _check_state(plain: nn.Module, state: dict) -> None:
    """ValueError where a file's weights have other shapes than the module's of the same name."""
    base, _ = batching.architecture(plain)
    named = dict(base.named_parameters()) | dict(base.named_buffers())
    for name, value in (state.get("params", {}) | state.get("buffers", {})).items():
        own = tuple(named[name].shape) if name in named else "no such name"
        shape = tuple(value.shape) if isinstance(value, Tensor) else "no tensor"
        if own != shape:
            raise ValueError(f"the update's {name} {shape} does not fit this model: {own}")
        kinds = value.is_floating_point(), named[name].is_floating_point()
        if kinds[0] != kinds[1] or value.layout != torch.strided:
            raise ValueError(f"the update's {name} is of {value.dtype}, {value.layout}, and the "
                             f"model's of {named[name].dtype}")
        if name.endswith("running_var") and bool((value < 0).any()):
            raise ValueError(f"the update's {name} holds a negative variance")


def _fill(ready: nn.Module, state: dict, path) -> None:
    """Replace all weights and buffers of a prepared model by a file's; all must be there."""
    base, _ = batching.architecture(ready)
    named = dict(base.named_parameters()) | dict(base.named_buffers())
    given = state.get("params", {}) | state.get("buffers", {})
    if lacking := [n for n in named if n not in given]:
        raise ValueError(f"{path} lacks the model's {', '.join(lacking[:4])}: it is incomplete, or "
                         "of another model")
    for name, value in given.items():
        if not value.isfinite().all():
            raise ValueError(f"the model's {name} holds NaN or infinite values")
        named[name].data = value  # with its dtype


def to_input(x: Tensor, normalised_in: bool, normalised_out: bool, mean: Tensor, std: Tensor) \
        -> Tensor:
    """Images (..., C, H, W) from [0, 1] or z = (x - mean) / std to the other, or unchanged."""
    if normalised_in == normalised_out:
        return x
    mean, std = (t.to(x).reshape(-1, 1, 1) for t in (mean, std))
    return x * std + mean if normalised_in else (x - mean) / std


def check_range(labels: Tensor, classes: int) -> None:
    """ValueError for labels, of any shape, that a model of so many outputs cannot have."""
    last = max(classes - 1, 1)  # one output tells two classes apart
    if int(labels.min()) < 0 or int(labels.max()) > last:
        raise ValueError(f"labels must lie in 0..{last}, the model has {classes} outputs")


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
    f = update_function(base, update.protocol)
    x = to_input(images, False, update.protocol.normalise, update.mean, update.std)
    axis = 0 if stacked else None
    g = torch.func.vmap(f, in_dims=(axis, axis, 0, 0))(params, buffers, x, soft_targets(logits))
    return {n: t.detach() for n, t in g.items()}
