"""What notebook 06 alone computes: attacks on mixed gradients, and the closed form by itself."""

import copy
import itertools
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lib import analytic, attacks, client, data, defenses, metrics, models
from lib.labels import last_layer
from studies import deal, scores
from studies.case import Case
from studies.describe import ATTACKS, composed, members, named
from studies.keys import stored_as


@dataclass(frozen=True)
class MixingConfig:
    """What `mixing` is asked for; images, victim, clients, batch_size, seed and train: see
    `case.Case`.

    draw: a client's batch is "random", "unique" (no label twice), or "equal" (one label, drawn by
    `defenses.EqualLabels` from `pool` images). defense: what the client does besides. rounds: the
    attacker sees that many gradients of the same batch, the network moving on by `round_lr` times
    the client's gradient in between. attacks: arguments of `MixedAttack` each, and those of the
    attack of that name beside them."""

    images: dict
    victim: dict
    loss: str
    draw: str
    batch_size: int
    attacks: list
    clients: list[int]
    seed: int
    pool: int = 80
    defense: dict | None = None
    rounds: int = 1
    round_lr: float = 0.0
    train: dict | None = None
    shown: int = 0

    def case(self) -> Case:
        case = drawn_case(self.images, self.draw, self.batch_size, self.clients, self.seed,
                          self.pool)
        under = case.defenses
        if self.defense is not None:
            drawing = (step for step in under if step is not None)
            under = ((*drawing, composed(self.defense)),)
        return replace(case, victim=self.victim, protocol=client.Protocol(loss=self.loss),
                       defenses=under, train=self.train)


def drawn_case(images: dict, draw: str, batch_size: int, clients: list[int], seed: int,
               pool: int) -> Case:
    """Clients that hold batches drawn as `MixingConfig.draw` says, so far without a victim."""
    if draw not in ("random", "unique", "equal"):
        raise ValueError(f"draw is 'random', 'unique' or 'equal', not {draw!r}")
    if draw == "equal":
        return Case(images, None, clients, batch_size, seed, deal.Drawn(), pool,
                    defenses=(defenses.EqualLabels(batch_size),))
    return Case(images, None, clients, batch_size, seed, deal.Drawn(draw == "unique"), batch_size)


@dataclass(frozen=True)
class MixedAttack:
    """One attack of `mixing`.

    name: one of ATTACKS; "demix", the closed form (labels that are not granted are those of the B
    smallest bias gradients); or "in_span" (`analytic.in_span`, its arguments those of
    `attacks.dlg`). grant: "known" labels, "unknown", or "equal" (known to be equal, read off the
    bias gradient). start: "demix" starts from the closed form plus normal noise of standard
    deviation 0.1, without which images of one label never part. Labels that are not granted are
    read by the rule "analytic" behind cross-entropy, and optimised behind other losses."""

    name: str
    arguments: dict
    grant: str = "known"
    restarts: int = 1
    start: str = "noise"

    @classmethod
    def described(cls, described: dict) -> "MixedAttack":
        """The attack of {"name", "grant", "restarts", "start", and the arguments of that name}."""
        own = ("name", "grant", "restarts", "start")
        said = {key: value for key, value in described.items() if key in own}
        arguments = {key: value for key, value in described.items() if key not in own}
        return cls(arguments=arguments, **said)

    def preset(self, update: client.SharedUpdate) -> attacks.Attack:
        """The attack of ATTACKS, reading labels as the update allows."""
        arguments = self.arguments
        if "labels" not in arguments:
            if update.protocol.loss != "cross_entropy":
                arguments = arguments | {"labels": "joint"}
            elif update.threat.labels == "equal":
                arguments = arguments | {"labels": "idlg_bias"}
        return named(ATTACKS, {"name": self.name} | arguments)


@stored_as("studies.mixing_gradients.mixing")
def mixing(**config) -> tuple[pd.DataFrame, dict]:
    """Attack mixed gradients (Eloul et al. 2022) with several attacks: a row an attack and image.
    The arguments: MixingConfig.

    Arrays of the images of the first `shown` clients, where they may be shown: `truth` (images, C,
    H, W) and `guesses` (images, attacks, C, H, W), uint8, clipped.

    The scores are of the last iterate of the restart with the smallest objective. avd_8bit is
    `metrics.avd` through 8 bits, as published; distance the squared distance of the gradients over
    the shared one's, the same measure for all attacks; label_right of a batch as a whole.
    Column `attack` counts through the attacks; ended: why that restart ended ("" for the closed
    form; cells of version 1 have no such column); victim_accuracy: of a trained victim.
    """
    how = MixingConfig(**config)
    case = how.case()
    model = _in_rounds(case, how.rounds, how.round_lr) if how.rounds > 1 else case.model
    shown = case.shown(how.shown)
    tables, pictured = [], []
    for number, described in enumerate(how.attacks):
        attack = MixedAttack.described(described)
        update = case.share(model, client.ThreatModel(labels=attack.grant))
        images, labels, ended = _reconstructed(case, update, attack)
        table, images = _scored(case, update, number, images, labels)
        tables.append(table.assign(ended=np.repeat(ended, case.batch_size)))
        pictured.append(scores.as_bytes(images[shown]))
    table = pd.concat(tables, ignore_index=True)
    if how.train:
        table = table.assign(victim_accuracy=case.victim_accuracy)
    arrays = {}
    if shown.any():
        truth = scores.as_bytes(case.private.images[shown])
        arrays = {"truth": truth, "guesses": np.stack(pictured, 2)}
        arrays = {name: values.reshape(-1, *values.shape[2:]) for name, values in arrays.items()}
    return table, arrays


def _scored(case: Case, update: client.SharedUpdate, number: int, images: Tensor,
            labels: Tensor) -> tuple[pd.DataFrame, Tensor]:
    """The rows of one attack, and its images in the order of the private ones."""
    truth, size = case.private, case.batch_size
    table = case.score(images)
    far = scores.relative_distance(update, images, labels)  # images beside their own labels
    right = (labels.sort(1).values == truth.labels.sort(1).values).all(1)
    images = scores.reordered(images, scores.order_of(table, size))
    through_bytes = metrics.avd(images, truth.images, quantise=True).flatten().numpy()
    table = case.numbered(table).drop(columns=["guess", "defense"]).assign(
        attack=number, avd_8bit=through_bytes, distance=scores.per_image(far, size),
        label_right=scores.per_image(right, size))
    return scores.narrowed(table), images


def _reconstructed(case: Case, update: client.SharedUpdate, attack: MixedAttack) \
        -> tuple[Tensor, Tensor, list[str]]:
    """Images (K, B, C, H, W) and labels (K, B) that one attack finds, and why it ended (K)."""
    if attack.name == "demix":
        return *_closed_form(update), [""] * len(update)
    if attack.name == "in_span":
        small, basis = analytic.in_span(update)
        preset = attacks.dlg(**attack.arguments)
        guess = attacks.reconstruct(small, preset, attack.restarts, case.seed)
        images = guess.images.flatten(2) @ basis
        shape = (len(update), update.batch_size, *update.shape)
        return images.view(shape).float().cpu(), guess.labels.cpu(), _ended(guess)
    preset = attack.preset(update)
    x, z = case.starts(update, preset, attack.restarts)
    if attack.start == "demix":
        near = _closed_form(update)[0].nan_to_num(0).clamp(-2, 2)
        x = near[:, None] + 0.1 * x
    guess = attacks.reconstruct(update, preset, attack.restarts, case.seed, start=(x, z))
    return *scores.last_of(guess, scores.best_restarts(guess)), _ended(guess)


def _ended(guess: attacks.Reconstruction) -> list[str]:
    """Why the best restart of every client ended."""
    best = scores.best_restarts(guess).tolist()
    return [words[restart] for words, restart in zip(guess.ended, best, strict=True)]


def _closed_form(update: client.SharedUpdate) -> tuple[Tensor, Tensor]:
    """Images and labels by `analytic.demix` of the one dense layer."""
    layer, labels = last_layer(update), update.labels
    if labels is None:
        count = 1 if update.threat.labels == "equal" else update.batch_size
        smallest = layer.bias.topk(count, largest=False).indices.sort(1).values
        labels = smallest.expand(len(update), update.batch_size)
    images = analytic.demix(layer.weight, layer.bias, labels)
    if images.shape[-1] != torch.Size(update.shape).numel():
        raise ValueError("the closed form needs a victim of one dense layer")
    return images.reshape(len(update), update.batch_size, *update.shape), labels


def _in_rounds(case: Case, rounds: int, lr: float) -> nn.Module:
    """The victims of the clients over several rounds: an ensemble of `models.Rounds`."""
    model, path = case.model, []
    for _ in range(rounds):
        path.append(model)
        gradients = client.share(model, case.private, case.protocol).gradients
        model = copy.deepcopy(model)
        for name, parameter in model.base.named_parameters():
            parameter.data -= lr * gradients[name]
    of_clients = zip(*(ensemble.unstack() for ensemble in path), strict=True)
    return models.Ensemble([models.Rounds(nets) for nets in of_clients])


@stored_as("studies.mixing_gradients.demixing")
def demixing(images: dict, init: str, scales: list, batch_sizes: list, draws: list, losses: list,
             clients: int, seed: int, pool: int = 80, precision: str = "float32") \
        -> tuple[pd.DataFrame, dict]:
    """The closed form on one dense layer, with no optimiser: a row a setting, client and image.

    error: mean squared error of the pixels against the image of that label (equal labels: against
    each image of the batch). neglected: sum of |w_jm| over m != j (`analytic.demix_weights`), the
    weight of the other images; predicted: the error that the weights give (both for cross-entropy).
    precision: in which the client computes."""
    exact, tables = getattr(torch, precision), []
    for draw, batch_size in itertools.product(draws, batch_sizes):
        case = drawn_case(images, draw, batch_size, [0, clients], seed, pool)
        batch = replace(case.private, images=case.private.images.to(exact))
        for scale, loss in itertools.product(scales, losses):
            victim = {"name": "dense", "init": init}
            if scale is not None:
                victim["scale"] = scale
            nets = members(case.pictures, victim, case.clients, seed)
            model = models.Ensemble(nets).to(exact)
            setting = {"draw": draw, "B": batch_size, "scale": scale, "loss": loss}
            tables.append(_demixed(model, batch, setting))
    table = pd.concat(tables, ignore_index=True).astype({"scale": float})
    floats = ["error", "predicted", "neglected"]  # 1e-30 is a float32 too
    with np.errstate(over="ignore"):  # where a bias gradient is nearly 0
        return table.astype(dict.fromkeys(floats, "float32")), {}


def _demixed(model: models.Ensemble, batch: data.Batch, setting: dict) -> pd.DataFrame:
    """The rows of `demixing` of one setting."""
    x, y = batch.images.flatten(2), batch.labels  # (K, B, features), (K, B)
    shared = client.share(model, batch, client.Protocol(loss=setting["loss"])).gradients
    guess = analytic.demix(shared["1.weight"], shared["1.bias"], y)
    weight, bias = (t.detach().double() for t in (model.base[1].weight, model.base[1].bias))
    logits = torch.einsum("kbf,kcf->kbc", x.double(), weight) + bias[:, None]
    mixed = analytic.demix_weights(torch.softmax(logits, -1), y).nan_to_num(0)  # (K, B, B)
    told = torch.einsum("kjm,kmf->kjf", mixed, x.double())
    of_others = mixed - torch.diag_embed(mixed.diagonal(dim1=1, dim2=2))
    repeated = (y[:, :, None] == y[:, None]).sum(-1) > 1
    return pd.DataFrame(setting | {
        "client": torch.arange(len(y)).repeat_interleave(y.shape[1]),
        "error": (guess - x).square().mean(-1).double().flatten(),
        "repeated": repeated.flatten(),
        "predicted": (told - x).square().mean(-1).flatten(),
        "neglected": of_others.abs().sum(-1).flatten()})
