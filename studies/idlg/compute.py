"""What notebook 02 alone computes: labels of batches, counted by every rule."""

import itertools

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import one_hot

from lib import client, models, run
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
