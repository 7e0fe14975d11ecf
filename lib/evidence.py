"""What BatchNorm's buffers in a message prove: mode, local steps, the batch's statistics.

A framework that sends a whole state_dict sends them along, whether anybody meant it or not.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from . import batching
from .protocol import local_slices, tensors


@dataclass(frozen=True)
class Evidence:
    """What the BatchNorm buffers of a message say about the client (`buffer_evidence`)."""

    mode: str | None  # "train" where they moved, "eval" where they did not, None undecided
    steps: int | None  # local steps that num_batches_tracked counted
    statistics: dict[str, Tensor] | None  # running_mean, running_var -> (K, channels), of the batch


def buffer_evidence(update) -> Evidence | None:
    """What the buffers in the message of an `update.SharedUpdate` prove; None where it held none.

    In train mode a step moves running_mean to (1 - m) running_mean + m mean(batch), likewise
    running_var with the unbiased variance, and num_batches_tracked by one. So a move proves train
    mode, the count is the number of steps, and after one step batch statistics follow exactly.
    Buffers that moved while none was counted prove nothing."""
    moved = update.buffers or {}
    averages = {n: t for n, t in moved.items() if n.endswith(("running_mean", "running_var"))}
    counts = {n: t for n, t in moved.items() if n.endswith("num_batches_tracked")}
    if not averages and not counts:
        return None
    layers = _norm_layers(update)
    steps = None
    if counts:
        calls = [layers[n.rpartition(".")[0]].calls for n in counts
                 if n.rpartition(".")[0] in layers]
        steps = int(max(int(t.max()) for t in counts.values()) / max(calls, default=1))
    shifted = any(bool(t.any()) for t in averages.values())
    if steps:
        mode = "train"
    elif shifted:
        mode = "train" if steps is None else None
    else:
        mode = "eval"
    taken = steps or len(local_slices(update.protocol, update.batch_size))
    once = mode == "train" and taken == 1
    return Evidence(mode, steps, _batch_statistics(update, averages, layers) if once else None)


@dataclass(frozen=True)
class _NormLayer:
    calls: int  # in one forward pass
    positions: int  # of an image: values a channel
    momentum: float | None


def _norm_layers(update) -> dict[str, _NormLayer]:
    """Every BatchNorm with stored statistics, by name, as one forward pass meets it."""
    base, stacked = batching.architecture(update.model)
    state = {n: t[0] if stacked else t for part in tensors(update.model) for n, t in part.items()}
    layers: dict[str, _NormLayer] = {}

    def meet(module, given, name) -> None:
        calls = layers[name].calls + 1 if name in layers else 1
        positions = given[0].numel() // (len(given[0]) * given[0].shape[1])
        layers[name] = _NormLayer(calls, positions, getattr(module, "momentum", None))

    hooks = [m.register_forward_pre_hook(lambda m, given, name=n: meet(m, given, name))
             for n, m in base.named_modules() if getattr(m, "running_mean", None) is not None]
    try:
        with torch.no_grad():
            like = next(iter(update.gradients.values()))
            batching.call(base, state, like.new_zeros(2, *update.shape))
    finally:
        for hook in hooks:
            hook.remove()
    return layers


def _batch_statistics(update, averages, layers) -> dict[str, Tensor] | None:
    """The private batch's statistics (K, channels), biased variances as BatchNorm normalises."""
    buffers, out = tensors(update.model)[1], {}
    for name, change in averages.items():
        layer = layers.get(name.rpartition(".")[0])
        if layer is None or layer.calls > 1 or not layer.momentum or name not in buffers:
            return None
        value = buffers[name] + change / layer.momentum
        if name.endswith("running_var"):
            count = update.batch_size * layer.positions
            value = value * (count - 1) / count
        out[name] = value.to(buffers[name])
    return out or None


def check_evidence(update) -> None:
    """ValueError where the message's buffers contradict the protocol's mode or number of steps."""
    proof, protocol = buffer_evidence(update), update.protocol
    if proof is None or proof.mode is None:
        return
    if proof.mode != protocol.mode:
        moved = "moved" if proof.mode == "train" else "did not move"
        raise ValueError(f"the BatchNorm buffers of the message {moved}, so the client computed in "
                         f"{proof.mode} mode, not in {protocol.mode} mode as the protocol says: "
                         f"Protocol(mode={proof.mode!r})")
    steps = len(local_slices(protocol, update.batch_size))
    if proof.mode == "train" and proof.steps is not None and proof.steps != steps:
        raise ValueError(f"num_batches_tracked in the message counts {proof.steps} local steps, "
                         f"and the protocol makes {steps} of a batch of {update.batch_size}: mend "
                         "epochs, local_batch or batch_size")


def changed_buffers(model, buffers, protocol, clients) -> dict[str, Tensor]:
    """Buffers of the message -> (K, ...): by how much each differs from the model's own."""
    plain, out = batching.unwrap(model)[0], {}
    base, stacked = batching.architecture(plain)
    buffers_before = dict(base.named_buffers())
    for name, value in buffers.items():
        before = buffers_before[name].detach().to(value.device)
        many = value.dim() == before.dim() + 1 - int(stacked)
        value = value if many else value.expand(clients, *value.shape)
        out[name] = (value if protocol.sends == "weights" else value - before).clone()
    return out
