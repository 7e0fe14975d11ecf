"""An audit of images that the auditor knows: how near the attacks come, and what would stop them.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from .. import attacks, client, data, defenses, metrics, objectives
from ..protocol import ThreatModel
from ..update import SharedUpdate
from .attempts import residual
from .budget import Budget, shown
from .findings import Attempt, Findings, Measured

DEFENSES = {  # what a client may do; the attacker of pruning compares only what was sent
    "Gaussian noise, variance 1e-4": defenses.GaussianNoise(1e-4),
    "Gaussian noise, variance 1e-2": defenses.GaussianNoise(1e-2),
    "pruning of 90 % of the entries": defenses.GradPrune(0.9),
    "8-bit integers": defenses.LowPrecision("int8"),
}


def against(findings: Findings, update: SharedUpdate, truth: Tensor, labels: Tensor | None) \
        -> None:
    """Score every attempt against the private images (B, C, H, W). labels: theirs (B,); without
    them it is not known whether the images give this update."""
    if labels is not None:
        findings.truth_residual = residual(update, truth, labels)
    for attempt in findings.attempts:
        if attempt.images is not None:
            findings.measured.append(measured(attempt.name, attempt.images, truth))


def measured(name: str, images: Tensor, truth: Tensor) -> Measured:
    """How near images (B, C, H, W) come to the private ones, and the best flat colour."""
    table = metrics.score(images[None].float(), truth[None])
    grey = torch.full_like(truth, 0.5)
    mean = truth.mean((-2, -1), keepdim=True).expand_as(truth)
    flat = max(float(metrics.psnr(colour, truth).mean()) for colour in (grey, mean))
    means = {name: float(table[name].mean()) for name in ("psnr", "ssim", "stlpips", "avd")}
    return Measured(name, **means, gain=means["psnr"] - flat)


def defended(findings: Findings, update: SharedUpdate, truth: Tensor, labels: Tensor, seed: int,
             say: Callable[[str], None], budget: Budget, kept: float) -> None:
    """The best attempt again, on the update that the same images give under each defense, until
    `kept` seconds of the budget are left. The attacker is told the labels, and what else it had."""
    best = _best_search(findings)
    if best is None:
        return
    known = "inferred" if update.statistics is None else "exact"
    threat = ThreatModel(labels="known", bn_statistics=known, prior_data=update.threat.prior_data)
    for name, defense in DEFENSES.items():
        room = budget.left - kept
        if findings.interrupted or best.seconds > room:
            findings.left_out[f"under {name}"] = "ended by Ctrl-C" if findings.interrupted else (
                f"left out: it would take about {shown(best.seconds)}, and the budget has "
                f"{shown(room)} for it")
            continue
        say(f"{best.name}, under {name}: about {best.seconds:.0f} s")
        found = budget.part(f"under {name}", best.seconds, lambda defense=defense: _under(
            defense, best, update, truth, labels, threat, seed))
        if found is not None:
            findings.defended.append((name, found))


def _under(defense, best: Attempt, update: SharedUpdate, truth: Tensor, labels: Tensor,
           threat: ThreatModel, seed: int) -> Measured:
    """The best attempt on the update under a defense."""
    shared = shared_under(defense, update, truth, labels, threat, seed)
    attack = best.attack
    if isinstance(defense, defenses.GradPrune):
        attack = replace(attack, objective=objectives.masked(attack.objective))
    guess = attacks.reconstruct(shared, attack, best.restarts, seed)
    return measured(best.name, guess.images[0].cpu(), truth)


def shared_under(defense, update: SharedUpdate, truth: Tensor, labels: Tensor,
                 threat: ThreatModel, seed: int) -> SharedUpdate:
    """What the private images give under a defense: of the same tensors, and where the update is a
    mean of several clients, of these, each of whom defends itself."""
    members = update.members
    parts = [slice(0, len(truth))] if members is None else members.slices
    updates = []
    for number, part in enumerate(parts):
        batch = data.Batch(truth[part][None], labels[part][None], update.num_classes,
                           mean=update.mean, std=update.std)
        updates.append(client.share(update.model, batch, update.protocol, defense, threat,
                                    seed + number))
    shared = updates[0] if members is None else client.aggregate(updates, members.weights)
    return replace(shared, gradients={name: shared.gradients[name] for name in update.gradients})


def _best_search(findings: Findings) -> Attempt | None:
    """Of the attempts that search, the one that came nearest to the private images."""
    by_name = {attempt.name: attempt for attempt in findings.attempts if attempt.attack}
    tried = [found for found in findings.measured if found.name in by_name]
    if not tried:
        return None
    return by_name[max(tried, key=lambda found: found.psnr).name]
