"""Label inference: what the gradient of the last dense layer says about the labels.

With cross-entropy, logits y(x) = W a(x) + b, p = softmax(y) and c_j the label of image j of B,

    dl/db_i = mean_j (p_i(x_j) - [i = c_j]),    dl/dW_i = mean_j (p_i(x_j) - [i = c_j]) a(x_j).

Every rule reads these. `RULES` names them, with their source and with what they need; `infer`
refuses a rule where that is not so. A weight difference is turned into the mean gradient first.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import lsq_linear, nnls
from torch import Tensor, nn
from torch.nn.functional import softmax

from . import checks, client, models, run
from .client import AssumptionError, SharedUpdate


@dataclass(frozen=True)
class LastLayer:
    """What a rule sees: gradients of the last dense layer, and the layer itself."""

    weight: Tensor  # (K, C, F) dl/dW
    bias: Tensor | None  # (K, C) dl/db
    W: Tensor  # (K or 1, C, F)
    b: Tensor | None  # (K or 1, C)
    features: Tensor  # (16, F) a(x) of random images, by the first victim
    batch_size: int
    prefix: str = ""  # of its parameters' names


@dataclass(frozen=True)
class Rule:
    source: str
    needs: tuple[str, ...]  # keys of NEEDS, beside cross-entropy and a dense last layer
    read: Callable[[LastLayer], Tensor]  # -> (K, B)

    def __post_init__(self) -> None:
        if not isinstance(self.needs, tuple | list):
            raise ValueError(f"needs must be a tuple of {', '.join(NEEDS)}, not "
                             f"{checks.shown(self.needs)}")
        if not callable(self.read):
            raise ValueError("read must be a function of a LastLayer, not "
                             f"{checks.shown(self.read)}")
        if unknown := set(self.needs) - set(NEEDS):
            raise ValueError(f"unknown needs {sorted(unknown)}: they are of {', '.join(NEEDS)}")


def last_layer(update: SharedUpdate) -> LastLayer:
    """The last dense layer of an update; ValueError where the model does not end in one."""
    _check_update(update)
    base, stacked = models.architecture(update.model)
    params, fixed = client.tensors(update.model)
    tensors_of_one = {n: t[0] if stacked else t for n, t in (params | fixed).items()}
    rng = run.generator("probe")
    probe = torch.cat([f(8, *update.shape, generator=rng) for f in (torch.rand, torch.randn)])
    passes: dict[str, list] = {}  # name of a dense layer -> [(input, output), ...]
    hooks = [m.register_forward_hook(
        lambda m, given, out, name=n: passes.setdefault(name, []).append((given[0], out)))
        for n, m in base.named_modules() if isinstance(m, nn.Linear)]
    try:
        with torch.no_grad():
            logits = models.call(base, tensors_of_one, probe.to(next(iter(params.values()))))
    finally:
        for hook in hooks:
            hook.remove()
    last = [name for name, calls in passes.items()
            if len(calls) == 1 and torch.equal(calls[0][1], logits)]
    prefix = f"{last[-1]}." if last and last[-1] else ""
    if not last or prefix + "weight" not in update.gradients:
        raise ValueError("the model does not end in a dense layer: no labels can be read off it")
    lead = (lambda t: t) if stacked else (lambda t: t[None])
    biased = prefix + "bias" in update.gradients
    return LastLayer(
        update.mean_gradient(prefix + "weight"),
        update.mean_gradient(prefix + "bias") if biased else None,
        lead(params[prefix + "weight"]), lead(params[prefix + "bias"]) if biased else None,
        passes[last[-1]][0][0].flatten(1), update.batch_size, prefix)


def _check_update(update) -> None:
    if not isinstance(update, SharedUpdate):
        raise ValueError(f"labels are read off a SharedUpdate: update must be one, not "
                         f"{type(update).__name__}")


def infer(update: SharedUpdate, rule: str = "idlg", enforce: bool = True) -> Tensor:
    """(K, B) labels by a rule of `RULES`; labels that the threat model grants go before any rule.

    The labels of a batch have no order: those of one client are sorted. Ties go to the class of the
    smallest number. enforce=False measures a rule where its assumptions do not hold. Errors:
    AssumptionError naming the first assumption that does not hold; ValueError for an unknown rule,
    or a model that does not end in a dense layer.
    """
    _check_update(update)
    checks.one_of("label rule", rule, RULES)
    checks.flag("enforce", enforce)
    if update.labels is not None:
        return update.labels
    return read_by(rule, update, last_layer(update), enforce)


def read_by(rule: str, update: SharedUpdate, layer: LastLayer, enforce: bool = True) -> Tensor:
    """`infer` of a last layer that is at hand: on a large network looking for it takes seconds."""
    for need in ("cross_entropy", *RULES[rule].needs) if enforce else ():
        holds, words = NEEDS[need]
        if not holds(update, layer):
            raise AssumptionError(
                f"the label rule {rule!r} needs {words}. Another rule may not (labels.RULES); else "
                "give the labels (labels=... with ThreatModel(labels='known')), or optimise them "
                "with labels='joint' as DLG does")
    if "bias" in RULES[rule].needs and layer.bias is None:
        raise ValueError(f"the label rule {rule!r} reads a bias gradient: the layer has no bias")
    if rule == "yin" and update.batch_size > update.num_classes:
        raise ValueError(f"{update.batch_size} images need as many classes to differ in label")
    read = RULES[rule].read(layer)
    if read.shape != (len(update), update.batch_size):
        raise ValueError(f"the label rule {rule!r} gave {tuple(read.shape)} instead of (K, B)")
    return read


def _steps(update: SharedUpdate) -> int:
    return max(client.steps_of(update.protocol, update.batch_size, update.members))


def _sizes(update: SharedUpdate) -> tuple[int, ...]:
    """The images of each client that is in the update."""
    return (update.batch_size,) if update.members is None else update.members.sizes


NEEDS = {  # what a rule may need: (does it hold for an update and its last layer, in words)
    "cross_entropy": (lambda u, _: u.protocol.loss == "cross_entropy", "the cross-entropy loss"),
    "one_image": (lambda u, _: u.batch_size == 1, "a batch of one image"),
    "one_label": (lambda u, _: u.batch_size == 1 or u.threat.labels == "equal",
                  "a batch of one image, or labels='equal' granted"),
    "unique": (lambda u, _: u.batch_size == 1 or u.threat.labels == "unique",
               "labels='unique' granted: no label twice in a batch"),
    "bias": (lambda _, layer: layer.bias is not None, "a bias gradient of the last dense layer"),
    "non_negative": (lambda _, layer: bool((layer.features >= 0).all()),
                     "non-negative features in front of the last dense layer (sigmoid, ReLU)"),
    "three_classes": (lambda u, _: u.num_classes > 2, "three classes or more"),
    "one_step": (lambda u, _: _steps(u) == 1, "one gradient, or one local step"),
    "even": (lambda u, _: u.members is None or u.members.even,
             "a mean of clients in which every image counts the same"),
    "equal_steps": (lambda u, _: all(n % (u.protocol.local_batch or 1) == 0 for n in _sizes(u)),
                    "local steps of equally many images"),
}


def row_sums(layer: LastLayer) -> Tensor:
    """(K, C): mean_j (p_i(x_j) - [i = c_j]) |a(x_j)|_1 for non-negative features a."""
    return layer.weight.sum(-1)


def _sign(scores: Tensor, layer: LastLayer) -> Tensor:
    """p_c - 1 < 0 for the label alone: the most negative score."""
    return scores.argmin(-1)[:, None].expand(-1, layer.batch_size)


def _products(layer: LastLayer) -> Tensor:
    """All rows are multiples of a(x); the label's alone points away from every other. O(C^2 F)."""
    products = layer.weight @ layer.weight.mT  # (K, C, C)
    return (products <= 0).sum(-1).argmax(-1)[:, None]


def _minimum(layer: LastLayer) -> Tensor:
    """The B rows with the smallest entry: only an image's own label pulls a row below zero.

    Where a saturated softmax rounds to zero, entries tie; then the smaller row sum goes first."""
    by_sum = row_sums(layer).sort(dim=-1, stable=True).indices
    order = layer.weight.amin(-1).gather(1, by_sum).sort(dim=-1, stable=True).indices
    return by_sum.gather(1, order)[:, : layer.batch_size].sort(-1).values


def _magnitude(layer: LastLayer) -> Tensor:
    """Negative rows first, one label each; then the smallest row, each time less one impact m.

    m = (1 + 1/C) / B sum_{g_i < 0} g_i is what one image adds to its label's row sum g_i.
    """
    g, B = row_sums(layer), layer.batch_size
    impact = -g.clamp(max=0).sum(-1, keepdim=True) * (1 + 1 / g.shape[1]) / B
    return taken(g, impact, B, certain=g < 0)


def _uniform(layer: LastLayer) -> Tensor:
    """n_i = B (1/C - dl/db_i): right on average while the victim knows nothing."""
    scores = layer.bias - 1 / layer.bias.shape[1]
    return taken(scores, torch.full_like(scores[:, :1], 1 / layer.batch_size), layer.batch_size)


def _analytic(layer: LastLayer) -> Tensor:
    """Counts n >= 0 that solve B dl/db = (P - I) n, sum n = B; P[i, j] = p_i of images of class j.

    Exact but for P, which is taken at the feature dl/dW_j / dl/db_j. That weighs the images of
    class j by p_j - 1 and all others by p_j, of the other sign: close to the mean feature of class
    j while p_j is small, and anything where dl/db_j is near zero, hence the clamp. Non-negative
    least squares, O(C^3) for each client.
    """
    divisor = torch.where(layer.bias == 0, torch.inf, layer.bias)[..., None]
    low = 0.0 if bool((layer.features >= 0).all()) else -1e6
    mean = (layer.weight / divisor).clamp(low, 1e6)  # (K, C, F)
    logits = torch.einsum("kjf,kif->kji", mean, layer.W.expand(len(mean), -1, -1))
    P = softmax(logits + layer.b[:, None], -1).mT.double()  # (K, C, C)
    left = torch.cat([P - torch.eye(P.shape[-1]).to(P), torch.ones_like(P[:, :1])], 1).cpu()
    right = torch.cat([layer.bias.double(), torch.ones_like(P[:, 0, :1])], 1).cpu()
    share = [_non_negative(A.numpy(), b.numpy()) for A, b in zip(left, right, strict=True)]  # n / B
    share = torch.as_tensor(np.stack(share)).to(P)
    return taken(-layer.batch_size * share, torch.ones_like(share[:, :1]), layer.batch_size)


def _non_negative(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The least squares solution of A x = b with x >= 0."""
    try:
        return nnls(A, b)[0]
    except RuntimeError:  # its active set cycles where columns nearly coincide
        return lsq_linear(A, b, bounds=(0, np.inf)).x


def taken(scores: Tensor, impact: Tensor, B: int, certain: Tensor | None = None) -> Tensor:
    """B times: take the class of the smallest score, and add `impact` to it; `certain` ones first.

    scores (K, C), impact (K, 1), certain (K, C).
    """
    scores, chosen = scores.clone(), []
    waiting = torch.zeros_like(scores, dtype=torch.bool) if certain is None else certain.clone()
    for _ in range(B):
        open_to = waiting | ~waiting.any(-1, keepdim=True)
        pick = torch.where(open_to, scores, torch.inf).argmin(-1, keepdim=True)
        scores.scatter_add_(1, pick, impact.to(scores))
        waiting.scatter_(1, pick, False)
        chosen.append(pick)
    return torch.cat(chosen, 1).sort(-1).values


RULES = {
    "idlg": Rule("Zhao et al. 2020, code: the smallest row sum of dl/dW",
                 ("one_label", "non_negative"), lambda layer: _sign(row_sums(layer), layer)),
    "idlg_bias": Rule("Zhao et al. 2020, first version of the code: the smallest dl/db",
                      ("one_label", "bias"), lambda layer: _sign(layer.bias, layer)),
    "idlg_products": Rule("Zhao et al. 2020: the row whose products with the others are <= 0",
                          ("one_image", "three_classes"), _products),
    "yin": Rule("Yin et al. 2021 (GradInversion): the B rows of dl/dW with the smallest minimum",
                ("unique", "non_negative", "equal_steps"), _minimum),
    "wainakh": Rule("Wainakh et al. 2022 (LLG, gradient alone): row sums, less an impact an image",
                    ("non_negative", "equal_steps", "even"), _magnitude),
    "uniform": Rule("the bias gradient's equation with every p_i taken as 1/C: a baseline",
                    ("bias", "one_step", "even"), _uniform),
    "analytic": Rule("Ma et al. 2023 (iLRG): B dl/db = (P - I) n; ours: n >= 0, and its rounding",
                     ("bias", "one_step", "even"), _analytic),
}
