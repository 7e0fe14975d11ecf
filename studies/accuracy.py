"""What training gives: victims trained once and kept, and their accuracy under defenses."""

import itertools

import pandas as pd
from torch import nn

from lib import client, models, run
from studies.describe import VICTIMS, composed, image_set, named
from studies.keys import stored_as

# A network and a recipe that learn two thirds of CIFAR-10 in three minutes of a core: what a
# defense costs can only be seen of a victim that has something to lose.
LEARNER = {"name": "preact_resnet", "width": 8, "blocks": [1, 1, 1]}
RECIPE = {"epochs": 10, "batch_size": 64, "lr": 0.1, "weight_decay": 5e-4}
WEIGHTS = run.ROOT / "build/weights"  # of trained victims, found by all that they were made of


def trained(model: nn.Module, images: dict, seed: int, normalise: bool, first: int | None = None,
            **how) -> nn.Module:
    """`model` trained on the split "train" of an image set (its `first` images, or all), once:
    `how` are arguments of `models.train`, which keeps the weights."""
    pictures = image_set(images | {"split": "train"}, seed)
    if first:
        pictures = pictures.subset(range(first))
    return models.train(model, pictures, seed=seed, normalise=normalise, cache=WEIGHTS, **how)


@stored_as("lib.experiment.accuracy")
def accuracy(images: dict, victim: dict, seeds: list[int], defense: list, epochs: int, lr: float,
             loss: str = "cross_entropy", held_out: int = 0, first: int | None = None, **how) \
        -> tuple[pd.DataFrame, dict]:
    """Test accuracy of victims trained under defenses: a row a seed and defense.

    defense: each entry is None, a defense {"name": ...} or a list of them, which are composed.

    At each step one update, the gradient of `batch_size` training images, passes through the
    defense (None: none) on its way to the server's optimiser. A server that averages m such updates
    divides the variance of added noise by m. first: train on so many images only; how: further
    arguments of `models.train`, batch_size (64), momentum (0.9) and same_label (1) among them.
    loss: one of `client.LOSSES`. held_out: so many training images, the last ones, are not trained
    on but measured beside, in column `validation`."""
    train, test = (image_set(images | {"split": split}, 0) for split in ("train", "test"))
    if first:
        train = train.subset(range(first))
    measured = {"accuracy": test}
    if held_out:
        count = len(train) - held_out
        measured["validation"] = train.subset(range(count, len(train)))
        train = train.subset(range(count))
    criterion = None if loss == "cross_entropy" else client.LOSSES[loss]
    normalise = how.get("normalise", False)
    rows = []
    for (number, described), seed in itertools.product(enumerate(defense), seeds):
        model = named(VICTIMS, victim, train, seed=seed).to(run.current().device)
        models.train(model, train, epochs, lr=lr, seed=seed, defense=composed(described),
                     loss=criterion, **how)
        shares = {name: models.accuracy(model, pictures, normalise)
                  for name, pictures in measured.items()}
        rows.append({"defense": number, "seed": seed} | shares)
    return pd.DataFrame(rows), {}
