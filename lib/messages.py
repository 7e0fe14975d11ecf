"""From what a client's framework sent to tensors (K, ...) of the model."""

import torch
from torch import Tensor, nn

from . import batching, intake


def of_clients(trained: dict[str, Tensor], params: dict, stacked: bool) -> dict[str, Tensor]:
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


def with_state(plain: nn.Module, old: intake.Message, names: intake.Names) \
        -> tuple[nn.Module, tuple[str, ...]]:
    """A copy of the module with the weights of `old`, and notes on what it did not hold."""
    model = batching.copied(plain)
    given = old.trained | old.frozen | old.buffers
    for name, value in given.items():
        if tuple(value.shape) != names.all[name]:
            raise ValueError(f"before of {name} has shape {tuple(value.shape)}: the weights that "
                             f"the clients were sent are one state, {names.all[name]}")
    tensors_here = dict(model.named_parameters()) | dict(model.named_buffers())
    with torch.no_grad():
        for name, value in given.items():
            tensors_here[name].copy_(value)
    notes = []
    for what, group in (("trained parameters", names.trained), ("frozen parameters", names.frozen),
                        ("buffers", names.buffers)):
        left = [n for n in group if n not in given and not n.endswith("num_batches_tracked")]
        if left:
            notes.append(f"before holds no {', '.join(left[:3])}"
                         + (f" and {len(left) - 3} more" if len(left) > 3 else "")
                         + f": these {what} are those of the model given")
    return model, tuple(notes)


def check_before(old: intake.Message, new: intake.Message, sent: dict[str, Tensor]) -> None:
    """ValueError where `after` holds what `before` lacks, or a frozen parameter that moved."""
    for name in new.trained:
        if name not in old.trained:
            raise ValueError(f"before lacks {name}, which after holds: the difference needs both")
    for name, value in new.frozen.items():
        if not torch.allclose(value, sent[name].to(value).expand_as(value), rtol=1e-6, atol=0):
            raise ValueError(f"{name} is frozen (requires_grad=False) in the model and differs "
                             "between before and after: the client trained it, so unfreeze it")
