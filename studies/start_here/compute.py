"""What notebook 00 alone computes: every attack on the same clients under the same defenses."""

import time
from dataclasses import dataclass, replace

import torch

from lib import analytic, attacks, client, data, generators, labels, metrics, models, run
from studies.case import ATTACKS, WEIGHTS, as_bytes, composed, image_set, named, victims
from studies.keys import stored_as

OWN = ("mid-grey", "closed form", "in the span")  # no attack; the last two need a first dense layer
KNOWN = ATTACKS | {"gias": attacks.gias}


@dataclass(frozen=True)
class _First:
    """The client uses the first images of its pool."""

    batch_size: int

    def draw(self, labels, rng):
        return torch.arange(self.batch_size)


def prior(generator: dict, seed: int):
    """The generator {"images", "latent", "width", "train"}, trained on the split "train", once."""
    seen = image_set(generator["images"] | {"split": "train"}, seed)
    net = generators.dcgan(seen, generator["latent"], generator["width"], seed)
    how = generator["train"] | {"seed": seed, "cache": WEIGHTS}
    return generators.train(net.to(run.current().device), seen, **how)[0]


def preset(attack: dict, net=None) -> attacks.Attack:
    """The attack of {"name": ..., arguments}; net: the generator, for "gias"."""
    given = (net,) if attack["name"] == "gias" else ()
    return named(KNOWN, attack, *given)


@stored_as("studies.start_here.compared")
def compared(images: dict, victim: dict, attack: dict, batch_size: int, defenses: list,
             clients: int, seed: int, pool: int = 40, shown: int = 0,
             generator: dict | None = None):
    """One attack on `clients` clients, each with a victim of its own, under each of the defenses.

    Every client holds `pool` images of the split "test" and shares an update of `batch_size`: its
    first ones, or those that the defense draws; mixing defenses mix them with the rest of the pool.
    Labels are not granted. Images, victims and the draws of a defense depend on the seed alone, so
    they are the same for every attack; its starts are the same under every defense, and attacks in
    pixels draw the same numbers. defenses: as in `experiment.composed`. attack: arguments of a
    preset, or {"name": one of OWN}. generator: see `prior`, for "gias".
    A row an image and defense (column defense counts through them): the metrics of the state of the
    smallest objective against the private images, and seconds an image. Array `guesses`
    (defenses, shown, C, H, W), uint8, beside `truth`: the first image of the first clients."""
    pictures = image_set(images, seed)
    held = pictures.clients(clients, pool, seed)
    model = victims(pictures, victim, [0, clients], seed)
    granted = client.ThreatModel(prior_data=generator["images"]["name"] if generator else None)
    updates, truth = [], []
    for one in (composed(d, batch_size=batch_size) for d in defenses):
        steps = one if isinstance(one, tuple) else () if one is None else (one,)
        draws = hasattr(steps[0], "draw") if steps else False
        mixes = hasattr(steps[0], "encode") if steps else False
        chosen = steps if draws or mixes else (_First(batch_size), *steps)
        updates.append(client.share(model, held, None, chosen, granted, seed))
        used = chosen[:1] if not mixes else (_First(batch_size),)
        truth.append(client.drawn(held, used, seed).images)
    D, private = len(updates), torch.cat(truth)
    both = models.prepare(victims(pictures, victim, [0, clients], seed, D), "eval")
    joined = replace(updates[0], model=both, gradients={
        n: torch.cat([u.gradients[n] for u in updates]) for n in updates[0].gradients})
    begin = time.perf_counter()
    found, seconds = _found(joined, attack, generator, D, seed)
    seconds = seconds or time.perf_counter() - begin
    table = metrics.score(found.cpu(), private, root=run.current().data_root)
    table = table.assign(defense=table.client // clients, client=table.client % clients,
                         seconds=seconds / len(table))
    arrays = {}
    if shown and data.shareable(pictures.name):
        order = torch.tensor(table.guess.array).view(D * clients, batch_size)[:, 0]
        first = found.cpu()[torch.arange(len(order)), order].unflatten(0, (D, clients))[:, :shown]
        arrays = {"guesses": as_bytes(first),
                  "truth": as_bytes(private.unflatten(0, (D, clients))[:, :shown, 0])}
    return table.drop(columns="guess"), arrays


def _found(update, attack: dict, generator: dict | None, defenses: int, seed: int):
    """Images (K, B, C, H, W) that the attack finds, and the seconds of its iterations or None."""
    B, shape = update.batch_size, (len(update), update.batch_size, *update.shape)
    rule = "idlg" if B == 1 else "analytic"
    if attack["name"] == "mid-grey":
        return torch.full(shape, 0.5), None
    if attack["name"] == "closed form":
        first = next(n for n in update.gradients if n.endswith("weight")).removesuffix("weight")
        g = update.gradients[first + "weight"], update.gradients[first + "bias"]
        x = analytic.dense_input(*g)[:, None] if B == 1 else \
            analytic.demix(*g, labels.infer(update, rule, enforce=False))
        return x.view(shape), None
    if attack["name"] == "in the span":
        small, basis = analytic.in_span(update)
        how = attacks.dlg(attack["iterations"], line_search=True, relative=True, labels=rule)
        guess = _from_same_starts(small, how, attack["restarts"], defenses, seed)
        return (guess.images.flatten(2) @ basis).view(shape).float(), guess.seconds
    net = prior(generator, seed) if generator else None
    guess = _from_same_starts(update, preset(attack, net), 1, defenses, seed)
    return guess.images, guess.seconds


def _from_same_starts(update, how, restarts: int, defenses: int, seed: int):
    """Attack; a client's starts are the same under every defense."""
    drawn, K = attacks.starts(update, how, restarts, seed), len(update) // defenses
    start = tuple(t if t is None else torch.cat([t[:K]] * defenses) for t in drawn)
    return attacks.reconstruct(update, how, restarts, seed, start=start)
