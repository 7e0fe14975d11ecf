"""Look before and after attacking: a table of small checks. Floor 8.

Each check is a function of a `_Case` that returns a `Row`, or None where it cannot be made;
`CHECKS` lists them in the order of the table.
"""

import contextlib
import copy
import itertools
import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from lib import analytic, client, honest, models, objectives
from lib import labels as label_rules
from lib.update import SharedUpdate, buffer_evidence, certain_logits, dummy_gradients

_COUNTING = ("uniform", "analytic")  # label rules that take the update for a mean, by its scale
_PIECEWISE_LINEAR = {"ReLU", "ReLU6", "LeakyReLU", "PReLU", "RReLU", "Hardtanh"}
_LEFT = 1e-3  # of the objective: above, the reconstruction's update is not the shared one
_LEFT_BESIDE_PRIORS = 1e-2  # a prior keeps it from zero
_GUESSED = 0.2  # of a batch's last bias gradient may be left unexplained, to judge its scale
_ROUNDING = 1e-6  # of the objective: below, all is matched
_ORTHOGONAL = 3e-3  # |cosine| of weights and gradient below which batch statistics made it
_ORTHOGONAL_STEPS = 1e-2  # of the change of several local steps


def diagnose(update: SharedUpdate, attack=None, guess=None) -> pd.DataFrame:
    """Look before (and after) attacking: one row a check, and what to do where one is not passed.

        table = attacks.diagnose(update, attacks.dlg())
        table[table.verdict != "ok"]                     # empty: nothing known stands in the way

    Columns: `check`; `verdict`: "ok", "warning" (explains many failures), or "stops" (no attack of
    this kind can succeed); `measured`, of the worst client where there are several, and how many
    clients it concerns; `what to do`, empty where ok. `attack` adds its label rule, and without it
    L-BFGS on L2 is assumed; `guess`, a reconstruction of this update, adds what became of it. A
    check that cannot be made has no row: those of repeated labels, batch size and the loss's scale
    read the last layer, a dense one behind cross-entropy. "ok" is no promise that an attack
    succeeds, and a warning none that it fails. What is normal for this model and protocol is told
    by simulated clients (`honest.simulate`): the scale after local steps, the mode, and which
    tensors can have a gradient at all."""
    _check_arguments(update, attack, guess)
    case = _Case(update, attack, guess)
    rows = [row for check in CHECKS if (row := check(case)) is not None]
    return pd.DataFrame(rows, columns=["check", "verdict", "measured", "what to do"])


def _check_arguments(update, attack, guess) -> None:
    """ValueError for what is no update, no attack, or no reconstruction of this update."""
    if not isinstance(update, SharedUpdate):
        raise ValueError(f"update must be a SharedUpdate, not {type(update).__name__}")
    if attack is not None and not (hasattr(attack, "optimizer") and hasattr(attack, "labels")):
        raise ValueError("attack must be what a preset like attacks.dlg() returns, or None, not "
                         f"{attack!r}")
    wanted = (len(update), update.batch_size, *update.shape)
    if guess is not None and not (hasattr(guess, "history") and guess.images.shape == wanted):
        raise ValueError("guess must be a reconstruction of this update, with images "
                         f"{wanted}, or None")


class Row(NamedTuple):
    check: str
    verdict: str
    measured: str
    todo: str


def _row(check: str, bad, measured: str, todo: str, verdict: str = "warning") -> Row:
    """`bad`: a bool, or one a client (K,)."""
    bad = torch.as_tensor(bad)
    if not bool(bad.any()):
        return Row(check, "ok", measured, "")
    clients = f"; {int(bad.sum())} of {bad.numel()} clients" if bad.numel() > 1 else ""
    return Row(check, verdict, measured + clients, todo)


def _of(values: Tensor, worst, unit: str = "") -> str:
    """The worst client's value, of (K,)."""
    which = f" (client {int(worst)})" if len(values) > 1 else ""
    return f"{float(values[worst]):.3g}{unit}{which}"


def _some(names: list[str]) -> str:
    """The first names of a list, after a colon."""
    if not names:
        return ""
    return ": " + ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _norm(gradients: dict[str, Tensor]) -> Tensor:
    """(K,), over all tensors."""
    return torch.stack([t.flatten(1).norm(dim=1) for t in gradients.values()]).norm(dim=0)


@dataclass
class _Case:
    """What the checks look at; what several of them need is computed once."""

    update: SharedUpdate
    attack: object = None
    guess: object = None

    @cached_property
    def modules(self) -> set[str]:
        return {type(m).__name__ for m in self.update.model.modules()}

    @cached_property
    def norms(self) -> set[str]:
        """In which modes the model's BatchNorms normalise; a subclass of torch's, which stays as it
        is, in the protocol's."""
        known = {"AffineBatchNorm": "eval", "BatchStatistics": "train"}
        modes = {known[name] for name in self.modules & set(known)}
        kept = [m for m in self.update.model.modules()
                if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        return modes | ({self.update.protocol.mode} if kept else set())

    @cached_property
    def layer(self) -> label_rules.LastLayer | None:
        with contextlib.suppress(ValueError):  # the model does not end in a dense layer
            return label_rules.last_layer(self.update)
        return None

    @cached_property
    def entropy(self) -> bool:
        """A dense last layer with a bias, behind cross-entropy of two outputs or more."""
        return (self.layer is not None and self.layer.bias is not None
                and self.update.protocol.loss == "cross_entropy" and self.update.num_classes > 1)

    @cached_property
    def steps(self) -> int:
        return len(client.local_slices(self.update.protocol, self.update.batch_size))

    @cached_property
    def norm(self) -> Tensor:  # (K,)
        return _norm(self.update.gradients)

    @property
    def nothing(self) -> bool:
        return bool((self.norm == 0).all())

    @cached_property
    def zero(self) -> dict[str, Tensor]:  # name -> (K,)
        return {n: (t == 0).flatten(1).all(1) for n, t in self.update.gradients.items()}

    @cached_property
    def simulated(self) -> honest.Simulated:
        update = self.update
        labels = update.labels
        if labels is None and self.layer is not None:
            told = self.layer.weight.sum(-1) if self.layer.bias is None else self.layer.bias
            labels = honest.read_labels(told, update.batch_size)
        if labels is None:
            labels = torch.arange(update.batch_size, device=update.device) % update.num_classes
            labels = labels.expand(len(update), -1)
        return honest.simulate(update, labels, self.layer.prefix if self.entropy else None)

    @cached_property
    def slack(self) -> float:
        """Of the factor: a difference of float32 weights is coarse."""
        return 1e-3 + 1e-6 / (self.update.protocol.local_lr or math.inf)

    @cached_property
    def scale(self) -> honest.Scale:
        return honest.scale(self.update, self.layer, self.simulated, self.slack)

    @cached_property
    def negative(self) -> Tensor:
        """(K,): minus the sum of the last bias gradient's negative entries. An image adds no less
        than -1, so of a mean, over images and steps, it is 1 at most."""
        return self.layer.bias.double().clamp(max=0).sum(-1).neg()

    @cached_property
    def surplus(self) -> Tensor:
        """(K,): the sum of the last bias gradient's entries, 0 for cross-entropy, over that of
        their sizes."""
        bias = self.layer.bias.double()
        whole = bias.abs().sum(-1)
        return torch.where(whole > 1e-3, bias.sum(-1).abs() / whole, 0)  # below, p is rounding

    @cached_property
    def wrong_scale(self) -> Tensor:
        """(K,): the update is not of the scale of a mean loss."""
        if self.update.batch_size == 1:
            return _off(self.scale)
        # Noise of a size that the sum tells of moves the factor too, but hardly by a tenth.
        limit = 1 + torch.where(self.surplus > self.slack_of_sum, 0.1, self.slack_of_sum)
        # The features of a batch's images are guessed: no word where they hardly explain it.
        fits = self.scale.misfit <= self.scale.misfit_limit.clamp(max=_GUESSED)
        return (self.negative > limit) | (_off(self.scale) & fits)

    @cached_property
    def slack_of_sum(self) -> float:
        """Of sums over the bias gradient: weight decay is taken off as if the bias stood still."""
        decay = self.update.protocol.weight_decay if self.steps > 1 else 0.0
        return self.slack + decay * float(self.layer.b.abs().amax())

    @cached_property
    def uncounted(self) -> Tensor:
        """(K,): the scale keeps the labels of a batch from being counted."""
        if not self.entropy or self.update.batch_size == 1:
            return torch.zeros(len(self.update), dtype=torch.bool)
        return self.wrong_scale


def _off(scale: honest.Scale) -> Tensor:
    """(K,): the factor is known, and not where honest clients have it."""
    return scale.factor.isfinite() & ~((scale.low <= scale.factor) & (scale.factor <= scale.high))


# --- the update ----------------------------------------------------------------------------------

def _gradient_norm(case: _Case) -> Row:
    unit = abs(honest.unit_of(case.update.protocol, case.update.batch_size))
    length = case.norm / unit  # of a gradient, not of the steps
    todo = ("A converged victim or a confident image: L2 stalls, so scale it (dlg(scale=1e4)), use "
            "the cosine, or attack an earlier round.")
    if case.nothing:
        todo = "Nothing was shared: attack another round."
    return _row("gradient norm", length < 1e-4, _of(length, length.argmin()), todo,
                "stops" if case.nothing else "warning")


def _layers_in_the_update(case: _Case) -> Row | None:
    given, trained = case.update.gradients, client.tensors(case.update.model)[0]
    if len(given) == len(trained):
        return None
    missing = [n for n in trained if n not in given]
    return _row("layers in the update", True, f"{len(given)} of {len(trained)}, without"
                + _some(missing)[1:], "Only these layers are matched, and the label rules need the "
                "last one: expect less, or ask for the rest.")


def _tensors_without_gradient(case: _Case) -> Row | None:
    if case.nothing:
        return None
    dead = [n for n, zero in case.zero.items() if bool(zero.any())]
    todo = "Nothing about the input passes there: only the other tensors can be matched."
    if case.update.protocol.sends == "weights":
        todo += " Or its steps were too small for float32 weights: ask for more digits."
    return _row("tensors without gradient", torch.stack(list(case.zero.values())).any(0),
                f"{len(dead)} of {len(case.zero)}{_some(dead)}", todo)


def _impossible_gradients(case: _Case) -> Row | None:
    """Tensors with a gradient in the update that have none for any simulated client."""
    if case.nothing:
        return None
    impossible = {n: silent.all(1) & _heard(case, n)
                  for n, silent in case.simulated.silent.items()}
    found = [n for n, bad in impossible.items() if bool(bad.any())]
    return _row(
        "gradients where the model can have none", torch.stack(list(impossible.values())).any(0),
        f"{len(found)} of {len(impossible)}{_some(found)}", "The model as attacked cannot have "
        "made this update: the client's had other outputs (an auxiliary head of train mode), "
        "another loss or other frozen layers, or noise was added. Mend the model, "
        "Protocol(mode=, loss=), or leave those tensors out.", "stops")


def _heard(case: _Case, name: str) -> Tensor:
    """(K,): the tensor's part of the update is no rounding of a sum that is zero, or of weights."""
    part = case.update.gradients[name].flatten(1)
    heard = part.norm(dim=1) > 1e-5 * case.norm
    if case.update.protocol.sends == "weights":
        weights = client.tensors(case.update.model)[0][name]
        heard = heard & (part.abs().amax(1) > 1e-6 * weights.abs().amax())
    return heard


def _batch_norm(case: _Case) -> Row:
    own = "train" in case.norms
    said = "stored statistics, as the protocol says" if "eval" in case.norms else "none"
    if own:
        said = "train mode: the private batch's own statistics"
    return _row("BatchNorm", own, said, "The private batch's statistics are unknown and mix its "
                "images: expect less, or share in eval mode.")


def _mode(case: _Case) -> Row | None:
    """Eval or train, by the part of the convolutions' gradients along their weights."""
    update, modes = case.update, case.norms
    if len(modes) != 1 or not case.simulated.along:
        return None
    params = client.tensors(update.model)[0]
    along = torch.stack([honest.alignment(update.gradients[n], params[n], update)
                         for n in case.simulated.along])  # (convolutions, K), NaN where untold
    usual = torch.stack(list(case.simulated.along.values()))  # (convolutions, K, dummies)
    told = along.isfinite() & usual.isfinite().any(-1)
    if not bool(told.any()):
        return None
    limit = _ORTHOGONAL if case.steps == 1 else _ORTHOGONAL_STEPS
    if modes == {"eval"}:
        least = torch.where(usual.isfinite(), usual, torch.inf).amin(-1)
        bad = told & (along < limit) & (along < 0.1 * least)
        said, mode = "weights and gradient of a convolution are orthogonal", "train"
        worst = torch.where(told, along, torch.inf).amin(0)
        client_of = worst.argmin()
    else:
        most = usual.nan_to_num(0).amax(-1)
        bad = told & (most < limit) & (along > 10 * most) & (along > 10 * _ORTHOGONAL)
        said, mode = "gradients have a part along the weights in front of BatchNorm", "eval"
        worst = torch.where(told & (most < limit), along, 0).amax(0)
        client_of = worst.argmax()
    other = "eval" if mode == "train" else "train"
    measured = f"{said}: {_of(worst, client_of)}" if bad.any() else f"as {other} mode leaves it"
    return _row("mode", bad.any(0), measured, f"The client computed in {mode} mode, not in "
                f"{other} mode as the protocol says: use Protocol(mode='{mode}').")


def _buffers(case: _Case) -> Row | None:
    """That BatchNorm's buffers in the message tell of the images. (Those that contradict the
    protocol are refused when the update is made.)"""
    proof = buffer_evidence(case.update)
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
    return _row("buffers in the message", proof.mode == "train", said, todo)


# --- model and attack ----------------------------------------------------------------------------

def _activations(case: _Case) -> Row:
    kinked = sorted(case.modules & _PIECEWISE_LINEAR)
    second_order = case.attack is None or "adam" not in case.attack.optimizer
    said = f"piecewise linear: {', '.join(kinked)}" if kinked else "smooth"
    return _row("activations", bool(kinked) and second_order, said + " (modules only)",
                "No useful second derivative, so L-BFGS on L2 rarely recovers the image: use Adam "
                "(attacks.inverting_gradients).")


def _moments(case: _Case) -> Row | None:
    if case.attack is None or not case.attack.normalise or case.update.mean is not None:
        return None
    return _row("mean and std", True, "missing", "The attack works on (x - mean) / std: give mean= "
                "and std= of the public data, in units of [0, 1].", "stops")


def _equations(case: _Case) -> Row:
    update, one_step = case.update, case.steps == 1
    pixels = update.batch_size * torch.Size(update.shape).numel()
    bound = sum(t[0].numel() for t in update.gradients.values())
    every = " (all entries of the update; the bound behind convolutions holds for one step)"
    if one_step:
        bound, every = min([bound, *_behind_convolutions(update)]), ""
    return _row("equations", bound < pixels, f"at most {bound} for {pixels} pixels{every}",
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


# --- labels and loss -----------------------------------------------------------------------------

def _batch_size(case: _Case) -> Row | None:
    """More labels, or more independent images, in the last layer's gradient than a batch has."""
    layer, B = case.layer, case.update.batch_size
    if layer is None or case.update.protocol.loss != "cross_entropy" or \
            case.update.targets is not None:
        return None
    if layer.bias is None and not bool((layer.features >= 0).all()):
        return None
    told = (layer.weight.sum(-1) if layer.bias is None else layer.bias).double()
    rounding = 1e-4 * told.abs().amax(-1, keepdim=True)
    if case.update.protocol.sends == "weights":  # of the weights that were subtracted
        rounding = rounding + case.slack * 0.1 + case.update.protocol.weight_decay
    count = (told < -rounding).sum(-1)
    what = "negative entries of the last bias's gradient" if layer.bias is not None else \
        "negative row sums of the last layer's gradient"
    if case.steps == 1 and case.update.protocol.sends == "gradients":
        rank = _rank(layer.weight)
        if bool(((count <= B) & (rank > B)).any()):
            count, what = torch.maximum(rank, count), "the rank of the last layer's gradient"
    if case.entropy:  # noise, or a loss of another sign, has negative entries too
        count = torch.where((case.surplus > case.slack_of_sum) | (case.scale.factor < 0), 0, count)
    return _row("batch size", count > B, f"{B}, as the protocol says; {what}: "
                f"{_of(count, count.argmax())}", "A client of so many images has fewer: "
                "the batch holds at least that many, or its labels were mixed. Give batch_size=.")


def _rank(weight: Tensor) -> Tensor:
    """(K,): singular values of (K, C, F) above rounding. Of B images it is at most B; of noise or
    a pruned gradient as large as can be, which tells nothing: 0."""
    w = weight.double()
    squares = torch.linalg.eigvalsh(w @ w.mT)  # (K, C), of products: squared singular values
    rank = (squares > 4e-14 * squares[:, -1:].clamp_min(1e-300)).sum(-1)
    return torch.where(rank < (w != 0).any(-1).sum(-1), rank, 0)


def _repeated_labels(case: _Case) -> Row | None:
    update, B = case.update, case.update.batch_size
    seen, how = update.labels, "granted"
    if B > 1 and seen is None and case.entropy and case.steps == 1:
        if bool(case.uncounted.any()):
            return _row("repeated labels", case.uncounted,
                        "not to be counted before the scale is mended",
                        "Divide the update first (see scale of the loss), then count.")
        seen, how = label_rules.infer(update, "analytic", enforce=False), "as counted"
    if B == 1:
        return _row("repeated labels", False, "one image", "")
    if seen is None:
        return None
    distinct = B - (seen.sort(-1)[0].diff(dim=-1) == 0).sum(-1)
    return _row("repeated labels", distinct < B, f"different labels of {B} images, {how}: "
                f"{_of(distinct, distinct.argmin())}", "Images of one label mix in the last "
                "layer's gradient: they may come back blended.")


def _label_rule(case: _Case) -> Row | None:
    if case.attack is None:
        return None
    rule = "granted" if case.update.labels is not None else case.attack.labels
    guessed = torch.zeros(len(case.update), dtype=torch.bool)
    if rule not in ("granted", "joint"):
        try:
            label_rules.infer(case.update, rule)
        except ValueError as error:  # AssumptionError is one
            return _row("label rule", True, f"{rule}, refused", str(error), "stops")
        if rule in _COUNTING and bool(case.uncounted.any()):
            return _row("label rule", case.uncounted, f"{rule}, of an update that is no mean",
                        "Counts assume the mean loss: divide the update first (see scale of the "
                        "loss), then read the labels.")
        guessed = (case.layer.weight == 0).flatten(1).all(1)
    return _row("label rule", guessed, rule + (", a guess" if bool(guessed.any()) else ""),
                "The last layer's gradient is zero, so any label fits: do not count it as read.")


def _scale_of_the_loss(case: _Case) -> Row | None:
    """Is the last bias's gradient that of the mean cross-entropy, or `factor` times it?"""
    if not case.entropy:
        return None
    scale, one = case.scale, case.update.batch_size == 1
    if one and not bool(scale.factor.isfinite().any()):  # no client's gradient says anything
        return None
    misfit = scale.misfit.nan_to_num(0) if one else case.surplus
    wrong = misfit > (scale.misfit_limit if one else case.slack_of_sum)
    if bool(wrong.any()):
        said = _of(100 * misfit, misfit.argmax(), " %")
        return _row("scale of the loss", wrong, said + " of the last bias's gradient does not fit "
                    "a cross-entropy of this model", "This model's cross-entropy gives no multiple "
                    "of it: noise, another loss, other weights, or a defense; ask what the client "
                    "computed.")
    said, todo = _words_of_a_factor(case, case.wrong_scale)
    return _row("scale of the loss", case.wrong_scale, said, todo)


def _words_of_a_factor(case: _Case, off: Tensor) -> tuple[str, str]:
    """What was measured, and what to do about it: one image, or a batch."""
    scale, B = case.scale, case.update.batch_size
    size = min(case.update.protocol.local_batch or B, B)
    positive = " the cosine does not see it where positive, but label rules that count do."
    middle = (scale.low * scale.high).sqrt()
    far = (scale.factor / middle - 1).abs().nan_to_num(0)
    worst = torch.where(off, far + 1, far).argmax()
    usual = ""
    if case.steps > 1:
        usual = f"; simulated clients: {float(scale.low[worst]):.3g} to " \
                f"{float(scale.high[worst]):.3g}"
    todo = ("The update is that many times the protocol's (reduction, weight of the loss, learning "
            "rate, momentum, steps or sign): divide by it, or mend the protocol;" + positive)
    if B == 1:
        return f"factor {_of(scale.factor, worst)}{usual}", todo
    most = float(case.negative.max())
    if most > 1 + case.slack_of_sum:
        said = f"factor of at least {_of(case.negative, case.negative.argmax())}"
        many = f"more than a sum over the batch of {size}: ask the client (weight of the loss, " \
               "learning rate, momentum, steps);"
        if most <= size * (1 + case.slack):
            many = f"summed over the batch it would be the batch size, here {size}: divide by " \
                   "that, or ask the client;"
        return said, f"At least that many times a mean; {many}{positive}"
    if bool(off.any()):
        return f"factor of about {_of(scale.factor, worst)}{usual}", todo
    return f"a mean fits: {_of(case.negative, case.negative.argmax())}", ""


# --- what was done to the update, and what came of an attack -------------------------------------

def _zeros(case: _Case) -> Row:
    zeros = living = torch.zeros(len(case.update), device=case.update.device)
    for t in (t.flatten(2) for t in case.update.gradients.values() if t.dim() > 2):
        # A dead unit or a black pixel clears a whole row or column; pruning hits inside the others.
        live = ~((t == 0).all(1, keepdim=True) | (t == 0).all(2, keepdim=True))
        zeros, living = zeros + ((t == 0) & live).sum((1, 2)), living + live.sum((1, 2))
    share = zeros / living.clamp(min=1)
    natural = bool(case.modules & (_PIECEWISE_LINEAR | {"GELU"}))  # whose output may be 0
    said = f"{share.max():.1%} of living rows and columns"
    return _row("zeros in the update", (share > 0.05) & (not natural),
                said + (", natural with ReLU or GELU" if natural else ""), "Pruned or rounded? "
                "Match what is left, with `objectives.masked(objectives.cosine)`.")


def _defense(case: _Case) -> Row | None:
    if case.update.defense is None:
        return None
    return _row("defense", True, str(case.update.defense), "Give it to the objective (pruned "
                "entries: `objectives.masked(objectives.cosine)`), and compare with an attack "
                "without it.")


def _non_finite(case: _Case) -> Row:
    if case.guess is None:
        return _row("non-finite values", False, "none", "")
    losses = case.guess.history.losses  # (iterations + 1, K, R)
    wild = ~(case.guess.loss.isfinite() & losses.isfinite().all(0))
    said = f"{int(wild.sum())} of {wild.numel()} restarts diverged" if wild.any() else "none"
    return _row("non-finite values", wild.any(1), said, "Use a line search "
                "(dlg(line_search=True)), a smaller lr, or more restarts.")


def _size_of_the_gradient(case: _Case) -> Row | None:
    if case.guess is None:
        return None
    ratio = _norm(_dummy(case)) / case.norm
    far = ratio.log().abs().nan_to_num(0, posinf=torch.inf)
    cosines = (objectives.cosine, objectives.layer_cosine)
    free = case.attack is not None and case.attack.objective in (
        *cosines, *map(objectives.masked, cosines))
    said = f"{_of(ratio, far.argmax())} of the shared one"
    return _row("size of the reconstruction's gradient", (far > math.log(1.5)) & (not free),
                said + (" (the cosine does not fix it)" if free else ""), "L2 compares sizes, the "
                "cosine does not: see the scale of the loss, use the cosine, or take more "
                "restarts.")


def _dummy(case: _Case, images: Tensor | None = None) -> dict[str, Tensor]:
    """The update of the reconstruction, or of other images (K, B, C, H, W), with its labels
    (granted mixed ones as they are)."""
    update, guess = case.update, case.guess
    images = guess.images if images is None else images
    certain = certain_logits(guess.labels, update.num_classes).to(guess.images)
    if update.targets is not None:
        certain = update.targets.clamp_min(1e-30).log()  # softmax undoes it
    return dummy_gradients(update, images, certain)


def _what_is_left(case: _Case) -> Row | None:
    """The objective (without priors) at the reconstruction, over that of zero gradients: |D - g|^2
    over |g|^2 for L2, the distance itself for the cosine. An own objective that is not finite and
    positive at zero: over that of the start. A grey image can leave little too, where all images
    have much the same update: so at most half of that.

    Labels that were optimised jointly were soft; there the run's own loss counts if smaller."""
    if case.guess is None:
        return None
    left, grey = _relative_objective(case), _of_grey_images(case)
    worst = left.nan_to_num(torch.inf).argmax()
    said = f"{_of(left, worst)} of that of zero gradients, {float(grey[worst]):.3g} of grey images"
    ended = Counter(itertools.chain(*getattr(case.guess, "ended", None) or []))
    if ended:
        said += "; runs ended: " + ", ".join(f"{n} {why}" for why, n in ended.most_common())
    advice = {
        "budget": " Some runs ended by their budget: give more iterations.",
        "tolerance": " Some runs ended by L-BFGS's tolerance: scale the objective "
                     "(dlg(scale=1e4)) or use a line search.",
        "not finite": " Some runs diverged: use a line search or a smaller lr."}
    todo = ("The reconstruction's update is not the shared one, so it is no finding about the "
            "image: take more restarts or iterations, or another attack; if nothing matches, "
            "protocol or model are not the client's.")
    todo += "".join(words for why, words in advice.items() if why in ended)
    beside = case.attack is not None and len(case.attack.priors) > 0
    limit = _LEFT_BESIDE_PRIORS if beside else _LEFT
    no_better = (left > 0.5 * grey) & (left > _ROUNDING)
    return _row("what is left of the objective", ~(left <= limit) | no_better, said, todo)


def _relative_objective(case: _Case) -> Tensor:
    """(K,): the objective at the reconstruction, over that of zero gradients."""
    left = _distances(case, _dummy(case))
    if case.attack is not None and case.attack.labels == "joint" and case.update.labels is None:
        left = torch.fmin(left, case.guess.loss.nan_to_num(torch.inf).amin(1))
    return left / _whole(case)


def _of_grey_images(case: _Case) -> Tensor:
    """(K,): the same of images that are 0.5 everywhere, with the reconstruction's labels."""
    grey = torch.full_like(case.guess.images, 0.5)
    return _distances(case, _dummy(case, grey)) / _whole(case)


def _whole(case: _Case) -> Tensor:
    """(K,): the objective of zero gradients; where it says nothing, that of the best start."""
    nothing = {n: torch.zeros_like(g) for n, g in case.update.gradients.items()}
    whole = _distances(case, nothing)
    sound = whole.isfinite() & (whole > 0)
    return torch.where(sound, whole, case.guess.history.losses[0].amin(1))


def _distances(case: _Case, dummy: dict[str, Tensor]) -> Tensor:
    """(K,): the attack's objective without priors, or L2."""
    objective = objectives.l2 if case.attack is None else case.attack.objective
    given = case.update.gradients
    with torch.no_grad():
        each = [objective({n: dummy[n][k] for n in given}, {n: g[k] for n, g in given.items()})
                for k in range(len(case.update))]
    return torch.stack([torch.as_tensor(t) for t in each]).to(case.guess.loss)


CHECKS = (
    _gradient_norm, _layers_in_the_update, _tensors_without_gradient, _impossible_gradients,
    _batch_norm, _mode, _buffers, _activations, _moments, _batch_size,
    _repeated_labels, _label_rule, _scale_of_the_loss, _equations, _non_finite, _zeros, _defense,
    _size_of_the_gradient, _what_is_left)
