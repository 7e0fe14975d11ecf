"""From a config to rows: the pure functions that every stored cell is made of. Floor 11.

A config is plain JSON, so that a cell can be found by it; device and data root are those of
`run.current()`. Each function returns (table, arrays): a row an image, arrays with clients first.
"""

import functools
import itertools
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import torch

from lib import attacks, client, data, defenses, metrics, models, objectives, run
from studies.keys import stored_as

VICTIMS = {"dense": models.dense, "lenet": models.lenet, "convnet": models.convnet,
           "resnet": models.resnet, "imagenet_resnet": models.imagenet_resnet,
           "preact_resnet": models.preact_resnet, "vit": models.vit}
WEIGHTS = run.ROOT / "build/weights"  # of trained victims, found by all that they were made of
ATTACKS = {"dlg": attacks.dlg, "idlg": attacks.idlg,
           "inverting_gradients": attacks.inverting_gradients,
           "mixing_gradients": attacks.mixing_gradients, "huang": attacks.huang}
DEFENSES = {"gaussian": defenses.GaussianNoise, "laplacian": defenses.LaplacianNoise,
            "precision": defenses.LowPrecision, "prune": defenses.GradPrune,
            "equal_labels": defenses.EqualLabels, "mixup": defenses.MixUp,
            "instahide": defenses.InstaHide, "dpsgd": defenses.DPSGD}


@stored_as("lib.experiment.attack")
def attack(images: dict, victim: dict, attack: dict, clients: list[int], seed: int,
           batch_size: int = 1, restarts: int = 1, protocol: dict | None = None,
           threat: dict | None = None, defense: list | None = None, record: list[int] | None = None,
           layers: bool = False, shown: int = 8, stride: int = 1, chunk: int | None = None,
           start: int | None = None, train: dict | None = None, unique_labels: bool = False,
           each_restart: bool = False, match: bool = True):
    """Attack clients [first, last) of an image set, each with a newly initialised victim.

    images: arguments of `data.load`; `only`, the classes to keep; `classes`, to relabel at random
    with so many. victim, attack:
    {"name": ..., arguments}. Client k holds images kB .. kB + B - 1 of the split (of every
    `stride`-th image), or with unique_labels the k-th batch that `ImageSet.clients` draws under
    `seed` so; its victim's weights are drawn under seed * 10**6 + k, unless the victim has a "seed"
    of its own: then all clients share that one. train: arguments of `trained`, for such a victim.
    threat {"server": "active"}: the server permutes its classes (`models.permute_classes`).
    defense: a list of {"name": ..., arguments} or None (no defense): each client is attacked once
    under each, from the same start, all in one batch; column `defense` counts through the list.

    The scores are of the last iterate of the restart with the smallest objective, as the official
    codes report (columns loss, best_loss, true_label, label, evaluations and ended, why that
    restart ended, beside the metrics; cells stored before December 2026 have no `ended`), and
    best_mse that of its state of the smallest objective; trained victims: victim_accuracy, the
    share of the split "test" that they classify right. Array `losses` holds the objective of every
    iteration, or a hundred of them where there are more than 1,000.
    record: iterations whose images are scored (array `mse` (K, T)) and, for sets that may be shown,
    kept for the first `shown` clients (`states` (k, T, B, C, H, W), uint8, with `truth`).
    start: seed of the dummy's start, where it is not `seed`; two attacks of one start differ in
    nothing else.
    each_restart: a row for every restart instead of the best one's (column restart; distance, the
    objective without priors at the last iterate; no best_mse). match: see `metrics.score`.
    layers: also every parameter's gradient distance at those iterations (`layers` (K, T, L))."""
    pictures = image_set(images, seed)
    first, last = clients
    indices = (stride * torch.arange(last * batch_size)).view(-1, batch_size)
    if unique_labels:
        indices = pictures.clients(last, batch_size, seed, unique_labels=True).indices
    batch = pictures.clients(last - first, batch_size, indices=indices[first:])
    chosen = named(ATTACKS, attack)
    if layers and chosen.labels != "joint":
        raise ValueError("layers=True follows the dummy labels: the attack must optimise them")
    under = [named(DEFENSES, one) for one in defense or [None]]
    settings = client.Protocol(**(protocol or {})), client.ThreatModel(**(threat or {}))
    if train and "seed" not in victim:
        raise ValueError("a trained victim is one for all clients: give it a seed")
    model = victims(pictures, victim, clients, seed)
    reached = None
    if train:
        model = trained(model, images, seed, settings[0].normalise, **train)
        test = image_set(images | {"split": "test"}, seed)
        reached = models.accuracy(model, test, settings[0].normalise)
    if settings[1].server == "active":
        model = models.permute_classes(model)
    each = [client.share(model, batch, settings[0], one, settings[1], seed) for one in under]
    x, z = attacks.starts(each[0], chosen, restarts, seed if start is None else start, first)
    update = each[0]
    if (D := len(each)) > 1:  # side by side: the clients repeat, once under each defense
        gradients = {n: torch.cat([u.gradients[n] for u in each]) for n in update.gradients}
        labels = None if update.labels is None else update.labels.repeat(D, 1)
        if isinstance(model, models.Ensemble):
            model = victims(pictures, victim, clients, seed, D)
        model = models.prepare(model, update.protocol.mode)
        update = replace(update, gradients=gradients, labels=labels, model=model)
        batch = pictures.clients(D * len(x), batch_size, indices=batch.indices.repeat(D, 1))
        x, z = (t if t is None else torch.cat([t] * D) for t in (x, z))
    guess = attacks.reconstruct(update, chosen, restarts, seed, record or (), chunk, (x, z))
    kept = torch.arange(len(update)) % (last - first) < shown * data.shareable(pictures.name)
    each = chosen if each_restart else None
    table, arrays = _rows(update, batch, guess, kept, layers, match, each)
    number = table["client"] // (last - first)
    table["client"] = first + table["client"] % (last - first)
    table = table.assign(victim_accuracy=reached) if train else table
    return (table.assign(defense=number) if defense else table), arrays


def trained(model, images: dict, seed: int, normalise: bool, first: int | None = None, **how):
    """`model` trained on the split "train" of an image set (its `first` images, or all), once:
    `how` are arguments of `models.train`, which keeps the weights."""
    pictures = image_set(images | {"split": "train"}, seed)
    pictures = pictures.subset(range(first)) if first else pictures
    return models.train(model, pictures, seed=seed, normalise=normalise, cache=WEIGHTS, **how)


@stored_as("lib.experiment.accuracy")
def accuracy(images: dict, victim: dict, seeds: list[int], defense: list, epochs: int, lr: float,
             batch_size: int = 64, momentum: float = 0.9, loss: str = "cross_entropy",
             same_label: int = 1, held_out: int = 0, first: int | None = None, **how):
    """Test accuracy of victims trained under defenses: a row a seed and defense.

    defense: each entry is None, a defense {"name": ...} or a list of them, which are composed.

    At each step one update, the gradient of `batch_size` training images, passes through the
    defense (None: none) on its way to the server's optimiser. A server that averages m such updates
    divides the variance of added noise by m. first: train on so many images only; how: further
    arguments of `models.train`. loss, one of `client.LOSSES`, and same_label: see
    `models.train`. held_out: so many training images, the last ones, are not trained on but
    measured beside, in column `validation`."""
    splits = (image_set(images | {"split": split}, 0) for split in ("train", "test"))
    (train, test), rows, apart = splits, [], None
    train = train.subset(range(first)) if first else train
    if held_out:
        count = len(train) - held_out
        apart, train = train.subset(range(count, len(train))), train.subset(range(count))
    criterion = None if loss == "cross_entropy" else client.LOSSES[loss]
    for (i, one), seed in itertools.product(enumerate(defense), seeds):
        model = named(VICTIMS, victim, train, seed=seed).to(run.current().device)
        models.train(model, train, epochs, batch_size, lr, momentum, seed, composed(one),
                     loss=criterion, same_label=same_label, **how)
        normalise = how.get("normalise", False)
        measured = {"accuracy": models.accuracy(model, test, normalise)}
        measured |= {"validation": models.accuracy(model, apart, normalise)} if apart else {}
        rows.append({"defense": i, "seed": seed} | measured)
    return pd.DataFrame(rows), {}


def image_set(images: dict, seed: int):
    settings = dict(images, root=run.current().data_root)
    classes, only = settings.pop("classes", None), settings.pop("only", None)
    pictures = data.load(**settings)
    pictures = pictures.keep(only) if only else pictures
    return pictures.relabel(classes, seed) if classes else pictures


def victims(pictures, victim: dict, clients: list, seed: int, times: int = 1):
    """A victim for each of the clients, all of them `times` over, on the run's device; where the
    victim has a seed of its own, that one alone."""
    if "seed" in victim:
        return named(VICTIMS, victim, pictures).to(run.current().device)
    seeds = [seed * 10**6 + k for k in range(*clients)] * times
    members = [named(VICTIMS, victim, pictures, seed=s) for s in seeds]
    return models.Ensemble(members).to(run.current().device)


def named(known: dict, described: dict | None, *args, **kwargs):
    """The object that {"name": ..., arguments} describes; None for None."""
    if described is None:
        return None
    if described.get("name") not in known:
        raise ValueError(f"unknown name {described.get('name')!r}: one of {', '.join(known)}")
    given = {k: v for k, v in described.items() if k != "name"}
    return known[described["name"]](*args, **kwargs, **given)


def _rows(update, batch, guess, kept, layers, match=True, each_restart=None):
    rows = torch.arange(len(guess.loss))
    winner = guess.loss.argmin(1).cpu()
    score = functools.partial(metrics.score, truth=batch.images, match=match,
                              root=run.current().data_root)
    losses = guess.history.losses.cpu().permute(1, 2, 0)  # (K, R, iterations + 1)

    def of_restart(r):  # r (K,): which restart of each client
        images, labels = guess.last.cpu()[rows, r], guess.last_labels.cpu()[rows, r]
        table = score(images)
        k, image, guessed = (torch.tensor(table[c].array) for c in ("client", "image", "guess"))
        return table.assign(
            loss=losses[k, r[k], -1].numpy(), best_loss=guess.loss.cpu()[k, r[k]].numpy(),
            true_label=batch.labels[k, image].numpy(), label=labels[k, guessed].numpy(),
            evaluations=guess.evaluations.cpu()[k, r[k]].numpy(),
            ended=[guess.ended[row][r[row]] for row in k.tolist()])

    if each_restart:
        each = [of_restart(torch.full_like(winner, r)).assign(
                    restart=r, distance=_distance(update, each_restart, guess, r))
                for r in range(losses.shape[1])]
        table = pd.concat(each, ignore_index=True)
    else:
        table = of_restart(winner)
        table.insert(table.columns.get_loc("best_loss") + 1, "best_mse",
                     score(guess.images.cpu()).mse)
    length = losses.shape[-1] - 1
    every = length // 100 if length > 1000 else 1  # cells stay small
    arrays = {"losses": losses[rows, winner, ::every].numpy().astype(np.float32)}
    if guess.history.images:
        states = torch.stack([s.cpu()[rows, winner] for s in guess.history.images.values()], 1)
        arrays["mse"] = _matched_mse(states, batch.images).numpy().astype(np.float32)
        if kept.any():
            arrays |= {"states": as_bytes(states[kept]), "truth": as_bytes(batch.images[kept])}
    if layers:
        arrays["layers"] = _layer_curves(update, guess, rows, winner)
    return table, arrays


def _distance(update, attack, guess, r) -> np.ndarray:
    """The objective without priors at the last iterate of restart r, for each image of a client."""
    certain = client.certain_logits(guess.last_labels[:, r], update.num_classes).to(guess.last)
    dummy = attacks.dummy_gradients(update, guess.last[:, r], certain)
    each = torch.func.vmap(attack.objective)(dummy, update.gradients)  # (K,)
    return each.repeat_interleave(update.batch_size).cpu().numpy()


def composed(described, **more):
    """A defense of {"name": ..., arguments}, a tuple of them of a list, None of None; arguments
    that `described` leaves open are taken from `more`, where a defense has them."""
    if not isinstance(described, list):
        return None if described is None else composed([described], **more)[0]
    each = []
    for one in described:
        known = {f.name for f in fields(DEFENSES[one["name"]])} if one["name"] in DEFENSES else ()
        each.append(named(DEFENSES, {k: v for k, v in more.items() if k in known} | one))
    return tuple(each)


def as_bytes(images) -> np.ndarray:
    return (255 * images.nan_to_num(0.5).clamp(0, 1)).round().to(torch.uint8).numpy()


def _matched_mse(states, truth):
    """(K, T): mean squared error at each recorded iteration, images matched one to one."""
    columns = []
    for state in states.unbind(1):
        order = metrics.matching(state, truth)[..., None, None, None].expand_as(truth)
        columns.append(metrics.mse(state.gather(1, order), truth).mean(1))
    return torch.stack(columns, 1)


def _layer_curves(update, guess, rows, winner) -> np.ndarray:
    """(K, T, L) mean squared difference of every parameter's gradient along the attack."""
    curves = []
    for i, images in guess.history.images.items():
        x, z = (h[rows, winner] for h in (images, guess.history.label_logits[i]))
        dummy = attacks.dummy_gradients(update, x, z)
        distance = objectives.layer_distances(dummy, update.gradients)
        curves.append(torch.stack(list(distance.values()), 1).cpu())
    return torch.stack(curves, 1).numpy().astype(np.float32)
