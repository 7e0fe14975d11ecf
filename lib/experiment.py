"""From a config to rows: the pure functions that every stored cell is made of. Floor 6.

A config is plain JSON, so that a cell can be found by it; device and data root are those of
`run.current()`. Each function returns (table, arrays): a row an image, arrays with clients first.
"""

import numpy as np
import torch

from lib import attacks, client, data, defenses, metrics, models, objectives, run

VICTIMS = {
    "dense": models.dense,
    "lenet": models.lenet,
    "convnet": models.convnet,
    "resnet": models.resnet,
}
ATTACKS = {"dlg": attacks.dlg, "inverting_gradients": attacks.inverting_gradients}
DEFENSES = {"gaussian": defenses.GaussianNoise}


def attack(
    images: dict,
    victim: dict,
    attack: dict,
    clients: list[int],
    seed: int,
    batch_size: int = 1,
    restarts: int = 1,
    protocol: dict | None = None,
    threat: dict | None = None,
    defense: dict | None = None,
    record: list[int] | None = None,
    layers: bool = False,
    shown: int = 8,
    stride: int = 1,
    chunk: int | None = None,
):
    """Attack clients [first, last) of an image set, each with a newly initialised victim.

    images: arguments of `data.load`, and `classes` to relabel at random. victim, attack, defense:
    {"name": ..., arguments}. Client k holds images kB .. kB + B - 1 of the split (of every
    `stride`-th image); its victim's weights are drawn under seed * 10**6 + k.

    The scores are of the last iterate of the restart with the smallest objective, as the official
    codes report (columns loss, best_loss, true_label, label, evaluations beside the metrics).
    record: iterations whose images are scored (array `mse` (K, T)) and, for sets that may be shown,
    kept for the first `shown` clients (`states` (k, T, B, C, H, W), uint8, with `truth`).
    layers: also every parameter's gradient distance at those iterations (`layers` (K, T, L)).
    """
    settings = dict(images)
    classes = settings.pop("classes", None)
    pictures = data.load(**settings, root=run.current().data_root)
    if classes:
        pictures = pictures.relabel(classes, seed)
    first, last = clients
    indices = stride * torch.arange(first * batch_size, last * batch_size)
    batch = pictures.clients(last - first, batch_size, indices=indices.view(-1, batch_size))
    model = models.ensemble(
        _named(VICTIMS, victim),
        pictures,
        seeds=[seed * 10**6 + k for k in range(first, last)],
        **_arguments(victim),
    ).to(run.current().device)
    update = client.share(
        model,
        batch,
        client.Protocol(**(protocol or {})),
        _named(DEFENSES, defense)(**_arguments(defense)) if defense else None,
        client.ThreatModel(**(threat or {})),
        seed,
    )
    chosen = _named(ATTACKS, attack)(**_arguments(attack))
    if layers and chosen.labels != "joint":
        raise ValueError("layers=True follows the dummy labels: the attack must optimise them")
    start = attacks.starts(update, chosen, restarts, seed, first)
    guess = attacks.reconstruct(update, chosen, restarts, seed, record or (), chunk, start)
    return _rows(update, batch, guess, first, shown * data.shareable(pictures.name), layers)


def _named(known: dict, described: dict):
    if described.get("name") not in known:
        raise ValueError(f"unknown name {described.get('name')!r}: one of {', '.join(known)}")
    return known[described["name"]]


def _arguments(described: dict) -> dict:
    return {k: v for k, v in described.items() if k != "name"}


def _rows(update, batch, guess, first, shown, layers):
    rows = torch.arange(len(guess.loss))
    winner = guess.loss.argmin(1).cpu()
    images, labels = guess.last.cpu()[rows, winner], guess.last_labels.cpu()[rows, winner]
    table = metrics.score(images, batch.images, root=run.current().data_root)
    k, image, guessed = (torch.tensor(table[c].array) for c in ("client", "image", "guess"))
    losses = guess.history.losses.cpu()[:, rows, winner].T  # (K, iterations + 1)
    table = table.assign(
        loss=losses[k, -1].numpy(),
        best_loss=guess.loss.cpu()[k, winner[k]].numpy(),
        true_label=batch.labels[k, image].numpy(),
        label=labels[k, guessed].numpy(),
        evaluations=guess.evaluations.cpu()[k, winner[k]].numpy(),
        seconds_an_image=guess.seconds / images[:, :, 0, 0, 0].numel(),
    )
    table["client"] += first
    arrays = {"losses": losses.numpy().astype(np.float32)}
    if guess.history.images:
        states = torch.stack([s.cpu()[rows, winner] for s in guess.history.images.values()], 1)
        arrays["mse"] = _matched_mse(states, batch.images).numpy().astype(np.float32)
        if shown:
            arrays |= {"states": _bytes(states[:shown]), "truth": _bytes(batch.images[:shown])}
    if layers:
        arrays["layers"] = _layer_curves(update, guess, rows, winner)
    return table, arrays


def _bytes(images) -> np.ndarray:
    return (255 * images.nan_to_num(0.5).clamp(0, 1)).round().to(torch.uint8).numpy()


def _matched_mse(states, truth):
    """(K, T): mean squared error at each recorded iteration, images matched one to one."""
    columns = []
    for t in range(states.shape[1]):
        order = metrics.matching(states[:, t], truth)[..., None, None, None].expand_as(truth)
        columns.append(metrics.mse(states[:, t].gather(1, order), truth).mean(1))
    return torch.stack(columns, 1)


def _layer_curves(update, guess, rows, winner) -> np.ndarray:
    """(K, T, L) mean squared difference of every parameter's gradient along the attack."""
    curves = []
    for i, images in guess.history.images.items():
        x, z = (h[rows, winner] for h in (images, guess.history.label_logits[i]))
        distance = objectives.layer_distances(
            attacks.dummy_gradients(update, x, z), update.gradients
        )
        curves.append(torch.stack(list(distance.values()), 1).cpu())
    return torch.stack(curves, 1).numpy().astype(np.float32)
