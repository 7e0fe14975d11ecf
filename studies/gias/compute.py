"""What notebook 04 alone computes: attacks through a generator, and generators themselves."""

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import one_hot

from lib import attacks, client, data, generators, metrics, run
from studies.case import WEIGHTS, as_bytes, composed, image_set, victims
from studies.keys import stored_as

SIGNED = "signed x"  # Inverting Gradients as published: pixels, signs, box
SAME = 1e-3  # root mean squared distance of what counts as one image: a quarter of a grey level


def split_of(images: dict, split: str, seed: int):
    """`experiment.image_set` of a split. {"apart": n}, for a set without splits (faces of known
    people): the last n classes are the split "test", the others "train"."""
    images = {"split": split} | images
    count = images.pop("apart", None)
    if not count:
        return image_set(images, seed)
    whole = image_set(images | {"split": "test"}, seed)
    here = slice(-count, None) if split == "test" else slice(-count)
    return whole.keep(whole.classes[here])


def prior(generator: dict, seed: int = 0):
    """(generator, critic, its training set): `generators.dcgan` of {"images", "latent", "width",
    and for a trained one "train": arguments of `generators.train`}, always of the split "train"."""
    if "split" in generator["images"]:
        raise ValueError("a generator sees the split 'train' alone: name no split")
    pictures = split_of(generator["images"], "train", seed)
    net = generators.dcgan(pictures, generator["latent"], generator["width"], seed)
    net = net.to(run.current().device)
    if "train" not in generator:
        return net, None, pictures
    how = generator["train"]
    return *generators.train(net, pictures, seed=seed, cache=WEIGHTS, **how), pictures


@stored_as("studies.gias.worth")
def worth(images: dict, generator: dict, count: int, seed: int = 0):
    """`generators.quality` of a trained generator, in one row; unseen are the split "test" of
    `images`. Arrays: `samples` (count, C, H, W) and `nearest`, the training image nearest to each,
    uint8, where they may be shown."""
    net, critic, seen = prior(generator, seed)
    table = pd.DataFrame([generators.quality(net, critic, seen, split_of(images, "test", seed),
                                             seed=seed)])
    made = generators.sample(net, count, seed)
    table = table.assign(parameters=sum(p.numel() for p in net.parameters()), images=len(seen))
    shown = {"samples": as_bytes(made.cpu()),
             "nearest": as_bytes(generators.nearest_seen(made, seen)[0].cpu())}
    return table, shown if data.shareable(seen.name) else {}


def _private(images: dict, batch_size: int, clients: list[int], seed: int):
    """The image set, and the batches of clients [first, last)."""
    first, last = clients
    pictures = split_of(images, images.get("split", "test"), seed)
    rows = pictures.clients(last, batch_size, seed,
                            unique_labels=batch_size <= pictures.num_classes).indices[first:]
    return pictures, pictures.clients(last - first, batch_size, indices=rows)


@stored_as("studies.gias.grey")
def grey(images: dict, batch_size: int, clients: list[int], seed: int):
    """What mid-grey pictures score against the images that `searched` attacks: a row an image."""
    _, batch = _private(images, batch_size, clients, seed)
    flat = torch.full_like(batch.images, 0.5)
    return metrics.score(flat, batch.images, root=run.current().data_root), {}


@stored_as("studies.gias.searched")
def searched(images: dict, victim: dict, generator: dict, spaces: list[str], iterations: dict,
             batch_size: int, clients: list[int], seed: int, restarts: int = 1,
             tv: float | dict = 1e-4, rates: dict | None = None, bn: float = 0.0,
             statistics: str = "inferred", mode: str = "eval", defense: list | None = None,
             masked: bool = False, record: int = 0, shown: int = 0, net=None):
    """Attack clients [first, last) in several search spaces: a row an image and space.

    images: private ones, of the split "test" unless it says otherwise, never those that the
    generator has seen (ValueError); in batches of different labels, as far as there are classes
    enough, and labels are known. victim: drawn anew for each client, unless it has a seed. spaces:
    as in `attacks.gias`, or SIGNED; iterations: of each letter, and of SIGNED. Spaces that begin
    with z share its search. restarts: of the first stage, but "w" has none. tv: one weight, or one
    a space, of its last stage, and one of "z". rates: learning rates by letter, where not
    `attacks.RATES`.
    Columns: metrics of the best state; objective, the smallest found, with its priors; distance,
    the objective without priors there; seconds an image, of all its stages. record: so many points
    of each attack at which the mean PSNR of each client is measured, array `psnr <space>` (K, T)
    beside `at <space>` (T,) and the objectives, `losses <space>`. net: a generator instead of the
    one that `generator` describes. `truth` and `guesses <space>`: the first `shown` images, uint8.
    """
    pictures, batch = _private(images, batch_size, clients, seed)
    K = len(batch.images)
    model = victims(pictures, victim, clients, seed)
    if net is None:
        net, _, seen = prior(generator, seed)
        if "train" in generator and seen.shape == pictures.shape and \
                generators.nearest_seen(batch.images.flatten(0, 1), seen)[1].min() < SAME:
            raise ValueError("the generator has seen images of these: attack another split or set")
    granted = client.ThreatModel("known", statistics, prior_data=generator["images"]["name"])
    update = client.share(model, batch, client.Protocol(mode=mode, normalise=True),
                          composed(defense), granted, seed)
    certain = 1e4 * one_hot(batch.labels, pictures.num_classes).float().to(update.device)
    weights = tv if isinstance(tv, dict) else dict.fromkeys([*spaces, "z"], tv)
    lr, tables, arrays, latent = attacks.RATES | (rates or {}), [], {}, None

    def points(count):
        return sorted({round(i) for i in np.linspace(0, count, record)}) if record else []

    for space in spaces:
        stages = [SIGNED] if space == SIGNED else space.split("/")
        count = [iterations[s] for s in stages]
        common = {"tv": weights[space], "bn": bn, "masked": masked}
        if space == SIGNED:
            how = attacks.inverting_gradients(count[0], **common)
        else:
            how = attacks.gias(net, space, count, [lr[s] for s in stages], **common)
        if stages[0] == "z" and latent is None:
            search = attacks.gias(net, "z", count[:1], [lr["z"]], **common | {"tv": weights["z"]})
            latent = attacks.reconstruct(update, search, restarts, seed, points(count[0]))
        later = stages[0] == "z" and len(stages) > 1
        if space == "z":
            guess = latent
        elif later:
            guess = attacks.reconstruct(update, how.then, 1, seed, points(count[1]), start=latent)
        else:
            guess = attacks.reconstruct(update, how, 1 if space == "w" else restarts, seed,
                                        points(count[0]))
        table = metrics.score(guess.images.cpu(), batch.images, root=run.current().data_root)
        order = torch.tensor(table.guess.array).view(K, batch_size)
        spent = (guess.seconds + (latent.seconds if later else 0)) / (K * batch_size)
        dummy = attacks.dummy_gradients(update, guess.images, certain)
        distance = torch.func.vmap(how.objective)(dummy, update.gradients)
        each = {"objective": guess.loss.amin(1), "distance": distance}
        tables.append(table.drop(columns="guess").assign(
            space=space, seconds=spent,
            **{n: t.cpu().repeat_interleave(batch_size).numpy() for n, t in each.items()}))
        if record:
            before = _path(latent, batch, 0) if later else [np.zeros(0, int)] + [
                np.zeros((K, 0))] * 2
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


@stored_as("studies.gias.from_gradients")
def from_gradients(images: dict, victim: dict, generator: dict, rounds: int, clients: int,
                   iterations: list[int], lr: float, looked_at: list[int], tests: dict,
                   seed: int = 0):
    """GIML: a generator learned from the gradients of `rounds` rounds, each of `clients` new images
    of the split "train", and what it is worth against images of the split "test".

    victim: one for all rounds. tests: by name (column test) arguments of `searched`, whose
    generator is the untrained, then the learned one (column prior; "none" for spaces without).
    Arrays: `samples` (T, 8, C, H, W), uint8, of the same latents, before and after the rounds
    `looked_at`."""
    pictures = split_of(images, "train", seed)
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
    for name, test in tests.items():
        for who, one in (("untrained", net), ("learned from gradients", learned)):
            spaces = [s for s in test["spaces"] if s[0] in "zw" or one is net]
            same = {"images": images, "victim": victim, "generator": generator, "seed": seed}
            table, _ = searched(**same | test | {"spaces": spaces}, net=one)
            alone = ~table.space.str[0].isin(["z", "w"])
            tables.append(table.assign(test=name, prior=np.where(alone, "none", who)))
    table = pd.concat(tables, ignore_index=True)
    return table, {"samples": np.stack(frames)} if data.shareable(pictures.name) else {}
