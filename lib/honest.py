"""What honest clients of a protocol would send: simulated, to judge a shared update by.

The entries of an update do not say what is normal for its network and protocol: ten local steps of
an honest client may be a fifth of ten gradients, because the loss fell on the way. So a few random
images, with the labels that the update tells of, are put through the same protocol.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from . import batching, run
from .labels import taken
from .members import mean_function, steps_of, unit_of
from .protocol import hard_targets, tensors
from .update import SharedUpdate, to_input

DUMMIES = 8  # simulated batches for each client
_NUMBERS_AT_ONCE = 2**24  # of all gradients in flight: bounds memory, not results


@dataclass(frozen=True)
class Simulated:
    """Updates of `DUMMIES` (D) random batches for each of K clients, reduced to what is compared.

    `silent`: parameter name -> (K, D), whether the whole tensor is zero. `along`: name of a
    convolution -> (K, D), `alignment` of its update. `weight` (K, D, C, F) and `bias` (K, D, C):
    the last dense layer's, None where the model does not end in one with a bias."""

    silent: dict[str, Tensor]
    along: dict[str, Tensor]
    weight: Tensor | None = None
    bias: Tensor | None = None


def random_images(update: SharedUpdate) -> Tensor:
    """(D, B, *shape) in [0, 1]: noise, dark and bright noise, and nearly even images."""
    size, lead = (DUMMIES, update.batch_size), [1] * len(update.shape)
    rng = run.generator("honest clients")
    noise = torch.rand(*size, *update.shape, generator=rng)
    level = torch.rand(*size, *lead, generator=rng)
    kinds = [lambda i: noise[i], lambda i: 0.3 * noise[i], lambda i: 0.7 + 0.3 * noise[i],
             lambda i: 0.2 * noise[i] + 0.8 * level[i]]
    return torch.stack([kinds[i % len(kinds)](i) for i in range(DUMMIES)])


def simulate(update: SharedUpdate, labels: Tensor, head: str | None = None) -> Simulated:
    """Roll out the protocol on random images that have the labels (K, B), in random order.

    Two more batches, of the next labels, count for `silent` and `along` alone: a network that is
    sure of the first ones has no gradient to show. `head`: prefix of the last dense layer."""
    base, stacked = batching.architecture(update.model)
    params, buffers = tensors(update.model)
    step = mean_function(base, update.protocol, update.members)
    like = next(iter(params.values()))
    images = random_images(update)
    images = torch.cat([images, images[:2]])
    x = to_input(images.to(like), False, update.protocol.normalise, update.mean, update.std)
    labels = _shuffled(labels, len(x), update.num_classes)
    target = hard_targets(labels, update.num_classes).to(like)

    def reduced(p, b, v, t) -> tuple:
        g = step(p, b, v, t)
        silent = {n: (g[n] == 0).all() for n in update.gradients}
        along = {n: alignment(g[n], p[n], update) for n in update.gradients if p[n].dim() == 4}
        last_layer = () if head is None else (g[head + "weight"], g[head + "bias"])
        return silent, along, last_layer

    axis = 0 if stacked else None
    numbers = sum(g[0].numel() for g in update.gradients.values()) * len(x)
    of_all_images = vmap(reduced, in_dims=(None, None, 0, 0))
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        silent, along, last_layer = vmap(
            of_all_images, in_dims=(axis, axis, None, 0),
            chunk_size=max(1, _NUMBERS_AT_ONCE // numbers))(params, buffers, x, target)
    return Simulated(silent, along, *(t[:, :DUMMIES] for t in last_layer))


def _shuffled(labels: Tensor, count: int, classes: int) -> Tensor:
    """(K, count, B): the labels in another order each time, from `DUMMIES` on the next classes."""
    rng = run.generator("honest labels")
    orders = torch.stack([torch.randperm(labels.shape[1], generator=rng) for _ in range(count)])
    out = labels[:, orders.to(labels.device)]
    out[:, DUMMIES:] = (out[:, DUMMIES:] + 1) % max(classes, 2)
    return out


def alignment(change: Tensor, weight: Tensor, update: SharedUpdate) -> Tensor:
    """The largest |cosine| between a convolution's weights and its change, over its channels; NaN
    where fewer than four channels have one. (..., out, in, h, w) -> (...).

    Behind a convolution, batch statistics undo the scale of every channel's weights, so in train
    mode their gradient has no part along them (but for BatchNorm's epsilon). Over n equal local
    steps that holds at the mean of the weights on the way, w + (1 - 1/n) / 2 change; what weight
    decay added is taken off. Channels whose change is a millionth of the largest or less are
    rounding, and do not count."""
    n = max(steps_of(update.protocol, update.batch_size, update.members))
    pull = _unit(update) * update.protocol.weight_decay
    w, change = weight.double().flatten(-3), change.double().flatten(-3)
    if pull:  # of a large network each line here is a copy of many gradients
        change = change - pull * w
    if n > 1:
        w = w + (1 - 1 / n) / 2 * change
    size, length = change.norm(dim=-1), w.norm(dim=-1)  # (..., out)
    told = (size > 1e-6 * size.amax(-1, keepdim=True)) & (length > 0)
    product = torch.where(told, size * length, 1)
    cosines = torch.where(told, (change * w).sum(-1).abs() / product, 0)
    return torch.where(told.sum(-1) >= 4, cosines.amax(-1), torch.nan)


# --- the scale of the loss -----------------------------------------------------------------------

def _unit(update: SharedUpdate) -> float:
    """The update of a gradient that is 1 in every step, without weight decay."""
    return unit_of(update.protocol, update.batch_size, update.members)


def _hides_labels(update: SharedUpdate) -> bool:
    """Is it a mean in which it matters which client holds which label? Where clients weigh
    differently, and where each one's loss falls along steps of its own."""
    members = update.members
    if members is None or len(members) == 1:
        return False
    return not members.even or not _takes_one_step(update)


def _takes_one_step(update: SharedUpdate) -> bool:
    return max(steps_of(update.protocol, update.batch_size, update.members)) == 1


def read_labels(bias: Tensor, batch_size: int) -> Tensor:
    """(K, B) labels of a mean gradient dl/db (K, C) of any positive scale: the rule "wainakh", of
    the bias."""
    impact = -bias.clamp(max=0).sum(-1, keepdim=True) * (1 + 1 / bias.shape[-1]) / batch_size
    return taken(bias, impact, batch_size, certain=bias < 0)


@dataclass(frozen=True)
class Fit:
    """How the last bias's update compares with what its own labels and features give: (K,) each.

    `factor`: times the honest one, NaN where nothing can be said; `misfit`: the length of what no
    factor explains, relative to the whole."""

    factor: Tensor
    misfit: Tensor


def fit(update: SharedUpdate, layer, dW: Tensor, db: Tensor, labels: Tensor) -> Fit:
    """Compare the last layer's mean gradient dW (K, C, F), db (K, C) with that of the labels (K, B)
    and of the features that it shows itself, a(x_j) = dl/dW_c / dl/db_c: exact for one image.

    The expected one comes of the same protocol on the last layer alone: the loss falls on the way,
    only earlier layers stand still."""
    unit, decay = _unit(update), update.protocol.weight_decay
    W, b, dW, db = layer.W.double(), layer.b.double(), dW.double(), db.double()
    row = labels if update.batch_size > 1 else db.abs().argmax(-1, keepdim=True)
    divisor = db.gather(-1, row)[..., None]
    rows = dW.gather(-2, row[..., None].expand(*row.shape, dW.shape[-1]))
    features = rows / torch.where(divisor == 0, torch.inf, divisor)
    expected = _of_last_layer(update, W, b, features, labels) / unit - decay * b
    factor = (db * expected).sum(-1) / expected.square().sum(-1)
    factor = torch.where(expected.norm(dim=-1) > 1e-4, factor, torch.nan)  # surer: p is rounding
    return Fit(factor, (db - factor[..., None] * expected).norm(dim=-1) / db.norm(dim=-1))


def _of_last_layer(update: SharedUpdate, W: Tensor, b: Tensor, features: Tensor, labels: Tensor) \
        -> Tensor:
    """(K, C): the update of the last bias where features (K, B, F) reach the last layer alone."""
    head = nn.Linear(W.shape[-1], W.shape[-2])
    step = mean_function(head, update.protocol, update.members)
    target = hard_targets(labels, W.shape[-2]).to(features)
    stacked = len(W) > 1
    start = {"weight": W, "bias": b} if stacked else {"weight": W[0], "bias": b[0]}
    with torch.no_grad():
        return vmap(lambda p, v, t: step(p, {}, v, t)["bias"],
                    in_dims=(0 if stacked else None, 0, 0))(start, features, target)


@dataclass(frozen=True)
class Scale:
    """The scale of an update's loss, of each client (K,).

    `factor` and `misfit` as in `Fit`; `low` and `high`: between them honest clients lie;
    `misfit_limit`: as far off as they are at most."""

    factor: Tensor
    misfit: Tensor
    low: Tensor
    high: Tensor
    misfit_limit: Tensor


def scale(update: SharedUpdate, layer, simulated: Simulated, slack: float) -> Scale:
    """Judge the last layer's mean gradient by simulated honest clients; exactly (but for `slack`)
    where it is one gradient of one image. An update of the other sign has a negative factor.
    Nothing is said of a batch of two classes, or of a mean that hides whose label is whose."""
    up, down = (fit(update, layer, layer.weight, layer.bias,
                    read_labels(sign * layer.bias, update.batch_size)) for sign in (1, -1))
    if update.batch_size == 1 and _takes_one_step(update):
        unit = torch.ones_like(up.factor)
        low, high, limit = unit - max(0.01, slack), unit + max(0.01, slack), slack * unit
    else:
        low, high, limit = _limits(update, layer, simulated, slack)
    turned = (up.misfit > limit) & (down.misfit <= limit) & (down.factor < 0)
    factor = torch.where(turned, down.factor, up.factor)
    if update.batch_size > 1 and (layer.W.shape[-2] < 3 or _hides_labels(update)):
        # Of two classes dl/db is one number: it tells the labels or the scale, not both.
        factor = torch.full_like(factor, torch.nan)
    return Scale(factor, torch.where(turned, down.misfit, up.misfit), low, high, limit)


def _limits(update, layer, simulated: Simulated, slack: float) -> tuple[Tensor, Tensor, Tensor]:
    """(low, high, misfit_limit), (K,): where simulated clients lie, and as far again as they lie
    apart, since a few images do not show all."""
    unit, decay = _unit(update), update.protocol.weight_decay
    factors, misfits = [], []
    for d in range(DUMMIES):
        dW = simulated.weight[:, d] / unit - decay * layer.W
        db = simulated.bias[:, d] / unit - decay * layer.b
        of_dummy = fit(update, layer, dW, db, read_labels(db, update.batch_size))
        factors.append(of_dummy.factor)
        misfits.append(of_dummy.misfit)
    factors, misfits = torch.stack(factors), torch.stack(misfits).nan_to_num(0)
    told = factors.isfinite()
    low = torch.where(told, factors, torch.inf).amin(0).clamp_min(1e-3)
    high = torch.where(told, factors, 0).amax(0)
    margin = 1.1 * (high / low).sqrt() + slack
    none = ~told.any(0)  # then nothing can be judged
    low, high = torch.where(none, 0, low / margin), torch.where(none, torch.inf, high * margin)
    return low, high, 2 * misfits.amax(0) + 0.1
