"""Tables of what `diagnose` says of honest clients and of misdescribed ones.

Clients are plain PyTorch: `torch.optim.SGD` on a module, `model.train()` or `model.eval()`. Make
the committed tables again with `python tests/matrix.py`, from the root of the repository.
"""

import copy
import itertools
import sys
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss, one_hot

from lib import attacks, data
from lib.client import Protocol, SharedUpdate

HERE = Path(__file__).parent
SHAPE, CLASSES, CLIENTS, LR = (3, 16, 16), 10, 2, 0.02

# Rows that say that client, protocol and model do not belong together. Others state what is true
# of an honest client too: a ReLU, BatchNorm in train mode, a label twice in the batch.
BLAME = ("gradients where the model can have none", "mode", "batch size",
         "scale of the loss")

OPTIMISERS = {
    "SGD": {}, "momentum": {"momentum": 0.9}, "nesterov": {"momentum": 0.9, "nesterov": True},
    "weight decay": {"weight_decay": 5e-3}}


def network(norm: bool, activation: type[nn.Module], seed: int = 0) -> nn.Sequential:
    """Two convolutions and a dense layer, PyTorch's own weights."""
    torch.manual_seed(seed)
    layers = []
    for channels in (SHAPE[0], 8):
        layers += [nn.Conv2d(channels, 8, 5, 2, 2)]
        layers += [nn.BatchNorm2d(8)] if norm else []
        layers += [activation()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, CLASSES))


NETWORKS = {
    "sigmoid": (False, nn.Sigmoid), "ReLU": (False, nn.ReLU),
    "BatchNorm, sigmoid": (True, nn.Sigmoid), "BatchNorm, ReLU": (True, nn.ReLU)}


def private(batch: int, seed: int = 0):
    """Images (CLIENTS, batch, 3, 16, 16) and labels of real photographs."""
    return data.load("photos", size=SHAPE[1]).clients(CLIENTS, batch_size=batch, seed=seed)


def mean_cross_entropy(logits, labels):
    return cross_entropy(logits, labels)


def sent(net, images, labels, mode="eval", steps=None, loss=mean_cross_entropy, lr=LR, **settings):
    """What one client sends: the gradient (steps None), or the difference after local steps."""
    own = copy.deepcopy(net).train(mode == "train")
    if steps is None:
        loss(own(images), labels).backward()
        return {n: p.grad.clone() for n, p in own.named_parameters()}
    optimiser = torch.optim.SGD(own.parameters(), lr=lr, **settings)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(own(images), labels).backward()
        optimiser.step()
    before = dict(net.named_parameters())
    return {n: (p - before[n]).detach() for n, p in own.named_parameters()}


def update_of(net, images, labels, protocol, batch_size=None, **client):
    """The updates of all clients, as an auditor takes them in."""
    each = [sent(net, x, y, **client) for x, y in zip(images, labels, strict=True)]
    stacked = {n: torch.stack([g[n] for g in each]) for n in each[0]}
    return SharedUpdate.from_gradients(
        net, stacked, protocol, shape=SHAPE, num_classes=CLASSES,
        batch_size=batch_size or images.shape[1])


def protocol_of(steps, mode="eval", lr=LR, **settings) -> Protocol:
    if steps is None:
        return Protocol(mode=mode)
    return Protocol(mode=mode, sends="weights", local_lr=lr, epochs=steps, **settings)


def warned(update, attack=None, guess=None) -> list[str]:
    table = attacks.diagnose(update, attack, guess)
    return list(table.check[table.verdict != "ok"])


# --- honest --------------------------------------------------------------------------------------

def honest_cases() -> list[tuple]:
    """(network, optimiser, steps, batch, mode); a mode other than eval only where it matters."""
    ways = [("none", None)] + list(itertools.product(OPTIMISERS, (1, 5, 20)))
    return [(name, optimiser, steps, batch, mode)
            for name in NETWORKS for optimiser, steps in ways for batch in (1, 4, 8)
            for mode in (("eval", "train") if NETWORKS[name][0] else ("eval",))]


def honest_row(name, optimiser, steps, batch, mode) -> dict:
    images = private(batch)
    settings = OPTIMISERS.get(optimiser, {})
    update = update_of(network(*NETWORKS[name]), images.images, images.labels,
                       protocol_of(steps, mode, **settings), mode=mode, steps=steps, **settings)
    found = warned(update)
    return {"network": name, "optimiser": optimiser, "steps": steps or "one gradient",
            "images": batch, "mode": mode, "facts": "; ".join(w for w in found if w not in BLAME),
            "blame": "; ".join(w for w in found if w in BLAME)}


# --- misdescribed --------------------------------------------------------------------------------

def _plain(batch, steps=None, told=None, name="sigmoid", told_images=None, labels=None, **client):
    """A client of `client` settings, described by the protocol `told`."""
    given = private(batch)
    y = given.labels if labels is None else labels
    return update_of(network(*NETWORKS[name]), given.images, y, told or protocol_of(steps),
                     told_images, steps=steps, **client)


def _distinct(batch):
    return torch.arange(batch).expand(CLIENTS, -1)


def _summed(logits, labels):
    return cross_entropy(logits, labels, reduction="sum")


def _negative(logits, labels):
    return -cross_entropy(logits, labels)


def _squared(logits, labels):
    return mse_loss(logits, one_hot(labels, CLASSES).float(), reduction="sum") / len(labels)


def _smoothed(logits, labels):
    return cross_entropy(logits, labels, label_smoothing=0.3)


def _other_weights(batch):
    given = private(batch)
    right = update_of(network(False, nn.Sigmoid, seed=0), given.images, given.labels, Protocol())
    return SharedUpdate.from_gradients(
        network(False, nn.Sigmoid, seed=1), right.gradients, shape=SHAPE, num_classes=CLASSES,
        batch_size=batch)


class Auxiliary(nn.Module):
    """A second head that exists in train mode alone, as in GoogLeNet."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = network(False, nn.Sigmoid)[:-1]
        self.aux, self.last = nn.Linear(128, CLASSES), nn.Linear(128, CLASSES)

    def forward(self, x):
        features = self.body(x)
        if self.training:
            return self.last(features), self.aux(features)
        return self.last(features)


class EvalOnly(Auxiliary):
    """The same network without its train mode, so that it is taken in."""

    def forward(self, x):
        return self.last(self.body(x))


def _auxiliary_head(batch):
    given = private(batch)

    def both(logits, labels):
        return cross_entropy(logits[0], labels) + 0.4 * cross_entropy(logits[1], labels)

    each = [sent(Auxiliary(), x, y, mode="train", loss=both)
            for x, y in zip(given.images, given.labels, strict=True)]
    stacked = {n: torch.stack([g[n] for g in each]) for n in each[0]}
    return SharedUpdate.from_gradients(EvalOnly(), stacked, shape=SHAPE, num_classes=CLASSES,
                                       batch_size=batch)


def _one_output():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(768, 1))
    x = private(1).images[0]
    cross = nn.functional.binary_cross_entropy_with_logits
    gradients = sent(net, x, torch.ones(1), loss=lambda y, label: cross(y[:, 0], label))
    return SharedUpdate.from_gradients(net, gradients, shape=SHAPE, num_classes=1)


def _whole_state(mode, told, epochs_told):
    """A message with BatchNorm's buffers, after two steps."""
    net, given = network(True, nn.Sigmoid), private(4)
    own = copy.deepcopy(net).train(mode == "train")
    optimiser = torch.optim.SGD(own.parameters(), lr=LR)
    for _ in range(2):
        optimiser.zero_grad()
        cross_entropy(own(given.images[0]), given.labels[0]).backward()
        optimiser.step()
    return SharedUpdate.from_weights(
        net.state_dict(), own.state_dict(), net, protocol_of(epochs_told, told), shape=SHAPE,
        num_classes=CLASSES, batch_size=4)


def _attacked(update):
    """An update, an attack and what it gave: twenty iterations, four restarts."""
    attack = attacks.idlg(20, line_search=True, labels="idlg_bias")
    return update, attack, attacks.reconstruct(update, attack, restarts=4)


def _of_another_network():
    """One activation more in the client's network, which has no parameters."""
    given = private(1)
    theirs, told = network(False, nn.Sigmoid), network(False, nn.Tanh)
    right = update_of(theirs, given.images, given.labels, Protocol())
    return _attacked(SharedUpdate.from_gradients(
        told, right.gradients, shape=SHAPE, num_classes=CLASSES))


def misdescribed_cases() -> dict:
    """What is wrong -> (the update as described, the row that has to warn).

    "refused": the update is a ValueError when it is made. Some come with an attack and its end."""
    return _steps_told_wrong() | _losses_told_wrong() | _clients_told_wrong()


def _steps_told_wrong() -> dict:
    """Learning rates, momentum, numbers of steps."""
    cases, scale = {}, "scale of the loss"
    for images, steps in itertools.product((1, 4), (1, 5, 20)):
        for factor in (0.5, 2):
            cases[f"learning rate told x {factor:g}: {images} images, {steps} steps"] = (
                lambda b=images, s=steps, f=factor: _plain(b, s, protocol_of(s, lr=f * LR)), scale)
        for optimiser in ("momentum", "nesterov"):
            if steps > 1:
                cases[f"{optimiser} not told: {images} images, {steps} steps"] = (
                    lambda b=images, s=steps, o=optimiser: _plain(b, s, **OPTIMISERS[o]), scale)
        if steps > 1:
            cases[f"momentum told of plain SGD: {images} images, {steps} steps"] = (
                lambda b=images, s=steps: _plain(b, s, protocol_of(s, momentum=0.9)), scale)
    for images, (did, told) in itertools.product((1, 4), ((5, 1), (1, 5), (5, 20), (20, 5))):
        cases[f"{did} epochs, {told} told: {images} images"] = (
            lambda b=images, d=did, t=told: _plain(b, d, protocol_of(t)), scale)
    return cases


def _losses_told_wrong() -> dict:
    """Reductions, signs, losses, weights."""
    cases, scale = {}, "scale of the loss"
    for images, steps in itertools.product((4, 8), (None, 5)):
        cases[f"sum, not mean: {images} images, {steps or 'one gradient'}"] = (
            lambda b=images, s=steps: _plain(b, s, loss=_summed), scale)
    for images, steps in itertools.product((1, 4), (None, 1, 5)):
        ways = {"sign flipped": _negative, "squared error": _squared}
        for words, loss in ways.items():
            cases[f"{words}: {images} images, {steps or 'one gradient'}"] = (
                lambda b=images, s=steps, f=loss: _plain(b, s, loss=f), scale)
    cases["label smoothing: 1 image"] = (lambda: _plain(1, loss=_smoothed), scale)
    cases["other weights: 1 image"] = (lambda: _other_weights(1), scale)
    return cases


def _clients_told_wrong() -> dict:
    """Modes, batch sizes, outputs, buffers, networks."""
    cases, size, mode = {}, "batch size", "mode"
    none = "gradients where the model can have none"
    normed = "BatchNorm, sigmoid"
    for images, steps in itertools.product((1, 4), (None, 5)):
        for did, told in (("train", "eval"), ("eval", "train")):
            cases[f"{did} mode, {told} told: {images} images, {steps or 'one gradient'}"] = (
                lambda b=images, s=steps, d=did, t=told: _plain(
                    b, s, protocol_of(s, t), normed, mode=d), mode)
    for images, told in ((4, 1), (8, 4), (8, 1)):
        for steps in (None, 5):
            cases[f"{images} images, {told} told: {steps or 'one gradient'}"] = (
                lambda b=images, t=told, s=steps: _plain(
                    b, s, told_images=t, labels=_distinct(b)), size)
    cases["4 images of one label, 1 told: one gradient"] = (
        lambda: _plain(4, told_images=1, labels=0 * _distinct(4)), size)
    for images in (1, 4):
        cases[f"auxiliary head: {images} images"] = (lambda b=images: _auxiliary_head(b), none)
    cases["one output under cross-entropy"] = (_one_output, "refused")
    cases["buffers of train mode, eval told"] = (
        lambda: _whole_state("train", "eval", 2), "refused")
    cases["buffers of eval mode, train told"] = (
        lambda: _whole_state("eval", "train", 2), "refused")
    cases["buffers of 2 steps, 3 told"] = (lambda: _whole_state("train", "train", 3), "refused")
    cases["tanh told of a sigmoid, after an attack"] = (
        _of_another_network, "what is left of the objective")
    return cases


def misdescribed_row(what: str) -> dict:
    make, right = misdescribed_cases()[what]
    try:
        made = make()
    except ValueError:
        found = ["refused"]
    else:
        found = warned(*made) if isinstance(made, tuple) else warned(made)
    blamed = [w for w in found if w in (*BLAME, "refused", "what is left of the objective")]
    return {"what is wrong": what, "has to warn": right, "warned": "; ".join(blamed),
            "right": right in found}


# --- tables --------------------------------------------------------------------------------------

def honest_table(cases=None) -> pd.DataFrame:
    return pd.DataFrame([honest_row(*case) for case in cases or honest_cases()])


def misdescribed_table(cases=None) -> pd.DataFrame:
    return pd.DataFrame([misdescribed_row(what) for what in cases or misdescribed_cases()])


TABLES = {"honest": honest_table, "misdescribed": misdescribed_table}

if __name__ == "__main__":
    for name in sys.argv[1:] or TABLES:
        TABLES[name]().to_csv(HERE / f"diagnose_{name}.csv", index=False)
