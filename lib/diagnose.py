"""Look before and after attacking: what stands in an attack's way. Floor 5."""

import contextlib
import copy
import itertools
import math

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, softmax

from lib import analytic, client, models, objectives
from lib import labels as label_rules
from lib.update import SharedUpdate, dummy_gradients

_COUNTING = ("uniform", "analytic")  # label rules that take the update for a mean, by its scale
_PIECEWISE_LINEAR = {"ReLU", "ReLU6", "LeakyReLU", "PReLU", "RReLU", "Hardtanh"}


def diagnose(update: SharedUpdate, attack=None, guess=None) -> pd.DataFrame:
    """Look before (and after) attacking: one row a check, and what to do where one is not passed.

        table = attacks.diagnose(update, attacks.dlg())
        table[table.verdict != "ok"]                     # empty: nothing known stands in the way

    Columns: `check`; `verdict`: "ok", "warning" (explains many failures), or "stops" (no attack of
    this kind can succeed); `measured`, of the worst client where there are several, and how many
    clients it concerns; `what to do`, empty where ok. `attack` adds its label rule, and without it
    L-BFGS is assumed; `guess`, a reconstruction of this update, adds what became of it. A check
    that cannot be made has no row: those of repeated labels and of the loss's scale read the bias
    gradient of a dense last layer, behind cross-entropy. "ok" is no promise that an attack
    succeeds, and a warning none that it fails. PyTorch trains in train mode unless `.eval()` was
    called; a protocol that denies it is found out where BatchNorm comes right behind convolutions.
    """
    K, B, g, rows, layer = len(update), update.batch_size, update.gradients, [], None
    names = {type(m).__name__ for m in update.model.modules()}
    with contextlib.suppress(ValueError):  # the model does not end in a dense layer
        layer = label_rules.last_layer(update)
    one_step = label_rules.NEEDS["one_step"][0](update, layer)
    biased = layer and layer.bias is not None and update.protocol.loss == "cross_entropy"

    def add(check, bad, measured, todo, verdict="warning"):  # bad: a bool, or one a client
        bad = torch.as_tensor(bad)
        wrong, clients = bool(bad.any()), f"; {int(bad.sum())} of {K} clients"
        measured += clients if wrong and bad.numel() > 1 else ""
        rows.append((check, verdict if wrong else "ok", measured, todo if wrong else ""))

    def of(values, worst, unit=""):  # the worst client's value
        return f"{float(values[worst]):.3g}{unit}" + (f" (client {int(worst)})" if K > 1 else "")

    def norm(gradients):  # (K,)
        return torch.stack([t.flatten(1).norm(dim=1) for t in gradients.values()]).norm(dim=0)

    total = norm(g)
    nothing = bool((total == 0).all())
    lr, sent = update.protocol.local_lr, update.protocol.sends == "weights"
    steps = len(client.local_slices(update.protocol, B))
    a_step = total / (lr * steps) if sent else total  # the length of a gradient
    add("gradient norm", a_step < 1e-4, of(a_step, a_step.argmin()), "Nothing was shared: attack "
        "another round." if nothing else "A converged victim or a confident image: L2 stalls, so "
        "scale it (dlg(scale=1e4)), use the cosine, or attack an earlier round.",
        "stops" if nothing else "warning")
    zero = {n: (t == 0).flatten(1).all(1) for n, t in g.items()}  # name -> (K,)
    dead = [n for n, z in zero.items() if bool(z.any())]
    if not nothing:
        add("tensors without gradient", torch.stack(list(zero.values())).any(0),
            f"{len(dead)} of {len(g)}" + (": " if dead else "") + ", ".join(dead[:3]),
            "Nothing about the input passes there: only the other tensors can be matched." + sent
            * " Or its steps were too small for float32 weights: ask for more digits.")
    own = "_BatchStatistics" in names
    add("BatchNorm", own, "train mode: the private batch's own statistics" if own else
        "stored statistics, as the protocol says" if "_AffineBatchNorm" in names else "none",
        "The private batch's statistics are unknown and mix its images: expect less, or share in "
        "eval mode.")
    if "_AffineBatchNorm" in names and one_step:
        # Behind a convolution, batch statistics undo the scale of every channel's weights, so in
        # train mode their gradient has no part along them (but for BatchNorm's epsilon).
        params = client.tensors(update.model)[0]
        along = [torch.cosine_similarity(t.flatten(2), params[n].expand_as(t).flatten(2), dim=-1)
                 .abs().amax(1) for n, t in g.items() if t.dim() == 5 and t.shape[1] > 3]
        if along:
            least = torch.stack(along).amin(0)  # (K,)
            add("mode", (least < 3e-3) & ~(total == 0), "as eval mode leaves it" if
                bool((least >= 3e-3).all()) else "weights and gradient of a convolution are "
                f"orthogonal: {of(least, least.argmin())}", "The client computed in train mode, "
                "not in eval mode as the protocol says: use Protocol(mode='train').")
    kinked = sorted(names & _PIECEWISE_LINEAR)
    add("activations", bool(kinked) and (attack is None or "adam" not in attack.optimizer),
        (f"piecewise linear: {', '.join(kinked)}" if kinked else "smooth") + " (modules only)",
        "No useful second derivative, so L-BFGS on L2 rarely recovers the image: use Adam "
        "(attacks.inverting_gradients).")

    if attack is not None and attack.normalise and update.mean is None:
        add("mean and std", True, "missing", "The attack works on (x - mean) / std: give mean= and "
            "std= of the public data, in units of [0, 1].", "stops")

    scale, uncounted = _scale(update, layer, one_step, of) if biased else (None, torch.zeros(K) > 0)
    seen, how = update.labels, "granted"
    if B > 1 and seen is None and biased and one_step:
        seen, how = label_rules.infer(update, "analytic", enforce=False), "as counted"
    if how == "as counted" and bool(uncounted.any()):
        add("repeated labels", uncounted, "not to be counted before the scale is mended",
            "Divide the update first (see scale of the loss), then count.")
    elif B == 1 or seen is not None:
        distinct = torch.ones(K) if B == 1 else B - (seen.sort(-1)[0].diff(dim=-1) == 0).sum(-1)
        add("repeated labels", distinct < B, "one image" if B == 1 else
            f"different labels of {B} images, {how}: {of(distinct, distinct.argmin())}",
            "Images of one label mix in the last layer's gradient: they may come back blended.")
    if attack is not None:
        rule = "granted" if update.labels is not None else attack.labels
        try:
            read = rule not in ("granted", "joint") and label_rules.infer(update, rule) is not None
            guessed = (layer.weight == 0).flatten(1).all(1) if read else torch.zeros(K).bool()
            off = uncounted if rule in _COUNTING else torch.zeros(K).bool()
            if bool(off.any()):
                add("label rule", off, f"{rule}, of an update that is no mean", "Counts assume the "
                    "mean loss: divide the update first (see scale of the loss), then read the "
                    "labels.")
            else:
                add("label rule", guessed, rule + (", a guess" if bool(guessed.any()) else ""),
                    "The last layer's gradient is zero, so any label fits: do not count it as "
                    "read.")
        except ValueError as error:  # AssumptionError is one
            add("label rule", True, f"{rule}, refused", str(error), "stops")
    if scale:
        add("scale of the loss", *scale)

    pixels, entries = B * torch.Size(update.shape).numel(), sum(t[0].numel() for t in g.values())
    bound = min([entries, *_behind_convolutions(update)] if one_step else [entries])
    every = " (all entries of the update; the bound behind convolutions holds for one step)"
    add("equations", bound < pixels,
        f"at most {bound} for {pixels} pixels" + ("" if one_step else every), "The image is not "
        "determined, many have this gradient: add a prior (TV), or take a smaller batch or image.")
    wild = torch.zeros(K, 1, dtype=torch.bool) if guess is None else ~(
        guess.loss.isfinite() & guess.history.losses.isfinite().all(0))
    add("non-finite values", wild.any(1),
        f"{int(wild.sum())} of {wild.numel()} restarts diverged" if wild.any() else "none",
        "Use a line search (dlg(line_search=True)), a smaller lr, or more restarts.")

    zeros = left = torch.zeros(K, device=update.device)
    for t in (t.flatten(2) for t in g.values() if t.dim() > 2):
        # A dead unit or a black pixel clears a whole row or column; pruning hits inside the others.
        living = ~((t == 0).all(1, keepdim=True) | (t == 0).all(2, keepdim=True))
        zeros, left = zeros + ((t == 0) & living).sum((1, 2)), left + living.sum((1, 2))
    share, natural = zeros / left.clamp(min=1), kinked or "GELU" in names  # whose output may be 0
    add("zeros in the update", (share > 0.05) & (not natural), f"{share.max():.1%} of living rows "
        "and columns" + (", natural with ReLU or GELU" if natural else ""),
        "Pruned or rounded? Match what is left, with `objectives.masked(objectives.cosine)`.")
    if update.defense is not None:
        add("defense", True, str(update.defense), "Give it to the objective (pruned entries: "
            "`objectives.masked(objectives.cosine)`), and compare with an attack without it.")
    if guess is not None:
        certain = 1e4 * one_hot(guess.labels, update.num_classes).to(guess.images)  # softmax: 0, 1
        ratio = norm(dummy_gradients(update, guess.images, certain)) / total
        far = ratio.log().abs().nan_to_num(0, posinf=torch.inf)
        cosines = (objectives.cosine, objectives.layer_cosine)
        free = attack is not None and attack.objective in (
            *cosines, *map(objectives.masked, cosines))
        add("size of the reconstruction's gradient", (far > math.log(1.5)) & (not free),
            f"{of(ratio, far.argmax())} of the shared one"
            + (" (the cosine does not fix it)" if free else ""), "L2 compares sizes, the cosine "
            "does not: see the scale of the loss, use the cosine, or take more restarts.")
    return pd.DataFrame(rows, columns=["check", "verdict", "measured", "what to do"])


def _scale(update, layer, one_step, of) -> tuple[tuple | None, Tensor]:
    """The row "scale of the loss" of `diagnose`: is dl/db the mean of p - onehot(c), or f times it?
    And (K,): whether it keeps a batch's labels from being counted.

    Its entries sum to 0. One image: a(x) = dl/dW_i / dl/db_i whatever f is, so p(x) and then f
    follow; c is the smallest entry, or where only that fits the largest, and then f < 0. A batch:
    an image adds no less than -1, so a mean's negative entries sum to -1 at least."""
    db, one = layer.bias.double(), update.batch_size == 1
    lr = update.protocol.local_lr or math.inf  # a difference of float32 weights is coarse: 1e-6
    size = min(update.protocol.local_batch or update.batch_size, update.batch_size)
    slack = 1e-3 + 1e-6 / lr if one_step else 0.1  # later steps' p have moved
    factor, whole = db.clamp(max=0).sum(-1).neg(), db.abs().sum(-1)
    misfit = torch.where(whole > 1e-3, db.sum(-1).abs() / whole, 0)  # below, p is rounding
    far, off = factor, factor > 1 + slack
    if one:
        a = analytic.dense_input(layer.weight, layer.bias).double()
        p = softmax((layer.W.double() @ a[..., None])[..., 0] + layer.b.double(), -1)

        def fit(c):
            expected = p - one_hot(c, db.shape[-1])
            f = (db * expected).sum(-1) / expected.square().sum(-1)
            f = torch.where(expected.norm(dim=-1) > 1e-4, f, torch.nan)  # surer: p is rounding
            return f, (db - f[:, None] * expected).norm(dim=-1) / db.norm(dim=-1)

        (factor, rest), (turned, other) = fit(db.argmin(-1)), fit(db.argmax(-1))
        turn = (rest > slack) & (other <= slack)
        factor, misfit = torch.where(turn, turned, factor), torch.where(turn, other, rest)
        if not factor.isfinite().any():  # no client's gradient says anything
            return None, off & False
        far = (factor - 1).abs().nan_to_num(0)
        misfit, off = misfit.nan_to_num(0), far > max(0.01, slack)
    # Noise of a size that a misfit tells of moves the factor too, but hardly by a tenth.
    uncounted = (factor > 1 + torch.where(misfit > slack, 0.1, slack)) & (not one)
    if bool((misfit > slack).any()):
        said = of(100 * misfit, misfit.argmax(), " %")
        said += " of the last bias's gradient does not fit a cross-entropy of this model"
        todo = ("This model's cross-entropy gives no multiple of it: noise, another loss, other "
                "weights, or a defense; ask what the client computed.")
        off = misfit > slack
    else:
        said = "factor " if one else "factor of at least " if off.any() else "a mean fits: "
        said += of(factor, far.argmax())
        todo = ("The update is that many times the protocol's (reduction, weight of the loss, "
                "learning rate, steps or sign): divide by it;") if one else (
                "At least that many times a mean; " + (
                    f"summed over the batch it would be the batch size, here {size}: divide by "
                    "that, or ask the client;" if float(far.max()) <= size * (1 + slack) else
                    f"more than a sum over the batch of {size}: ask the client (weight of the "
                    "loss, learning rate, steps);"))
        todo += " the cosine does not see it where positive, but label rules that count do."
        todo += "" if one_step else " Over many steps the weights may have moved, no more."
    return (off, said, todo), uncounted


def _behind_convolutions(update: SharedUpdate) -> list[int]:
    """`analytic.gradient_equations` of the chain of convolutions that the model begins with."""
    base, stacked = models.architecture(update.model)
    net = copy.deepcopy(base).cpu().float()
    for t in (*net.parameters(), *net.buffers()) if stacked else ():
        t.data = t.data[0]
    chain = itertools.takewhile(  # what comes behind is anything: it sees the features alone
        lambda m: m.groups == 1 if isinstance(m, nn.Conv2d) else not [*m.parameters()],
        net if isinstance(net, nn.Sequential) else ())
    return analytic.gradient_equations(nn.Sequential(*chain), update.shape, update.batch_size)
