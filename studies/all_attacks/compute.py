"""What notebook 08 alone computes: every attack on the same clients under the same defenses."""

import time
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from lib import analytic, attacks, client, generators, labels, run
from studies import deal, scores
from studies.accuracy import WEIGHTS
from studies.case import Case
from studies.describe import ATTACKS, composed, image_set, named
from studies.keys import stored_as

OWN = ("mid-grey", "closed form", "in the span")  # no attack; the last two need a first dense layer
KNOWN = ATTACKS | {"gias": attacks.gias}


@dataclass(frozen=True)
class ComparedConfig:
    """What `compared` is asked for.

    Every client holds `pool` images of the split "test" and shares an update of `batch_size`: its
    first ones, or those that the defense draws; mixing defenses mix them with the rest of the pool.
    defenses: each as in `describe.composed`. attack: arguments of a preset, or {"name": one of
    OWN}. generator: see `prior`, for "gias"."""

    images: dict
    victim: dict
    attack: dict
    batch_size: int
    defenses: list
    clients: int
    seed: int
    pool: int = 40
    shown: int = 0
    generator: dict | None = None

    def case(self) -> Case:
        known = self.generator["images"]["name"] if self.generator else None
        under = tuple(composed(d, batch_size=self.batch_size) for d in self.defenses)
        return Case(self.images, self.victim, (0, self.clients), self.batch_size, self.seed,
                    deal.Drawn(), self.pool, threat=client.ThreatModel(prior_data=known),
                    defenses=under)


@stored_as("studies.start_here.compared")  # its first home: stored cells are found by it
def compared(**config) -> tuple[pd.DataFrame, dict]:
    """One attack on `clients` clients, each with a victim of its own, under each of the defenses.
    The arguments: ComparedConfig.

    Labels are not granted. Images, victims and the draws of a defense depend on the seed alone, so
    they are the same for every attack; its starts are the same under every defense, and attacks in
    pixels draw the same numbers.
    A row an image and defense (column defense counts through them): the metrics of the state of the
    smallest objective against the private images, and seconds an image. Array `guesses`
    (defenses, shown, C, H, W), uint8, beside `truth`: the first image of the first clients."""
    how = ComparedConfig(**config)
    case = how.case()
    update = case.share()
    begin = time.perf_counter()
    images, seconds = _reconstructed(how, case, update)
    if seconds is None:
        seconds = time.perf_counter() - begin
    images = images.cpu()
    table = case.score(images)
    order = scores.order_of(table, how.batch_size)
    table = case.numbered(table).assign(seconds=seconds / len(table))
    arrays = {}
    shown = case.shown(how.shown)
    if shown.any():
        under_each = (len(how.defenses), -1)
        guesses = scores.reordered(images, order)[shown, 0].unflatten(0, under_each)
        truth = case.private.images[shown, 0].unflatten(0, under_each)
        arrays = {"guesses": scores.as_bytes(guesses), "truth": scores.as_bytes(truth)}
    return table.drop(columns="guess"), arrays


def prior(generator: dict, seed: int) -> nn.Module:
    """The generator {"images", "latent", "width", "train"}, trained on the split "train", once."""
    pictures = image_set(generator["images"] | {"split": "train"}, seed)
    net = generators.dcgan(pictures, generator["latent"], generator["width"], seed)
    how = generator["train"] | {"seed": seed, "cache": WEIGHTS}
    return generators.train(net.to(run.current().device), pictures, **how)[0]


def preset(attack: dict, net: nn.Module | None = None) -> attacks.Attack:
    """The attack of {"name": ..., arguments}; net: the generator, for "gias"."""
    given = (net,) if attack["name"] == "gias" else ()
    return named(KNOWN, attack, *given)


def _reconstructed(how: ComparedConfig, case: Case, update: client.SharedUpdate) \
        -> tuple[Tensor, float | None]:
    """Images (K, B, C, H, W) that the attack finds, and the seconds of its iterations or None."""
    name, shape = how.attack["name"], (len(update), update.batch_size, *update.shape)
    if name == "mid-grey":
        return torch.full(shape, 0.5), None
    if name == "closed form":
        return _closed_form(update).view(shape), None
    if name == "in the span":
        small, basis = analytic.in_span(update)
        attack = attacks.dlg(how.attack["iterations"], line_search=True, relative=True,
                             labels=_rule(update))
        guess = _attacked(case, small, attack, how.attack["restarts"])
        return (guess.images.flatten(2) @ basis).view(shape).float(), guess.seconds
    net = prior(how.generator, how.seed) if how.generator else None
    guess = _attacked(case, update, preset(how.attack, net), 1)
    return guess.images, guess.seconds


def _attacked(case: Case, update: client.SharedUpdate, attack: attacks.Attack, restarts: int) \
        -> attacks.Reconstruction:
    start = case.starts(update, attack, restarts)
    return attacks.reconstruct(update, attack, restarts, case.seed, start=start)


def _closed_form(update: client.SharedUpdate) -> Tensor:
    """What the gradient of the first dense layer says of its input, one image or a mixed batch."""
    layer = next(name for name in update.gradients if name.endswith("weight"))
    layer = layer.removesuffix("weight")
    weight, bias = (update.gradients[layer + part] for part in ("weight", "bias"))
    if update.batch_size == 1:
        return analytic.dense_input(weight, bias)[:, None]
    return analytic.demix(weight, bias, labels.infer(update, _rule(update), enforce=False))


def _rule(update: client.SharedUpdate) -> str:
    """The label rule of the attacks that are no preset."""
    return "idlg" if update.batch_size == 1 else "analytic"
