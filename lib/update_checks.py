"""Is this an update? Checks of its fields and of what the threat model grants.

Each is a ValueError that says what to do. `update` is a `SharedUpdate` that is being made.
"""

import math

import torch
from torch import Tensor, nn

from . import batching, checks, defenses
from .members import Members
from .protocol import Protocol, ThreatModel, tensors

LARGEST = 2**31  # dummy pixels of all clients: 8 GiB in float32


def checked_protocol(protocol) -> Protocol:
    if protocol is not None and not isinstance(protocol, Protocol):
        raise ValueError(f"protocol is a client.Protocol, not {type(protocol).__name__}")
    return protocol or Protocol()


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


def checked_shape(shape) -> tuple[int, ...]:
    """(C, H, W) of an image, or (width,) of an embedded token; ValueError for anything else."""
    if not isinstance(shape, tuple | list | torch.Size) or len(shape) not in (1, 3):
        raise ValueError("shape is (channels, height, width) of one image, or (width,) of one "
                         f"embedding, not {shape!r}")
    sides = ("channels", "height", "width")[-len(shape):]
    shape = tuple(checks.whole(f"{what} in shape", n) for what, n in zip(sides, shape, strict=True))
    if math.prod(shape) > LARGEST:
        raise ValueError(f"shape {shape} is more pixels than fit in memory ({LARGEST:.2g})")
    return shape


def check_kinds(update) -> None:
    """ValueError for a field of another type."""
    checked_protocol(update.protocol)
    if not isinstance(update.threat, ThreatModel):
        raise ValueError(f"threat is a client.ThreatModel, not {type(update.threat).__name__}")
    if not isinstance(update.model, nn.Module):
        raise ValueError(f"model is a torch.nn.Module, not {type(update.model).__name__}")
    checks.whole("batch_size", update.batch_size)
    checks.whole("num_classes", update.num_classes)
    checked_shape(update.shape)
    values = update.gradients.values() if isinstance(update.gradients, dict) else (None,)
    if not all(isinstance(g, Tensor) and g.is_floating_point() and g.dim()
               and g.layout == torch.strided for g in values):
        raise ValueError("gradients is a dict from names to float tensors (K, ...); "
                         "SharedUpdate.from_gradients takes other forms")
    if not isinstance(update.notes, tuple | list) or not all(
            isinstance(note, str) for note in update.notes):
        raise ValueError("notes is a tuple of sentences")
    _check_members(update)
    if update.buffers is not None:
        _check_buffers(update)


def _check_members(update) -> None:
    """ValueError where the clients in the mean do not hold the batch."""
    members = update.members
    if members is None:
        return
    if not isinstance(members, Members):
        raise ValueError(f"members is a client.Members, not {type(members).__name__}")
    if sum(members.sizes) != update.batch_size:
        raise ValueError(f"the clients in the mean hold {sum(members.sizes)} images together, and "
                         f"batch_size is {update.batch_size}")


def _check_buffers(update) -> None:
    """ValueError where `buffers` are no finite tensors (K, ...) of the model's shapes."""
    if not isinstance(update.buffers, dict):
        raise ValueError("buffers is a dict from names to tensors (K, ...), not "
                         f"{type(update.buffers).__name__}")
    buffers, stacked = tensors(update.model)[1], batching.architecture(update.model)[1]
    for name, value in update.buffers.items():
        if not isinstance(value, Tensor) or value.dim() < 1 or len(value) != len(update):
            raise ValueError(f"buffers: {name} is no tensor ({len(update)} clients, ...)")
        shape = buffers[name].shape[int(stacked):] if name in buffers else value.shape[1:]
        if value.shape[1:] != shape:
            raise ValueError(f"buffers: {name} is {tuple(value.shape[1:])} of a client, and the "
                             f"model's {tuple(shape)}")
        if not value.isfinite().all():
            raise ValueError(f"buffers: {name} holds NaN or infinite values")


def check_grants(update) -> None:
    """What stands beside the gradients is what the threat model grants."""
    if (update.labels is not None) != (update.threat.labels == "known"):
        raise ValueError(
            "give labels=... together with threat=ThreatModel(labels='known'), or neither")
    if (update.statistics is not None) != (update.threat.bn_statistics == "exact"):
        raise ValueError("give statistics=... together with "
                         "threat=ThreatModel(bn_statistics='exact'), or neither")
    _check_statistics(update)
    if update.defense is not None and not update.threat.defense_known:
        raise ValueError("give defense=... together with threat=ThreatModel(defense_known="
                         "True), or neither")
    defenses.steps(update.defense)
    _check_keys(update)
    _check_targets(update)


def _check_statistics(update) -> None:
    buffers = tensors(update.model)[1]
    if update.statistics is not None and not (
            isinstance(update.statistics, dict) and update.statistics):
        raise ValueError("statistics is a dict from buffers of a BatchNorm to tensors (K, "
                         f"channels), not {type(update.statistics).__name__} of nothing")
    for name, value in (update.statistics or {}).items():
        if name not in buffers or not isinstance(value, Tensor) \
                or value.shape != (len(update), buffers[name].shape[-1]):
            raise ValueError(f"statistics: {name} is no buffer of a BatchNorm of this model "
                             "with a row (channels,) a client")


def _check_keys(update) -> None:
    if (update.keys is not None) != update.threat.mixing_keys:
        raise ValueError("give keys=... together with threat=ThreatModel(mixing_keys=True), or "
                         "neither")
    if update.keys is not None and not (isinstance(update.keys, tuple) and len(update.keys) == 2
                                      and all(isinstance(t, Tensor) and t.dim() == 3
                                              and len(t) == len(update) for t in update.keys)):
        raise ValueError("keys are two tensors (clients, encodings, k), of `MixUp.keys`")


def _check_targets(update) -> None:
    targets = (len(update), update.batch_size, update.num_classes)
    if update.targets is not None and (update.labels is None or tuple(
            getattr(update.targets, "shape", ())) != targets):
        raise ValueError("targets are probabilities (clients, images, classes) = "
                         f"{targets}, beside granted labels")
    if update.targets is not None and not (update.targets.is_floating_point() and bool(
            ((update.targets >= 0) & (update.targets <= 1)).all())):
        raise ValueError("targets are probabilities: floating point numbers in [0, 1]")


def checked_labels(update) -> Tensor | None:
    if update.labels is None:
        return None
    try:
        labels = torch.as_tensor(update.labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"labels are whole numbers (clients, images): {error}") from error
    broken = labels.is_floating_point() and bool((labels != labels.round()).any())
    if broken or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError("labels are whole numbers (clients, images), not "
                         f"{labels.flatten()[0].item()!r}, ... of {labels.dtype}")
    labels = labels.long().to(update.device)
    need, shape = (len(update), update.batch_size), tuple(labels.shape)
    if shape != need:
        hint = ": for one client give labels[None]" if (1, *shape) == need else ""
        raise ValueError(f"labels have shape {shape}, need (clients, images) = {need}{hint}")
    check_range(labels, update.num_classes)
    return labels


def check_range(labels: Tensor, classes: int) -> None:
    """ValueError for labels, of any shape, that a model of so many outputs cannot have."""
    last = max(classes - 1, 1)  # one output tells two classes apart
    if int(labels.min()) < 0 or int(labels.max()) > last:
        raise ValueError(f"labels must lie in 0..{last}, the model has {classes} outputs")
