"""From a config to rows: the pure functions that every stored cell is made of. Floor 6.

A config is plain JSON, so that a cell can be found by it; device and data root are those of
`run.current()`. Each function returns (table, arrays): a row an image, arrays with clients first.
"""

import copy
import functools
import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import cross_entropy, one_hot

from lib import analytic, attacks, client, data, defenses, metrics, models, objectives, run, text
from lib import attacks as attack_presets
from lib import labels as label_rules

VICTIMS = {"dense": models.dense, "lenet": models.lenet, "convnet": models.convnet,
           "resnet": models.resnet, "imagenet_resnet": models.imagenet_resnet}
WEIGHTS = run.ROOT / "build/weights"  # of trained victims, found by all that they were made of
ATTACKS = {"dlg": attacks.dlg, "idlg": attacks.idlg,
           "inverting_gradients": attacks.inverting_gradients,
           "mixing_gradients": attacks.mixing_gradients}
DEFENSES = {"gaussian": defenses.GaussianNoise, "laplacian": defenses.LaplacianNoise,
            "precision": defenses.LowPrecision, "prune": defenses.GradPrune,
            "equal_labels": defenses.EqualLabels}


def cell(sweep, gpu: bool = False):
    """This run's cell of a sweep, or None where it cannot be had: the profile has no config of it,
    its images or weights are not here, or it needs a GPU (`gpu`) and the run has none. A stored one
    is read.
    """
    configs = sweep.configs[run.current().profile]
    here = all(data.present(c["images"]["name"]) for c in configs if "images" in c)
    wanted = [c["victim"]["depth"] for c in configs if c.get("victim", {}).get("pretrained")]
    here = here and all(models.pretrained_file(depth).is_file() for depth in wanted)
    able = here and not (gpu and run.current().device.type == "cpu")
    stored = sweep.done() == len(sweep.files)
    return sweep.run() if sweep.files and (able or stored) else None


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
    codes report (columns loss, best_loss, true_label, label, evaluations beside the metrics), and
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
    pictures = _pictures(images, seed)
    first, last = clients
    indices = (stride * torch.arange(last * batch_size)).view(-1, batch_size)
    if unique_labels:
        indices = pictures.clients(last, batch_size, seed, unique_labels=True).indices
    batch = pictures.clients(last - first, batch_size, indices=indices[first:])
    chosen = _named(ATTACKS, attack)
    if layers and chosen.labels != "joint":
        raise ValueError("layers=True follows the dummy labels: the attack must optimise them")
    under = [_named(DEFENSES, one) for one in defense or [None]]
    settings = client.Protocol(**(protocol or {})), client.ThreatModel(**(threat or {}))
    if train and "seed" not in victim:
        raise ValueError("a trained victim is one for all clients: give it a seed")
    model = _victims(pictures, victim, clients, seed)
    reached = None
    if train:
        model = trained(model, images, seed, settings[0].normalise, **train)
        test = _pictures(images | {"split": "test"}, seed)
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
            model = _victims(pictures, victim, clients, seed, D)
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
    pictures, (first, last), K = _pictures(images, seed), clients, clients[1] - clients[0]
    size = pool if draw == "equal" else batch_size
    rows = pictures.clients(last, size, seed, unique_labels=draw == "unique").indices[first:]
    drawing = (defenses.EqualLabels(batch_size),) if draw == "equal" else ()
    own = drawing if defense is None else (*drawing, _named(DEFENSES, defense))
    held = pictures.clients(K, size, indices=rows)
    truth, protocol = client.drawn(held, own, seed), client.Protocol(loss=loss)
    model, reached = _victims(pictures, victim, clients, seed), np.nan
    if train:
        model = trained(model, images, seed, False, **train)
        reached = models.accuracy(model, _pictures(images | {"split": "test"}, seed))
    if rounds > 1:
        model = _in_rounds(model, truth, protocol, rounds, round_lr)
    tables, pictured = [], []
    for number, described in enumerate(attacks):
        how = {"grant": "known", "restarts": 1, "start": "noise"} | described
        name, grant, restarts, start = (how.pop(k) for k in ("name", "grant", "restarts", "start"))
        granted = client.ThreatModel(labels=grant)
        update = client.share(model, held, protocol, own, granted, seed)
        x, labels, objective = _recovered(update, name, how, restarts, start, seed, first)
        table = metrics.score(x, truth.images, root=run.current().data_root)
        order = torch.tensor(table.guess.array).view(K, -1)
        right = (labels.sort(1).values == truth.labels.sort(1).values).all(1)
        certain = 1e4 * one_hot(labels, update.num_classes).to(x)
        dummy = attack_presets.dummy_gradients(update, x, certain)  # images beside their own labels
        x = x.gather(1, order[..., None, None, None].expand_as(x))  # now in the order of the truth
        far, size_of = (torch.stack([t.flatten(1).square().sum(1) for t in g.values()]).sum(0)
                        for g in ({n: dummy[n] - t for n, t in update.gradients.items()},
                                  update.gradients))
        each = {"objective": objective, "distance": far / size_of, "label_right": right}
        table = table.drop(columns="guess").assign(
            attack=number, avd_8bit=metrics.avd(x, truth.images, quantise=True).flatten().numpy(),
            **{k: v.repeat_interleave(batch_size).numpy() for k, v in each.items()})
        table["client"] += first
        tables.append(table.astype(dict.fromkeys(table.select_dtypes("float"), "float32")))
        pictured.append(_bytes(x[:shown] if data.shareable(pictures.name) else x[:0]))
    table = pd.concat(tables, ignore_index=True)
    table = table.assign(victim_accuracy=reached) if train else table
    arrays = {"truth": _bytes(truth.images[: len(pictured[0])]), "guesses": np.stack(pictured, 2)}
    arrays = {n: a.reshape(-1, *a.shape[2:]) for n, a in arrays.items() if len(pictured[0])}
    return table, arrays


def _recovered(update, name, how, restarts, start, seed, first):
    """Images (K, B, C, H, W), labels (K, B), objective (K,) of one attack of `mixing`."""
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
        return *ratio(), torch.zeros(K)
    if name == "in_span":
        small, basis = analytic.in_span(update)
        guess = attack_presets.reconstruct(small, attack_presets.dlg(**how), restarts, seed)
        x = (guess.images.flatten(2) @ basis).view(K, B, *update.shape)
        return x.float().cpu(), guess.labels.cpu(), guess.loss.amin(1).float().cpu()
    if "labels" not in how and update.protocol.loss != "cross_entropy":
        how = how | {"labels": "joint"}
    if "labels" not in how and update.threat.labels == "equal":
        how = how | {"labels": "idlg_bias"}
    chosen = _named(ATTACKS, {"name": name} | how)
    x, z = attack_presets.starts(update, chosen, restarts, seed, first)
    if start == "demix":
        x = ratio()[0].nan_to_num(0).clamp(-2, 2)[:, None] + 0.1 * x
    guess = attack_presets.reconstruct(update, chosen, restarts, seed, start=(x, z))
    rows, winner = torch.arange(K), guess.loss.argmin(1).cpu()
    return (guess.last.cpu()[rows, winner], guess.last_labels.cpu()[rows, winner],
            guess.loss.amin(1).cpu())


def _in_rounds(model, batch, protocol, rounds: int, lr: float):
    """The victims of `model`, one a client, over several rounds: an ensemble of `models.Rounds`."""
    now, path = model, []
    for _ in range(rounds):
        path.append(copy.deepcopy(now))
        g = client.share(now, batch, protocol).gradients
        now = copy.deepcopy(now)
        for n, p in now.base.named_parameters():
            p.data -= lr * g[n]
    members = []
    for k in range(now.size):
        nets = [copy.deepcopy(m.base) for m in path]
        for net in nets:
            for t in (*net.parameters(), *net.buffers()):
                t.data = t.data[k]
        members.append(models.Rounds(nets))
    return models.Ensemble(members)


def demixing(images: dict, init: str, scales: list, batch_sizes: list, draws: list, losses: list,
             clients: int, seed: int, pool: int = 80, precision: str = "float32"):
    """The closed form on one dense layer, with no optimiser: a row a setting, client and image.

    error: mean squared error of the pixels against the image of that label (equal labels: against
    each image of the batch). neglected: sum of |w_jm| over m != j (`analytic.demix_weights`), the
    weight of the other images; predicted: the error that the weights give (both for cross-entropy).
    precision: in which the client computes."""
    pictures, rows = _pictures(images, seed), []
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


def trained(model, images: dict, seed: int, normalise: bool, first: int | None = None, **how):
    """`model` trained on the split "train" of an image set (its `first` images, or all), once:
    `how` are arguments of `models.train`, which keeps the weights."""
    pictures = _pictures(images | {"split": "train"}, seed)
    pictures = pictures.subset(range(first)) if first else pictures
    return models.train(model, pictures, seed=seed, normalise=normalise, cache=WEIGHTS, **how)


def training_path(images: dict, victim: dict, clients: int, seed: int, epochs: int, noise: float,
                  first: int | None = None, **how):
    """Gradients of single training images while their victim trains: a row an epoch and image.

    loss; norm of the gradient; others: its mean cosine with the other images' gradients; l2 and
    cosine: the two objectives at the image plus noise of standard deviation `noise` in normalised
    space, clipped to the box (the same noise in every epoch); accuracy: of the victim on 1,000
    test images. The arguments after `noise` are those of `trained`."""
    train, test = (_pictures(images | {"split": split}, seed) for split in ("train", "test"))
    rows, some = [], test.subset(range(min(1000, len(test))))
    batch = train.subset(range(first or len(train))).clients(clients, seed=seed)
    model = _victims(train, {"seed": seed} | victim, [0, 1], seed)
    draw = torch.randn(batch.images.shape, generator=run.generator("noise", seed))
    moved = batch.images + noise * draw * batch.std.view(-1, 1, 1)
    dummy = replace(batch, images=moved.clamp(0, 1))

    def look(epoch, model):
        protocol = client.Protocol(normalise=True)
        private, near = (client.share(model, b, protocol).gradients for b in (batch, dummy))
        flat = torch.cat([g.flatten(1) for g in private.values()], 1)  # (K, P)
        unit = flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-30)
        others = ((unit @ unit.mT).sum(1) - 1) / (clients - 1)
        each = {name: torch.func.vmap(d)(near, private).tolist()
                for name, d in (("l2", objectives.l2), ("cosine", objectives.cosine))}
        with torch.no_grad():
            x = client.to_input(batch.images[:, 0], False, True, batch.mean, batch.std)
            loss = cross_entropy(model(x.to(flat.device)).cpu(), batch.labels[:, 0],
                                 reduction="none")
        reached = models.accuracy(model, some, normalise=True)
        rows.extend({"epoch": epoch, "client": k, "loss": float(loss[k]), "accuracy": reached,
                     "norm": float(flat[k].norm()), "others": float(others[k])}
                    | {name: values[k] for name, values in each.items()} for k in range(clients))

    trained(model, images, seed, True, first, epochs=epochs, watch=look, **how)
    return pd.DataFrame(rows), {}


def accuracy(images: dict, victim: dict, seeds: list[int], defense: list, epochs: int, lr: float,
             batch_size: int = 64, momentum: float = 0.9, loss: str = "cross_entropy",
             same_label: int = 1, held_out: int = 0):
    """Test accuracy of victims trained under defenses: a row a seed and defense.

    At each step one update, the gradient of `batch_size` training images, passes through the
    defense (None: none) on its way to the server's optimiser. A server that averages m such updates
    divides the variance of added noise by m. loss, one of `client.LOSSES`, and same_label: see
    `models.train`. held_out: so many training images, the last ones, are not trained on but
    measured beside, in column `validation`."""
    splits = (_pictures(images | {"split": split}, 0) for split in ("train", "test"))
    (train, test), rows, apart = splits, [], None
    if held_out:
        count = len(train) - held_out
        apart, train = train.subset(range(count, len(train))), train.subset(range(count))
    criterion = None if loss == "cross_entropy" else client.LOSSES[loss]
    for (i, one), seed in itertools.product(enumerate(defense), seeds):
        model = _named(VICTIMS, victim, train, seed=seed).to(run.current().device)
        change = None if one is None else _named(DEFENSES, one).update
        models.train(model, train, epochs, batch_size, lr, momentum, seed, change, loss=criterion,
                     same_label=same_label)
        measured = {"accuracy": models.accuracy(model, test)}
        measured |= {"validation": models.accuracy(model, apart)} if apart else {}
        rows.append({"defense": i, "seed": seed} | measured)
    return pd.DataFrame(rows), {}


def label_counts(images: dict, victim: dict, rules: list, batch_sizes: list, clients: int,
                 seed: int, unique: bool = False, train: dict | None = None):
    """How many labels of a batch each rule of `labels.RULES` reads right: a row a rule and client.

    accuracy: of a client's B labels, the share that the rule counts right, as sets with repetition;
    exact: whether all are. Rule "even" deals the labels out evenly and looks at nothing. A rule is
    measured also where its assumptions do not hold; where it cannot read a batch there is no row.
    unique: no label twice in a batch. Every client has a victim of its own, newly initialised; with
    `train` (arguments of `models.train`) all share one, trained on the split "train" beforehand,
    and column `victim_accuracy` is its share of `images` classified right.
    """
    pictures, rows, reached = _pictures(images, seed), [], np.nan
    if train:
        model = _named(VICTIMS, victim, pictures, seed=seed).to(run.current().device)
        models.train(model, _pictures(images | {"split": "train"}, seed), seed=seed, **train)
        reached = models.accuracy(model, pictures)
    else:
        model = _victims(pictures, victim, [0, clients], seed)
    C = pictures.num_classes
    for B, rule in itertools.product(batch_sizes, rules):
        if B > (1 if rule.startswith("idlg") else C if unique or rule == "yin" else B):
            continue
        batch = pictures.clients(clients, B, seed=seed, unique_labels=unique)
        if rule == "even":
            read = torch.arange(B).remainder(C).expand(clients, -1)
        else:
            update = client.share(model, batch, seed=seed)
            read = label_rules.infer(update, rule, enforce=False).cpu()
        truth, counted = (one_hot(t, C).sum(1) for t in (batch.labels, read))
        right = torch.minimum(truth, counted).sum(1)
        rows += [{"rule": rule, "B": B, "client": k, "accuracy": n / B, "exact": float(n == B),
                  "victim_accuracy": reached} for k, n in enumerate(right.tolist())]
    return pd.DataFrame(rows), {}


def sentences(clients: list[int], attack: dict, record: list[int], seed: int, width: int,
              layers: int, masked: float = 0.15):
    """Attack sentences of `text.SENTENCES` (client k holds number k mod their count, and a newly
    initialised masked language model): a row a client and recorded iteration.

    inputs: share of the tokens that are not masked and read right; labels: the same of the masked
    ones; tokens: of all. Array `read` (K, T, tokens) with the token ids, beside `truth`."""
    numbers = range(*clients)
    ids = text.token_ids([text.SENTENCES[k % len(text.SENTENCES)] for k in numbers])
    build = functools.partial(text.masked_language_model, width, layers, masked=masked)
    members = [build(seed=seed * 10**6 + k) for k in numbers]
    x = torch.stack([m.embed(i) for m, i in zip(members, ids, strict=True)])  # (K, tokens, width)
    batch = SimpleNamespace(images=x, labels=ids, mean=None, std=None)
    update = client.share(models.Ensemble(members).to(run.current().device), batch, seed=seed)
    chosen = _named(ATTACKS, attack)
    start = attacks.starts(update, chosen, 1, seed, clients[0])
    guess = attacks.reconstruct(update, chosen, 1, seed, record, start=start)
    rows, read = [], torch.zeros(len(ids), len(record), ids.shape[1], dtype=torch.long)
    for k, model in enumerate(members):
        hidden = model.masked.bool()
        for t, i in enumerate(record):
            x, z = (h[i][k, 0].cpu() for h in (guess.history.images, guess.history.label_logits))
            read[k, t] = model.read(x, z)
            right = (read[k, t] == ids[k]).float()
            of = {"tokens": right, "inputs": right[~hidden], "labels": right[hidden]}
            rows.append({"client": numbers[k], "iteration": i}
                        | {name: float(share.mean()) for name, share in of.items()}
                        | {"loss": float(guess.history.losses[i, k, 0])})
    return pd.DataFrame(rows), {"read": read.numpy(), "truth": ids.numpy()}


def information(images: dict, victim: dict, clients: list[int], seed: int, batch_size: int = 1):
    """How many independent equations the gradient holds: a row a client.

    rank: of the Jacobian of all gradients with respect to all pixels, at the private batch with the
    labels known, in float64 (singular values above 1e-10 of the largest). counted: what
    `analytic.gradient_equations` allows. pixels, features (outputs of the first convolution), first
    (entries of its weight gradient) and gradients (all) are plain counts."""
    pictures, rows = _pictures(images, seed), []
    for k in range(*clients):
        indices = range(k * batch_size, (k + 1) * batch_size)
        batch = pictures.clients(1, batch_size, indices=indices)
        base = _named(VICTIMS, victim, pictures, seed=seed * 10**6 + k).double()
        x, (params, buffers) = batch.images[0].double(), client.tensors(base)
        target = one_hot(batch.labels[0], pictures.num_classes).double()
        f = client.update_function(base, client.Protocol())

        def flat(x, f=f, params=params, buffers=buffers, target=target):
            return torch.cat([g.flatten() for g in f(params, buffers, x, target).values()])

        J = torch.func.jacfwd(flat)(x).flatten(1).detach()  # (P, pixels)
        values = torch.linalg.svdvals(J)
        bounds = analytic.gradient_equations(base.float(), pictures.shape, batch_size)
        rows.append({"client": k, "pixels": x.numel(), "features": base[0](x.float()).numel(),
                     "first": base[0].weight.numel(), "gradients": len(J),
                     "counted": min(x.numel(), *bounds),
                     "rank": int((values > 1e-10 * values[0]).sum())})
    return pd.DataFrame(rows), {}


def _pictures(images: dict, seed: int):
    settings = dict(images, root=run.current().data_root)
    classes, only = settings.pop("classes", None), settings.pop("only", None)
    pictures = data.load(**settings)
    pictures = pictures.keep(only) if only else pictures
    return pictures.relabel(classes, seed) if classes else pictures


def _victims(pictures, victim: dict, clients: list, seed: int, times: int = 1):
    """A victim for each of the clients, all of them `times` over, on the run's device; where the
    victim has a seed of its own, that one alone."""
    if "seed" in victim:
        return _named(VICTIMS, victim, pictures).to(run.current().device)
    seeds = [seed * 10**6 + k for k in range(*clients)] * times
    members = [_named(VICTIMS, victim, pictures, seed=s) for s in seeds]
    return models.Ensemble(members).to(run.current().device)


def _named(known: dict, described: dict | None, *args, **kwargs):
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
            evaluations=guess.evaluations.cpu()[k, r[k]].numpy())

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
            arrays |= {"states": _bytes(states[kept]), "truth": _bytes(batch.images[kept])}
    if layers:
        arrays["layers"] = _layer_curves(update, guess, rows, winner)
    return table, arrays


def _distance(update, attack, guess, r) -> np.ndarray:
    """The objective without priors at the last iterate of restart r, for each image of a client."""
    certain = 1e4 * one_hot(guess.last_labels[:, r], update.num_classes).to(guess.last)
    dummy = attacks.dummy_gradients(update, guess.last[:, r], certain)
    each = torch.func.vmap(attack.objective)(dummy, update.gradients)  # (K,)
    return each.repeat_interleave(update.batch_size).cpu().numpy()


def _bytes(images) -> np.ndarray:
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
