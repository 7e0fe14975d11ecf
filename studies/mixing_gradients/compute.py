"""What notebook 06 alone computes: attacks on mixed gradients, and the closed form by itself."""

import copy
import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import one_hot

from lib import analytic, client, data, defenses, metrics, models, run
from lib import attacks as attack_presets
from lib import labels as label_rules
from studies.case import ATTACKS, DEFENSES, as_bytes, image_set, named, trained, victims
from studies.keys import stored_as


@stored_as("studies.mixing_gradients.mixing")
def mixing(images: dict, victim: dict, loss: str, draw: str, batch_size: int, attacks: list,
           clients: list[int], seed: int, pool: int = 80, defense: dict | None = None,
           rounds: int = 1, round_lr: float = 0.0, train: dict | None = None, shown: int = 0):
    """Attack mixed gradients (Eloul et al. 2022) with several attacks: a row an attack and image.

    draw: a client's batch is "random", "unique" (no label twice), or "equal" (one label, drawn by
    `defenses.EqualLabels` from `pool` images). victim, train, seed: as in `attack`. defense: what
    the client does besides. rounds: the attacker sees that many gradients of the same batch, the
    network moving on by `round_lr` times the client's gradient in between.

    attacks: each {"name", "grant", "restarts", "start", arguments}. grant: "known" labels (the
    default), "unknown", or "equal" (known to be equal, read off the bias gradient). name: one of
    ATTACKS; "demix", the closed form (labels that are not granted are those of the B smallest bias
    gradients); or "in_span" (`analytic.in_span`, its arguments those of `attacks.dlg`). start:
    "demix" starts from the closed form plus normal noise of standard deviation 0.1, without which
    images of one label never part. Labels that are not granted are read by the rule "analytic"
    behind cross-entropy, and optimised behind other losses.

    Arrays of the images of the first `shown` clients, where they may be shown: `truth` (images, C,
    H, W) and `guesses` (images, attacks, C, H, W), uint8, clipped.

    The scores are of the last iterate of the restart with the smallest objective. avd_8bit is
    `metrics.avd` through 8 bits, as published; distance the squared distance of the gradients over
    the shared one's, the same measure for all attacks; label_right of a batch as a whole.
    """
    pictures, (first, last), K = image_set(images, seed), clients, clients[1] - clients[0]
    size = pool if draw == "equal" else batch_size
    rows = pictures.clients(last, size, seed, unique_labels=draw == "unique").indices[first:]
    drawing = (defenses.EqualLabels(batch_size),) if draw == "equal" else ()
    own = drawing if defense is None else (*drawing, named(DEFENSES, defense))
    held = pictures.clients(K, size, indices=rows)
    truth, protocol = client.drawn(held, own, seed), client.Protocol(loss=loss)
    model, reached = victims(pictures, victim, clients, seed), np.nan
    if train:
        model = trained(model, images, seed, False, **train)
        reached = models.accuracy(model, image_set(images | {"split": "test"}, seed))
    if rounds > 1:
        model = _in_rounds(model, truth, protocol, rounds, round_lr)
    tables, pictured = [], []
    for number, described in enumerate(attacks):
        how = {"grant": "known", "restarts": 1, "start": "noise"} | described
        name, grant, restarts, start = (how.pop(k) for k in ("name", "grant", "restarts", "start"))
        granted = client.ThreatModel(labels=grant)
        update = client.share(model, held, protocol, own, granted, seed)
        x, labels = _recovered(update, name, how, restarts, start, seed, first)
        table = metrics.score(x, truth.images, root=run.current().data_root)
        order = torch.tensor(table.guess.array).view(K, -1)
        right = (labels.sort(1).values == truth.labels.sort(1).values).all(1)
        certain = 1e4 * one_hot(labels, update.num_classes).to(x)
        dummy = attack_presets.dummy_gradients(update, x, certain)  # images beside their own labels
        x = x.gather(1, order[..., None, None, None].expand_as(x))  # now in the order of the truth
        far, size_of = (torch.stack([t.flatten(1).square().sum(1) for t in g.values()]).sum(0)
                        for g in ({n: dummy[n] - t for n, t in update.gradients.items()},
                                  update.gradients))
        each = {"distance": far / size_of, "label_right": right}
        table = table.drop(columns="guess").assign(
            attack=number, avd_8bit=metrics.avd(x, truth.images, quantise=True).flatten().numpy(),
            **{k: v.repeat_interleave(batch_size).numpy() for k, v in each.items()})
        table["client"] += first
        tables.append(table.astype(dict.fromkeys(table.select_dtypes("float"), "float32")))
        pictured.append(as_bytes(x[:shown] if data.shareable(pictures.name) else x[:0]))
    table = pd.concat(tables, ignore_index=True)
    table = table.assign(victim_accuracy=reached) if train else table
    arrays = {"truth": as_bytes(truth.images[: len(pictured[0])]), "guesses": np.stack(pictured, 2)}
    arrays = {n: a.reshape(-1, *a.shape[2:]) for n, a in arrays.items() if len(pictured[0])}
    return table, arrays


def _recovered(update, name, how, restarts, start, seed, first):
    """Images (K, B, C, H, W) and labels (K, B) that one attack of `mixing` finds."""
    K, B = len(update), update.batch_size

    def ratio():
        layer, labels = label_rules.last_layer(update), update.labels
        if labels is None:
            count = 1 if update.threat.labels == "equal" else B
            labels = layer.bias.topk(count, largest=False).indices.sort(1).values.expand(K, B)
        x = analytic.demix(layer.weight, layer.bias, labels)
        if x.shape[-1] != torch.Size(update.shape).numel():
            raise ValueError("the closed form needs a victim of one dense layer")
        return x.reshape(K, B, *update.shape), labels

    if name == "demix":
        return ratio()
    if name == "in_span":
        small, basis = analytic.in_span(update)
        guess = attack_presets.reconstruct(small, attack_presets.dlg(**how), restarts, seed)
        x = (guess.images.flatten(2) @ basis).view(K, B, *update.shape)
        return x.float().cpu(), guess.labels.cpu()
    if "labels" not in how and update.protocol.loss != "cross_entropy":
        how = how | {"labels": "joint"}
    if "labels" not in how and update.threat.labels == "equal":
        how = how | {"labels": "idlg_bias"}
    chosen = named(ATTACKS, {"name": name} | how)
    x, z = attack_presets.starts(update, chosen, restarts, seed, first)
    if start == "demix":
        x = ratio()[0].nan_to_num(0).clamp(-2, 2)[:, None] + 0.1 * x
    guess = attack_presets.reconstruct(update, chosen, restarts, seed, start=(x, z))
    rows, winner = torch.arange(K), guess.loss.argmin(1).cpu()
    return guess.last.cpu()[rows, winner], guess.last_labels.cpu()[rows, winner]


def _in_rounds(model, batch, protocol, rounds: int, lr: float):
    """The victims of `model`, one a client, over several rounds: an ensemble of `models.Rounds`."""
    now, path = model, []
    for _ in range(rounds):
        path.append(copy.deepcopy(now))
        g = client.share(now, batch, protocol).gradients
        now = copy.deepcopy(now)
        for n, p in now.base.named_parameters():
            p.data -= lr * g[n]
    of_client = zip(*(each.unstack() for each in path), strict=True)
    return models.Ensemble([models.Rounds(nets) for nets in of_client])


@stored_as("studies.mixing_gradients.demixing")
def demixing(images: dict, init: str, scales: list, batch_sizes: list, draws: list, losses: list,
             clients: int, seed: int, pool: int = 80, precision: str = "float32"):
    """The closed form on one dense layer, with no optimiser: a row a setting, client and image.

    error: mean squared error of the pixels against the image of that label (equal labels: against
    each image of the batch). neglected: sum of |w_jm| over m != j (`analytic.demix_weights`), the
    weight of the other images; predicted: the error that the weights give (both for cross-entropy).
    precision: in which the client computes."""
    pictures, rows = image_set(images, seed), []
    exact = getattr(torch, precision)
    for draw, B in itertools.product(draws, batch_sizes):
        held = pictures.clients(clients, pool if draw == "equal" else B, seed,
                                unique_labels=draw == "unique")
        own = defenses.EqualLabels(B) if draw == "equal" else None
        batch = client.drawn(held, own, seed)
        x, y = batch.images.flatten(2).to(exact), batch.labels
        for scale, loss in itertools.product(scales, losses):
            each = {"init": init} | ({} if scale is None else {"scale": scale})
            seeds = [seed * 10**6 + k for k in range(clients)]
            net = models.ensemble(models.dense, pictures, seeds, **each).to(exact)
            g = client.share(net, replace(batch, images=batch.images.to(exact)),
                             client.Protocol(loss=loss)).gradients
            found = analytic.demix(g["1.weight"], g["1.bias"], y)
            W, b = (t.double() for t in (net.base[1].weight, net.base[1].bias))
            p = torch.softmax(torch.einsum("kbf,kcf->kbc", x.double(), W) + b[:, None], -1)
            w = analytic.demix_weights(p, y).nan_to_num(0)
            told = (torch.einsum("kjm,kmf->kjf", w, x.double()) - x).square().mean(-1)
            error = (found - x).square().mean(-1).double()
            others = (w - torch.diag_embed(w.diagonal(dim1=1, dim2=2))).abs().sum(-1)
            rows += [pd.DataFrame({
                "draw": draw, "B": B, "scale": scale, "loss": loss,
                "client": torch.arange(clients).repeat_interleave(B), "error": error.flatten(),
                "repeated": ((y[:, :, None] == y[:, None]).sum(-1) > 1).flatten(),
                "predicted": told.detach().flatten(), "neglected": others.detach().flatten()})]
    table = pd.concat(rows, ignore_index=True).astype({"scale": float})
    floats = ["error", "predicted", "neglected"]  # 1e-30 is a float32 too
    with np.errstate(over="ignore"):  # where a bias gradient is nearly 0
        return table.astype(dict.fromkeys(floats, "float32")), {}
