"""What notebook 04 alone computes: attacks through a generator, and generators themselves."""

import numpy as np
import pandas as pd
import torch

from lib import attacks, client, data, generators, metrics, run
from lib.experiment import WEIGHTS, as_bytes, composed, image_set, victims

SIGNED = "signed x"  # Inverting Gradients as published: pixels, signs, box


def prior(generator: dict, seed: int = 0):
    """(generator, critic, its training set): `generators.dcgan` of {"images", "latent", "width",
    and for a trained one "train": arguments of `generators.train`}, always of the split "train"."""
    pictures = image_set(generator["images"] | {"split": "train"}, seed)
    net = generators.dcgan(pictures, generator["latent"], generator["width"], seed)
    net = net.to(run.current().device)
    if "train" not in generator:
        return net, None, pictures
    how = generator["train"]
    return *generators.train(net, pictures, seed=seed, cache=WEIGHTS, **how), pictures


def worth(generator: dict, count: int, seed: int = 0):
    """`generators.quality` of a trained generator, in one row. Arrays: `samples` (count, C, H, W)
    and `nearest`, the training image nearest to each, uint8, where they may be shown."""
    net, critic, seen = prior(generator, seed)
    unseen = image_set(generator["images"] | {"split": "test"}, seed)
    table = pd.DataFrame([generators.quality(net, critic, seen, unseen, seed=seed)])
    made, known = generators.sample(net, count, seed).cpu(), seen.images.float() / 255
    nearest = known[torch.cdist(made.flatten(1), known.flatten(1)).argmin(1)]
    table = table.assign(parameters=sum(p.numel() for p in net.parameters()), images=len(seen))
    shown = {"samples": as_bytes(made), "nearest": as_bytes(nearest)}
    return table, shown if data.shareable(seen.name) else {}


def searched(images: dict, victim: dict, generator: dict, spaces: list[str], iterations: dict,
             batch_size: int, clients: int, seed: int, restarts: int = 1, tv: float = 1e-4,
             bn: float = 0.0, statistics: str = "inferred", mode: str = "eval",
             defense: list | None = None, masked: bool = False, record: int = 0, shown: int = 0,
             net=None):
    """Attack the same clients in several search spaces: a row an image and space.

    images: private ones, of the split "test" unless it says otherwise, in batches of different
    labels, which are known. victim: one for all, with a seed. spaces: as in `attacks.gias`, or
    SIGNED; iterations: of each letter, and of SIGNED. Spaces that begin with z share its search.
    Columns: metrics of the best state; objective, the smallest found, with its priors; seconds an
    image, of all its stages. record: so many points of each attack at which the mean PSNR of each
    client is measured, array `psnr <space>` (K, T) beside `at <space>` (T,) and the objectives,
    `losses <space>`. net: a generator instead of the one that `generator` describes. `truth` and
    `guesses <space>`: the first `shown` images, uint8."""
    pictures = image_set(images, seed)
    batch = pictures.clients(clients, batch_size, seed, unique_labels=True)
    model = victims(pictures, victim, [0, 1], seed)
    net = net or prior(generator, seed)[0]
    granted = client.ThreatModel("known", statistics, prior_data=generator["images"]["name"])
    update = client.share(model, batch, client.Protocol(mode=mode, normalise=True),
                          composed(defense), granted, seed)
    tables, arrays, latent = [], {}, None

    def points(count):
        return sorted({round(i) for i in np.linspace(0, count, record)}) if record else []

    for space in spaces:
        stages = [SIGNED] if space == SIGNED else space.split("/")
        count = [iterations[s] for s in stages]
        if space == SIGNED:
            how = attacks.inverting_gradients(count[0], tv=tv, bn=bn, masked=masked)
        else:
            how = attacks.gias(net, space, count, tv=tv, bn=bn, masked=masked)
        if stages[0] == "z" and latent is None:
            first = attacks.gias(net, "z", count[:1], tv=tv, bn=bn, masked=masked)
            latent = attacks.reconstruct(update, first, restarts, seed, points(count[0]))
        if stages[0] == "z":
            guess = latent if len(stages) == 1 else attacks.reconstruct(
                update, how.then, 1, seed, points(sum(count[1:])), start=latent)
        else:
            guess = attacks.reconstruct(update, how, 1 if stages[0] == "w" else restarts, seed,
                                        points(count[0]))
        later = stages[0] == "z" and len(stages) > 1
        table = metrics.score(guess.images.cpu(), batch.images, root=run.current().data_root)
        order = torch.tensor(table.guess.array).view(clients, batch_size)
        spent = (guess.seconds + (latent.seconds if later else 0)) / (clients * batch_size)
        tables.append(table.drop(columns="guess").assign(
            space=space, objective=guess.loss.amin(1).cpu().repeat_interleave(batch_size).numpy(),
            seconds=spent))
        if record:
            before = _path(latent, batch, 0) if later else [np.zeros(0, int)] + [
                np.zeros((clients, 0))] * 2
            after = _path(guess, batch, count[0] if later else 0)
            for name, a, b in zip(("at", "psnr", "losses"), before, after, strict=True):
                arrays[f"{name} {space}"] = np.concatenate((a, b), -1).astype(np.float32)
        if shown and data.shareable(pictures.name):
            found = guess.images.cpu().gather(1, order[..., None, None, None].expand_as(
                batch.images)).flatten(0, 1)
            arrays |= {f"guesses {space}": as_bytes(found[:shown]),
                       "truth": as_bytes(batch.images.flatten(0, 1)[:shown])}
    table = pd.concat(tables, ignore_index=True)
    return table.astype(dict.fromkeys(table.select_dtypes("float").columns, "float32")), arrays


def _path(guess, batch, first: int):
    """Iterations (T,), and there each client's mean PSNR and objective (K, T), of the best restart.
    """
    rows, best = torch.arange(len(guess.loss)), guess.loss.argmin(1).cpu()
    at = np.array(list(guess.history.images))
    psnr = [metrics.score(guess.history.images[i].cpu()[rows, best], batch.images)
            .groupby("client").psnr.mean().to_numpy() for i in at]
    losses = guess.history.losses.cpu()[at][:, rows, best].T.numpy()
    return at + first, np.stack(psnr, 1), losses


def from_gradients(images: dict, victim: dict, generator: dict, rounds: int, clients: int,
                   iterations: list[int], lr: float, looked_at: list[int], test: dict,
                   seed: int = 0):
    """GIML: a generator learned from the gradients of `rounds` rounds, each of `clients` new images
    of the split "train", and what it is worth against images of the split "test".

    test: arguments of `searched`, whose generator is untrained, then the learned one (column
    prior). Arrays: `samples` (T, 8, C, H, W), uint8, of the same latents, before and after the
    rounds `looked_at`."""
    pictures = image_set(images | {"split": "train"}, seed)
    model = victims(pictures, victim, [0, 1], seed)
    net, _, _ = prior(generator, seed)
    order = torch.randperm(len(pictures), generator=run.generator("rounds", seed))
    frames, protocol = [], client.Protocol(normalise=True)
    known = client.ThreatModel("known")

    def each():
        for i in range(rounds):
            rows = order[torch.arange(i * clients, (i + 1) * clients) % len(order)]
            private = pictures.clients(clients, 1, indices=rows[:, None])
            yield client.share(model, private, protocol, threat=known, seed=seed)

    def watch(i, now):
        if i + 1 in looked_at:
            frames.append(as_bytes(generators.sample(now, 8, seed).cpu()))

    frames.append(as_bytes(generators.sample(net, 8, seed).cpu()))
    learned = generators.learn(net, each(), iterations, lr, watch=watch, seed=seed)
    tables = []
    for name, one in (("untrained", net), ("learned from gradients", learned)):
        table, _ = searched(images | {"split": "test"}, victim, generator, seed=seed, net=one,
                            **test)
        tables.append(table.assign(prior=name))
    table = pd.concat(tables, ignore_index=True)
    return table, {"samples": np.stack(frames)} if data.shareable(pictures.name) else {}
