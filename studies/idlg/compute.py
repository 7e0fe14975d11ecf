"""What notebook 02 alone computes: labels of batches, counted by every rule, and DLG without the
engine."""

import itertools

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import log_softmax, softmax

from lib import attacks, client, data, models, run
from lib.labels import infer
from studies import scores
from studies.case import Case
from studies.keys import stored_as


@stored_as("studies.idlg.label_counts")
def label_counts(images: dict, victim: dict, rules: list, batch_sizes: list, clients: int,
                 seed: int, unique: bool = False, train: dict | None = None) \
        -> tuple[pd.DataFrame, dict]:
    """How many labels of a batch each rule of `labels.RULES` reads right: a row a rule and client.

    accuracy: of a client's B labels, the share that the rule counts right, as sets with repetition;
    exact: whether all are. Rule "even" deals the labels out evenly and looks at nothing. A rule is
    measured also where its assumptions do not hold; where it cannot read a batch there is no row.
    unique: no label twice in a batch. Every client has a victim of its own, newly initialised; with
    `train` (arguments of `models.train`) all share one, trained on the split "train" beforehand,
    and column `victim_accuracy` is its share of `images` classified right.
    """
    if train:
        victim = {"seed": seed} | victim
    case = Case(images, victim, (0, clients), 1, seed, train=train)
    reached = models.accuracy(case.model, case.pictures) if train else np.nan
    rows = []
    for batch_size, rule in itertools.product(batch_sizes, rules):
        if not _readable(rule, batch_size, case.pictures.num_classes, unique):
            continue
        batch = case.pictures.clients(clients, batch_size, seed=seed, unique_labels=unique)
        read = _read(case, batch, rule)
        right = scores.labels_right(batch.labels, read, batch.num_classes)
        for k, count in enumerate(right.tolist()):
            rows.append({"rule": rule, "B": batch_size, "client": k,
                         "accuracy": count / batch_size, "exact": float(count == batch_size),
                         "victim_accuracy": reached})
    return pd.DataFrame(rows), {}


def _readable(rule: str, batch_size: int, classes: int, unique: bool) -> bool:
    """Whether there are batches of that size, and the rule can read them."""
    if rule.startswith("idlg"):
        return batch_size == 1
    if unique or rule == "yin":
        return batch_size <= classes
    return True


def _read(case: Case, batch: data.Batch, rule: str) -> torch.Tensor:
    """(K, B) labels that a rule reads off the gradients of a batch."""
    if rule == "even":
        size = batch.labels.shape[1]
        return torch.arange(size).remainder(batch.num_classes).expand(len(case), -1)
    update = client.share(case.model, batch, seed=case.seed)
    return infer(update, rule, enforce=False).cpu()


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
