"""What the mean of several clients, or a part of an update, gives away: the experiments."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
import torch
from torch import Tensor, nn

from lib import adapters, analytic, attacks, client, data, labels, models
from studies import scores
from studies.case import ATTACKS, Case, named
from studies.keys import stored_as

KNOWN = client.ThreatModel(labels="known")
NORMALISED = client.Protocol(normalise=True)
RULE = "idlg_products"  # it needs no features that are non-negative


@stored_as("studies.inverting_gradients.several_clients")
def several_clients(images: dict, victim: dict, attack: dict, clients: int, means: int,
                    scored: int, seed: int, shown: int = 3) -> tuple[pd.DataFrame, dict]:
    """Attack `means` means of `clients` clients, who hold one image each: a row for each of the
    first `scored` images.

    Client j of mean m holds image m clients + j of the set, so that means of more clients are made
    of those of fewer. All have one victim. Columns: image, its number; mean, of which it is part;
    the metrics; flat_psnr, flat_ssim and flat_stlpips, those of the set's mean colour; loss, ended.
    Arrays `found` and `truth` (shown, C, H, W), uint8, where pictures may be kept."""
    case = Case(images, victim, [0, clients * means], 1, seed, protocol=NORMALISED, threat=KNOWN)
    update = case.share()
    mean = client.aggregate([_of_clients(update, slice(j, None, clients)) for j in range(clients)])
    private = _in_means(case.private, clients)
    guess = attacks.reconstruct(mean, named(ATTACKS, attack), seed=seed)
    table = scores.rows_of_best(guess, private).rename(columns={"client": "mean"})
    table["image"] += clients * table["mean"]
    table = table[table.image < scored].reset_index(drop=True)
    found, truth = _pictures(guess, private, table)
    table = pd.concat([table, _of_mean_colour(private, truth)], axis=1)
    return table, _kept(case, found, truth, shown)


def _of_clients(update: client.SharedUpdate, which: slice) -> client.SharedUpdate:
    gradients = {name: g[which] for name, g in update.gradients.items()}
    return replace(update, gradients=gradients, labels=update.labels[which])


def _in_means(batch: data.Batch, clients: int) -> data.Batch:
    """Batches (K, 1) of single clients as (means, clients)."""
    return replace(batch, images=batch.images[:, 0].unflatten(0, (-1, clients)),
                   labels=batch.labels[:, 0].unflatten(0, (-1, clients)), indices=None)


def _pictures(guess: attacks.Reconstruction, private: data.Batch, table: pd.DataFrame) \
        -> tuple[Tensor, Tensor]:
    """The last iterates and the private images (n, C, H, W) of the rows of a table."""
    count = private.images.shape[1]
    number, chosen = (torch.tensor(table[name].array) for name in ("image", "guess"))
    rows, places = number // count, number % count
    last, _ = scores.last_of(guess, scores.best_restarts(guess))
    return last[rows, chosen].cpu(), private.images[rows, places]


def _of_mean_colour(batch: data.Batch, truth: Tensor) -> pd.DataFrame:
    """What the set's mean colour has against images (n, C, H, W)."""
    flat = batch.mean.view(-1, 1, 1).expand_as(truth)
    table = scores.score(flat[:, None], truth[:, None])
    return table[["psnr", "ssim", "stlpips"]].add_prefix("flat_")


def _kept(case: Case, found: Tensor, truth: Tensor, shown: int) -> dict:
    if not case.shareable:
        return {}
    return {"found": scores.as_bytes(found[:shown].clamp(0, 1)),
            "truth": scores.as_bytes(truth[:shown])}


# --- a part of an update


@dataclass(frozen=True)
class Part:
    """What is seen of an update: the tensors whose names begin with one of `names` (the others were
    frozen, kept or encrypted); or, with `rank`, adapters of this rank, the rest frozen; all where
    neither is said."""

    names: Sequence[str] = ()
    rank: int | None = None

    def model(self, whole: nn.Module, seed: int) -> nn.Module:
        """What the server sends."""
        return whole if self.rank is None else adapters.low_rank(whole, self.rank, seed)

    def of(self, update: client.SharedUpdate) -> client.SharedUpdate:
        if not self.names:
            return update
        seen = {name: g for name, g in update.gradients.items()
                if name.startswith(tuple(self.names))}
        return replace(update, gradients=seen)


@stored_as("studies.inverting_gradients.part_of_an_update")
def part_of_an_update(images: dict, victim: dict, part: dict, attack: dict, clients: list[int],
                      seed: int, shown: int = 3) -> tuple[pd.DataFrame, dict]:
    """Attack what is seen of the gradients of single images: a row for each of clients [first,
    last), who hold one image each.

    part: arguments of `Part`. attack: with labels="joint" the labels are not granted and searched
    for; else they are known. Columns: image, its number; the metrics, and those of the set's mean
    colour as in `several_clients`; label, as the attack has it; read, 1 where a rule reads the
    right label off the part, 0 where a wrong one, NaN where none can; input_error, that of the last
    dense layer's input as the part gives it by a division, relative to the input's length, NaN
    where it gives none; numbers, how many the part's tensors hold that are not 0 throughout. Arrays
    as there."""
    threat = client.ThreatModel() if attack.get("labels") == "joint" else KNOWN
    case = Case(images, victim, clients, 1, seed, protocol=NORMALISED, threat=threat)
    seen = Part(**part)
    update = seen.of(case.share(seen.model(case.model, seed)))
    guess = attacks.reconstruct(update, named(ATTACKS, attack), seed=seed)
    table = scores.rows_of_best(guess, case.private)
    last, _ = scores.last_of(guess, scores.best_restarts(guess))
    found, truth = last[:, 0].cpu(), case.private.images[:, 0]
    told = read_labels(update)
    right = float("nan") if told is None else (told == case.private.labels[:, 0]).float().numpy()
    table = table.assign(
        image=table.client + case.clients[0], read=right,
        input_error=_input_error(update, case),
        numbers=sum(g[0].numel() for g in update.gradients.values() if bool(g.any())))
    table = pd.concat([table.drop(columns="client"), _of_mean_colour(case.private, truth)], axis=1)
    return table, _kept(case, found, truth, shown)


def read_labels(update: client.SharedUpdate) -> Tensor | None:
    """(K,): the labels of single images by `RULE`; None where the part holds nothing of the last
    dense layer. An adapter's `up` has the rows of that layer's gradient, each times `down`, and so
    the same signs."""
    unknown = replace(update, labels=None, threat=client.ThreatModel())
    try:
        return labels.infer(unknown, RULE)[:, 0].cpu()
    except ValueError:
        last = [*update.gradients][-2:]
        if not last[0].endswith(".up"):
            return None
    up = update.gradients[last[0]]
    layer = labels.LastLayer(up, None, up[:1], None, up[0], 1)
    return labels.RULES[RULE].read(layer)[:, 0].cpu()


def _input_error(update: client.SharedUpdate, case: Case) -> float | list[float]:
    """|found - true| / |true| of each client's input of the last dense layer."""
    base, _ = models.architecture(case.model)
    head = [name for name, m in base.named_modules() if isinstance(m, nn.Linear)][-1]
    gradients = [update.gradients.get(f"{head}.{name}") for name in ("weight", "bias")]
    if any(g is None for g in gradients):
        return float("nan")
    true = _inputs(case, head)
    found = analytic.dense_input(*gradients).cpu()
    return ((found - true).norm(dim=1) / true.norm(dim=1)).tolist()


def _inputs(case: Case, layer: str) -> Tensor:
    """(K, features): what enters a layer when each client's victim is fed its image."""
    private, inputs = case.private, []
    fed = client.to_input(private.images, False, True, private.mean, private.std)
    model = case.model
    for k in range(len(case)):
        net = model.member(k) if isinstance(model, models.Ensemble) else model
        hook = net.get_submodule(layer).register_forward_pre_hook(
            lambda module, given: inputs.append(given[0].detach().cpu()))
        with torch.no_grad():
            net.eval()(fed[k].to(next(net.parameters())))
        hook.remove()
    return torch.cat(inputs)
