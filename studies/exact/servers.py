"""What notebook 09 computes of a dishonest server: single images of large batches, class fishing,
and what the client can see of each model."""

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lib import client, data, exact, models
from studies.describe import image_set
from studies.exact.compute import EXACT, errors, held, one, to_images, victims
from studies.keys import stored_as
from studies.scores import as_bytes

RECOVERED = 1e-6  # MSE in [0, 1]; updates are in float32 here
HONEST = ("fresh", "trained")


@stored_as("studies.exact.large_batches")
def large_batches(images: dict, kinds: list[str], units: list[int], batch_sizes: list[int],
                  clients: list[int], seed: int, shown: int = 0) -> tuple[pd.DataFrame, dict]:
    """How much of a large batch one gradient gives, in float32: a row a kind, number of units,
    batch size and client, each with its own network.

    kind: "imprint" (units bins before a LeNet; the server knows the mean and spread of the
    brightness of the split "train"), "trap" (units neurons, active for one image in 32 of it), or
    "honest" (units neurons, as they were drawn). recovered: share of the images with an MSE below
    RECOVERED to one of those that a division gives: an attacker sees which are images. expected:
    `exact.expected_alone`. Array: private images (bytes) of the first client with the last setting
    of an imprint, their nearest finds beside them (1, 2, shown, C, H, W)."""
    pictures, rows, arrays = image_set(images, seed), [], {}
    public = image_set(images | {"split": "train"}, seed)
    public = (public.images[:2000].float() / 255)
    for kind, count, B in itertools.product(kinds, units, batch_sizes):
        batches = held(pictures, clients, B, seed, "float32")
        for k in range(*clients):
            sent, name, read = _sent(kind, pictures, public, count, seed * 10**6 + k)
            batch = one(batches, k - clients[0])
            g = client.share(sent, batch).gradients
            found = read(g[f"{name}.weight"][0], g[f"{name}.bias"][0])
            mse = errors(found, batch)
            rows.append({"kind": kind, "units": count, "B": B, "client": k,
                         "recovered": float((mse < RECOVERED).mean()),
                         "expected": exact.expected_alone(count, B)})
            if shown and kind == "imprint" and k == clients[0]:
                arrays["images"] = _beside(found, batch, shown)
    return pd.DataFrame(rows), arrays


def _sent(kind: str, pictures: data.ImageSet, public: Tensor, units: int, seed: int) \
        -> tuple[nn.Module, str, Callable]:
    """A server's model, the name of the layer that is read, and how."""
    if kind == "imprint":
        h = public.flatten(1).mean(1)
        body = models.lenet(pictures, init="default", seed=seed)
        sent = exact.imprint(body, pictures.shape, units, h.mean().item(), h.std().item())
        return sent, "bins", exact.imprinted
    if kind not in ("trap", "honest"):
        raise ValueError(f"kind is 'imprint', 'trap' or 'honest', not {kind!r}")
    net = models.dense(pictures, hidden=(units,), activation="relu", seed=seed)
    if kind == "trap":
        net = exact.trap_weights(net, public, 1 / 32, seed)
    return net, "1", exact.rows_divided


def _beside(found: Tensor, batch: data.Batch, count: int) -> np.ndarray:
    private = batch.images[0, :count]
    found = found[found.isfinite().all(1)]
    nearest = found[torch.cdist(private.flatten(1).double(), found.double()).argmin(1)]
    return as_bytes(torch.stack([private, nearest.view_as(private).float()]))[None]


@stored_as("studies.exact.fishing")
def fishing(images: dict, width: int, batch_size: int, clients: list[int], seed: int, draws: int) \
        -> tuple[pd.DataFrame, dict]:
    """A batch in as many rounds as there are classes: a row a client and round.

    In each round the server fishes for a class, and SPEAR reads the first layer's gradient (images
    normalised, float64). Two hidden layers: with one, all images of a class send the same numbers
    down, the difference of two is sparser than either, and SPEAR takes it for an image.

    count: images of that class; rank: of the gradient; exact: by SPEAR's own check; recovered: how
    many of them come back with an MSE below EXACT. honest_rank and permuted_rank: of the gradient
    of the honest model, and of the one with permuted classes."""
    pictures, rows = image_set(images, seed), []
    victim = {"name": "dense", "hidden": [width, width], "activation": "relu"}
    batches = held(pictures, clients, batch_size, seed)
    protocol = client.Protocol(normalise=True)
    for k, net in enumerate(victims(images, victim, clients, seed, True, None)):
        batch = one(batches, k)
        ranks = {}
        for name, model in (("honest_rank", net), ("permuted_rank", models.permute_classes(net))):
            g = client.share(model, batch, protocol).gradients
            ranks[name] = exact.numerical_rank(g["1.weight"][0])
        for label in range(pictures.num_classes):
            count = int((batch.labels[0] == label).sum())
            if count:
                row = _fished(net, batch, label, protocol, draws, seed)
                rows.append({"client": clients[0] + k, "label": label, "count": count} | row
                            | ranks)
    return pd.DataFrame(rows), {}


def _fished(net: nn.Module, batch: data.Batch, label: int, protocol: client.Protocol, draws: int,
            seed: int) -> dict:
    """One round: what the gradient of the images of one class gives."""
    g = client.share(exact.fish_class(net, label), batch, protocol).gradients
    G, db = g["1.weight"][0], g["1.bias"][0]
    rank = exact.numerical_rank(G)
    found = exact.spear(G, db, net[1].weight, net[1].bias, rank, draws, seed)
    mse = errors(to_images(found.images, batch, True), batch)[batch.labels[0] == label]
    return {"rank": rank, "exact": found.exact, "recovered": int((mse < EXACT).sum())}


@stored_as("studies.exact.seen")
def seen(images: dict, networks: dict, batch_sizes: list[int], clients: list[int], seed: int,
         train: dict) -> tuple[pd.DataFrame, dict]:
    """What a client sees of honest and dishonest models: a row a network, kind and batch size.

    networks: name -> a victim. kind: "fresh", "trained" (both honest), "imprint" (64 bins), "trap"
    (where the first layer is dense), "fished" (for the class of the client's first image),
    "permuted" (the trained network's classes). Columns: the signs of `exact.signs`."""
    pictures, rows = image_set(images, seed), []
    public = image_set(images | {"split": "train"}, seed).images[:2000].float() / 255
    for name, victim in networks.items():
        fresh = victims(images, victim, clients, seed, False, None, "float32")
        learned = victims(images, victim, clients, seed, False, train, "float32")
        for B in batch_sizes:
            batches = held(pictures, clients, B, seed, "float32")
            for k in range(len(fresh)):
                x, labels = batches.images[k], batches.labels[k]
                for kind, model in _models(fresh[k], learned[k], public, int(labels[0])):
                    rows.append({"victim": name, "client": clients[0] + k, "B": B, "kind": kind}
                                | exact.signs(model, x, labels))
    return pd.DataFrame(rows), {}


def _models(fresh: nn.Module, learned: nn.Module, public: Tensor, label: int) \
        -> list[tuple[str, nn.Module]]:
    h = public.flatten(1).mean(1)
    module = exact.imprint(fresh, tuple(public.shape[1:]), 64, h.mean().item(), h.std().item())
    sent = [("fresh", fresh), ("trained", learned), ("imprint", module),
            ("fished", exact.fish_class(learned, label)),
            ("permuted", models.permute_classes(learned))]
    if isinstance(next(m for m in fresh if [*m.parameters()]), nn.Linear):
        sent.append(("trap", exact.trap_weights(fresh, public, 1 / 32)))
    return sent
