"""What notebook 10 computes: one attack in one setting of federated learning.

A setting is what a server sees in a round: how many images a client has, how many local steps it
takes, how it runs BatchNorm, whether the network is trained, and how many clients are in the mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lib import attacks, bounds, client, data, models, precode, run
from studies import scores
from studies.accuracy import trained
from studies.describe import ATTACKS, composed, image_set, members, named
from studies.keys import stored_as

APART = 64  # images between the first of one network's updates and the first of the next

CLIENTS_DRAW, ATTACKERS_DRAW = 1000, 1  # seeds of the draws in a bottleneck


@dataclass(frozen=True)
class SettingConfig:
    """What `setting` is asked for.

    images: arguments of `describe.image_set`; the private images are of its split "test", which no
    network was trained on. victim: {"name": ..., arguments}, without a seed: network k's weights
    are drawn under seed * 10**6 + k. networks: [first, last). train: arguments of
    `accuracy.trained`, or None.
    updates: attacked of each network; each is the mean over `clients`, who hold `batch_size` images
    each. protocol, threat: arguments of `client.Protocol` and `client.ThreatModel`. defense: see
    `describe.composed`, the same for all clients. precode: arguments of `precode.precode`, put into
    every network; the attacker then has draws of its own. omit: how the names of the tensors begin
    that the attacker leaves out.
    among: numbers [first, last) of images of the set; the first `ranked` images of each network are
    looked for among these. shown: of so many networks pictures are kept, eight at most."""

    images: dict
    victim: dict
    attack: dict
    networks: list[int]
    updates: int
    batch_size: int
    clients: int
    seed: int
    protocol: dict
    threat: dict
    train: dict | None = None
    defense: list | dict | None = None
    precode: dict | None = None
    omit: list[str] | None = None
    among: list[int] | None = None
    ranked: int = 4
    shown: int = 0

    def __post_init__(self) -> None:
        if self.train and self.precode is not None:
            raise ValueError("a bottleneck is put into a fresh network: leave train or precode out")

    def networks_of_updates(self) -> np.ndarray:
        """(K,): the network of each update, in the order in which they stand side by side."""
        return np.repeat(np.arange(*self.networks), self.updates)


@stored_as("studies.realistic.setting")
def setting(**config) -> tuple[pd.DataFrame, dict]:
    """Attack updates in one setting: a row an image.

    Columns: network, update, image (its number in the set); the metrics, reconstructions matched to
    the images of an update one to one; flat_psnr, flat_ssim and flat_stlpips, those of the set's
    mean colour; rank, the place of the private image among itself and `among`, by ST-LPIPS to the
    reconstruction (NaN where it was not asked); true_label, label; loss; ended; accuracy of the
    network on 1,000 images of the split "test", where it is trained; seconds an update. Arrays
    `found` and `truth` (n, C, H, W), uint8, where pictures may be kept."""
    how = SettingConfig(**config)
    pictures = image_set(how.images, how.seed)
    nets = networks(how, pictures)
    update, private, numbers = shared(how, pictures, nets)
    update = attacked(how, update)
    guess = attacks.reconstruct(update, named(ATTACKS, how.attack), seed=how.seed)
    table = scores.rows_of_best(guess, private)
    found, truth = _pictures(guess, private, table)
    table = pd.concat([table, _of_mean_colour(private, truth)], axis=1)
    of = how.networks_of_updates()
    places = torch.tensor(table.image.array)
    table = table.assign(
        network=of[table.client], update=table.client % how.updates,
        image=numbers[torch.tensor(table.client.array), places].numpy(),
        rank=_ranks(how, pictures, of[table.client], found, truth), seconds=guess.seconds / len(of))
    if how.train:
        accuracies = [_accuracy(net, pictures) for net in nets]
        table = table.assign(accuracy=np.array(accuracies)[table.network - how.networks[0]])
    table = table.drop(columns="client")
    return scores.narrowed(table), _kept(how, pictures, table, found, truth)


def networks(how: SettingConfig, pictures: data.ImageSet) -> list[nn.Module]:
    """The networks [first, last), trained where the config says so."""
    nets = members(pictures, how.victim, how.networks, how.seed)
    if not how.train:
        return [_with_bottleneck(how, net, k) for net, k in
                zip(nets, range(*how.networks), strict=True)]
    seeds = range(how.seed * 10**6 + how.networks[0], how.seed * 10**6 + how.networks[1])
    return [trained(net, how.images, seed, True, **how.train)
            for net, seed in zip(nets, seeds, strict=True)]


def _with_bottleneck(how: SettingConfig, net: nn.Module, k: int) -> nn.Module:
    """The network, extended where the config says so, with draws of the client's own."""
    if how.precode is None:
        return net
    extended = precode.precode(net, draws=how.batch_size, seed=k, **how.precode)
    return precode.redrawn(extended, CLIENTS_DRAW + k)


def attacked(how: SettingConfig, update: client.SharedUpdate) -> client.SharedUpdate:
    """What the attacker looks at: without what it omits, and with bottlenecks of its own draws."""
    if how.precode is not None:
        update = replace(update, model=precode.redrawn(update.model, ATTACKERS_DRAW))
    if not how.omit:
        return update
    kept = {name: g for name, g in update.gradients.items()
            if not name.startswith(tuple(how.omit))}
    return replace(update, gradients=kept)


def shared(how: SettingConfig, pictures: data.ImageSet, nets: Sequence[nn.Module]) \
        -> tuple[client.SharedUpdate, data.Batch, Tensor]:
    """What the server sees, (K, ...) means side by side; their private images (K, clients *
    batch_size); and those images' numbers in the set."""
    K, B, M = len(nets) * how.updates, how.batch_size, how.clients
    numbers = _numbers(how)
    sent = models.Ensemble([net for net in nets for _ in range(how.updates)])
    sent = sent.to(run.current().device)
    protocol, threat = client.Protocol(**how.protocol), client.ThreatModel(**how.threat)
    defense = composed(how.defense, batch_size=B)
    updates = []
    for member in range(M):
        held = pictures.clients(K, B, indices=numbers[:, member * B:(member + 1) * B])
        updates.append(client.share(sent, held, protocol, defense, threat, how.seed + member))
    private = pictures.clients(K, M * B, indices=numbers)
    return (client.aggregate(updates) if M > 1 else updates[0]), private, numbers


def _numbers(how: SettingConfig) -> Tensor:
    """(K, clients * batch_size): which images of the set are in which update. Those of the smaller
    settings are the first of the larger ones', and no two networks share one."""
    images = how.clients * how.batch_size
    if how.updates * images > APART:
        raise ValueError(f"a network has at most {APART} images, not {how.updates * images}")
    first = APART * torch.arange(*how.networks)
    return (first[:, None] + torch.arange(how.updates * images)).view(-1, images)


def _pictures(guess: attacks.Reconstruction, private: data.Batch, table: pd.DataFrame) \
        -> tuple[Tensor, Tensor]:
    """The last iterates and the private images (n, C, H, W) of the rows of a table."""
    k, image, chosen = (torch.tensor(table[name].array) for name in ("client", "image", "guess"))
    last, _ = scores.last_of(guess, scores.best_restarts(guess))
    return last[k, chosen].cpu(), private.images[k, image]


def _of_mean_colour(batch: data.Batch, truth: Tensor) -> pd.DataFrame:
    """What the set's mean colour has against images (n, C, H, W)."""
    flat = batch.mean.view(-1, 1, 1).expand_as(truth)
    table = scores.score(flat[:, None], truth[:, None])
    return table[["psnr", "ssim", "stlpips"]].add_prefix("flat_")


def _ranks(how: SettingConfig, pictures: data.ImageSet, network: np.ndarray, found: Tensor,
           truth: Tensor) -> np.ndarray:
    """(n,): the ranks of the first images of each network; NaN for the others."""
    ranks = np.full(len(found), np.nan)
    if how.among is None:
        return ranks
    candidates = pictures.images[slice(*how.among)].float() / 255
    for k in range(*how.networks):
        rows = np.flatnonzero(network == k)[:how.ranked]
        ranks[rows] = scores.ranks(found[rows].clamp(0, 1), truth[rows], candidates)
    return ranks


def _accuracy(net: nn.Module, pictures: data.ImageSet) -> float:
    looked_at = pictures.subset(range(min(1000, len(pictures))))
    return models.accuracy(net, looked_at, normalise=True)


def _kept(how: SettingConfig, pictures: data.ImageSet, table: pd.DataFrame, found: Tensor,
          truth: Tensor) -> dict:
    """The pictures of the first networks, eight each at most."""
    if not how.shown or not data.shareable(pictures.name):
        return {}
    numbers = range(how.networks[0], how.networks[0] + how.shown)
    rows = np.concatenate([np.flatnonzero(table.network == k)[:8] for k in numbers])
    return {"found": scores.as_bytes(found[rows].clamp(0, 1)),
            "truth": scores.as_bytes(truth[rows])}


def steps_protocol(batch_size: int, steps: int, mode: str, local_lr: float) -> dict:
    """Arguments of `client.Protocol` of a client that takes `steps` local steps: over parts of its
    batch where it has as many images, else over the whole batch again and again; one step is a
    gradient."""
    protocol = {"normalise": True, "mode": mode}
    if steps == 1:
        return protocol
    if batch_size % steps == 0:
        more = {"epochs": 1, "local_batch": batch_size // steps}
    else:
        more = {"epochs": steps, "local_batch": batch_size}
    return protocol | more | {"sends": "weights", "local_lr": local_lr}


@stored_as("studies.realistic.prior")
def prior(images: dict, count: int, errors: list[float], seed: int) -> tuple[pd.DataFrame, dict]:
    """What an attacker knows of a set without any update: a row an error of `errors`.

    blind: at most for that share of the first `count` images a fixed guess is so near
    (`bounds.blind_share`). variance: of a pixel around the mean image, the mean over pixels: the
    error of that guess. pixels: of an image."""
    pictures = image_set(images, seed)
    flat = pictures.images[:count].flatten(1).double() / 255
    variance = float(flat.var(0, correction=0).mean())
    shares = [bounds.blind_share(flat.numpy(), error) for error in errors]
    return pd.DataFrame({"error": errors, "blind": shares, "variance": variance,
                         "pixels": flat.shape[1], "images": len(flat)}), {}
