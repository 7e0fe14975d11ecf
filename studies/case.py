"""One attack experiment: a `Case` says who is attacked, and does each step of it once.

Every compute function of a notebook builds a Case, shares, attacks, and returns (table, arrays): a
row an image, arrays with clients first. A config is plain JSON, so that a stored cell can be found
by it; `describe` makes objects of it, `deal` the batches, `scores` rows and arrays of what an
attack found. `attack` is the experiment that most notebooks need.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from lib import attacks, client, data, models
from studies import deal, scores
from studies.accuracy import WEIGHTS, accuracy, trained  # noqa: F401  (names of this module too)
from studies.describe import (  # noqa: F401
    ATTACKS,
    DEFENSES,
    VICTIMS,
    composed,
    image_set,
    members,
    named,
    victims,
)
from studies.keys import stored_as
from studies.scores import as_bytes


@dataclass(frozen=True)
class Case:
    """Clients [first, last), K of them, with what they hold, their victims, and what they share.

    images: arguments of `describe.image_set`. victim: {"name": ..., arguments}; client k's weights
    are drawn under seed * 10**6 + k, unless it has a "seed" of its own: then all clients share that
    one. None: only images are dealt. train: arguments of `accuracy.trained`, for such a victim.
    dealt: which images each client holds: `batch_size`, or a pool of so many of which it uses
    `batch_size`: those that its defense draws or mixes, else the first.
    defenses: what clients do besides, as `client.share` takes it. Where there are several, D, they
    stand side by side: each client is there D times, once under each, as clients 0 to DK - 1.
    A threat of an "active" server permutes the victim's classes (`models.permute_classes`).

    ValueError for clients, a batch size or a pool that are none, and for a trained victim without a
    seed. What is made of these is made when it is first asked for."""

    images: dict
    victim: dict | None
    clients: Sequence[int]
    batch_size: int
    seed: int
    dealt: deal.Deal = deal.InOrder()
    pool: int | None = None
    protocol: client.Protocol = field(default_factory=client.Protocol)
    threat: client.ThreatModel = field(default_factory=client.ThreatModel)
    defenses: tuple = (None,)
    train: dict | None = None

    def __post_init__(self) -> None:
        if len(self.clients) != 2 or not 0 <= self.clients[0] < self.clients[1]:
            raise ValueError(f"clients are [first, last) with 0 <= first < last, not "
                             f"{self.clients}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size is at least 1, not {self.batch_size}")
        if self.pool is not None and self.pool < self.batch_size:
            raise ValueError(f"a pool of {self.pool} images holds no batch of {self.batch_size}")
        if not self.defenses:
            raise ValueError("defenses is empty: (None,) stands for no defense")
        if self.train and "seed" not in (self.victim or {}):
            raise ValueError("a trained victim is one for all clients: give it a seed")

    def __len__(self) -> int:
        """K, the number of clients, not counted once for each defense."""
        return self.clients[1] - self.clients[0]

    # what clients hold and use

    @cached_property
    def pictures(self) -> data.ImageSet:
        return image_set(self.images, self.seed)

    @cached_property
    def held(self) -> data.Batch:
        """The images that each of the K clients holds: its batch, or its pool."""
        size = self.pool or self.batch_size
        rows = self.dealt.rows(self.pictures, self.clients, size, self.seed)
        return self.pictures.clients(len(self), rows.shape[1], indices=rows)

    @cached_property
    def private(self) -> data.Batch:
        """The images (DK, B) that the reconstructions are of: as a defense drew them, not as it
        mixed them."""
        chosen = [_drawing(defense) for defense in self.defenses]
        if self.pool is None and not any(chosen):
            numbers = self.held.indices[:, :self.batch_size].repeat(len(self.defenses), 1)
            return self.pictures.clients(len(numbers), self.batch_size, indices=numbers)
        first = _First(self.batch_size)
        used = [client.drawn(self.held, drawing or first, self.seed) for drawing in chosen]
        images, labels = (torch.cat([getattr(batch, name) for batch in used])
                          for name in ("images", "labels"))
        return replace(used[0], images=images, labels=labels, indices=None)

    # victims

    @cached_property
    def model(self) -> nn.Module:
        """The victim of all clients, or an `models.Ensemble` of theirs, as the server sends it."""
        if self.threat.server == "active":
            return models.permute_classes(self._honest)
        return self._honest

    @cached_property
    def victim_accuracy(self) -> float:
        """The share of the split "test" that the victim classifies right, not yet permuted."""
        pictures = image_set(self.images | {"split": "test"}, self.seed)
        return models.accuracy(self._honest, pictures, self.protocol.normalise)

    @cached_property
    def _honest(self) -> nn.Module:
        if self.victim is None:
            raise ValueError("a case without a victim only deals images")
        model = victims(self.pictures, self.victim, self.clients, self.seed)
        if self.train:
            normalise = self.protocol.normalise
            model = trained(model, self.images, self.seed, normalise, **self.train)
        return model

    # sharing and attacking

    def share(self, model: nn.Module | None = None, threat: client.ThreatModel | None = None,
              seed: int | None = None) -> client.SharedUpdate:
        """The update of the DK clients. model, threat and seed (of the draws of defenses): others
        than those of the case."""
        sent = self.model if model is None else model
        granted = self.threat if threat is None else threat
        drawn_under = self.seed if seed is None else seed
        updates = [client.share(sent, self.held, self.protocol, self._complete(defense), granted,
                                drawn_under) for defense in self.defenses]
        return updates[0] if len(updates) == 1 else _side_by_side(updates, sent)

    def starts(self, update: client.SharedUpdate, attack: attacks.Attack, restarts: int = 1,
               seed: int | None = None) -> tuple[Tensor, Tensor | None]:
        """`attacks.starts` of the clients from `first` on, the same under every defense; seed:
        another than the case's."""
        drawn_under = self.seed if seed is None else seed
        drawn = attacks.starts(update, attack, restarts, drawn_under, self.clients[0])
        times = len(update) // len(self)
        images, logits = (t if t is None else torch.cat([t[:len(self)]] * times) for t in drawn)
        return images, logits

    def _complete(self, defense: Any) -> Any:
        """The defense, led by one that takes the first images of a pool, where it chooses none."""
        steps = _steps(defense)
        mixes = steps and hasattr(steps[0], "encode")
        if mixes or _drawing(defense) or self.held.images.shape[1] == self.batch_size:
            return defense
        return (_First(self.batch_size), *steps)

    # rows and pictures

    def score(self, images: Tensor) -> pd.DataFrame:
        """The metrics of reconstructions of the DK clients against their private images."""
        return scores.score(images, self.private.images)

    def numbered(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table of the DK clients, these numbered from `first` on, the defenses in a column."""
        return table.assign(defense=table.client // len(self),
                            client=self.clients[0] + table.client % len(self))

    @cached_property
    def shareable(self) -> bool:
        """Whether pictures of these images may be kept: `data.shareable`."""
        return data.shareable(self.pictures.name)

    def shown(self, count: int) -> Tensor:
        """(DK,) bool: the first `count` clients under each defense, none where no pictures of these
        images may be kept."""
        number = torch.arange(len(self.defenses) * len(self)) % len(self)
        return number < count * self.shareable


@dataclass(frozen=True)
class _First:
    """A defense that is none: the client uses the first images of its pool."""

    batch_size: int

    def draw(self, labels: Tensor, rng: torch.Generator) -> Tensor:
        return torch.arange(self.batch_size)


def _steps(defense: Any) -> tuple:
    """The defenses that one is composed of."""
    if defense is None:
        return ()
    return tuple(defense) if isinstance(defense, tuple | list) else (defense,)


def _drawing(defense: Any) -> Any:
    """The defense that chooses which images of a pool are used, the first one; else None."""
    steps = _steps(defense)
    return steps[0] if steps and hasattr(steps[0], "draw") else None


def _side_by_side(updates: list[client.SharedUpdate], model: nn.Module) -> client.SharedUpdate:
    """The updates of the same clients under each defense as one update of as many more clients."""
    first, times = updates[0], len(updates)
    gradients = {name: torch.cat([update.gradients[name] for update in updates])
                 for name in first.gradients}
    labels = None if first.labels is None else first.labels.repeat(times, 1)
    sent = first.model
    if isinstance(model, models.Ensemble):
        sent = models.prepare(models.Ensemble(model.unstack() * times), first.protocol.mode)
    return replace(first, gradients=gradients, labels=labels, model=sent)


# --- the experiment ------------------------------------------------------------------------------


@dataclass(frozen=True)
class AttackConfig:
    """What `attack` is asked for; images, victim, clients, batch_size, seed and train: see `Case`.

    attack, and each defense: {"name": ..., arguments}. Client k holds images kB .. kB + B - 1 of
    the split (of every `stride`-th image), or with unique_labels the k-th batch that
    `ImageSet.clients` draws under `seed` so. protocol, threat: arguments of `client.Protocol` and
    `client.ThreatModel`.
    defense: a list of {"name": ..., arguments} or None (no defense): each client is attacked once
    under each, from the same start, all in one batch.
    record: iterations whose images are scored. start: seed of the dummy's start, where it is not
    `seed`; two attacks of one start differ in nothing else. match: see `metrics.score`. layers:
    every parameter's gradient distance too. each_restart: rows for all restarts, not the best.
    among: arguments of `describe.image_set`, of a set that an image is looked for in."""

    images: dict
    victim: dict
    attack: dict
    clients: list[int]
    seed: int
    batch_size: int = 1
    restarts: int = 1
    protocol: dict | None = None
    threat: dict | None = None
    defense: list | None = None
    record: list[int] | None = None
    layers: bool = False
    shown: int = 8
    stride: int = 1
    chunk: int | None = None
    start: int | None = None
    train: dict | None = None
    unique_labels: bool = False
    each_restart: bool = False
    match: bool = True
    among: dict | None = None

    def case(self) -> Case:
        return Case(
            self.images, self.victim, self.clients, self.batch_size, self.seed,
            deal.Drawn(unique_labels=True) if self.unique_labels else deal.InOrder(self.stride),
            protocol=client.Protocol(**(self.protocol or {})),
            threat=client.ThreatModel(**(self.threat or {})),
            defenses=tuple(composed(described) for described in self.defense or [None]),
            train=self.train)


@stored_as("lib.experiment.attack")
def attack(**config) -> tuple[pd.DataFrame, dict]:
    """Attack clients [first, last) of an image set: a row an image. The arguments: AttackConfig.

    The scores are of the last iterate of the restart with the smallest objective, as the official
    codes report (columns loss, best_loss, true_label, label, evaluations and ended, why that
    restart ended, beside the metrics; cells stored before December 2026 have no `ended`), and
    best_mse that of its state of the smallest objective; trained victims: victim_accuracy, the
    share of the split "test" that they classify right. Column `defense` counts through the list of
    defenses. each_restart: a row for every restart instead of the best one's (column restart;
    distance, the objective without priors at the last iterate; no best_mse). among: column rank,
    see `scores.ranks`.

    Array `losses` holds the objective of every iteration, or a hundred of them where there are more
    than 1,000. Of the iterations to record: array `mse` (K, T), and for sets that may be shown, of
    the first `shown` clients, `states` (k, T, B, C, H, W), uint8, with `truth`; with layers also
    `layers` (K, T, L)."""
    how = AttackConfig(**config)
    case, chosen = how.case(), named(ATTACKS, how.attack)
    if how.layers and chosen.labels != "joint":
        raise ValueError("layers=True follows the dummy labels: the attack must optimise them")
    update = case.share()
    start = case.starts(update, chosen, how.restarts, how.start)
    guess = attacks.reconstruct(
        update, chosen, how.restarts, how.seed, how.record or (), how.chunk, start)
    if how.each_restart:
        table = scores.rows_of_each(guess, case.private, how.match, update, chosen.objective)
    else:
        table = scores.rows_of_best(guess, case.private, how.match)
    if how.train:
        table = table.assign(victim_accuracy=case.victim_accuracy)
    if how.among:
        table = table.assign(rank=_ranks(how, case, guess, table))
    table = case.numbered(table)
    if not how.defense:
        table = table.drop(columns="defense")
    return table, _curves(how, case, update, guess)


def _ranks(how: AttackConfig, case: Case, guess: attacks.Reconstruction, table: pd.DataFrame) \
        -> Sequence[int]:
    """`scores.ranks` of the last iterates that the rows of a table are of."""
    last, _ = scores.last_of(guess, scores.best_restarts(guess))
    k, image, chosen = (torch.tensor(table[name].array) for name in ("client", "image", "guess"))
    candidates = image_set(how.among, how.seed).images.float() / 255
    return scores.ranks(last[k, chosen].cpu(), case.private.images[k, image], candidates)


def _curves(how: AttackConfig, case: Case, update: client.SharedUpdate,
            guess: attacks.Reconstruction) -> dict:
    """The arrays of `attack`."""
    arrays = {"losses": scores.losses(guess)}
    if guess.history.images:
        recorded, shown = scores.states(guess), case.shown(how.shown)
        arrays["mse"] = scores.matched_mse(recorded, case.private.images)
        if shown.any():
            arrays["states"] = as_bytes(recorded[shown])
            arrays["truth"] = as_bytes(case.private.images[shown])
    if how.layers:
        arrays["layers"] = scores.layer_distances(update, guess)
    return arrays
