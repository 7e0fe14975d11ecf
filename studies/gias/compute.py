"""What notebook 04 alone computes: attacks through a generator, and generators themselves."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import nn

from lib import attacks, client, data, generators, run
from studies import deal, scores
from studies.accuracy import WEIGHTS
from studies.case import Case
from studies.describe import composed, image_set, victims
from studies.keys import stored_as
from studies.scores import as_bytes

SIGNED = "signed x"  # Inverting Gradients as published: pixels, signs, box
SAME = 1e-3  # root mean squared distance of what counts as one image: a quarter of a grey level


# --- generators ----------------------------------------------------------------------------------


def split_of(images: dict, split: str, seed: int) -> data.ImageSet:
    """`describe.image_set` of a split, unless `images` names another."""
    return image_set({"split": split} | images, seed)


def prior(generator: dict, seed: int = 0) -> tuple[nn.Module, nn.Module | None, data.ImageSet]:
    """(generator, critic, its training set): `generators.dcgan` of {"images", "latent", "width",
    and for a trained one "train": arguments of `generators.train`}, always of the split "train".
    It is drawn, and trained, under its own "seed" where it has one, else under `seed`."""
    if "split" in generator["images"]:
        raise ValueError("a generator sees the split 'train' alone: name no split")
    pictures = split_of(generator["images"], "train", seed)
    drawn = generator.get("seed", seed)
    net = generators.dcgan(pictures, generator["latent"], generator["width"], drawn)
    net = net.to(run.current().device)
    if "train" not in generator:
        return net, None, pictures
    how = generator["train"]
    return *generators.train(net, pictures, seed=drawn, cache=WEIGHTS, **how), pictures


@stored_as("studies.gias.worth")
def worth(images: dict, generator: dict, count: int, seed: int = 0) -> tuple[pd.DataFrame, dict]:
    """`generators.quality` of a trained generator, in one row; unseen are the split "test" of
    `images`. Arrays: `samples` (count, C, H, W) and `nearest`, the training image nearest to each,
    uint8, where they may be shown."""
    net, critic, seen = prior(generator, seed)
    unseen = split_of(images, "test", seed)
    table = pd.DataFrame([generators.quality(net, critic, seen, unseen, seed=seed)])
    samples = generators.sample(net, count, seed)
    table = table.assign(parameters=sum(p.numel() for p in net.parameters()), images=len(seen))
    if not data.shareable(seen.name):
        return table, {}
    nearest = generators.nearest_seen(samples, seen)[0]
    return table, {"samples": as_bytes(samples.cpu()), "nearest": as_bytes(nearest.cpu())}


# --- attacks in several search spaces -------------------------------------------------------------


@dataclass(frozen=True)
class SearchConfig:
    """What `searched` is asked for.

    images: private ones, of the split "test" unless it says otherwise, never those that the
    generator has seen (ValueError); in batches of different labels, as far as there are classes
    enough, and labels are known. victim: drawn anew for each client, unless it has a seed. spaces:
    as in `attacks.gias`, or SIGNED; iterations: of each letter, and of SIGNED. Spaces that begin
    with z share its search. restarts: of the first stage, but "w" has none. tv: one weight, or one
    a space, of its last stage, and one of "z". rates: learning rates by letter, where not
    `attacks.RATES`. record: so many points of each attack are measured. generator: see `prior`."""

    images: dict
    victim: dict
    generator: dict
    spaces: list[str]
    iterations: dict
    batch_size: int
    clients: list[int]
    seed: int
    restarts: int = 1
    tv: float | dict = 1e-4
    rates: dict | None = None
    bn: float = 0.0
    statistics: str = "inferred"
    mode: str = "eval"
    defense: list | None = None
    masked: bool = False
    record: int = 0
    shown: int = 0

    def case(self) -> Case:
        known = self.generator["images"]["name"]
        case = _dealt(self.images, self.batch_size, self.clients, self.seed)
        return replace(
            case, victim=self.victim, defenses=(composed(self.defense),),
            protocol=client.Protocol(mode=self.mode, normalise=True),
            threat=client.ThreatModel("known", self.statistics, prior_data=known))

    def stages(self, space: str) -> list[str]:
        return [SIGNED] if space == SIGNED else space.split("/")

    def attack(self, space: str, net: nn.Module) -> attacks.Attack:
        """The attack in one space."""
        stages = self.stages(space)
        weight = self.tv[space] if isinstance(self.tv, dict) else self.tv
        common = {"tv": weight, "bn": self.bn, "masked": self.masked}
        counts = [self.iterations[stage] for stage in stages]
        if space == SIGNED:
            return attacks.inverting_gradients(counts[0], **common)
        rates = attacks.RATES | (self.rates or {})
        return attacks.gias(net, space, counts, [rates[stage] for stage in stages], **common)

    def points(self, count: int) -> list[int]:
        """The iterations, of `count`, at which an attack is measured."""
        if not self.record:
            return []
        return sorted({round(i) for i in np.linspace(0, count, self.record)})


@dataclass(frozen=True)
class _Search:
    """The attack in one space: what it found last, and the search among latents that it went on
    from, where it did (after `began` iterations)."""

    attack: attacks.Attack
    guess: attacks.Reconstruction
    before: attacks.Reconstruction | None = None
    began: int = 0

    @property
    def seconds(self) -> float:
        return self.guess.seconds + (self.before.seconds if self.before else 0)


def _dealt(images: dict, batch_size: int, clients: list[int], seed: int) -> Case:
    """The clients that `searched` attacks, so far without a victim."""
    return Case({"split": "test"} | images, None, clients, batch_size, seed,
                deal.Drawn(unique_labels=None))


@stored_as("studies.gias.grey")
def grey(images: dict, batch_size: int, clients: list[int], seed: int) \
        -> tuple[pd.DataFrame, dict]:
    """What mid-grey pictures score against the images that `searched` attacks: a row an image."""
    case = _dealt(images, batch_size, clients, seed)
    return case.score(torch.full_like(case.private.images, 0.5)), {}


@stored_as("studies.gias.searched")
def searched(*, net: nn.Module | None = None, **config) -> tuple[pd.DataFrame, dict]:
    """Attack clients [first, last) in several search spaces: a row an image and space.
    The arguments: SearchConfig; net: a generator instead of the one that `generator` describes.

    Columns: metrics of the best state; objective, the smallest found, with its priors; distance,
    the objective without priors there; seconds an image, of all its stages; ended, why the last
    stage ended (cells stored before December 2026 have no such column). Arrays, at the points
    to record: the mean PSNR of each client, `psnr <space>` (K, T) beside `at <space>` (T,), and the
    objectives, `losses <space>`. `truth` and `guesses <space>`: the first `shown` images, uint8.
    """
    how = SearchConfig(**config)
    case = how.case()
    if net is None:
        net, _, seen = prior(how.generator, how.seed)
        if "train" in how.generator:
            _check_unseen(case, seen)
    update = case.share()
    tables, arrays = [], {}
    for space, search in _searches(how, update, net):
        table = case.score(search.guess.images.cpu())
        order = scores.order_of(table, how.batch_size)
        tables.append(_measured(case, update, search, table.assign(space=space)))
        if how.record:
            arrays |= {f"{name} {space}": values for name, values in _path(case, search).items()}
        if how.shown and case.shareable:
            guesses = scores.reordered(search.guess.images.cpu(), order).flatten(0, 1)
            arrays[f"guesses {space}"] = as_bytes(guesses[:how.shown])
            arrays["truth"] = as_bytes(case.private.images.flatten(0, 1)[:how.shown])
    return scores.narrowed(pd.concat(tables, ignore_index=True)), arrays


def _check_unseen(case: Case, seen: data.ImageSet) -> None:
    """ValueError where a generator has seen one of the private images."""
    private = case.private.images.flatten(0, 1)
    if seen.shape == case.pictures.shape and \
            generators.nearest_seen(private, seen)[1].min() < SAME:
        raise ValueError("the generator has seen images of these: attack another split or set")


def _searches(how: SearchConfig, update: client.SharedUpdate, net: nn.Module) \
        -> Iterator[tuple[str, _Search]]:
    """Each space with its search; those that begin with z go on from the same one."""
    latent = None
    if any(how.stages(space)[0] == "z" for space in how.spaces):
        attack = how.attack("z", net)
        points = how.points(attack.iterations)
        guess = attacks.reconstruct(update, attack, how.restarts, how.seed, points)
        latent = _Search(attack, guess)
    for space in how.spaces:
        stages, attack = how.stages(space), how.attack(space, net)
        if space == "z":
            yield space, latent
        elif stages[0] == "z":
            began, count = (how.iterations[stage] for stage in stages)
            guess = attacks.reconstruct(update, attack.then, 1, how.seed, how.points(count),
                                        start=latent.guess)
            yield space, _Search(attack, guess, latent.guess, began)
        else:
            restarts = 1 if space == "w" else how.restarts
            points = how.points(attack.iterations)
            guess = attacks.reconstruct(update, attack, restarts, how.seed, points)
            yield space, _Search(attack, guess)


def _measured(case: Case, update: client.SharedUpdate, search: _Search, table: pd.DataFrame) \
        -> pd.DataFrame:
    """The table with what one search took and reached: seconds, objective, distance, ended."""
    images, size = search.guess.images, case.batch_size
    best = scores.best_restarts(search.guess).tolist()
    ended = [search.guess.ended[client][best[client]] for client in table.client]
    far = scores.distance(update, images, case.private.labels, search.attack.objective)
    return table.drop(columns="guess").assign(
        seconds=search.seconds / len(table),
        objective=scores.per_image(search.guess.loss.amin(1), size),
        distance=scores.per_image(far, size), ended=ended)


def _path(case: Case, search: _Search) -> dict[str, np.ndarray]:
    """Iterations `at` (T,), and there each client's mean `psnr` and objective, `losses` (K, T), of
    the best restart of each stage; float32."""
    parts = [(search.before, 0)] if search.before else []
    parts.append((search.guess, search.began))
    curves = {"at": [], "psnr": [], "losses": []}
    for guess, first in parts:
        at = np.array(list(guess.history.images))
        clients, best = torch.arange(len(guess.loss)), scores.best_restarts(guess)
        states = scores.states(guess).unbind(1)
        psnr = [scores.mean_psnr(images, case.private.images) for images in states]
        curves["at"].append(at + first)
        curves["psnr"].append(np.stack(psnr, 1))
        curves["losses"].append(guess.history.losses.cpu()[at][:, clients, best].T.numpy())
    return {name: np.concatenate(values, -1).astype(np.float32) for name, values in curves.items()}


# --- learning a generator from gradients ----------------------------------------------------------


@stored_as("studies.gias.from_gradients")
def from_gradients(images: dict, victim: dict, generator: dict, rounds: int, clients: int,
                   iterations: list[int], lr: float, looked_at: list[int], tests: dict,
                   seed: int = 0) -> tuple[pd.DataFrame, dict]:
    """GIML: a generator learned from the gradients of `rounds` rounds, each of `clients` new images
    of the split "train", and what it is worth against images of the split "test".

    victim: one for all rounds. tests: by name (column test) arguments of `searched`, whose
    generator is the untrained, then the learned one (column prior; "none" for spaces without).
    Arrays: `samples` (T, 8, C, H, W), uint8, of the same latents, before and after the rounds
    `looked_at`."""
    pictures = split_of(images, "train", seed)
    model = victims(pictures, victim, [0, 1], seed)
    net, _, _ = prior(generator, seed)
    frames = [as_bytes(generators.sample(net, 8, seed).cpu())]

    def watch(number: int, now: nn.Module) -> None:
        if number + 1 in looked_at:
            frames.append(as_bytes(generators.sample(now, 8, seed).cpu()))

    shared = _rounds(pictures, model, rounds, clients, seed)
    learned = generators.learn(net, shared, iterations, lr, watch=watch, seed=seed)
    same = {"images": images, "victim": victim, "generator": generator, "seed": seed}
    tables = []
    for name, test in tests.items():
        described = same | test
        through = [space for space in test["spaces"] if space[0] in "zw"]
        for label, tested, spaces in (("untrained", net, test["spaces"]),
                                      ("learned from gradients", learned, through)):
            table, _ = searched(net=tested, **described | {"spaces": spaces})
            alone = ~table.space.str[0].isin(["z", "w"])
            tables.append(table.assign(test=name, prior=np.where(alone, "none", label)))
    table = pd.concat(tables, ignore_index=True)
    return table, {"samples": np.stack(frames)} if data.shareable(pictures.name) else {}


def _rounds(pictures: data.ImageSet, model: nn.Module, rounds: int, clients: int, seed: int) \
        -> Iterator[client.SharedUpdate]:
    """What `clients` clients, one image each, share in each round: all images in random order."""
    order = torch.randperm(len(pictures), generator=run.generator("rounds", seed))
    protocol, known = client.Protocol(normalise=True), client.ThreatModel("known")
    for number in range(rounds):
        rows = order[torch.arange(number * clients, (number + 1) * clients) % len(order)]
        private = pictures.clients(clients, 1, indices=rows[:, None])
        yield client.share(model, private, protocol, threat=known, seed=seed)
