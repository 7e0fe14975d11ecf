"""Checks of the update itself: model, mode, layers, what was done to it."""

import copy
import itertools

import torch
from torch import Tensor, nn

from .. import analytic, client, honest, models
from ..diagnose.subject import Row, Subject, row, some, worst_of
from ..members import unit_of
from ..update import SharedUpdate, buffer_evidence

_PIECEWISE_LINEAR = {"ReLU", "ReLU6", "LeakyReLU", "PReLU", "RReLU", "Hardtanh"}
_ORTHOGONAL = 3e-3  # |cosine| of weights and gradient below which batch statistics made it
_ORTHOGONAL_STEPS = 1e-2  # of the change of several local steps


def gradient_norm(subject: Subject) -> Row:
    update = subject.update
    unit = abs(unit_of(update.protocol, update.batch_size, update.members))
    length = subject.norm / unit  # of a gradient, not of the steps
    todo = ("A converged victim or a confident image: L2 stalls, so scale it (dlg(scale=1e4)), use "
            "the cosine, or attack an earlier round.")
    if subject.nothing:
        todo = "Nothing was shared: attack another round."
    return row("gradient norm", length < 1e-4, worst_of(length, length.argmin()), todo,
               "stops" if subject.nothing else "warning")


def layers_in_the_update(subject: Subject) -> Row | None:
    given, trained = subject.update.gradients, client.tensors(subject.update.model)[0]
    if len(given) == len(trained):
        return None
    missing = [n for n in trained if n not in given]
    return row("layers in the update", True, f"{len(given)} of {len(trained)}, without"
               + some(missing)[1:], "Only these layers are matched, and the label rules need the "
               "last one: expect less, or ask for the rest.")


def clients_in_the_mean(subject: Subject) -> Row | None:
    """How many clients' updates were added up before the attacker saw anything."""
    members = subject.update.members
    if members is None:
        return None
    counted = "every image counts the same"
    if not members.even:
        counted = (f"weights from {min(members.weights):.3g} to {max(members.weights):.3g}")
    images = sum(members.sizes)
    return row("clients in the mean", len(members) > 1,
               f"{len(members)}, {images} images together; {counted}",
               f"The attacker sees one mean, so it is attacked as one batch of {images} images: "
               "expect less of each. Labels are read off as a count, and which client holds what "
               "it does not tell. Clients of small weight hide behind the others.")


def tensors_without_gradient(subject: Subject) -> Row | None:
    if subject.nothing:
        return None
    dead = [n for n, zero in subject.zero.items() if bool(zero.any())]
    todo = "Nothing about the input passes there: only the other tensors can be matched."
    if subject.update.protocol.sends == "weights":
        todo += " Or its steps were too small for float32 weights: ask for more digits."
    return row("tensors without gradient", torch.stack(list(subject.zero.values())).any(0),
               f"{len(dead)} of {len(subject.zero)}{some(dead)}", todo)


def impossible_gradients(subject: Subject) -> Row | None:
    """Tensors with a gradient in the update that have none for any simulated client."""
    if subject.nothing:
        return None
    impossible = {n: silent.all(1) & _heard(subject, n)
                  for n, silent in subject.simulated.silent.items()}
    names = [n for n, bad in impossible.items() if bool(bad.any())]
    return row(
        "gradients where the model can have none", torch.stack(list(impossible.values())).any(0),
        f"{len(names)} of {len(impossible)}{some(names)}", "The model as attacked cannot have "
        "made this update: the client's had other outputs (an auxiliary head of train mode), "
        "another loss or other frozen layers, or noise was added. Mend the model, "
        "Protocol(mode=, loss=), or leave those tensors out.", "stops")


def _heard(subject: Subject, name: str) -> Tensor:
    """(K,): the tensor's part of the update is no rounding of a sum that is zero, or of weights."""
    part = subject.update.gradients[name].flatten(1)
    heard = part.norm(dim=1) > 1e-5 * subject.norm
    if subject.update.protocol.sends == "weights":
        weights = client.tensors(subject.update.model)[0][name]
        heard = heard & (part.abs().amax(1) > 1e-6 * weights.abs().amax())
    return heard


def batch_norm(subject: Subject) -> Row:
    from_the_batch = "train" in subject.norms
    said = "stored statistics, as the protocol says" if "eval" in subject.norms else "none"
    if from_the_batch:
        said = "train mode: the private batch's own statistics"
    return row("BatchNorm", from_the_batch, said, "The private batch's statistics are unknown and "
               "mix its images: expect less, or share in eval mode.")


def mode(subject: Subject) -> Row | None:
    """Eval or train, by the part of the convolutions' gradients along their weights."""
    update, modes = subject.update, subject.norms
    if len(modes) != 1 or not subject.simulated.along:
        return None
    params = client.tensors(update.model)[0]
    along = torch.stack([honest.alignment(update.gradients[n], params[n], update)
                         for n in subject.simulated.along])  # (convolutions, K), NaN where untold
    usual = torch.stack(list(subject.simulated.along.values()))  # (convolutions, K, dummies)
    told = along.isfinite() & usual.isfinite().any(-1)
    if not bool(told.any()):
        return None
    limit = _ORTHOGONAL if subject.steps == 1 else _ORTHOGONAL_STEPS
    claimed, = modes
    judge = _looks_like_train if claimed == "eval" else _looks_like_eval
    bad, measured = judge(along, usual, told, limit)
    other = {"eval": "train", "train": "eval"}[claimed]
    if not bool(bad.any()):
        measured = f"as {claimed} mode leaves it"
    return row("mode", bad.any(0), measured, f"The client computed in {other} mode, not in "
               f"{claimed} mode as the protocol says: use Protocol(mode='{other}').")


def _looks_like_train(along: Tensor, usual: Tensor, told: Tensor, limit: float) \
        -> tuple[Tensor, str]:
    """(convolutions, K): batch statistics make weights and gradient orthogonal, and here they are,
    though simulated clients in eval mode have a part along the weights; and the least part."""
    least = torch.where(usual.isfinite(), usual, torch.inf).amin(-1)
    bad = told & (along < limit) & (along < 0.1 * least)
    worst = torch.where(told, along, torch.inf).amin(0)
    return bad, ("weights and gradient of a convolution are orthogonal: "
                 + worst_of(worst, worst.argmin()))


def _looks_like_eval(along: Tensor, usual: Tensor, told: Tensor, limit: float) \
        -> tuple[Tensor, str]:
    """(convolutions, K): a part along the weights that simulated clients in train mode do not have;
    and the largest part."""
    most = usual.nan_to_num(0).amax(-1)
    bad = told & (most < limit) & (along > 10 * most) & (along > 10 * _ORTHOGONAL)
    worst = torch.where(told & (most < limit), along, 0).amax(0)
    return bad, ("gradients have a part along the weights in front of BatchNorm: "
                 + worst_of(worst, worst.argmax()))


def buffers(subject: Subject) -> Row | None:
    """That BatchNorm's buffers in the message tell of the images. (Those that contradict the
    protocol are refused when the update is made.)"""
    proof = buffer_evidence(subject.update)
    if proof is None:
        return None
    said = "they did not move"
    if proof.mode == "train":
        said = "mean and variance of the private batch, exactly" if proof.statistics else \
            "a mixture of the batch's statistics after each step"
    elif proof.mode is None:
        said = "undecided: they moved, and count no step"
    todo = "The client gives its batch's statistics away and should keep its buffers."
    if proof.statistics:
        todo += " An attack takes them from update.with_statistics()."
    return row("buffers in the message", proof.mode == "train", said, todo)


def activations(subject: Subject) -> Row:
    kinked = sorted(subject.modules & _PIECEWISE_LINEAR)
    second_order = subject.attack is None or "adam" not in subject.attack.optimizer
    said = f"piecewise linear: {', '.join(kinked)}" if kinked else "smooth"
    return row("activations", bool(kinked) and second_order, said + " (modules only)",
               "No useful second derivative, so L-BFGS on L2 rarely recovers the image: use Adam "
               "(attacks.inverting_gradients).")


def moments(subject: Subject) -> Row | None:
    if subject.attack is None or not subject.attack.normalise or subject.update.mean is not None:
        return None
    return row("mean and std", True, "missing", "The attack works on (x - mean) / std: give mean= "
               "and std= of the public data, in units of [0, 1].", "stops")


def equations(subject: Subject) -> Row:
    update, one_step = subject.update, subject.steps == 1
    pixels = update.batch_size * torch.Size(update.shape).numel()
    bound = sum(t[0].numel() for t in update.gradients.values())
    every = " (all entries of the update; the bound behind convolutions holds for one step)"
    if one_step:
        bound, every = min([bound, *_behind_convolutions(update)]), ""
    return row("equations", bound < pixels, f"at most {bound} for {pixels} pixels{every}",
               "The image is not determined, many have this gradient: add a prior (TV), or take a "
               "smaller batch or image.")


def _behind_convolutions(update: SharedUpdate) -> list[int]:
    """`analytic.gradient_equations` of the chain of convolutions that the model begins with; none
    for what is no image."""
    if len(update.shape) != 3:
        return []
    base, stacked = models.architecture(update.model)
    net = copy.deepcopy(base).cpu().float()
    for t in (*net.parameters(), *net.buffers()) if stacked else ():
        t.data = t.data[0]
    chain = itertools.takewhile(  # what comes behind is anything: it sees the features alone
        lambda m: m.groups == 1 if isinstance(m, nn.Conv2d) else not [*m.parameters()],
        net if isinstance(net, nn.Sequential) else ())
    return analytic.gradient_equations(nn.Sequential(*chain), update.shape, update.batch_size)


def zeros(subject: Subject) -> Row:
    zeros = living = torch.zeros(len(subject.update), device=subject.update.device)
    for t in (t.flatten(2) for t in subject.update.gradients.values() if t.dim() > 2):
        # A dead unit or a black pixel clears a whole row or column; pruning hits inside the others.
        live = ~((t == 0).all(1, keepdim=True) | (t == 0).all(2, keepdim=True))
        zeros, living = zeros + ((t == 0) & live).sum((1, 2)), living + live.sum((1, 2))
    share = zeros / living.clamp(min=1)
    natural = bool(subject.modules & (_PIECEWISE_LINEAR | {"GELU"}))  # whose output may be 0
    said = f"{share.max():.1%} of living rows and columns"
    return row("zeros in the update", (share > 0.05) & (not natural),
               said + (", natural with ReLU or GELU" if natural else ""), "Pruned or rounded? "
               "Match what is left, with `objectives.masked(objectives.cosine)`.")


def defense(subject: Subject) -> Row | None:
    if subject.update.defense is None:
        return None
    return row("defense", True, str(subject.update.defense), "Give it to the objective (pruned "
               "entries: `objectives.masked(objectives.cosine)`), and compare with an attack "
               "without it.")
