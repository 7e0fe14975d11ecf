"""Bad inputs over every door of lib and studies, a row each; `test_bad_inputs` tries them all.

A row is (name, a call without arguments, words): the call has to end in one clear error, whose
message holds at least one of the words. Inputs that lib may rightly convert (numpy scalars, lists
of floats, ndarrays) are not bad and not here.
"""

import os
import pickle
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import skimage.data
import torch
from PIL import Image
from torch import nn

from lib import (
    analytic,
    attacks,
    client,
    data,
    defenses,
    generators,
    labels,
    metrics,
    models,
    objectives,
    priors,
    run,
    spaces,
)
from studies import case, keys, ledger, report, store, verdicts

Row = tuple[str, Callable[[], object], tuple[str, ...]]
SHAPE = (1, 8, 8)
FITS = {"shape": SHAPE, "num_classes": 10}  # what `from_gradients` needs for `net()`
NAN, INF = float("nan"), float("inf")
NOT_A_NUMBER = ("a", None, NAN)  # wrong for every number
NOT_POSITIVE = (0, -1, *NOT_A_NUMBER)  # wrong for a rate
NOT_A_WEIGHT = (-1, *NOT_A_NUMBER)  # wrong for what may be 0
NOT_A_COUNT = (0, -1, 1.5, "2", None)  # wrong for a number of things
NOT_A_SWITCH = ("no", 2)  # wrong for True or False
EMPTY = nn.Sequential(nn.Flatten())


def wrong(function: Callable, argument: str, values: tuple, words=(), **others) -> list[Row]:
    """A row for each wrong value of one argument, which the message has to name."""
    name = getattr(function, "__qualname__", str(function))
    return [(f"{name}({argument}={_short(value)})",
             partial(function, **{argument: value}, **others), (*words, argument))
            for value in values]


def _short(value) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    text = re.sub(r"\s+", " ", re.sub(r" at 0x[0-9a-f]+", "", repr(value)))
    return text if len(text) < 40 else f"{text[:36]} ..."


def row(name: str, call: Callable, *words: str) -> Row:
    return name, call, words


# --- what is right, so that one thing alone is wrong ---------------------------------------------

@cache
def digits() -> data.ImageSet:
    return data.load("digits")


@cache
def net() -> nn.Sequential:
    return models.dense(digits(), hidden=(8,), seed=0)


@cache
def batch() -> data.Batch:
    return digits().clients(1)


@cache
def pair() -> data.Batch:
    return digits().clients(1, 2)


@cache
def shared() -> client.SharedUpdate:
    return client.share(net(), batch())


@cache
def guessed() -> attacks.Reconstruction:
    return attacks.reconstruct(shared(), attacks.dlg(1))


@cache
def generator() -> nn.Module:
    return generators.dcgan(digits(), latent=4, width=2)


def gradients(**changed) -> dict[str, torch.Tensor]:
    """One client's gradients of `net()`, some of them replaced."""
    return {n: t[0] for n, t in shared().gradients.items()} | {
        n.replace("_", "."): t for n, t in changed.items()}


def before() -> dict[str, torch.Tensor]:
    return {n: t.clone() for n, t in net().state_dict().items()}


def after() -> dict[str, torch.Tensor]:
    return {n: t + 0.01 for n, t in before().items()}


def truth(*shape) -> torch.Tensor:
    """Images in [0, 1], (1, 1, 1, 16, 16) unless said otherwise."""
    return torch.rand(shape or (1, 1, 1, 16, 16), generator=torch.Generator().manual_seed(0))


STEPS = {"local_lr": 0.1, "sends": "weights"}


# --- images --------------------------------------------------------------------------------------

def of_load(folder: Path) -> list[Row]:
    rows = wrong(data.load, "name", ("nope", "", None, 3), words=("image set",))
    rows += wrong(data.load, "split", ("validation", None, 1), name="digits")
    rows += wrong(data.load, "size", (0, -1, 1.5, "8", True, 10**6), name="digits")
    rows += wrong(data.load, "root", (folder / "absent", 3), name="mnist", words=("mnist",))
    rows += [row(f"load of {what}", partial(data.load, path), *words)
             for what, path, words in (*_folders(folder), *_packed(folder))]
    rows += [
        row("a folder's train split", lambda: data.load(folder / "unequal", "train", size=8),
            "split"),
        row("a folder of unequal images without size", lambda: data.load(folder / "unequal"),
            "size"),
    ]
    return rows


def _folders(folder: Path) -> list[tuple[str, Path, tuple[str, ...]]]:
    (folder / "empty").mkdir()
    for name in ("text", "unequal", "cut", "pipe", "below"):
        (folder / name / "a").mkdir(parents=True)
    (folder / "text/a/1.png").write_text("not a picture")
    grey = Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32))
    grey.save(folder / "unequal/a/1.png")
    grey.resize((16, 16)).save(folder / "unequal/a/2.png")
    whole = (folder / "unequal/a/1.png").read_bytes()
    (folder / "cut/a/1.png").write_bytes(whole[: len(whole) // 2])
    os.mkfifo(folder / "pipe/a/1.png")
    (folder / "below/a/1.png").mkdir()
    return [("a folder that is not there", folder / "absent", ("absent",)),
            ("an empty folder", folder / "empty", ("no images",)),
            ("a text file as an image", folder / "text", ("1.png",)),
            ("a truncated image", folder / "cut", ("1.png",)),
            ("a pipe among images", folder / "pipe", ("1.png",)),
            ("a folder among images", folder / "below", ("1.png",))]


def _packed(folder: Path) -> list[tuple[str, Path, tuple[str, ...]]]:
    good = {"images": np.zeros((4, 8, 8, 3), np.uint8), "labels": np.zeros(4, np.int64),
            "classes": np.array(["a"])}
    changed = {
        "channels first": {"images": good["images"].transpose(0, 3, 1, 2)},
        "float images": {"images": good["images"] / 255.0},
        "images of two axes": {"images": np.zeros((4, 8), np.uint8)},
        "no images": {"images": good["images"][:0], "labels": good["labels"][:0]},
        "labels out of range": {"labels": np.full(4, 7)},
        "negative labels": {"labels": np.full(4, -1)},
        "float labels": {"labels": np.zeros(4)},
        "too few labels": {"labels": np.zeros(3, np.int64)},
        "pickled labels": {"labels": np.array([None] * 4, dtype=object)},
        "a mask of numbers": {"exact": np.array([0, 0, 1, 1])},
        "a mask too short": {"exact": np.array([True, False])},
        "a mask that keeps nothing": {"exact": np.zeros(4, bool)},
    }
    cases = []
    for name, change in changed.items():
        np.savez(folder / f"{name}.npz", **(good | change))
        cases.append((f"an npz: {name}", folder / f"{name}.npz", (name,)))
    np.savez(folder / "lacks.npz", images=good["images"])
    whole = (folder / "lacks.npz").read_bytes()
    for name, content in (("half", whole[: len(whole) // 2]), ("nothing", b""), ("text", b"hello")):
        (folder / f"{name}.npz").write_bytes(content)
        cases.append((f"an npz of {name}", folder / f"{name}.npz", (f"{name}.npz",)))
    return [*cases, ("an npz without labels", folder / "lacks.npz", ("lacks",))]


def of_images(folder: Path) -> list[Row]:
    x, y = truth(2, 1, 1, 8, 8), torch.zeros(2, 1, dtype=torch.int64)
    make, good = data.Batch, {"images": x, "labels": y, "num_classes": 10}
    rows = wrong(make, "images", (
        (255 * x).byte(), x[0], x[:0], x * 255, x - 1, x.to(torch.complex64), x * NAN, x / 0, None,
        "x"), labels=y, num_classes=10)
    rows += wrong(make, "labels", (y.float(), y[:, 0], y + 10, y - 1, None, "a"), images=x,
                  num_classes=10)
    rows += wrong(make, "num_classes", (0, -1, 2.5, "10", None), ("classes",), images=x, labels=y)
    rows += wrong(make, "indices", (y[0], y.float(), "a"), **good)
    rows += wrong(make, "mean", (torch.zeros(3), torch.tensor([NAN]), torch.tensor([127.0]), "a"),
                  **good)
    rows += wrong(make, "std", (torch.zeros(1), torch.tensor([-1.0]), torch.ones(2), "a"), **good)
    images, many = (255 * x[:, 0]).byte(), torch.zeros(1)
    sets = {"images": images, "labels": y[:, 0], "classes": ["a"], "mean": many, "std": many + 1,
            "name": "own"}
    changed = {"images": (x[:, 0], images[0], None), "classes": ("ab", [], None, ["a"] * 2),
               "labels": (y, y[:, 0].float(), y[:, 0] + 3, None), "mean": (torch.zeros(3),),
               "std": (torch.zeros(1), torch.ones(3))}
    for field, values in changed.items():
        rest = {name: value for name, value in sets.items() if name != field}
        rows += wrong(data.ImageSet, field, values, **rest)
    return rows


def of_sets(folder: Path) -> list[Row]:
    D = digits()
    rows = wrong(D.subset, "indices", ([], [-1], [10**6], [0.5], "abc", None))
    rows += wrong(D.keep, "classes", (["x"], [], "12", [3], ["3", "3"], None))
    rows += wrong(D.relabel, "classes", (*NOT_A_COUNT, True))
    rows += wrong(D.relabel, "seed", ("x", 1.5, None), ("key",), classes=3)
    rows += wrong(D.clients, "K", NOT_A_COUNT)
    rows += wrong(D.clients, "batch_size", (*NOT_A_COUNT, 10**6), ("B",), K=1)
    rows += wrong(D.clients, "seed", ("x", 1.5, None), ("key",), K=1)
    rows += wrong(D.clients, "indices", ([0, 1], [[-1]], [10**6], [0.5], "a"), K=1)
    rows += wrong(D.clients, "unique_labels", NOT_A_SWITCH, K=1)
    rows += [row("more labels in a batch than there are", lambda: D.clients(1, 11,
                 unique_labels=True), "labels"),
             row("indices that repeat a label", lambda: D.clients(
                 1, 2, indices=[[0, 0]], unique_labels=True), "label")]
    return rows


# --- models --------------------------------------------------------------------------------------

def of_builders(folder: Path) -> list[Row]:
    D, rows = digits(), []
    large = data.load("photos", size=16)
    for build in (models.dense, models.lenet, models.resnet, models.vit):
        rows += wrong(build, "images", (None, "digits"))
        rows += wrong(build, "seed", ("a", 1.5), images=D)
    for build in (models.dense, models.lenet, models.resnet):
        rows += wrong(build, "activation", ("foo", None), images=D)
        rows += wrong(build, "init", ("foo", None), images=D)
        rows += wrong(build, "scale", NOT_A_WEIGHT, images=D, init="uniform")
    rows += wrong(models.dense, "hidden", (5, (0,), ("a",), (1.5,), None), images=D)
    rows += wrong(models.lenet, "channels", NOT_A_COUNT, images=D)
    rows += wrong(models.lenet, "kernel", (0, 2, -3, 2.5, "5"), images=D)
    rows += wrong(models.lenet, "strides", NOT_A_SWITCH, images=D)
    rows += wrong(models.lenet, "norm", ("foo", 3), images=D)
    rows += wrong(models.convnet, "images", (D,), ("9x9",))
    rows += wrong(models.convnet, "width", NOT_A_COUNT, images=large)
    rows += wrong(models.resnet, "depth", (0, 9, "20", 20.5), images=D)
    rows += wrong(models.resnet, "width", NOT_A_COUNT, images=D)
    rows += wrong(models.preact_resnet, "norm", ("foo", None), images=D)
    rows += wrong(models.preact_resnet, "width", NOT_A_COUNT, images=D)
    rows += wrong(models.preact_resnet, "blocks", (2, (), (0, 0), ("a",)), images=D)
    rows += wrong(models.vit, "patch", (0, 3, -1, 1.5), images=D)
    rows += wrong(models.vit, "heads", (0, 5, 1.5), images=D)
    rows += wrong(models.vit, "layers", (0, -1, 1.5), images=D)
    rows += wrong(models.imagenet_resnet, "depth", (19, "18", None), images=D)
    rows += wrong(models.imagenet_resnet, "stem", ("x", None), images=D)
    rows += wrong(models.imagenet_resnet, "width", (0, 1.5), images=D)
    rows += [row("ImageNet weights behind CIFAR's stem", lambda: models.imagenet_resnet(
                 D, pretrained=True), "stem"),
             row("the ImageNet stem at another width", lambda: models.imagenet_resnet(
                 D, stem="imagenet", width=32), "width"),
             row("no dense layer to permute", lambda: models.permute_classes(nn.Conv2d(1, 1, 1)),
                 "dense", "Linear"),
             row("permute_classes(None)", lambda: models.permute_classes(None), "model", "Module")]
    return rows


def of_ensembles(folder: Path) -> list[Row]:
    rows = wrong(models.ensemble, "seeds", ([], None, ["a"], [0.5], 3), ("seed",),
                 builder=models.dense, images=digits())
    rows += wrong(models.ensemble, "builder", (None, "dense", net()), images=digits(), seeds=[0])
    other = models.dense(digits(), hidden=(9,))
    rows += wrong(models.Ensemble, "members", ([], None, net(), [net(), other], ["a"]),
                  ("victim", "ensemble"))
    return rows


def _train(**changed):
    given = {"model": models.dense(digits(), seed=0), "images": _few(), "epochs": 1}
    return models.train(**(given | changed))


@cache
def _few() -> data.ImageSet:
    return digits().subset(range(20))


def of_training(folder: Path) -> list[Row]:
    colour = data.load("photos", size=8).subset(range(20))
    vector = SimpleNamespace(update=lambda grads, rng: None)
    normed = models.lenet(digits(), norm="batch")
    values = {
        "model": (None, "lenet", EMPTY, models.Ensemble([net()])),
        "images": (None, batch(), colour),
        "epochs": (-1, 1.5, "2", None), "batch_size": NOT_A_COUNT, "lr": NOT_POSITIVE,
        "momentum": NOT_A_WEIGHT, "weight_decay": NOT_A_WEIGHT, "augment": NOT_A_SWITCH,
        "normalise": NOT_A_SWITCH, "same_label": (0, -1, 3, 1.5), "seed": ("a", 1.5, None),
        "watch": (3, "a"), "loss": ("foo", 3), "cache": (3,),
        "defense": ("noise", SimpleNamespace(updates=None), [SimpleNamespace()], vector, 3,
                    defenses.GaussianNoise)}
    rows = []
    for argument, bad in values.items():
        words = {"seed": ("key",), "images": ("shape",)}.get(argument, ())
        rows += [(f"train({argument}={_short(value)})", partial(_train, **{argument: value}),
                  (*words, argument)) for value in bad]
    rows += [row("train: images of other classes than the model's", lambda: _train(
                 images=data.load("digits").relabel(20)), "classes"),
             row("train: a loss that is not one number", lambda: _train(
                 loss=lambda y, t: (y - t).square()), "loss"),
             row("train: clipping behind BatchNorm", lambda: _train(
                 model=normed, defense=defenses.DPSGD(1.0, 1.0, 64)), "BatchNorm"),
             row("train: noise for other batches", lambda: _train(
                 defense=defenses.DPSGD(1.0, 1.0, 64), batch_size=10), "batch_size")]
    rows += wrong(models.accuracy, "model", (None, "lenet"), images=_few())
    rows += wrong(models.accuracy, "images", (None, batch(), colour), ("shape",), model=net())
    rows += wrong(models.accuracy, "normalise", NOT_A_SWITCH, model=net(), images=_few())
    return rows


# --- what a client shares ------------------------------------------------------------------------

def of_protocols(folder: Path) -> list[Row]:
    make = client.Protocol
    rows = wrong(make, "loss", ("foo", 3, None))
    rows += wrong(make, "mode", ("x", None, 1))
    rows += wrong(make, "sends", ("x", None))
    rows += wrong(make, "epochs", (*NOT_A_COUNT, True, NAN), **STEPS)
    rows += wrong(make, "local_batch", (0, -1, 1.5, "2", True), **STEPS)
    rows += wrong(make, "local_lr", (0, -1, "0.1", NAN, INF, True), sends="weights")
    rows += wrong(make, "normalise", ("no", None, 2))
    rows += wrong(make, "momentum", (*NOT_A_WEIGHT, INF, True), **STEPS)
    rows += wrong(make, "nesterov", (*NOT_A_SWITCH, True), **STEPS)
    rows += wrong(make, "weight_decay", (*NOT_A_WEIGHT, INF), **STEPS)
    rows += [row("weights without a learning rate", lambda: make(sends="weights"), "local_lr"),
             row("a learning rate with gradients", lambda: make(local_lr=0.1), "weights"),
             row("epochs of one gradient", lambda: make(epochs=2), "local_lr"),
             row("local_batch of one gradient", lambda: make(local_batch=2), "local_lr"),
             row("momentum of one gradient", lambda: make(momentum=0.9), "momentum"),
             row("weight decay of one gradient", lambda: make(weight_decay=0.1), "weight_decay")]
    grants = client.ThreatModel
    rows += wrong(grants, "labels", ("x", None, True))
    rows += wrong(grants, "bn_statistics", ("x", None))
    rows += wrong(grants, "server", ("x", None))
    rows += wrong(grants, "prior_data", (3, True))
    rows += wrong(grants, "defense_known", NOT_A_SWITCH)
    rows += wrong(grants, "mixing_keys", NOT_A_SWITCH)
    return rows


class _Ragged(nn.Module):
    """A model whose forward gives something else than logits."""

    def __init__(self, give: Callable):
        super().__init__()
        self.layer, self.give = nn.Linear(64, 10), give

    def forward(self, x):
        return self.give(self.layer(x.flatten(1)))


def _models() -> dict[str, object]:
    """What is no model that can be attacked, with the reason."""
    broken = models.dense(digits(), seed=1)
    broken[1].weight.data[0, 0] = NAN
    frozen = models.dense(digits(), seed=1).requires_grad_(False)
    return {
        "None": None, "'lenet'": "lenet", "a function": models.lenet, "a class": nn.Linear,
        "a state_dict": before(), "without parameters": EMPTY, "frozen throughout": frozen,
        "with a weight of NaN": broken, "not yet shaped": nn.Sequential(nn.Flatten(),
                                                                         nn.LazyLinear(10)),
        "of one output": nn.Sequential(nn.Flatten(), nn.Linear(64, 1)),
        "for other images": nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, 10)),
        "scripted": torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(64, 10))),
        "giving a string": _Ragged(lambda y: "logits"), "giving None": _Ragged(lambda y: None),
        "giving three axes": _Ragged(lambda y: y[:, None]),
        "giving whole numbers": _Ragged(lambda y: y.argmax(-1, keepdim=True)),
        "that looks at values": _Ragged(lambda y: y if y.sum() > 0 else -y),
        "that draws at random": _Ragged(lambda y: y + torch.randn(y.shape)),
        "without a gradient": _Ragged(lambda y: y.detach()),
        "on the meta device": nn.Sequential(nn.Flatten(), nn.Linear(64, 10, device="meta")),
    }


def of_models(folder: Path) -> list[Row]:
    words = ("model", "module", "parameters")
    rows = [row(f"share: a model {what}", partial(client.share, model, batch()), *words)
            for what, model in _models().items()]
    rows += [row(f"from_gradients: a model {what}", partial(
        client.SharedUpdate.from_gradients, model, gradients(), **FITS), *words)
             for what, model in _models().items()]
    return rows


def of_share(folder: Path) -> list[Row]:
    share, many = client.share, digits().clients(2)
    two, train = models.Ensemble([net(), net(), net()]), client.Protocol(mode="train")
    rows = wrong(share, "batch", (None, digits(), (batch().images, batch().labels), "digits",
                                  replace(batch(), labels=batch().labels + 20, num_classes=40)),
                 ("labels", "Batch"), model=net())
    rows += wrong(share, "protocol", ("eval", {"mode": "eval"}, client.Protocol, 3), ("Protocol",),
                  model=net(), batch=batch())
    rows += wrong(share, "threat", ("known", {"labels": "known"}, 3), ("ThreatModel",),
                  model=net(), batch=batch())
    rows += wrong(share, "seed", ("a", 1.5, None), ("key",), model=net(), batch=batch())
    for what, call, words in (
            ("an ensemble of another size", partial(share, two, many), "ensemble"),
            ("granted statistics in eval mode", partial(
                share, net(), batch(), threat=client.ThreatModel(bn_statistics="exact")), "eval"),
            ("granted statistics where there are none", partial(
                share, net(), batch(), train, threat=client.ThreatModel(bn_statistics="exact")),
             "BatchNorm"),
            ("labels 'equal' that differ", partial(
                share, net(), pair(), threat=client.ThreatModel(labels="equal")), "equal"),
            ("labels 'unique' that repeat", partial(
                share, net(), digits().clients(1, 2, indices=[[0, 0]]),
                threat=client.ThreatModel(labels="unique")), "unique"),
            ("mixing keys without mixing", partial(
                share, net(), pair(), threat=client.ThreatModel(mixing_keys=True)), "mix"),
            ("clipping of local steps", partial(
                share, net(), batch(), client.Protocol(**STEPS), defenses.DPSGD(1.0, 1.0, 1)),
             "local steps"),
            ("noise for 64 images on one", partial(
                share, net(), batch(), defense=defenses.DPSGD(1.0, 1.0, 64)), "batch_size"),
            ("images that mix too few", partial(share, net(), batch(), defense=defenses.MixUp(4)),
             "MixUp"),
            ("a label that is not there twice", partial(
                share, net(), pair(), defense=defenses.EqualLabels(2)), "label"),
            ("a batch of other channels", partial(
                share, net(), data.load("photos", size=8).clients(1)), "shape")):
        rows.append((f"share: {what}", call, (words,)))
    return rows


def _own_defenses() -> dict[str, object]:
    """Defenses of a reader's own that are none, or give what is no update."""
    made = SimpleNamespace
    return {
        "a string": "noise", "a number": 3, "a class": defenses.GaussianNoise,
        "a tuple with None": (None,), "a list of numbers": [3], "without a method": made(),
        "misspelt updates": made(updates=lambda g, rng: g),
        "misspelt per_examples": made(per_examples=lambda g: g),
        "misspelt beside a right one": made(update=lambda g, rng: g, encodes=lambda *a: a),
        "update that is no function": made(update=3),
        "update giving None": made(update=lambda g, rng: None),
        "update lacking a name": made(update=lambda g, rng: dict(list(g.items())[1:])),
        "update of other shapes": made(update=lambda g, rng: {n: t[:1] for n, t in g.items()}),
        "update giving NaN": made(update=lambda g, rng: {n: t * NAN for n, t in g.items()}),
        "update giving strings": made(update=lambda g, rng: dict.fromkeys(g, "a")),
        "draw out of range": made(draw=lambda y, rng: torch.tensor([10**6])),
        "draw of nothing": made(draw=lambda y, rng: torch.zeros(0, dtype=torch.int64)),
        "draw giving None": made(draw=lambda y, rng: None),
        "encode giving None": made(encode=lambda x, y, rng: None),
        "encode giving other images": made(encode=lambda x, y, rng: (x[..., :4], y)),
        "encode giving NaN": made(encode=lambda x, y, rng: (x * NAN, y)),
        "encode giving other targets": made(encode=lambda x, y, rng: (x, y[:, :3])),
        "per_example giving None": made(per_example=lambda g: None),
        "per_example of other shapes": made(
            per_example=lambda g: {n: t[..., :1] for n, t in g.items()}),
    }


def of_own_defenses(folder: Path) -> list[Row]:
    return [row(f"share: defense: {what}", partial(client.share, net(), pair(), defense=defense),
                "defense", "update", "draw", "encode", "per_example", "NaN")
            for what, defense in _own_defenses().items()]


def of_defenses(folder: Path) -> list[Row]:
    rows = wrong(defenses.GaussianNoise, "variance", (*NOT_A_WEIGHT, INF))
    rows += wrong(defenses.LaplacianNoise, "variance", (*NOT_A_WEIGHT, INF))
    rows += wrong(defenses.LowPrecision, "format", ("int4", 8, None))
    rows += wrong(defenses.GradPrune, "p", (-0.1, 1.1, *NOT_A_NUMBER))
    rows += wrong(defenses.EqualLabels, "batch_size", NOT_A_COUNT)
    for make in (defenses.MixUp, defenses.InstaHide):
        rows += wrong(make, "k", (1, -1, 2.5, "2", None))
        rows += wrong(make, "bound", (0.5, 1.5, *NOT_A_NUMBER), k=2)
        rows += wrong(make, "batch_size", (0, -1, 1.5, "2"), k=2)
    rows += wrong(defenses.DPSGD, "clip", (*NOT_POSITIVE, INF), noise_multiplier=1.0, batch_size=1)
    rows += wrong(defenses.DPSGD, "noise_multiplier", (*NOT_A_WEIGHT, INF), ("noise",), clip=1.0,
                  batch_size=1)
    rows += wrong(defenses.DPSGD, "batch_size", NOT_A_COUNT, clip=1.0, noise_multiplier=1.0)
    private = defenses.DPSGD(1.0, 1.0, 8)
    rows += wrong(private.epsilon, "examples", (0, 4, "a", None, NAN), steps=10)
    rows += wrong(private.epsilon, "steps", NOT_A_COUNT, examples=100)
    rows += wrong(private.epsilon, "delta", (0, 1, *NOT_A_NUMBER), examples=100, steps=10)
    rows.append(row("a bound that no draw meets", lambda: client.share(
        net(), digits().clients(1, 8), defense=defenses.MixUp(8, 0.13)), "bound"))
    return rows


# --- updates of one's own ------------------------------------------------------------------------

def _brought(given=None, **changed):
    return client.SharedUpdate.from_gradients(
        net(), gradients() if given is None else given, **(FITS | changed))


def of_gradients(folder: Path) -> list[Row]:
    g = gradients()
    first, *rest = g
    values = list(g.values())
    bad = {
        "a number": 3, "a string": "gradients", "no tensor": {}, "an empty list": [],
        "an unknown name": g | {"foo": values[0]}, "None for a tensor": g | {first: None},
        "another shape": g | {first: values[0][:, :1]}, "a transposed tensor": g | {
            first: values[0].mT}, "a number for a tensor": g | {first: 3.0},
        "NaN": g | {first: values[0] * NAN}, "infinite values": g | {first: values[0] / 0},
        "whole numbers": {n: t.long() for n, t in g.items()},
        "truth values": {n: t > 0 for n, t in g.items()},
        "complex numbers": {n: t.to(torch.complex64) for n, t in g.items()},
        "strings": dict.fromkeys(g, "a"), "a list of strings": ["a"] * len(g),
        "arrays of objects": {n: np.array([None]) for n in g},
        "lists of unequal rows": g | {first: [[1.0], [1.0, 2.0]]},
        "another order": values[::-1], "too few in a list": values[1:],
        "too many in a list": [*values, values[0]], "None in a list": [None, *values[1:]],
        "a flat vector that is too short": torch.cat([v.flatten() for v in values])[1:],
        "clients that differ in number": {n: t.expand(2 + (n == first), *t.shape)
                                          for n, t in g.items()},
        "no client": {n: t.expand(0, *t.shape) for n, t in g.items()},
        "a tensor without values": g | {first: values[0].to("meta")},
        "the model itself": net(),
    }
    return [row(f"from_gradients of {what}", partial(_brought, given), first, *rest, "update",
                "gradient", "parameters", "client") for what, given in bad.items()]


def _granted(**changed):
    return _brought(threat=client.ThreatModel(labels="known"), **changed)


def of_update_fields(folder: Path) -> list[Row]:
    values = {
        "shape": ((8, 8), None, 8, "1x8x8", (1, 8, 8.5), (1, 0, 8), (1, -8, -8), (3, 8, 8), (1, 8)),
        "num_classes": (0, 3, None, "10", 10.5), "batch_size": (*NOT_A_COUNT, True, 10**9),
        "protocol": ("eval", {"mode": "eval"}, 3), "threat": ("known", 3, {"labels": "known"}),
        "defense": ("noise", defenses.GaussianNoise(1.0)), "labels": ([[1]], "a"),
        "statistics": ({}, 3), "targets": (3, torch.ones(1, 1, 10)), "keys": (3, (1, 2))}
    rows = []
    for argument, bad in values.items():
        rows += [(f"from_gradients({argument}={_short(value)})", partial(
            _brought, **{argument: value}), (argument,)) for value in bad]
    rows += [(f"from_gradients(labels={_short(value)}, granted)", partial(
        _granted, labels=value), ("labels",)) for value in (
            [[2.7]], [[10]], [[-1]], [1], [[1, 2]], [["a"]], None, [[NAN]], [[True]], "3")]
    for mean, std in (
            (0.5, None), (None, 0.5), ([127.0], [30.0]), ([0.5], [0.0]), ([0.5], [-1.0]),
            ([0.5] * 3, [0.5] * 3), ("a", "a"), ([NAN], [0.5]), ([-1.0], [0.5]), ({}, {})):
        rows.append(row(f"from_gradients(mean={mean}, std={std})", partial(
            _brought, mean=mean, std=std), "mean", "std"))
    train, exact = client.Protocol(mode="train"), client.ThreatModel(bn_statistics="exact")
    normed = models.lenet(digits(), norm="batch")
    sent = client.share(normed, pair(), train).gradients
    rows += [row("normalised without mean", lambda: _brought(
                 protocol=client.Protocol(normalise=True)), "mean")]
    rows += [row(f"statistics: {what}", partial(
        client.SharedUpdate.from_gradients, normed, sent, train, threat=exact, batch_size=2,
        statistics=value, **FITS), "statistics") for what, value in {
            "missing": None, "no dict": 3, "unknown names": {"foo": torch.zeros(1, 12)},
            "a wrong shape": {"1.running_mean": torch.zeros(1, 3)}, "none": {}}.items()]
    return rows


def _of_weights(start=None, end=None, **changed):
    given = {"model": net(), "protocol": client.Protocol(**STEPS)} | FITS | changed
    return client.SharedUpdate.from_weights(
        before() if start is None else start, after() if end is None else end, **given)


def of_weights(folder: Path) -> list[Row]:
    first, *_ = before()
    good = after()
    states = {
        "a number": 3, "a string": "weights.pt", "no tensor": {},
        "a list too short": list(good.values())[1:],
        "a list in another order": list(good.values())[::-1],
        "an unknown name": good | {"foo": good[first]}, "None": good | {first: None},
        "a shape that broadcasts": {n: t[:1] for n, t in good.items()},
        "another shape": good | {first: good[first].mT}, "NaN": good | {first: good[first] * NAN},
        "whole numbers": {n: t.long() for n, t in good.items()},
        "strings": dict.fromkeys(good, "a"),
        "complex numbers": {n: t.to(torch.complex64) for n, t in good.items()}}
    words = (first, "before", "after", "weights", "state")
    rows = [row(f"from_weights: after is {what}", partial(_of_weights, end=value), *words)
            for what, value in states.items()]
    states["a missing name"] = {n: t for n, t in before().items() if n != first}
    rows += [row(f"from_weights: before is {what}", partial(_of_weights, start=value), *words)
             for what, value in states.items()]
    rows += [row("from_weights: before and after are equal", lambda: _of_weights(end=before()),
                 "equal"),
             row("from_weights: a protocol that sends gradients", lambda: _of_weights(
                 protocol=client.Protocol()), "weights")]
    rows += [(f"from_weights({argument}={_short(value)})", partial(
        _of_weights, **{argument: value}), words) for argument, value, words in (
            ("protocol", None, ("protocol", "Protocol")), ("protocol", "weights", ("protocol",)),
            ("model", None, ("model",)), ("model", before(), ("model",)),
            ("num_classes", 3, ("num_classes",)), ("shape", (3, 8, 8), ("shape",)),
            ("batch_size", 0, ("batch_size",)))]
    return rows


def of_files(folder: Path) -> list[Row]:
    """Saved updates: cut, foreign, changed."""
    shared().save(folder / "good.pt")
    raw = (folder / "good.pt").read_bytes()
    saved = torch.load(folder / "good.pt", weights_only=True)
    first = next(iter(saved["gradients"]))
    contents = {"half": raw[: len(raw) // 2], "nothing": b"", "text": b"hello world",
                "a pickle": pickle.dumps({"a": 1}), "a picture": _picture()}
    objects = {"a list": [1, 2], "a tensor": torch.zeros(3), "weights alone": before(),
               "a model": net(), "none of the fields": {}, "a foreign field": saved | {"foo": 1},
               "gradients of None": saved | {"gradients": None},
               "gradients of NaN": saved | {"gradients": saved["gradients"] | {
                   first: saved["gradients"][first] * NAN}},
               "a gradient of another shape": saved | {"gradients": saved["gradients"] | {
                   first: torch.zeros(1, 3)}},
               "a huge batch": saved | {"batch_size": 10**9}, "a batch of 'a'": saved | {
                   "batch_size": "a"}, "a shape of None": saved | {"shape": None},
               "another version": saved | {"version": 999, "format": 999},
               "no classes": saved | {"num_classes": 0}, "labels not granted": saved | {
                   "labels": torch.zeros(1, 1, dtype=torch.int64)}}
    for field in ("gradients", "protocol", "threat", "state", "shape", "num_classes"):
        objects[f"no {field}"] = {n: v for n, v in saved.items() if n != field}
    for part, value in {"no weights": {}, "weights of None": None}.items():
        objects[part] = saved | {"state": saved["state"] | {"params": value}}
    state = saved["state"]["params"]
    objects["a weight missing"] = saved | {"state": saved["state"] | {"params": dict(
        list(state.items())[1:])}}
    objects["a weight of NaN"] = saved | {"state": saved["state"] | {"params": state | {
        first: state[first] * NAN}}}
    objects["a protocol of a later lib"] = saved | {"protocol": asdict(client.Protocol()) | {
        "compression": "zip"}}
    objects["a wrong protocol"] = saved | {"protocol": "eval"}
    for name, content in contents.items():
        (folder / f"{name}.pt").write_bytes(content)
    for name, value in objects.items():
        torch.save(value, folder / f"{name}.pt")
    read = partial(client.SharedUpdate.load, model=net())
    rows = [row(f"load: a file of {name}", partial(read, folder / f"{name}.pt"), ".pt", "update")
            for name in (*contents, *objects)]
    other = models.dense(digits(), hidden=(9,))
    rows += [row("load: a file that is not there", lambda: read(folder / "absent.pt"), "absent"),
             row("load: a folder", lambda: read(folder), folder.name),
             row("load: None", lambda: read(None), "path"), row("load: 3", lambda: read(3), "path"),
             row("load: another architecture", lambda: client.SharedUpdate.load(
                 folder / "good.pt", other), "model"),
             row("load: no model", lambda: client.SharedUpdate.load(folder / "good.pt", None),
                 "model"),
             row("save: into a folder that is not there", lambda: shared().save(
                 folder / "absent/u.pt"), "absent"),
             row("save: onto a folder", lambda: shared().save(folder), folder.name),
             row("save: None", lambda: shared().save(None), "path")]
    return rows


def _picture() -> bytes:
    file = Path(skimage.data.__file__).parent / "chelsea.png"
    return file.read_bytes()


# --- attacks -------------------------------------------------------------------------------------

def of_presets(folder: Path) -> list[Row]:
    rows = []
    for preset in (attacks.dlg, attacks.idlg, attacks.inverting_gradients, attacks.mixing_gradients,
                   attacks.huang):
        rows += wrong(preset, "iterations", (*NOT_A_COUNT, True))
        rows += wrong(preset, "lr", (0, -1, "a", NAN, INF))
        rows += wrong(preset, "labels", ("foo", None, 3))
    rows += wrong(attacks.dlg, "line_search", NOT_A_SWITCH)
    rows += wrong(attacks.dlg, "in_turn", NOT_A_SWITCH)
    rows += wrong(attacks.dlg, "relative", NOT_A_SWITCH)
    rows += wrong(attacks.dlg, "scale", NOT_POSITIVE)
    rows += wrong(attacks.dlg, "stop", (0, -1, "a", NAN))
    rows += wrong(attacks.idlg, "stop", (0, -1, "a", NAN))
    for preset in (attacks.inverting_gradients, attacks.huang, attacks.mixing_gradients):
        rows += wrong(preset, "tv", NOT_A_WEIGHT)
    for preset in (attacks.inverting_gradients, attacks.huang):
        rows += wrong(preset, "bn", NOT_A_WEIGHT)
        rows += wrong(preset, "masked", NOT_A_SWITCH)
    for preset in (attacks.inverting_gradients, attacks.mixing_gradients):
        rows += wrong(preset, "objective", ("foo", None, 3))
        rows += wrong(preset, "optimizer", ("sgd", None, 3))
    rows += wrong(attacks.mixing_gradients, "orthogonality", NOT_A_WEIGHT)
    rows += wrong(attacks.huang, "signs", NOT_A_SWITCH)
    return rows


def of_gias(folder: Path) -> list[Row]:
    values = {
        "generator": (None, "dcgan", generators.dcgan), "space": ("foo", None, 3),
        "iterations": ((1,), 5, (0, 1), (1.5, 1), None), "lr": ((0.1,), (0, 0.1), 0.1, ("a", "b")),
        "tv": (-1, "a"), "bn": (-1, "a"), "latent_norm": (-1, "a"), "labels": ("joint", "foo"),
        "masked": NOT_A_SWITCH, "copies": ("foo", None), "latent": ((0,), "64", (1.5,), (-1,), 4)}
    rows = []
    for argument, bad in values.items():
        others = {} if argument == "generator" else {"generator": generator()}
        rows += wrong(attacks.gias, argument, bad, **others)
    rows += wrong(attacks.gias, "layer", (0, 99, 1.5, "1"), generator=generator(), space="z/h")
    rows += [row("gias: a generator without latent", lambda: attacks.gias(
                 nn.Sequential(nn.Linear(4, 64), nn.Unflatten(1, SHAPE))), "latent"),
             row("gias: latents behind latents", lambda: replace(
                 attacks.gias(generator(), "z"), space=spaces.Latents(
                     generator(), generator().latent, attacks.gias(generator(), "z"))), "search"),
             row("gias: a setting that it has not", lambda: attacks.gias(
                 generator(), latents=(4,)), "latents")]
    return rows


def of_attack_fields(folder: Path) -> list[Row]:
    values = {
        "objective": (None, "l2", 3), "labels": ("foo", None), "optimizer": ("sgd", None),
        "priors": (None, ((1,),), (0.1,), (("a", priors.tv),), ((0.1, "tv"),), ((NAN, priors.tv),),
                   priors.tv, ((0.1, priors.tv, 3),)),
        "iterations": NOT_A_COUNT, "lr": NOT_POSITIVE, "stop": (0, -1, "a"), "decay": ("no", True),
        "normalise": NOT_A_SWITCH, "space": ("x", None), "in_turn": NOT_A_SWITCH, "name": (3, None)}
    rows = []
    for argument, bad in values.items():
        rows += [(f"replace(dlg(), {argument}={_short(value)})", partial(
            replace, attacks.dlg(1), **{argument: value}), (argument, "weight")) for value in bad]
    adam, through = attacks.inverting_gradients(1), attacks.gias(generator(), "z")
    rows += [row("in_turn with Adam", lambda: replace(adam, in_turn=True), "in_turn"),
             row("stop with Adam", lambda: replace(adam, stop=0.1), "stop")]
    rows += [row("a box with L-BFGS", lambda: replace(
                 attacks.dlg(1), space=spaces.Pixels(box=True)), "box"),
             row("gias with labels optimised", lambda: replace(through, labels="joint"), "labels"),
             row("Pixels(box='no')", lambda: spaces.Pixels("no"), "box")]
    rows += [(f"{type(space).__name__}({argument}={_short(value)})", partial(
        replace, space, **{argument: value}), (argument,)) for space, argument, value in (
            (through.space, "generator", 3), (through.space, "latent", 4),
            (attacks.gias(generator(), "w").space, "copies", "x"),
            (attacks.gias(generator(), "z/h").then.space, "layer", 0))]
    rows += [row("Latents(then=3)", lambda: replace(
        through, space=replace(through.space, then=3)), "then")]
    return rows


def _attack(attack=None, update=None, **changed):
    return attacks.reconstruct(shared() if update is None else update,
                               attacks.dlg(1) if attack is None else attack, **changed)


def of_reconstruct(folder: Path) -> list[Row]:
    two = client.share(net(), digits().clients(2))
    x, z = attacks.starts(shared(), attacks.dlg(1))
    start = {"a string": "x", "a tensor": x, "one tensor": (x,), "another shape": (x[..., :4], z),
             "no label logits": (x, None), "NaN": (x * NAN, z),
             "of another update": attacks.reconstruct(two, attacks.dlg(1)), "a list": [x, z],
             "None twice": (None, None), "a number": 3}
    rows = []
    for argument, bad in {"restarts": (*NOT_A_COUNT, True), "chunk": (0, -1, 1.5, "2"),
                          "seed": ("a", 1.5, None),
                          "record": ((-1,), (999,), (0.5,), 3, "0", (None,))}.items():
        rows += [(f"reconstruct({argument}={_short(value)})", partial(
            _attack, **{argument: value}), ("key", argument)) for value in bad]
    rows += [row(f"reconstruct: start is {what}", partial(_attack, start=value), "start")
             for what, value in start.items()]
    rows += [row(f"reconstruct: update is {_short(value)}", partial(_attack, update=value),
                 "update") for value in (3, gradients(), batch())]
    rows += [row(f"reconstruct: attack is {_short(value)}", partial(_attack, value), "attack")
             for value in ("dlg", attacks.dlg, 3, {"name": "dlg"})]
    rows += wrong(attacks.starts, "restarts", NOT_A_COUNT, update=shared(), attack=attacks.dlg(1))
    rows += wrong(attacks.starts, "update", (None, 3), attack=attacks.dlg(1))
    rows += wrong(attacks.as_if_eval, "update", (None, 3))
    rows += wrong(attacks.assumptions, "attack", (None, "dlg", attacks.dlg))
    return rows


def of_needs(folder: Path) -> list[Row]:
    """Attacks that need more than the update or the threat model has."""
    bare = _brought()
    pairs = client.share(net(), pair())
    normed = models.lenet(digits(), norm="batch")
    trained = client.share(normed, pair(), client.Protocol(mode="train"))
    seen = generators.dcgan(digits(), latent=4, width=2)
    seen.trained_on = "digits"
    undefined = replace(attacks.inverting_gradients(1), priors=((1.0, lambda x: x.mean() / 0 * 0),))
    rows = [
        row("normalised, but no mean", lambda: _attack(
            attacks.inverting_gradients(1), bare), "mean"),
        row("one label's rule for two images", lambda: _attack(attacks.idlg(1), pairs), "batch"),
        row("the unique rule where labels may repeat", lambda: _attack(
            attacks.dlg(1, labels="yin"), pairs), "unique"),
        row("statistics not granted", lambda: _attack(attacks.huang(1, bn=0.1), trained),
            "statistics"),
        row("statistics of a model without any", lambda: _attack(
            attacks.inverting_gradients(1, bn=0.1)), "BatchNorm", "statistics"),
        row("a trained generator not granted", lambda: _attack(
            attacks.gias(seen, "z", (1,))), "prior_data"),
        row("two restarts from one state", lambda: _attack(restarts=2, start=guessed()), "restart"),
        row("an objective that is NaN from the start", lambda: _attack(undefined), "finite", "NaN"),
    ]
    rows += [row("an update of a thousand million images", lambda: _attack(update=replace(
        bare, batch_size=10**9)), "batch_size", "memory", "images")]
    return rows


def of_callables(folder: Path) -> list[Row]:
    """Objectives, priors and generators of a reader's own that give something wrong."""
    l2 = objectives.l2
    given = {
        "None": lambda v: None, "a string": lambda v: "a", "a vector": lambda v: v * torch.ones(3),
        "NaN": lambda v: v * NAN, "infinite": lambda v: v / 0, "a tuple": lambda v: (v, v),
        "a dict": lambda v: {"a": v}, "complex": lambda v: v.to(torch.complex64),
        "whole numbers": lambda v: v.round().long(), "on another device": lambda v: v.to("meta"),
        "a number without a tensor": lambda v: 3.0}
    rows = [row(f"an objective giving {what}", partial(_attack, replace(
        attacks.dlg(1), objective=lambda d, s, f=f: f(l2(d, s)))), "objective")
            for what, f in given.items()]
    del given["a number without a tensor"]  # a prior may be one
    rows += [row(f"a prior giving {what}", partial(_attack, replace(attacks.dlg(1), priors=(
        (1.0, lambda x, f=f: f(x.square().mean())),))), "prior", "objective")
             for what, f in given.items()]
    body = nn.Sequential(nn.Linear(4, 64), nn.Sigmoid(), nn.Unflatten(1, SHAPE))

    class Wrapped(nn.Module):
        def __init__(self, change):
            super().__init__()
            self.body, self.change, self.latent, self.trained_on = body, change, (4,), None

        def forward(self, z):
            return self.change(self.body(z))

    made = {"other shapes": lambda x: x[..., :4], "too few axes": lambda x: x.flatten(1),
            "above 1": lambda x: 2 + x, "below 0": lambda x: x - 2, "NaN": lambda x: x * NAN,
            "at random": lambda x: x * torch.rand(x.shape), "None": lambda x: None,
            "whole numbers": lambda x: (255 * x).byte(), "a tuple": lambda x: (x,)}
    rows += [row(f"a generator giving {what}", partial(_attack, attacks.gias(
        Wrapped(change), "z", (1,))), "generator") for what, change in made.items()]
    rows += [row("a generator of other latents", lambda: _attack(attacks.gias(
        body, "z", (1,), latent=(5,))), "generator", "latent")]
    return rows


def of_decode(folder: Path) -> list[Row]:
    x = truth(2, 1, 8, 8)
    keys = torch.tensor([[0, 1], [1, 0]]), torch.full((2, 2), 0.5)
    good = {"encodings": x, "keys": keys, "count": 2, "iterations": 1}
    values = {
        "encodings": (None, "a", x[:1], x[0], x * NAN, x * 255, (255 * x).byte()),
        "keys": (None, 3, keys[0], (keys[0], keys[1][:1]), (keys[1], keys[0]),
                 (keys[0] - 1, keys[1]), (keys[0], keys[1] * NAN)),
        "count": (*NOT_A_COUNT, 1), "signs": NOT_A_SWITCH, "iterations": NOT_A_COUNT,
        "lr": NOT_POSITIVE, "weight": NOT_A_WEIGHT}
    rows = []
    for argument, bad in values.items():
        others = {name: value for name, value in good.items() if name != argument}
        rows += wrong(attacks.decode, argument, bad, ("encodings", "keys"), **others)
    return rows


def of_diagnose(folder: Path) -> list[Row]:
    two = attacks.reconstruct(client.share(net(), digits().clients(2)), attacks.dlg(1))
    rows = wrong(attacks.diagnose, "update", (None, 3, gradients()))
    rows += wrong(attacks.diagnose, "attack", ("dlg", attacks.dlg, 3), update=shared())
    rows += wrong(attacks.diagnose, "guess", (3, batch().images, two), update=shared(),
                  attack=attacks.dlg(1))
    rows += wrong(labels.infer, "rule", ("foo", None, 3), update=shared())
    rows += wrong(labels.infer, "update", (None, 3, gradients()), ("update",))
    rows += wrong(labels.last_layer, "update", (None, 3))
    rows += wrong(labels.infer, "enforce", NOT_A_SWITCH, update=shared())
    rows += wrong(labels.Rule, "needs", (("foo",), 3), source="", read=len)
    rows += wrong(labels.Rule, "read", (None, "a"), source="", needs=())
    pairs = client.share(net(), pair())
    convolved = nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten())
    rows += [row(f"labels.infer: {rule} of two images", partial(labels.infer, pairs, rule), rule)
             for rule in ("idlg", "idlg_bias", "idlg_products", "yin")]
    rows += [row("labels.infer: no dense layer at the end", lambda: labels.infer(
        client.share(convolved, batch())), "dense")]
    return rows


# --- numbers, files and forms --------------------------------------------------------------------

def of_metrics(folder: Path) -> list[Row]:
    x, rows = truth(1, 1, 16, 16), []
    bad = {"0..255": 255 * x, "whole numbers": (255 * x).byte(), "NaN": x * NAN, "None": None,
           "two axes": x[0, 0], "no image": x[:0], "another shape": x[..., :8], "a string": "a"}
    for metric in (metrics.mse, metrics.psnr, metrics.ssim, metrics.avd, metrics.lpips):
        rows += [row(f"{metric.__name__}: the truth is {what}", partial(
            metric, value if what in ("0..255", "whole numbers", "two axes", "no image") else x,
            value), "images", "truth", "reconstruction") for what, value in bad.items()]
    rows += [row(f"mse: the guess is {what}", partial(metrics.mse, value, x), "images", "guess",
                 "reconstruction")
             for what, value in bad.items() if what not in ("NaN", "0..255", "whole numbers")]
    rows += wrong(metrics.avd, "variant", ("foo", None), guess=x, truth=x)
    rows += wrong(metrics.avd, "quantise", NOT_A_SWITCH, guess=x, truth=x)
    rows += wrong(metrics.lpips, "net", ("foo", None), guess=x, truth=x)
    rows += wrong(metrics.lpips_available, "net", ("foo", None))
    whole = truth()
    rows += wrong(metrics.score, "truth", (None, x, whole * 255, whole * NAN), ("images",),
                  guess=whole)
    rows += wrong(metrics.score, "guess", (None, "a", whole[..., :8]), ("images", "reconstruction"),
                  truth=whole)
    rows += wrong(metrics.score, "match", NOT_A_SWITCH, guess=whole, truth=whole)
    rows += wrong(metrics.matching, "truth", (None, x, truth(1, 2, 1, 16, 16)), ("images",),
                  guess=whole)
    table = metrics.score(whole, whole)
    rows += wrong(metrics.summary, "table", (None, 3, table[["client"]]), ("columns",))
    rows += wrong(metrics.summary, "by", ("foo", 3), table=table)
    rows += wrong(metrics.summary, "recovered", ("foo < 1", "mse <", None, "mse"), table=table)
    return rows


def of_runs(folder: Path) -> list[Row]:
    rows = wrong(run.start, "profile", ("fast", 3))
    rows += wrong(run.start, "seed", (-1, 1.5, "0", None, True))
    rows += wrong(run.start, "device", ("tpu", "cuda:99", 3, None))
    rows += wrong(run.start, "data_root", (folder / "absent", 3))
    rows += [row(f"generator({_short(key)})", partial(run.generator, key), "key")
             for key in (1.5, None, [1])]
    return rows


def _rows(seed=0):
    """What a cell may be made of."""
    return pd.DataFrame({"a": [seed]}), {}


def of_reports(folder: Path) -> list[Row]:
    figure, table = SimpleNamespace(savefig=None), pd.DataFrame({"a": [1.0]})
    words, rows = "what is shown in this figure, in a sentence", []
    cells = {"quick": [{}], "paper": [{}], "compute": _rows, "name": "a"}
    for argument, bad in {
            "quick": (3, {}, [3], [{"seed": {1}}], [{"seed": NAN}], None, "a"), "paper": (3, [3]),
            "compute": (None, "a", lambda: None, 3), "name": (None, 3, "a/b", "../a", ""),
            "version": ("1", None, 1.5), "minutes": ("a", -1), "gib": ("a", -1),
            "comparable": (False, 3, None), "gpu": (3, "cuda")}.items():
        others = {name: value for name, value in cells.items() if name != argument}
        rows += wrong(store.Sweep, argument, bad, ("config", "cell"), **others)
    rows += [row("a sweep without configs", lambda: store.Sweep("none", _rows, [], []).run(),
                 "configs")]
    rows += wrong(report.save_figure, "fig", (None, 3), name="a", alt=words)
    rows += wrong(report.save_figure, "alt", ("short", None, ""), fig=figure, name="a")
    rows += wrong(report.save_figure, "name", ("../a", "", None, 3), fig=figure, alt=words)
    rows += wrong(report.save_table, "table", (None, 3, [1]), name="a")
    rows += wrong(report.save_table, "name", ("../a", "", None), table=table)
    rows += wrong(report.save_timings, "table", (None, 3))
    rows += wrong(report.not_made, "reason", ("", None, 3), float_id="fig1")
    rows += wrong(report.not_made, "float_id", ("", None, 3), reason="no data")
    rows += wrong(report.published, "paper", ("nope", "", None, "../a"))
    rows += wrong(report.start, "notebook", ("", None, 3, "a/b"), run=run.current())
    rows += wrong(report.start, "run", (None, "quick"), notebook="99_bad")
    rows += wrong(store.Sweep("one", _rows, [{}], []).shown, "first", ("quick", None, 3))
    rows += wrong(keys.stored_as, "name", ("", None, 3))
    return rows


def of_claims(folder: Path) -> list[Row]:
    good = {"id": "a1", "text": "it leaks"}
    claim, rows = ledger.Claim(**good), [row("a Ledger's claim twice", _twice, "a1")]
    for argument, bad in {"id": ("", None, 3), "text": (3, None, ""), "unit": ("", None, 3),
                          "origin": ("", None, 3, "somebody", "read and quoted", ["read"]),
                          "float_id": ("", 3, ["fig1"]), "check": (*NOT_A_SWITCH, None),
                          "not_tested": (None, True, 3), "stable": NOT_A_SWITCH}.items():
        others = {name: value for name, value in good.items() if name != argument}
        rows += wrong(ledger.Claim, argument, bad, **others)
    good = DECIDED | {"claim": claim}
    for argument, bad in {"claim": (None, "a1", good), "decision": (
            None, True, (True,), ("yes", "1"), (1, "1"), (True, "1", 2), (True, "1", NAN)),
            "n": (-1, "3", None, 1.5), "rule": (3, None, ""), "networks": (-1, "3", 1.5, True),
            "ended": (None, 3)}.items():
        others = {name: value for name, value in good.items() if name != argument}
        rows += wrong(ledger.Ledger().add, argument, bad, ("verdict", "p must"), **others)
    return rows


DECIDED = {"decision": verdicts.Decision(True, "1", 0.01), "rule": "more", "n": 3, "networks": 3}


def _twice() -> None:
    book = ledger.Ledger()
    for _ in range(2):
        book.add(ledger.Claim("a1", "it leaks"), **DECIDED)


def of_verdicts(folder: Path) -> list[Row]:
    rows = [row(f"decide{value}", partial(verdicts.decide, *value), "good", "n", "level")
            for value in ((3, 2), (-1, 2), (NAN, 2), (1, -2), (1, "2"), (None, 2), (1, 2, 2.0))]
    rows += [row(f"decide_fewer{value}", partial(verdicts.decide_fewer, *value), "good", "n")
             for value in (((3, 2), (1, 2)), ((1, 2), (-1, 2)), (1, 2), ((1, 2), None))]
    rows += [row(f"decide_greater{value}", partial(verdicts.decide_greater, *value[0], **value[1]),
                 "sample", "value", "paired", "a and b")
             for value in ((([[1, 2]], [1, 2]), {}), (("ab", "cd"), {}), ((None, [1, 2]), {}),
                           (([1, 2], [1, 2]), {"paired": "no"}),
                           (([1, 2, 3], [1, 2]), {"paired": True}))]
    table = pd.DataFrame({"net": [0, 1], "psnr": [1.0, 2.0]})
    rows += wrong(verdicts.by_network, "table", (None, 3, [1]), networks="net", column="psnr")
    rows += wrong(verdicts.by_network, "networks", ("foo", ["net", "foo"], [], None, 3),
                  ("no column",), table=table, column="psnr")
    rows += wrong(verdicts.by_network, "column", ("foo", None, 3), table=table, networks="net")
    return rows


def of_generators(folder: Path) -> list[Row]:
    D, g = _few(), generator()
    sized = SimpleNamespace(shape=(1, 9, 9))
    rows = wrong(generators.dcgan, "images", (None, sized, SimpleNamespace(shape=(1, 8, 12))),
                 ("side", "halves"))
    rows += wrong(generators.dcgan, "latent", (*NOT_A_COUNT, (4,)), images=D)
    rows += wrong(generators.dcgan, "width", NOT_A_COUNT, images=D)
    values = {"generator": (None, "dcgan", nn.Linear(4, 64)), "images": (None, batch()),
              "steps": NOT_A_COUNT, "batch_size": NOT_A_COUNT, "lr": NOT_POSITIVE,
              "gamma": NOT_A_WEIGHT, "width": NOT_A_COUNT, "average": (-1, 2, *NOT_A_NUMBER),
              "seed": ("a", 1.5), "cache": (3,)}
    for argument, bad in values.items():
        good = {"generator": generators.dcgan(D, latent=4, width=2), "images": D, "steps": 1}
        rows += wrong(generators.train, argument, bad, ("key", "latent"),
                      **{n: v for n, v in good.items() if n != argument})
    rows += wrong(generators.sample, "count", NOT_A_COUNT, generator=g)
    rows += wrong(generators.sample, "generator", (None, nn.Linear(4, 64)), ("latent",), count=1)
    rows += wrong(generators.nearest_seen, "images", (None, truth(1, 3, 8, 8), truth(1, 8, 8)),
                  seen=D)
    rows += wrong(generators.nearest_seen, "seen", (None, truth(1, 1, 8, 8)),
                  images=truth(1, 1, 8, 8))
    rows += wrong(generators.quality, "count", NOT_A_COUNT, generator=g, critic=None, seen=D,
                  unseen=D)
    return rows


def of_learning(folder: Path) -> list[Row]:
    pairs, g = client.share(net(), pair()), generator()
    one = replace(shared(), mean=torch.tensor([0.5]), std=torch.tensor([0.5]))
    good = {"generator": g, "rounds": [one], "iterations": (1, 1)}
    values = {"generator": (None, "a", net()), "rounds": ([], None, 3, [3], one, [pairs]),
              "iterations": ((1,), 3, (0, 1), None), "lr": NOT_POSITIVE,
              "rates": ((0.1,), 0.1, (0, 0.1)), "tv": (-1, "a"), "latent_norm": (-1, "a"),
              "labels": ("foo", "joint"), "seed": ("a", 1.5), "watch": (3,)}
    rows = []
    for argument, bad in values.items():
        others = {name: value for name, value in good.items() if name != argument}
        rows += wrong(generators.learn, argument, bad, ("key", "latent", "image", "lr"), **others)
    return rows


def of_closed_forms(folder: Path) -> list[Row]:
    W, b, y = truth(10, 64), truth(10), torch.tensor([1, 2])
    rows = wrong(analytic.dense_input, "weight_gradient", (None, W[:3], W[0], W.long()),
                 ("weight", "shape"), bias_gradient=b)
    rows += wrong(analytic.dense_input, "bias_gradient", (None, b[:3], b.long(), "a"),
                  ("bias", "shape"), weight_gradient=W)
    for values, argument in (((y.float(), y + 10, y - 5, None, "a"), "labels"),
                             ((W[:3], None), "weight_gradient"), ((b[:3], None), "bias_gradient")):
        good = {"weight_gradient": W, "bias_gradient": b, "labels": y}
        rows += wrong(analytic.demix, argument, values, ("shape",),
                      **{n: v for n, v in good.items() if n != argument})
    p = truth(2, 10).softmax(-1)
    rows += wrong(analytic.demix_weights, "labels", (y.float(), y + 10, y[:1], None),
                  probabilities=p)
    rows += wrong(analytic.demix_weights, "probabilities", (None, p[0], 3 * p, p * NAN), labels=y)
    chain = nn.Sequential(nn.Conv2d(2, 2, 3, groups=2), nn.Flatten())
    rows += wrong(analytic.gradient_equations, "model", (None, nn.Conv2d(1, 1, 3), chain),
                  shape=(2, 8, 8))
    rows += wrong(analytic.gradient_equations, "shape", (None, (8, 8), 8, (0, 8, 8)),
                  model=nn.Sequential(nn.Conv2d(1, 2, 3)))
    rows += wrong(analytic.gradient_equations, "batch_size", NOT_A_COUNT,
                  model=nn.Sequential(nn.Conv2d(1, 2, 3)), shape=SHAPE)
    lenet = client.share(models.lenet(digits(), channels=2), batch())
    local = client.share(net(), batch(), client.Protocol(**STEPS))
    full = client.share(net(), digits().clients(1, 9))
    rows += [row(f"in_span of {what}", partial(analytic.in_span, value), word)
             for what, value, word in (
                 ("None", None, "update"), ("gradients", gradients(), "update"),
                 ("a convolution", lenet, "dense"), ("local steps", local, "gradient"),
                 ("as many images as outputs", full, "outputs"))]
    return rows


def of_distances(folder: Path) -> list[Row]:
    g, x = gradients(), truth(2, 1, 8, 8)
    first = next(iter(g))
    rows = []
    for distance in (objectives.l2, objectives.relative_l2, objectives.cosine,
                     objectives.layer_cosine):
        name = distance.__name__
        rows += [row(f"{name}: a name is missing", partial(
                     distance, {n: t for n, t in g.items() if n != first}, g), first),
                 row(f"{name}: of nothing", partial(distance, {}, {}), "empty", "gradients",
                     "tensor"),
                 row(f"{name}: of two shapes", partial(distance, g | {first: g[first][:1]}, g),
                     first, "shape")]
    rows += wrong(objectives.scaled, "factor", NOT_POSITIVE, objective=objectives.l2)
    rows += wrong(objectives.scaled, "objective", (None, 3), factor=1.0)
    rows += wrong(objectives.masked, "objective", (None, 3))
    for prior in (priors.tv, priors.tv_of_magnitude, priors.orthogonality):
        rows += wrong(prior, "x", (None, x[0, 0, 0], "a"), ("images",))
    rows += wrong(priors.batch_norm, "moments", ([], None), ("statistics",))
    return rows


def of_cases(folder: Path) -> list[Row]:
    good = {"images": {"name": "digits"}, "victim": {"name": "dense"},
            "attack": {"name": "dlg", "iterations": 1}, "clients": [0, 1], "seed": 0}
    values = {"images": ({"name": "nope"},), "victim": ({}, {"name": "nope"}),
              "attack": ({}, {"name": "nope"}), "clients": ([1, 0], [0, 0], [-1, 1]),
              "defense": ([{"name": "nope"}],), "record": ([99],), "train": ({"epochs": 1},),
              "chunk": (0,)}
    rows = []
    for argument, bad in values.items():
        others = {name: value for name, value in good.items() if name != argument}
        rows += wrong(case.attack, argument, bad, (
            "name", "seed", "indices", "iteration", "K"), **others)
    return rows


DOORS: dict[str, Callable[[Path], list[Row]]] = {
    "data.load": of_load, "Batch, ImageSet": of_images, "subset, keep, relabel, clients": of_sets,
    "models": of_builders, "ensemble": of_ensembles, "train, accuracy": of_training,
    "Protocol, ThreatModel": of_protocols, "models that are shared": of_models, "share": of_share,
    "defenses of one's own": of_own_defenses, "defenses": of_defenses,
    "from_gradients: gradients": of_gradients, "from_gradients: fields": of_update_fields,
    "from_weights": of_weights, "save, load": of_files, "presets": of_presets, "gias": of_gias,
    "Attack, spaces": of_attack_fields, "reconstruct": of_reconstruct,
    "what attacks need": of_needs, "callables of one's own": of_callables, "decode": of_decode,
    "diagnose, labels": of_diagnose, "metrics": of_metrics, "run": of_runs,
    "store, report": of_reports, "Ledger": of_claims, "decide": of_verdicts,
    "generators": of_generators, "generators.learn": of_learning, "analytic": of_closed_forms,
    "objectives, priors": of_distances, "case": of_cases}


def table(folder: Path) -> list[tuple[str, *Row]]:
    """All rows: (door, name, call, words). Files that they read are written under `folder`."""
    rows = []
    for number, (door, make) in enumerate(DOORS.items()):
        place = folder / f"door{number}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        rows += [(door, *one) for one in make(place)]
    return rows
