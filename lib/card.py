"""The assumptions card of an update."""

from . import batching
from .protocol import tensors


def card(update) -> dict[str, str]:
    """The assumptions card: what was computed and what the attacker is given, in words."""
    p, t = update.protocol, update.threat
    dropout = "Dropout off" if p.mode == "eval" else "Dropout off (an assumption)"
    steps = "one gradient" if p.local_lr is None else (
        f"weight difference after {p.epochs} epoch(s) of SGD, learning rate {p.local_lr}, "
        f"{p.local_batch or update.batch_size} images a step")
    for name in ("momentum", "nesterov", "weight_decay"):
        if value := getattr(p, name):
            steps += f", {name.replace('_', ' ')}" + ("" if value is True else f" {value:g}")
    sent = "all parameters"
    if update.partial:
        sent = f"{len(update.gradients)} of {len(tensors(update.model)[0])} parameter tensors"
    base, _ = batching.architecture(update.model)
    if isinstance(base, batching.Rounds):
        steps = f"{len(base.rounds)} rounds of the same batch, each {steps}"
    card = {"clients x images": _clients(update),
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
    return card | ({"intake": "; ".join(update.notes)} if update.notes else {})


def _clients(update) -> str:
    """How many clients share, and how many images each has; of a mean, who is in it."""
    members = update.members
    if members is None:
        return f"{len(update)} x {update.batch_size}"
    each = f"{members.sizes[0]}" if len(set(members.sizes)) == 1 else f"{members.sizes}"
    means = "the mean" if len(update) == 1 else f"{len(update)} means"
    weights = "" if members.even else ", weights " + ", ".join(f"{w:.3g}" for w in members.weights)
    return f"{means} of {len(members)} clients x {each}{weights}"
