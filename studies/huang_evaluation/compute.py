"""What notebook 05 alone computes: attacks on defended clients, and what a step of one costs."""

import itertools
import time

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import one_hot
from torch.utils.flop_counter import FlopCounterMode

from lib import attacks, client, data, metrics, models, run
from studies.case import ATTACKS, as_bytes, composed, image_set, named, trained, victims
from studies.keys import stored_as

COMPOSITIONS = {  # the label of image b of client k, of C classes
    "all different": lambda k, b, C: (k + b) % C, "two labels": lambda k, b, C: (k + b % 2) % C,
    "all equal": lambda k, b, C: k % C}


@stored_as("studies.huang_evaluation.defended")
def defended(images: dict, victim: dict, attack: dict, batch_size: int, clients: int, seed: int,
             defense: list | None = None, train: dict | None = None, mode: str = "train",
             statistics: str = "exact", labels: str = "known", fixed_statistics: bool = False,
             labels_of_batch: str | None = None, record: list[int] | None = None, shown: int = 0,
             draws: int = 1):
    """Attack clients under a defense, all of one victim: a row an image.

    Private images: the official code's attack set (Huang et al. 2021): the first images of every
    class of the split, in the set's order, dealt in turn; or with labels_of_batch those that
    COMPOSITIONS names. A defense that mixes takes the partners from all clients' images; draws:
    epochs of encodings, all of which are attacked and decoded together (the other columns are of
    the first). victim, train: as in `experiment.attack`; the victim has a "seed". statistics,
    labels: what the threat model grants; with labels "unknown" the attack optimises them.
    fixed_statistics: `attacks.as_if_eval`. The scores are of the last iterate, as that code's.

    Columns: the metrics, reconstructions matched to originals one to one; nearest_psnr, the best
    over all originals of the batch, as that code counts (one original may count many times); with
    a defense that mixes, encoding_psnr (reconstruction against what the client fed, in its place)
    and decoded_mse, _psnr, _ssim, _avd (`attacks.decode`, keys known, against the original in its
    place); labels_right, the share of the batch's labels that were read right, as sets with
    repetition; seconds of the attack an image.
    Arrays: `truth`, `guesses` and where mixed `decoded` (images, C, H, W), uint8, of the first
    `shown` clients, six images at most, where they may be shown; with `record`, `path`
    (clients, T): mean PSNR of each client at those iterations, matched."""
    pictures, B = image_set(images, seed), batch_size
    model = victims(pictures, victim, [0, 1], seed)
    if train:
        model = trained(model, images, seed, True, **train)
        reached = models.accuracy(model, image_set(images | {"split": "test"}, seed), True)
    rows = _attack_set(pictures, clients * B) if labels_of_batch is None else \
        _labelled(pictures, COMPOSITIONS[labels_of_batch], clients, B)
    truth = pictures.clients(clients, B, indices=rows)
    own = composed(defense, batch_size=B)
    mixes = any(hasattr(d, "keys") for d in own or ())
    held = _everybodys(pictures, rows, clients, B) if mixes else truth
    protocol = client.Protocol(mode=mode, normalise=True)
    granted = client.ThreatModel(labels=labels, bn_statistics=statistics, mixing_keys=mixes)
    update = client.share(model, held, protocol, own, granted, seed)
    seen = attacks.as_if_eval(update) if fixed_statistics else update
    guess = attacks.reconstruct(seen, named(ATTACKS, attack), seed=seed, record=record or ())
    found = guess.last[:, 0].cpu()  # (K, B, C, H, W)
    table = metrics.score(found, truth.images, root=run.current().data_root)
    each = 10 * -(found.clamp(0, 1)[:, :, None] - truth.images[:, None]).square() \
        .mean((-3, -2, -1)).log10()  # (K, reconstruction, original)
    order = torch.tensor(table.guess.array).view(clients, B)
    own_labels, read = (one_hot(t, pictures.num_classes).sum(1)
                        for t in (truth.labels, guess.last_labels[:, 0].cpu()))
    right = torch.minimum(own_labels, read).sum(1) / B  # as sets with repetition
    nearest = each.amax(2).gather(1, order).flatten()
    table = table.drop(columns="guess").assign(
        nearest_psnr=nearest.numpy(), labels_right=right.repeat_interleave(B).numpy(),
        seconds=guess.seconds / (clients * B))
    table = table.assign(victim_accuracy=reached) if train else table
    arrays, some = {}, shown if data.shareable(pictures.name) else 0
    ordered = found.gather(1, order[..., None, None, None].expand_as(found))
    arrays = {"truth": truth.images[:some], "guesses": ordered[:some]} if some else {}
    if mixes:
        fed = client.drawn(held, own, seed).images
        table["encoding_psnr"] = metrics.psnr(found, fed).flatten().numpy()
        shift = B * torch.arange(clients).repeat_interleave(B)[:, None]
        recovered, chosen, weights = [found.flatten(0, 1)], [], []
        for draw in range(draws):
            if draw:
                update = client.share(model, held, protocol, own, granted, seed + draw)
                again = attacks.reconstruct(update, named(ATTACKS, attack), seed=seed + draw)
                recovered.append(again.last[:, 0].cpu().flatten(0, 1))
            chosen.append((update.keys[0].flatten(0, 1) + shift) % (clients * B))
            weights.append(update.keys[1].flatten(0, 1))
        flipped = any(type(d).__name__ == "InstaHide" for d in own)
        keys = torch.cat(chosen), torch.cat(weights)
        decoded = attacks.decode(torch.cat(recovered), keys, clients * B, flipped)
        decoded = decoded.view_as(truth.images)
        scores = metrics.score(decoded, truth.images, match=False)
        table = table.assign(**{f"decoded_{m}": scores[m] for m in ("mse", "psnr", "ssim", "avd")})
        arrays |= {"guesses": found[:some], "decoded": decoded[:some]} if some else {}
    arrays = {n: as_bytes(t).reshape(-1, *t.shape[2:])[:6] for n, t in arrays.items()}
    if record:
        arrays["path"] = np.stack([
            metrics.score(guess.history.images[i][:, 0].cpu(), truth.images)
            .groupby("client").psnr.mean().to_numpy() for i in record], 1).astype(np.float32)
    floats = table.select_dtypes("float").columns
    return table.astype(dict.fromkeys(floats, "float32")), arrays


@stored_as("studies.huang_evaluation.baselines")
def baselines(images: dict, clients: int, seed: int, mixing: list):
    """What guesses score that no attack made: a row a guess and image of the attack set (B = 1).

    Mid-grey; uniform noise; the image's own mean colour; its best encoding, exactly recovered, for
    each defense of `mixing`. No reconstruction below the first says anything. nearest_psnr: the
    best over all originals of a batch of 16 (NaN where fewer are left), as `defended` has it."""
    pictures = image_set(images, seed)
    rows = _attack_set(pictures, clients)
    truth, tables = pictures.clients(clients, 1, indices=rows), []
    x = truth.images
    guesses = {"mid-grey": torch.full_like(x, 0.5),
               "uniform noise": torch.rand(x.shape, generator=run.generator("noise", seed)),
               "own mean colour": x.mean((-2, -1), keepdim=True).expand_as(x)}
    held = _everybodys(pictures, rows, clients, 1)
    for one in mixing:
        own = composed([one], batch_size=1)
        guesses[f"exact encoding, {one['name']} {one['k']}"] = client.drawn(held, own, seed).images
    for name, guess in guesses.items():
        whole, nearest = clients // 16 * 16, np.full(clients, np.nan)
        t, g = (v[:whole].view(-1, 16, *x.shape[2:]) for v in (x, guess.contiguous()))
        each = -10 * (g[:, :, None] - t[:, None]).square().mean((-3, -2, -1)).log10()
        nearest[:whole] = each.amax(2).flatten().numpy()
        table = metrics.score(guess, x, match=False)
        tables.append(table.assign(guess=name, nearest_psnr=nearest))
    return pd.concat(tables, ignore_index=True), {}


def _everybodys(pictures, rows, clients: int, B: int):
    """A batch in which each client holds all clients' images, its own first."""
    pool = torch.stack([rows.roll(-k * B) for k in range(clients)])
    return pictures.clients(clients, clients * B, indices=pool)


def _attack_set(pictures, count: int) -> torch.Tensor:
    """The first images of every class in the set's order, ceil(count / classes) of each: (count,),
    dealt class by class in turn, so that batches have different labels where they can."""
    each = -(-count // pictures.num_classes)
    of_class = [(pictures.labels == c).nonzero()[:each, 0] for c in range(pictures.num_classes)]
    if min(map(len, of_class)) < each:
        raise ValueError(f"{count} private images need {each} of every class")
    return torch.stack(of_class, 1).flatten()[:count]


def _labelled(pictures, label, clients: int, B: int) -> torch.Tensor:
    unused = {c: iter((pictures.labels == c).nonzero()[:, 0].tolist())
              for c in range(pictures.num_classes)}
    return torch.tensor([next(unused[label(k, b, pictures.num_classes)])
                         for k in range(clients) for b in range(B)])


@stored_as("studies.huang_evaluation.training_time")
def training_time(images: dict, victim: dict, defenses_: list, batch_size: int, repeats: int,
                  first: int | None = None, seed: int = 0):
    """Seconds of one epoch of training under each defense: a row a repeat and defense (its number).

    The defenses take turns, so that what else the machine does meets all of them; on the first
    `first` training images, or all. The first turn, which warms up, is left out."""
    pictures, rows = image_set(images | {"split": "train"}, seed), []
    pictures = pictures.subset(range(first)) if first else pictures
    for turn, (i, one) in itertools.product(range(repeats + 1), enumerate(defenses_)):
        model = victims(pictures, {"seed": seed} | victim, [0, 1], seed)
        begin = time.perf_counter()
        models.train(model, pictures, 1, batch_size, defense=composed(one), normalise=True)
        rows.append({"repeat": turn, "defense": i, "seconds": time.perf_counter() - begin})
    return pd.DataFrame(rows[len(defenses_):]), {}


@stored_as("studies.huang_evaluation.effort")
def effort(images: dict, victims_: list, batch_sizes: list, seed: int = 0):
    """Floating point operations of one step of the attack: a row a victim and batch size.

    forward: of the network; gradient: the update of the dummy batch; step: the objective and its
    gradient with respect to the images, what one iteration of Adam costs."""
    pictures, rows = image_set(images, seed), []
    for described in victims_:
        model = victims(pictures, {"seed": 0} | described, [0, 1], seed)
        for B in batch_sizes:
            update = client.share(model, pictures.clients(1, B), client.Protocol(mode="train"))
            base, _ = models.architecture(update.model)
            params, buffers = client.tensors(update.model)
            target = one_hot(torch.arange(B) % pictures.num_classes, pictures.num_classes).float()
            x = torch.rand(B, *pictures.shape, requires_grad=True)
            counted = {}
            with FlopCounterMode(display=False) as counter:
                models.call(base, params | buffers, x)
            counted["forward"] = counter.get_total_flops()
            with FlopCounterMode(display=False) as counter:
                g = _gradient(base, params, buffers, x, target, update.protocol)
            counted["gradient"] = counter.get_total_flops()
            with FlopCounterMode(display=False) as counter:
                g = _gradient(base, params, buffers, x, target, update.protocol)
                sum((t - update.gradients[n][0]).square().sum() for n, t in g.items()).backward()
            counted["step"] = counter.get_total_flops()
            rows.append({"victim": described["name"], "width": described.get("width"), "B": B,
                         "parameters": sum(p.numel() for p in params.values())} | counted)
    return pd.DataFrame(rows), {}


def _gradient(base, params, buffers, x, target, protocol) -> dict[str, torch.Tensor]:
    """The update of one batch by plain autograd, which the counter of operations understands."""
    live = {n: p.clone().requires_grad_() for n, p in params.items()}
    loss = client.loss_function(base, protocol)(live, buffers, x, target)
    return dict(zip(live, torch.autograd.grad(loss, live.values(), create_graph=True),
                    strict=True))
