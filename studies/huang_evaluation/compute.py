"""What notebook 05 alone computes: attacks on defended clients, and what a step of one costs."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lib import attacks, client, defenses, metrics, models, run
from studies import deal, scores
from studies.case import Case
from studies.describe import ATTACKS, composed, image_set, named, victims
from studies.keys import stored_as

COMPOSITIONS = {  # the label of image b of client k, of C classes
    "all different": lambda k, b, C: (k + b) % C,
    "two labels": lambda k, b, C: (k + b % 2) % C,
    "all equal": lambda k, b, C: k % C}
PICTURES = 6  # at most, of one cell


# --- attacks under a defense ----------------------------------------------------------------------


@dataclass(frozen=True)
class DefendedConfig:
    """What `defended` is asked for; victim and train: see `case.Case`; the victim has a "seed".

    Private images: the official code's attack set (`deal.AttackSet`), or with labels_of_batch those
    that COMPOSITIONS names. defense: see `describe.composed`; one that mixes takes the partners
    from all clients' images. draws: epochs of encodings, all of which are attacked and decoded
    together. statistics, labels: what the threat model grants; with labels "unknown" the attack
    optimises them. mode: of the clients. fixed_statistics: `attacks.as_if_eval`."""

    images: dict
    victim: dict
    attack: dict
    batch_size: int
    clients: int
    seed: int
    defense: list | None = None
    train: dict | None = None
    mode: str = "train"
    statistics: str = "exact"
    labels: str = "known"
    fixed_statistics: bool = False
    labels_of_batch: str | None = None
    record: list[int] | None = None
    shown: int = 0
    draws: int = 1

    def case(self) -> Case:
        defense = composed(self.defense, batch_size=self.batch_size)
        mixes = any(hasattr(step, "keys") for step in defense or ())
        dealt = deal.AttackSet()
        if self.labels_of_batch is not None:
            dealt = deal.Labelled(_composition(self.labels_of_batch))
        granted = client.ThreatModel(labels=self.labels, bn_statistics=self.statistics,
                                     mixing_keys=mixes)
        return Case(self.images, self.victim, (0, self.clients), self.batch_size, self.seed,
                    deal.Everybodys(dealt) if mixes else dealt,
                    protocol=client.Protocol(mode=self.mode, normalise=True), threat=granted,
                    defenses=(defense,), train=self.train)


def _composition(name: str) -> Callable[[int, int, int], int]:
    if name not in COMPOSITIONS:
        raise ValueError(f"labels_of_batch is one of {', '.join(COMPOSITIONS)}, not {name!r}")
    return COMPOSITIONS[name]


@stored_as("studies.huang_evaluation.defended")
def defended(**config) -> tuple[pd.DataFrame, dict]:
    """Attack clients under a defense, all of one victim: a row an image. The arguments:
    DefendedConfig. The scores are of the last iterate, as the official code's (Huang et al. 2021),
    and of the first epoch of encodings but for what is decoded.

    Columns: the metrics, reconstructions matched to originals one to one; nearest_psnr, the best
    over all originals of the batch, as that code counts (one original may count many times); with
    a defense that mixes, encoding_psnr (reconstruction against what the client fed, in its place)
    and decoded_mse, _psnr, _ssim, _avd (`attacks.decode`, keys known, against the original in its
    place); labels_right, the share of the batch's labels that were read right, as sets with
    repetition; seconds of the attack an image; ended, why it ended (cells stored before December
    2026 have no `ended`).
    Arrays: `truth`, `guesses` and where mixed `decoded` (images, C, H, W), uint8, of the first
    `shown` clients, six images at most, where they may be shown; with `record`, `path`
    (clients, T): mean PSNR of each client at those iterations, matched."""
    how = DefendedConfig(**config)
    case = how.case()
    update = case.share()
    attacked = attacks.as_if_eval(update) if how.fixed_statistics else update
    attack = named(ATTACKS, how.attack)
    guess = attacks.reconstruct(attacked, attack, seed=how.seed, record=how.record or ())
    images, truth = guess.last[:, 0].cpu(), case.private.images  # (K, B, C, H, W)
    table, order = _defended_rows(case, guess, images)
    if how.train:
        table = table.assign(victim_accuracy=case.victim_accuracy)
    pictures = {"truth": truth, "guesses": scores.reordered(images, order)}
    if case.threat.mixing_keys:
        fed = client.drawn(case.held, case.defenses[0], how.seed).images
        decoded = _decoded(case, update, images, attack, how.draws)
        table["encoding_psnr"] = metrics.psnr(images, fed).flatten().numpy()
        of_decoded = metrics.score(decoded, truth, match=False)
        for name in ("mse", "psnr", "ssim", "avd"):
            table[f"decoded_{name}"] = of_decoded[name]
        pictures |= {"guesses": images, "decoded": decoded}  # encodings, in their places
    arrays, shown = {}, case.shown(how.shown)
    if shown.any():
        for name, values in pictures.items():
            arrays[name] = scores.as_bytes(values[shown].flatten(0, 1)[:PICTURES])
    if how.record:
        recorded = [guess.history.images[i][:, 0].cpu() for i in how.record]
        path = [scores.mean_psnr(state, truth) for state in recorded]
        arrays["path"] = np.stack(path, 1).astype(np.float32)
    return scores.narrowed(table), arrays


def _defended_rows(case: Case, guess: attacks.Reconstruction, images: Tensor) \
        -> tuple[pd.DataFrame, Tensor]:
    """The columns that are there under every defense, and the order of the reconstructions."""
    size, truth = case.batch_size, case.private
    table = case.score(images)
    order = scores.order_of(table, size)
    nearest = scores.nearest_psnr(images, truth.images).gather(1, order)
    right = scores.labels_right(truth.labels, guess.last_labels[:, 0].cpu(), truth.num_classes)
    table = table.drop(columns="guess").assign(
        nearest_psnr=nearest.flatten().numpy(), labels_right=scores.per_image(right / size, size),
        seconds=guess.seconds / (len(case) * size),
        ended=[guess.ended[k][0] for k in table.client])
    return table, order


def _decoded(case: Case, update: client.SharedUpdate, images: Tensor, attack: attacks.Attack,
             draws: int) -> Tensor:
    """(K, B, C, H, W): the private images, decoded from the encodings that were recovered, and from
    those of `draws` - 1 more epochs, attacked here."""
    updates, recovered = [update], [images]
    for draw in range(1, draws):
        seed = case.seed + draw
        updates.append(case.share(seed=seed))
        guess = attacks.reconstruct(updates[-1], attack, seed=seed)
        recovered.append(guess.last[:, 0].cpu())
    count = len(case) * case.batch_size
    shift = case.batch_size * torch.arange(len(case)).repeat_interleave(case.batch_size)
    # a client counts from its own images on
    partners = [(shared.keys[0].flatten(0, 1) + shift[:, None]) % count for shared in updates]
    weights = [shared.keys[1].flatten(0, 1) for shared in updates]
    flipped = any(isinstance(step, defenses.InstaHide) for step in case.defenses[0])
    encodings = torch.cat(recovered).flatten(0, 1)
    keys = torch.cat(partners), torch.cat(weights)
    return attacks.decode(encodings, keys, count, flipped).view_as(case.private.images)


@stored_as("studies.huang_evaluation.baselines")
def baselines(images: dict, clients: int, seed: int, mixing: list) -> tuple[pd.DataFrame, dict]:
    """What guesses score that no attack made: a row a guess and image of the attack set (B = 1).

    Mid-grey; uniform noise; the image's own mean colour; its best encoding, exactly recovered, for
    each defense of `mixing`. No reconstruction below the first says anything. nearest_psnr: the
    best over all originals of a batch of 16 (NaN where fewer are left), as `defended` has it."""
    case = Case(images, None, (0, clients), 1, seed, deal.Everybodys(deal.AttackSet()))
    truth = case.private.images
    noise = torch.rand(truth.shape, generator=run.generator("noise", seed))
    guesses = {"mid-grey": torch.full_like(truth, 0.5), "uniform noise": noise,
               "own mean colour": truth.mean((-2, -1), keepdim=True).expand_as(truth)}
    for described in mixing:
        encoding = client.drawn(case.held, composed([described], batch_size=1), seed)
        guesses[f"exact encoding, {described['name']} {described['k']}"] = encoding.images
    whole, tables = clients // 16 * 16, []
    for name, guess in guesses.items():
        batches = [t[:whole].reshape(-1, 16, *t.shape[2:]) for t in (guess, truth)]
        nearest = np.full(clients, np.nan)
        nearest[:whole] = scores.nearest_psnr(*batches).flatten().numpy()
        table = metrics.score(guess, truth, match=False)
        tables.append(table.assign(guess=name, nearest_psnr=nearest))
    return pd.concat(tables, ignore_index=True), {}


# --- what training and attacking cost -------------------------------------------------------------


@stored_as("studies.huang_evaluation.training_time")
def training_time(images: dict, victim: dict, defenses_: list, batch_size: int, repeats: int,
                  first: int | None = None, seed: int = 0) -> tuple[pd.DataFrame, dict]:
    """Seconds of one epoch of training under each defense: a row a repeat and defense (its number).

    The defenses take turns, so that what else the machine does meets all of them; on the first
    `first` training images, or all. The first turn, which warms up, is left out."""
    pictures, rows = image_set(images | {"split": "train"}, seed), []
    if first:
        pictures = pictures.subset(range(first))
    for turn, (number, described) in itertools.product(range(repeats + 1), enumerate(defenses_)):
        model = victims(pictures, {"seed": seed} | victim, [0, 1], seed)
        begin = time.perf_counter()
        models.train(model, pictures, 1, batch_size, defense=composed(described), normalise=True)
        seconds = time.perf_counter() - begin
        rows.append({"repeat": turn, "defense": number, "seconds": seconds})
    return pd.DataFrame(rows[len(defenses_):]), {}


@stored_as("studies.huang_evaluation.effort")
def effort(images: dict, victims_: list, batch_sizes: list, seed: int = 0) \
        -> tuple[pd.DataFrame, dict]:
    """Floating point operations of one step of the attack: a row a victim and batch size.

    forward: of the network; gradient: the update of the dummy batch; step: the objective and its
    gradient with respect to the images alone, what one iteration of Adam costs. Counted on tensors
    without values, from their shapes."""
    pictures, rows = image_set(images, seed), []
    for described in victims_:
        model = victims(pictures, {"seed": 0} | described, [0, 1], seed)
        model = model.train().to("meta")
        parameters = sum(p.numel() for p in model.parameters())
        for batch_size in batch_sizes:
            x = torch.empty(batch_size, *pictures.images.shape[1:], device="meta")
            target = torch.empty(batch_size, len(pictures.classes), device="meta")
            rows.append({"victim": described["name"], "width": described.get("width"),
                         "B": batch_size, "parameters": parameters}
                        | _operations(model, x, target))
    return pd.DataFrame(rows), {}


def _operations(model: nn.Module, x: Tensor, target: Tensor) -> dict[str, int]:
    """The columns of `effort` that the counter of operations gives, for a batch x (B, C, H, W)."""
    params, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    x = x.requires_grad_().clone()  # the counter takes no leaf
    counted = {}
    with FlopCounterMode(display=False) as counter:
        models.call(model, params | buffers, x)
    counted["forward"] = counter.get_total_flops()
    with FlopCounterMode(display=False) as counter:  # it counts on until it is left
        dummy = _gradient(model, params, buffers, x, target, client.Protocol(mode="train"))
        counted["gradient"] = counter.get_total_flops()
        squares = [(g - params[name]).square().sum() for name, g in dummy.items()]
        torch.autograd.grad(sum(squares), x)
    counted["step"] = counter.get_total_flops()
    return counted


def _gradient(base: nn.Module, params: dict, buffers: dict, x: Tensor, target: Tensor,
              protocol: client.Protocol) -> dict[str, Tensor]:
    """The update of one batch by plain autograd, which the counter of operations understands."""
    live = {name: p.clone().requires_grad_() for name, p in params.items()}
    loss = client.loss_function(base, protocol)(live, buffers, x, target)
    gradients = torch.autograd.grad(loss, live.values(), create_graph=True)
    return dict(zip(live, gradients, strict=True))
