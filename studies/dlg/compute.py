"""What notebook 01 alone computes: attacks on sentences, and how many equations a gradient holds.

A sentence of T tokens goes through the engine as a batch of T "images" of shape (width,): its
token embeddings. The language model maps them to logits (T, words), so labels are tokens and
everything else (`client.share`, `attacks.reconstruct`, label logits, L-BFGS) is what attacks on
images use.
"""

import functools

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from lib import analytic, attacks, client, data, models, run
from studies.case import Case
from studies.describe import ATTACKS, members, named
from studies.keys import stored_as
from studies.language import (  # noqa: F401  (names of this module too)
    MASK,
    SENTENCES,
    TOKENS,
    MaskedLanguageModel,
    masked_language_model,
    token_ids,
    vocabulary,
)


@stored_as("studies.dlg.sentences")
def sentences(clients: list[int], attack: dict, record: list[int], seed: int, width: int,
              layers: int, masked: float = 0.15) -> tuple[pd.DataFrame, dict]:
    """Attack sentences of `SENTENCES` (client k holds number k mod their count, and a newly
    initialised masked language model): a row a client and recorded iteration.

    inputs: share of the tokens that are not masked and read right; labels: the same of the masked
    ones; tokens: of all. Array `read` (K, T, tokens) with the token ids, beside `truth`."""
    numbers = range(*clients)
    ids = token_ids([SENTENCES[k % len(SENTENCES)] for k in numbers])
    build = functools.partial(masked_language_model, width, layers, masked=masked)
    nets = [build(seed=seed * 10**6 + k) for k in numbers]
    x = torch.stack([net.embed(i) for net, i in zip(nets, ids, strict=True)])  # (K, tokens, width)
    batch = data.Embeddings(x, ids, len(vocabulary()))
    update = client.share(models.Ensemble(nets).to(run.current().device), batch, seed=seed)
    chosen = named(ATTACKS, attack)
    start = attacks.starts(update, chosen, 1, seed, clients[0])
    guess = attacks.reconstruct(update, chosen, 1, seed, record, start=start)
    rows, read = [], torch.zeros(len(ids), len(record), ids.shape[1], dtype=torch.long)
    for k, model in enumerate(nets):
        hidden = model.masked.bool()
        for t, iteration in enumerate(record):
            x = guess.history.images[iteration][k, 0].cpu()
            z = guess.history.label_logits[iteration][k, 0].cpu()
            read[k, t] = model.read(x, z)
            right = (read[k, t] == ids[k]).float()
            rows.append({"client": numbers[k], "iteration": iteration,
                         "tokens": float(right.mean()), "inputs": float(right[~hidden].mean()),
                         "labels": float(right[hidden].mean()),
                         "loss": float(guess.history.losses[iteration, k, 0])})
    return pd.DataFrame(rows), {"read": read.numpy(), "truth": ids.numpy()}


@stored_as("studies.dlg.information")
def information(images: dict, victim: dict, clients: list[int], seed: int, batch_size: int = 1) \
        -> tuple[pd.DataFrame, dict]:
    """How many independent equations the gradient holds: a row a client.

    rank: of the Jacobian of all gradients with respect to all pixels, at the private batch with the
    labels known, in float64 (singular values above 1e-10 of the largest). counted: what
    `analytic.gradient_equations` allows. pixels, features (outputs of the first convolution), first
    (entries of its weight gradient) and gradients (all) are plain counts."""
    case, rows = Case(images, victim, clients, batch_size, seed), []
    nets = members(case.pictures, victim, clients, seed)
    for k, net, x, labels in zip(range(*clients), nets, case.held.images, case.held.labels,
                                 strict=True):
        jacobian = _jacobian(net.double(), x.double(), labels, case.pictures.num_classes)
        values = torch.linalg.svdvals(jacobian)
        net = net.float()
        bounds = analytic.gradient_equations(net, case.pictures.shape, batch_size)
        rows.append({"client": k, "pixels": x.numel(), "features": net[0](x).numel(),
                     "first": net[0].weight.numel(), "gradients": len(jacobian),
                     "counted": min(x.numel(), *bounds),
                     "rank": int((values > 1e-10 * values[0]).sum())})
    return pd.DataFrame(rows), {}


def _jacobian(net: nn.Module, x: Tensor, labels: Tensor, classes: int) -> Tensor:
    """(P, pixels): derivative of all gradients of a batch (B, C, H, W) with respect to it."""
    params, buffers = client.tensors(net)
    target = one_hot(labels, classes).to(x)
    gradients = client.update_function(net, client.Protocol())

    def flat(images: Tensor) -> Tensor:
        of_layers = gradients(params, buffers, images, target)
        return torch.cat([g.flatten() for g in of_layers.values()])

    return torch.func.jacfwd(flat)(x).flatten(1).detach()
