"""What notebook 09 computes of an honest server: SPEAR, four attacks on one update, tokens in the
span, the recursion."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lib import analytic, attacks, client, data, exact
from studies import language
from studies.accuracy import trained
from studies.describe import image_set, members
from studies.keys import stored_as
from studies.scores import as_bytes

EXACT = 1e-9  # MSE of a pixel in [0, 1], below which an image is given back exactly


def held(pictures: data.ImageSet, clients: list[int], batch_size: int, seed: int,
         precision: str = "float64") -> data.Batch:
    """The batches of clients [first, last), drawn under the seed."""
    first, last = clients
    indices = pictures.clients(last, batch_size, seed).indices[first:]
    batch = pictures.clients(last - first, batch_size, indices=indices)
    return replace(batch, images=batch.images.to(getattr(torch, precision)))


def one(batch: data.Batch, k: int) -> data.Batch:
    """Client k's batch alone."""
    return replace(batch, images=batch.images[k:k + 1], labels=batch.labels[k:k + 1],
                   indices=None)


def victims(images: dict, victim: dict, clients: list[int], seed: int, normalise: bool,
            train: dict | None, precision: str = "float64") -> list[nn.Module]:
    """A network for each client, trained on a seed of its own where `train` says so."""
    nets = []
    of_clients = members(image_set(images, seed), victim, clients, seed)
    for k, net in zip(range(*clients), of_clients, strict=True):
        if train:
            net = trained(net, images, seed * 10**6 + k, normalise, **train)
        nets.append(net.to("cpu", getattr(torch, precision)))
    return nets


def to_images(found: Tensor, batch: data.Batch, normalise: bool) -> Tensor:
    """What a layer took (B, pixels) as images (B, C, H, W) in the units of [0, 1]."""
    x = found.view(-1, *batch.images.shape[2:]).double()
    if not normalise:
        return x
    mean, std = (t.double()[:, None, None] for t in (batch.mean, batch.std))
    return x * std + mean


def errors(found: Tensor, batch: data.Batch) -> np.ndarray:
    """(B,): MSE of each private image to the nearest of those found (n, C, H, W); infinite where
    there is none. One that was found may stand for several."""
    private = batch.images[0].flatten(1).double()
    found = found.flatten(1).double()
    found = found[found.isfinite().all(1)]
    if not len(found):
        return np.full(len(private), np.inf)
    return (torch.cdist(private, found).square().min(1).values / private.shape[1]).numpy()


@stored_as("studies.exact.batches")
def batches(images: dict, victim: dict, batch_sizes: list[int], clients: list[int], seed: int,
            draws: int, normalise: bool = True, train: dict | None = None,
            precision: str = "float64") -> tuple[pd.DataFrame, dict]:
    """SPEAR on whole batches: a row a batch size and client, each client with its own network.

    exact: by its own check; recovered: share of the images with an MSE below EXACT; match, draws:
    see `exact.Unmixed`; error: the largest MSE; rest: the smallest share of the neurons that some
    image of the batch activates in which an image is at rest."""
    pictures = image_set(images, seed)
    nets = victims(images, victim, clients, seed, normalise, train, precision)
    rows = []
    for B, (k, net) in itertools.product(batch_sizes, enumerate(nets)):
        batch = one(held(pictures, clients, B, seed, precision), k)
        shared = client.share(net, batch, client.Protocol(normalise=normalise)).gradients
        found = exact.spear(shared["1.weight"][0], shared["1.bias"][0], net[1].weight, net[1].bias,
                            B, draws, seed)
        mse = errors(to_images(found.images, batch, normalise), batch)
        rows.append({"client": clients[0] + k, "B": B, "exact": found.exact,
                     "recovered": float((mse < EXACT).mean()), "match": found.match,
                     "draws": found.draws, "error": float(mse.max()),
                     "rest": _at_rest(net, batch, normalise)})
    return pd.DataFrame(rows), {}


def _at_rest(net: nn.Module, batch: data.Batch, normalise: bool) -> float:
    x = batch.images[0]
    if normalise:
        mean, std = (t.to(x)[:, None, None] for t in (batch.mean, batch.std))
        x = (x - mean) / std
    with torch.no_grad():
        active = net[1](x.flatten(1)) > 0  # (B, neurons)
    return float(1 - active[:, active.any(0)].double().mean(1).max())


@stored_as("studies.exact.same_update")
def same_update(images: dict, width: int, activation: str, batch_sizes: list[int],
                clients: list[int], seed: int, draws: int, restarts: int, shown: int = 0) \
        -> tuple[pd.DataFrame, dict]:
    """Five attacks on the same updates, images in [0, 1]: a row a batch size, client, attack and
    image.

    attack: "division" (each row over its bias), "components" of pixels, "differences" (components
    of the differences of neighbouring pixels), "search" in the span (labels known), "spear".
    mse: to the nearest image that the attack found. Arrays: private and found images (bytes) of the
    first client at batch size `shown`, (1, attacks + 1, B, C, H, W)."""
    pictures, rows, arrays = image_set(images, seed), [], {}
    victim = {"name": "dense", "hidden": [width], "activation": activation}
    nets = victims(images, victim, clients, seed, False, None)
    for B, (k, net) in itertools.product(batch_sizes, enumerate(nets)):
        batch = one(held(pictures, clients, B, seed), k)
        update = client.share(net, batch, threat=client.ThreatModel(labels="known"))
        found = _five(update, net, tuple(batch.images.shape[2:]), draws, restarts, seed)
        for name, guess in found.items():
            mse = errors(guess, batch)
            rows += [{"client": clients[0] + k, "B": B, "attack": name, "image": i, "mse": float(m)}
                     for i, m in enumerate(mse)]
        if B == shown and k == 0:
            private = batch.images[0].double()
            beside = [_nearest(guess, private) for guess in found.values()]
            arrays["images"] = as_bytes(torch.stack([private, *beside]))[None]
    return pd.DataFrame(rows), arrays


def _five(update: client.SharedUpdate, net: nn.Module, shape: tuple, draws: int, restarts: int,
          seed: int) -> dict[str, Tensor]:
    """What each attack finds of one client (n, C, H, W)."""
    G, db = (update.gradients[name][0] for name in ("1.weight", "1.bias"))
    B = update.batch_size
    small, basis = analytic.in_span(update)
    search = attacks.dlg(60, line_search=True, relative=True, labels="idlg")
    guess = attacks.reconstruct(small, search, restarts, seed)
    found = {"division": exact.rows_divided(G, db),
             "components": exact.components(G, db, B, None, seed)[0],
             "differences": exact.components(G, db, B, shape, seed)[0],
             "search": (guess.images.flatten(2).double() @ basis)[0],
             "spear": exact.spear(G, db, net[1].weight, net[1].bias, B, draws, seed).images}
    return {name: x.cpu().view(-1, *shape) for name, x in found.items()}


def _nearest(found: Tensor, private: Tensor) -> Tensor:
    """For each private image the nearest of those found; grey where there is none."""
    found = found[found.flatten(1).isfinite().all(1)]
    if not len(found):
        return torch.full_like(private, 0.5)
    return found[torch.cdist(private.flatten(1), found.flatten(1)).argmin(1)]


@stored_as("studies.exact.tokens")
def tokens(clients: list[int], counts: list[int], lengths: list[int], width: int, layers: int,
           seed: int, precision: str = "float32") -> tuple[pd.DataFrame, dict]:
    """The span test on sentences: a row a client, number of sentences and length.

    Client k has a masked language model of its own, and the sentences k, k + 1, ... of
    `language.SENTENCES`, their first `length` tokens. pairs: different (place, token) that the
    model read; found: how many pass the test; held: whether all of the private do; false: how many
    pass and were not there; rank: of the layer's gradient. sentence: of one sentence alone, whether
    all its tokens are read, the masked ones too: see `_whole`."""
    rows = []
    for count, length, k in itertools.product(counts, lengths, range(*clients)):
        net = _that_masks(seed, k, width, layers, length).to(getattr(torch, precision))
        chosen = [language.SENTENCES[(k + i) % len(language.SENTENCES)] for i in range(count)]
        ids = language.token_ids(chosen)[:, :length]
        g = {name: each.mean(0) for name, each in _of_each(net, ids).items()}
        weight = g["encoder.layers.0.self_attn.in_proj_weight"]
        masked = net.masked[:length].bool()
        passed = exact.tokens_in_span(weight, net.table, net.position.detach()[:length])
        private = torch.zeros_like(passed)
        for sentence in torch.where(masked, 0, ids):
            private[torch.arange(length), sentence] = True
        rows.append({"client": k, "sentences": count, "length": length, "width": width,
                     "pairs": int(private.sum()), "found": int(passed.sum()),
                     "held": bool(passed[private].all()), "false": int((passed & ~private).sum()),
                     "rank": exact.numerical_rank(weight),
                     "sentence": float("nan") if count > 1 else
                     float(_whole(net, g, passed, ids[0]))})
    return pd.DataFrame(rows), {}


def _that_masks(seed: int, k: int, width: int, layers: int, length: int) -> nn.Module:
    """Client k's model: the first one drawn that masks one of the first `length` places."""
    for i in range(100):
        net = language.masked_language_model(width, layers, seed=seed * 10**6 + 1000 * k + i)
        if net.masked[:length].any():
            return net
    raise RuntimeError("no model of a hundred masks a place")


def _of_each(net: nn.Module, ids: Tensor) -> dict[str, Tensor]:
    """The gradients (n, ...) of sentences (n, T), each alone."""
    x = torch.stack([net.table[torch.where(net.masked[:len(i)].bool(), 0, i)] for i in ids])
    return client.share(net, data.Embeddings(x, ids, len(language.vocabulary()))).gradients


def _whole(net: nn.Module, g: dict[str, Tensor], passed: Tensor, ids: Tensor) -> bool:
    """Is one sentence read without a mistake? Places that are not masked by the span; the masked
    tokens are the labels, whose entries of the last bias gradient are negative, in the order whose
    gradient is nearest to the shared one."""
    if (passed.sum(1) != 1).any():
        return False
    read, masked = passed.int().argmax(1), net.masked[:len(ids)].bool()
    labels = g["head.bias"].argsort()[:int(masked.sum())]
    orders = torch.tensor([*itertools.permutations(labels.tolist())])
    tried = read.repeat(len(orders), 1)
    tried[:, masked] = orders
    far = sum((each - g[name]).double().flatten(1).square().sum(1)
              for name, each in _of_each(net, tried).items())
    return bool((tried[far.argmin()] == ids).all())


@stored_as("studies.exact.recursion")
def recursion(images: dict, channels: list[int], activation: str, clients: list[int], seed: int,
              scale: float = 0.3) -> tuple[pd.DataFrame, dict]:
    """R-GAP on LeNets of several widths: a row a width and client, each with its own network.

    mse: of the image; exact: whether every rank was full; rank: of the first convolution's
    equations; equations: the least that `analytic.gradient_equations` allows; pixels."""
    pictures, rows = image_set(images, seed), []
    batch = held(pictures, clients, 1, seed)
    for width in channels:
        victim = {"name": "lenet", "channels": width, "activation": activation, "scale": scale}
        for k, net in enumerate(victims(images, victim, clients, seed, False, None)):
            alone = one(batch, k)
            shared = client.share(net, alone).gradients
            found = exact.recursive(net, {n: g[0] for n, g in shared.items()}, pictures.shape)
            equations = min(analytic.gradient_equations(net.float(), pictures.shape))
            rows.append({"client": clients[0] + k, "channels": width, "activation": activation,
                         "mse": float(errors(found.image[None], alone)[0]), "exact": found.exact,
                         "rank": found.ranks[0], "equations": equations,
                         "pixels": found.unknowns[0]})
    return pd.DataFrame(rows), {}
