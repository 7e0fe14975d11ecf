"""FedAvg's weighted mean of several clients' updates: `aggregate`."""

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from . import batching, checks
from .members import Members
from .protocol import tensors
from .update import SharedUpdate

_SAME = ("protocol", "shape", "num_classes")


def aggregate(updates, weights=None) -> SharedUpdate:
    """What a server sees under secure aggregation: the weighted mean of several clients' updates,
    and no single one (McMahan et al. 2017, Algorithm 1; Bonawitz et al. 2017).

        mean = client.aggregate(client.share(model, images.clients(8)))     # one mean of 8 clients

    updates: one update, of whose K clients this is the mean; or a list of n updates, one client
    each. (Updates in a list that hold K clients each give K means side by side, the clients k of
    all of them in mean k.) weights: a positive number a client, in their order; None: by the number
    of their images, as FedAvg has it. Only the proportions count.

    The result is an `update.SharedUpdate` like any other: attacks and `diagnose` take it. Its batch
    are all images, `members` says who holds how many, and labels stay where they were granted, in
    the order of the clients. Left out, and said in `notes`: buffers of the messages, and a grant
    that labels of a client are equal or differ, which says nothing of the mean.
    ValueError, before any work, for what are no updates; for other protocols, models, images,
    threat models or names of tensors; for granted statistics or mixing keys, which are single
    clients' own; and for weights that do not fit."""
    updates = _listed(updates)
    first = updates[0]
    for number, other in enumerate(updates[1:], 1):
        _check_alike(first, other, number)
    _check_grants(updates)
    members = _members(updates, _weights(weights, len(updates)))
    labels, targets = (_joined([getattr(u, name) for u in updates]) for name in
                       ("labels", "targets"))
    threat, notes = first.threat, [note for update in updates for note in update.notes]
    if threat.labels in ("equal", "unique"):
        notes.append(f"labels {threat.labels!r} was granted of each client: of the mean it is not")
        threat = replace(threat, labels="unknown")
    if any(update.buffers for update in updates):
        notes.append("BatchNorm's buffers in the clients' messages are left out of the mean")
    return replace(
        first, gradients=_mean(updates, members),
        members=members, batch_size=sum(members.sizes), labels=labels, targets=targets,
        threat=threat, buffers=None, notes=tuple(dict.fromkeys(notes)))


def _listed(updates) -> list[SharedUpdate]:
    """One update as the updates of its clients, or the list that was given, checked."""
    if isinstance(updates, SharedUpdate):
        if batching.architecture(updates.model)[1] and len(updates) > 1:
            raise ValueError("the clients of this update have a victim each (an ensemble): "
                             "federated averaging takes the mean of one model's updates")
        return [_of_client(updates, k) for k in range(len(updates))]
    listed = list(updates) if isinstance(updates, Iterable) else [updates]
    if not listed:
        raise ValueError("updates is empty: a mean needs at least one client")
    for update in listed:
        if not isinstance(update, SharedUpdate):
            raise ValueError("updates is a SharedUpdate or a list of them, not of "
                             f"{type(update).__name__}")
    return listed


def _of_client(update: SharedUpdate, k: int) -> SharedUpdate:
    """The update of one of the clients."""
    def of(value) -> dict | tuple | Tensor | None:
        if isinstance(value, dict):
            return {name: tensor[k:k + 1] for name, tensor in value.items()}
        if isinstance(value, tuple):
            return tuple(tensor[k:k + 1] for tensor in value)
        return None if value is None else value[k:k + 1]

    names = ("gradients", "labels", "targets", "statistics", "keys", "buffers")
    return replace(update, **{name: of(getattr(update, name)) for name in names})


def _check_alike(a: SharedUpdate, b: SharedUpdate, number: int) -> None:
    """ValueError where two updates are not of one round of one model."""
    which = f"update {number} and update 0"
    for name in _SAME:
        if getattr(a, name) != getattr(b, name):
            raise ValueError(f"{which} differ in {name}: {getattr(b, name)} and "
                             f"{getattr(a, name)}; a mean is of one round of one model")
    if a.threat != b.threat or a.defense != b.defense:
        raise ValueError(f"{which} differ in what is granted (threat, defense): a mean has one "
                         "threat model")
    if set(a.gradients) != set(b.gradients):
        other = sorted(set(a.gradients) ^ set(b.gradients))
        raise ValueError(f"{which} hold other tensors: {', '.join(other[:4])} is in one of them "
                         "only. Leave it out of both")
    if len(a) != len(b):
        raise ValueError(f"{which} hold {len(b)} and {len(a)} clients: give updates of one client "
                         "each")
    for name in ("mean", "std"):
        if not _equal(getattr(a, name), getattr(b, name)):
            raise ValueError(f"{which} differ in the {name} of the public data")
    if not _one_model(a, b):
        raise ValueError(f"{which} are of other models, or of other weights: a mean is of clients "
                         "that were sent the same")
    if (a.labels is None, a.targets is None) != (b.labels is None, b.targets is None):
        raise ValueError(f"labels or targets are given with one of {which} only")


def _equal(a, b) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and bool((a == b.to(a)).all())
    return a is b


def _one_model(a: SharedUpdate, b: SharedUpdate) -> bool:
    """Have two updates the same layers, with the same weights and buffers?"""
    if a.model is b.model:
        return True
    layers = [[(name, type(m).__qualname__) for name, m in u.model.named_modules()] for u in (a, b)]
    states = [params | rest for params, rest in (tensors(u.model) for u in (a, b))]
    return layers[0] == layers[1] and states[0].keys() == states[1].keys() and all(
        _equal(value, states[1][name]) for name, value in states[0].items())


def _check_grants(updates: list[SharedUpdate]) -> None:
    for name, words in (("statistics", "BatchNorm statistics"), ("keys", "mixing keys")):
        if any(getattr(update, name) is not None for update in updates):
            raise ValueError(f"{words} are granted, which are single clients' own: a server that "
                             "sees the mean alone does not have them. Share without them")


def _weights(weights, count: int) -> list[float] | None:
    """The weights as numbers, one a client; None where the images count."""
    if weights is None:
        return None
    if isinstance(weights, Tensor):
        weights = weights.tolist()
    if isinstance(weights, str) or not isinstance(weights, Iterable):
        raise ValueError(f"weights are a positive number for each client, not {weights!r}")
    weights = [checks.number("each of weights", weight, 0, exclude=(0,)) for weight in weights]
    if len(weights) != count:
        raise ValueError(f"{len(weights)} weights for {count} clients")
    return weights


def _members(updates: list[SharedUpdate], weights: list[float] | None) -> Members:
    """Who is in the mean; of updates that are means themselves, their members."""
    inner = [u.members or Members((u.batch_size,), (1.0,)) for u in updates]
    outer = weights or [u.batch_size for u in updates]
    whole = sum(outer)
    shares = [w / whole * v for w, m in zip(outer, inner, strict=True) for v in m.weights]
    return Members(tuple(size for m in inner for size in m.sizes), tuple(shares))


def _mean(updates: list[SharedUpdate], members: Members) -> dict[str, Tensor]:
    """The weighted mean (K, ...) of the tensors, summed in float64: so the order hardly counts."""
    shares, taken = [], 0
    for update in updates:
        count = 1 if update.members is None else len(update.members)
        shares.append(sum(members.weights[taken:taken + count]))
        taken += count
    return {name: sum(share * update.gradients[name].double()
                      for share, update in zip(shares, updates, strict=True)).to(tensor)
            for name, tensor in updates[0].gradients.items()}


def _joined(values: list[Tensor | None]) -> Tensor | None:
    """(K, B, ...) of each client as (K, all images, ...)."""
    return None if values[0] is None else torch.cat(values, 1)
