"""Gradient inversion as the official codes write it: plain autograd, one client after another.

Nothing of `lib` is used here, so that `lib` can be timed against it (bench.py) and checked against
it (tests/test_parity.py). Each attack is an objective, a function without arguments of the leaf
tensors `variables`, and a loop over one of torch's own optimisers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parameters_to_vector, vector_to_parameters

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


# What a client shares


@dataclass(frozen=True)
class Client:
    """How one client computes its update. BatchNorm layers are in the mode of `model`."""

    model: nn.Module
    loss: str | Callable = "cross_entropy"  # or "mse", "mse_softmax", or of (logits, target)
    rate: float | None = None  # None: one gradient; else local SGD, and the difference of weights
    epochs: int = 1
    local_batch: int | None = None
    momentum: float = 0.0  # and what follows: as torch.optim.SGD has them
    nesterov: bool = False
    weight_decay: float = 0.0


def loss_of(logits: Tensor, target: Tensor, kind: str | Callable) -> Tensor:
    """Mean loss of logits (B, classes) and targets (B, classes), rows of probabilities."""
    if callable(kind):
        return kind(logits, target)
    if kind == "cross_entropy":
        return F.cross_entropy(logits, target)
    outputs = logits if kind == "mse" else logits.softmax(dim=1)
    return F.mse_loss(outputs, target, reduction="sum") / len(logits)


def update_of(client: Client, fed: Tensor, target: Tensor) -> list[Tensor]:
    """What the client shares of fed (B, C, H, W) and target (B, classes): a tensor a parameter."""
    first = dict(client.model.named_parameters())
    if client.rate is None:
        loss = loss_of(client.model(fed), target, client.loss)
        return list(torch.autograd.grad(loss, list(first.values()), create_graph=True))
    now, velocity = dict(first), dict.fromkeys(first, 0)
    for _ in range(client.epochs):
        for begin in range(0, len(fed), client.local_batch or len(fed)):
            part = slice(begin, begin + (client.local_batch or len(fed)))
            loss = loss_of(functional_call(client.model, now, fed[part]), target[part], client.loss)
            slopes = torch.autograd.grad(loss, list(now.values()), create_graph=True)
            for (name, p), slope in zip(list(now.items()), slopes, strict=True):
                slope = slope + client.weight_decay * p
                velocity[name] = client.momentum * velocity[name] + slope
                if client.nesterov:
                    slope = slope + client.momentum * velocity[name]
                else:
                    slope = velocity[name]
                now[name] = p - client.rate * slope
    return [now[name] - p for name, p in first.items()]


# Distances between an update and the shared one: lists of tensors in the same order


def squared_distance(gradients, shared):
    """|g - g*|^2, summed over all parameters."""
    return sum((g - s).pow(2).sum() for g, s in zip(gradients, shared, strict=True))


def relative_distance(gradients, shared):
    """|g - g*|^2 / |g*|^2 of each tensor, summed."""
    pairs = zip(gradients, shared, strict=True)
    return sum((g - s).pow(2).sum() / s.pow(2).sum() for g, s in pairs)


def cosine(gradients, shared):
    """1 - <g, g*> / (|g| |g*|), one cosine over all parameters."""
    product = sum((g * s).sum() for g, s in zip(gradients, shared, strict=True))
    norm = sum(g.pow(2).sum() for g in gradients)
    shared_norm = sum(s.pow(2).sum() for s in shared)
    return 1 - product / (norm.sqrt() * shared_norm.sqrt())


def layer_cosine(gradients, shared):
    """1 - cosine of each tensor by itself, averaged over the tensors."""
    each = [1 - torch.cosine_similarity(g.flatten(), s.flatten(), dim=0, eps=1e-30)
            for g, s in zip(gradients, shared, strict=True)]
    return torch.stack(each).mean()


def where_shared(distance):
    """`distance`, of the entries that the client did not set to zero."""
    def masked(gradients, shared):
        pairs = zip(gradients, shared, strict=True)
        return distance([torch.where(s == 0, 0, g) for g, s in pairs], shared)

    return masked


# Priors


def total_variation(image):
    """Mean absolute difference of neighbours, across and down. image: (B, C, H, W)."""
    across = (image[..., :, 1:] - image[..., :, :-1]).abs().mean()
    down = (image[..., 1:, :] - image[..., :-1, :]).abs().mean()
    return across + down


def mean_squared_cosine(image):
    """Of all pairs of different images in a batch (B, C, H, W)."""
    pairs = [torch.cosine_similarity(image[i].flatten(), image[j].flatten(), dim=0).pow(2)
             for i in range(len(image)) for j in range(i)]
    return torch.stack(pairs).mean()


def batch_norm_distance(model, fed, stored):
    """sum |mean - stored mean| + |var - stored var| over the inputs of the BatchNorm layers.

    fed: (B, C, H, W). stored: (mean, variance) of each layer, in the order of the model's."""
    given = []
    layers = [m for m in model.modules() if isinstance(m, BATCH_NORMS)]
    hooks = [m.register_forward_pre_hook(lambda m, inputs: given.append(inputs[0])) for m in layers]
    model(fed)
    for hook in hooks:
        hook.remove()
    total = 0
    for x, (mean, variance) in zip(given, stored, strict=True):
        axes = [axis for axis in range(x.dim()) if axis != 1]
        total = total + (x.mean(axes) - mean).norm()
        total = total + (x.var(axes, unbiased=False) - variance).norm()
    return total


# Loops: each moves `variables` in place and returns the objective before every iteration


def adam(variables, objective: Callable, iterations: int, lr: float, signed=False, decay=False,
         box=None) -> list[float]:
    """torch's Adam. signed: on the sign of the first variable's gradient. decay: the learning rate
    times 0.1 at 3/8, 5/8, 7/8 of the iterations. box: (low, high) of the first variable."""
    optimizer, losses = torch.optim.Adam(variables, lr=lr), []
    milestones = [iterations // share for share in (2.667, 1.6, 1.142)] if decay else []
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)
    for _ in range(iterations):
        optimizer.zero_grad()
        loss = objective()
        loss.backward()
        losses.append(loss.detach())
        if signed:
            variables[0].grad.sign_()
        optimizer.step()
        schedule.step()
        if box is not None:
            with torch.no_grad():
                variables[0].data = torch.max(torch.min(variables[0], box[1]), box[0])
    return losses


def lbfgs(variables, objective: Callable, iterations: int, lr=1.0) -> list[float]:
    """torch's L-BFGS; an iteration is a call of `step`, of up to 20 inner iterations."""
    optimizer = torch.optim.LBFGS(variables, lr=lr)
    closure = closure_of(optimizer, objective)
    return [optimizer.step(closure).detach() for _ in range(iterations)]


def lbfgs_in_turn(groups, objective: Callable, iterations: int, lr=1.0) -> list[float]:
    """`lbfgs` on one group of variables an iteration, each with a history of its own. What the
    other groups did meanwhile makes no pair: the last gradient is that of the new point."""
    optimizers, losses = [torch.optim.LBFGS(group, lr=lr) for group in groups], []
    for i in range(iterations):
        group, optimizer = groups[i % len(groups)], optimizers[i % len(groups)]
        closure = closure_of(optimizer, objective)
        if i >= len(groups):
            closure()
            slope = torch.cat([v.grad.flatten() for v in group])
            optimizer.state[group[0]]["prev_flat_grad"] = slope
        losses.append(optimizer.step(closure).detach())
    return losses


def lbfgs_line_search(variables, objective: Callable, iterations: int, lr=1.0, inner=20) \
        -> list[float]:
    """L-BFGS with back-tracking (Nocedal and Wright 2006, Algorithms 7.4 and 3.1), written as in
    the book: a step is halved up to nine times until f(x + t d) <= f(x) + 1e-4 t <g, d>; one that
    never is ends the iteration and its history."""

    def at(point):
        vector_to_parameters(point, variables)
        loss = objective()
        slopes = torch.autograd.grad(loss, variables)
        return loss.detach(), torch.cat([slope.flatten() for slope in slopes])

    x, losses = parameters_to_vector(variables).detach().clone(), []
    pairs, step, before = [], None, None
    for _ in range(iterations):
        loss, g = at(x)
        losses.append(loss)
        for _ in range(inner):
            if step is None:
                d, t = -g, min(1.0, 1 / g.abs().sum()) * lr
            else:
                pairs += [(step, g - before)] if step @ (g - before) > 1e-10 else []
                d, t = two_loops(g, pairs), lr
            for _ in range(10):
                f, slope = at(x + t * d)
                if f <= loss + 1e-4 * t * (g @ d):
                    break
                t = t / 2
            else:
                pairs, step = [], None
                break
            step, before, x, loss, g = t * d, g, x + t * d, f, slope
    vector_to_parameters(x, variables)
    return losses


def two_loops(g, pairs):
    """The direction -H g of the pairs (s, y), the newest last."""
    q, shares = -g, []
    for s, y in reversed(pairs):
        shares.append((s @ q) / (s @ y))
        q = q - shares[-1] * y
    if pairs:
        s, y = pairs[-1]
        q = q * (s @ y) / (y @ y)
    for (s, y), share in zip(pairs, reversed(shares), strict=True):
        q = q + (share - (y @ q) / (s @ y)) * s
    return q


def closure_of(optimizer, objective):
    """What torch's L-BFGS calls: the objective, with its gradient in the variables."""
    def closure():
        optimizer.zero_grad()
        loss = objective()
        loss.backward()
        return loss

    return closure
