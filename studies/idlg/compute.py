"""What notebook 02 alone computes: labels of batches, counted by every rule, and DLG without the
engine."""

import itertools

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import log_softmax, one_hot, softmax

from lib import attacks, client, data, models, run
from lib import labels as label_rules
from studies.case import VICTIMS, image_set, named, victims
from studies.keys import stored_as


@stored_as("studies.idlg.label_counts")
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
    pictures, rows, reached = image_set(images, seed), [], np.nan
    if train:
        model = named(VICTIMS, victim, pictures, seed=seed).to(run.current().device)
        models.train(model, image_set(images | {"split": "train"}, seed), seed=seed, **train)
        reached = models.accuracy(model, pictures)
    else:
        model = victims(pictures, victim, [0, clients], seed)
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


@stored_as("__main__.plain_dlg")
def plain_dlg(images: dict, clients: list[int], iterations: int, seed: int,
              stride: int) -> tuple[pd.DataFrame, dict]:
    """DLG in plain PyTorch, one client after another: a row a client with the error of its last
    image (mse, on [0, 1]), and whether its label is right.

    Client k in [first, last) of `clients` holds image `stride` * k on a LeNet of its own; images,
    victims and starts are those of `case.attack` under the same seed."""
    pictures = data.load(**images, root=run.current().data_root)
    rows = []
    for k in range(*clients):
        batch = pictures.clients(1, indices=[stride * k])
        victim = models.lenet(pictures, seed=seed * 10**6 + k)
        update = client.share(victim, batch)
        image, label = attacks.starts(update, attacks.dlg(), 1, seed, first=k)
        x, z = _plain_search(victim, update.gradients, image[0, 0], label[0, 0], iterations)
        rows.append({"client": k, "mse": float((x - batch.images[0]).square().mean()),
                     "right": bool(z.argmax() == batch.labels)})
    return pd.DataFrame(rows), {}


def _plain_search(victim, gradients: dict, image, label,
                  iterations: int) -> tuple[torch.Tensor, torch.Tensor]:
    """DLG's search with `torch.optim.LBFGS` from a start (image (1, C, H, W), label logits (1, C)):
    min ||dl(F(x, W), softmax(z))/dW - gradients||^2. Gives the last x and z; it ends early where
    the objective is no number."""
    x = image.clone().requires_grad_()
    z = label.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([x, z])

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = -(softmax(z, -1) * log_softmax(victim(x), -1)).sum(-1).mean()
        dummy = torch.autograd.grad(loss, victim.parameters(), create_graph=True)
        shared = [gradient[0] for gradient in gradients.values()]
        distance = sum((d - g).square().sum() for d, g in zip(dummy, shared, strict=True))
        distance.backward()
        return distance

    for _ in range(iterations):
        if not torch.isfinite(optimizer.step(closure)):
            break
    return x.detach(), z.detach()
