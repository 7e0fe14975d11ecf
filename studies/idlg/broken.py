"""What notebook 02 breaks of the label rule's assumptions, one at a time, and what is left then."""

import pandas as pd
import torch

from lib import client, data, labels, models

RULES = {  # of `labels.RULES`, for single images: what the page calls it
    "idlg": "row sums", "idlg_bias": "bias", "idlg_products": "products"}


class LabelSmoothing:
    """A client whose targets are (1 - strength) one-hot + strength / C, for C classes."""

    def __init__(self, strength: float = 0.3) -> None:
        self.strength = strength

    def encode(self, images: torch.Tensor, targets: torch.Tensor, rng: object) -> tuple:
        """Images (B, C, H, W) as they are, and targets (B, classes), smoothed."""
        uniform = self.strength / targets.shape[-1]
        return images, (1 - self.strength) * targets + uniform


STEPS = {"local_lr": 0.01, "epochs": 5, "sends": "weights"}
CONDITIONS = {  # what is broken: (victim, protocol, defense)
    "nothing": ({}, {}, None),
    "features may be negative: tanh": ({"activation": "tanh"}, {}, None),
    "features may be negative: GELU": ({"activation": "gelu"}, {}, None),
    "GELU, and PyTorch's initialisation": ({"activation": "gelu", "init": "default"}, {}, None),
    "loss: squared error of the logits": ({}, {"loss": "mse"}, None),
    "loss: squared error of the softmax": ({}, {"loss": "mse_softmax"}, None),
    "label smoothing 0.3": ({}, {}, LabelSmoothing()),
    "five local steps, the weights are sent": ({}, STEPS, None),
}


def one_at_a_time(images: data.ImageSet, batch: data.Batch) -> pd.DataFrame:
    """The share of single labels that each rule reads right, a row a condition."""
    rows = {name: rules_read_right(images, batch, *how) for name, how in CONDITIONS.items()}
    return pd.DataFrame(rows).T


def rules_read_right(images: data.ImageSet, batch: data.Batch, victim: dict, protocol: dict,
                     defense: object = None) -> dict[str, str]:
    """The share of single labels that each rule reads right, measured also where a rule does not
    apply, and which rules the engine then refuses.

    batch: single images, each on a LeNet of its own. victim: arguments of `models.lenet`;
    protocol: of `client.Protocol`."""
    clients = len(batch.labels)
    model = models.ensemble(models.lenet, images, range(clients), **victim)
    update = client.share(model, batch, client.Protocol(**protocol), defense)
    row, refused = {}, []
    for rule in RULES:
        right = labels.infer(update, rule, enforce=False) == batch.labels
        row[rule] = f"{float(right.float().mean()):.1%}"
        try:
            labels.infer(update, rule)
        except client.AssumptionError:
            refused.append(rule)
    return row | {"refused": ", ".join(refused) or "none"}


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """`one_at_a_time` in the page's words."""
    named = table.rename(columns=RULES)
    named["the engine refuses"] = named.pop("refused").map(
        lambda rules: ", ".join(RULES.get(rule, rule) for rule in rules.split(", ")))
    return named.rename_axis("what is broken")


INITS = {"uniform": "U(-0.5, 0.5)", "default": "PyTorch's weights"}


def signs_of_batches(images: data.ImageSet, seed: int, sizes: tuple = (1, 2, 4, 8, 16),
                     clients: int = 50) -> pd.DataFrame:
    """How often a class of a batch has a negative bias gradient, a row a size of the batch.

    images: of ten classes; a batch has a LeNet of its own. ValueError where a negative entry is
    not of a class of the batch, which cannot be."""
    rows = {size: {name: _present_and_negative(images, init, size, clients, seed)
                   for init, name in INITS.items()} for size in sizes}
    return pd.DataFrame(rows).T.rename_axis("images in the batch")


def _present_and_negative(images: data.ImageSet, init: str, size: int, clients: int,
                          seed: int) -> float:
    batch = images.clients(clients, size, seed=seed)
    model = models.ensemble(models.lenet, images, range(clients), init=init)
    negative = client.share(model, batch).gradients["7.bias"] < 0
    present = torch.zeros(clients, 10).scatter_(1, batch.labels, 1).bool()
    if not present[negative].all():
        raise ValueError("a class that is not in the batch has a negative entry")
    return float(negative[present].float().mean())
