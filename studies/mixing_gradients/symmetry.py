"""What a mixture hides on a dense layer: batches that differ and have the same gradient."""

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from lib import analytic, attacks, client, data, defenses, models
from lib.run import Run

CLASSES = 10
LOSSES = ("cross_entropy", "mse_softmax", "mse")
BATCHES = (2, 3, 4, 5, 6)
HIDDEN = "mse, equal labels"  # the one mixture that has unseen directions
SEEN = 1e-9  # a singular value above this share of the largest is none of float64's rounding


def gradient_distances(model: torch.nn.Module, private: data.Batch, images: Tensor
                       ) -> dict[str, float]:
    """Squared distance of the gradient of `images` (B, C, H, W) to that of the private batch, over
    the latter's size, behind either loss. The labels are the private ones; in float64."""
    exact = data.Batch(private.images.double(), private.labels, CLASSES)
    certain = client.certain_logits(private.labels, CLASSES).double()
    distances = {}
    for loss in ("mse", "cross_entropy"):
        update = client.share(model, exact, client.Protocol(loss=loss))
        dummy = attacks.dummy_gradients(update, images[None].double(), certain)
        gap = sum(((dummy[name] - gradient) ** 2).sum()
                  for name, gradient in update.gradients.items())
        size = sum((gradient**2).sum() for gradient in update.gradients.values())
        distances[loss] = float(gap / size)
    return distances


def unseen_directions(pictures: data.ImageSet, run: Run) -> pd.DataFrame:
    """For every loss, draw and batch size: how many directions of the batch leave the gradient
    unchanged, and the weakest response to another, over the strongest."""
    rows = {}
    for loss in LOSSES:
        for draw, labels in (("unique", "different labels"), ("equal", "equal labels")):
            for B in BATCHES:
                private = _batch(pictures, draw, B, run.seed)
                rows[f"{loss.replace('_', ' ')}, {labels}", B] = _unseen(pictures, private, loss)
    return pd.DataFrame(rows).T.rename_axis(["loss", "B"])


def _batch(pictures: data.ImageSet, draw: str, B: int, seed: int) -> data.Batch:
    """The batch of one client, in float64: B labels that differ, or one label B times."""
    if draw == "equal":
        private = client.drawn(pictures.clients(1, 60, seed=0), defenses.EqualLabels(B), seed)
    else:
        held = pictures.clients(1, B, seed=0, unique_labels=True)
        private = client.drawn(held, None, seed)
    return data.Batch(private.images.double(), private.labels, CLASSES)


def _unseen(pictures: data.ImageSet, private: data.Batch, loss: str) -> dict[str, float]:
    """The null space of the gradient's Jacobian at the private batch, in the batch's own span."""
    B = private.images.shape[1]
    update = client.share(models.dense(pictures, seed=0).double(), private,
                          client.Protocol(loss=loss), threat=client.ThreatModel(labels="known"))
    small, basis = analytic.in_span(update)
    coordinates = private.images.flatten(2) @ torch.linalg.pinv(basis)  # (1, B, B)
    target = one_hot(private.labels[0], CLASSES).double()
    parameters = {name: stacked[0] for name, stacked in client.tensors(small.model)[0].items()}
    gradient_of = client.update_function(models.architecture(small.model)[0], small.protocol)

    def flat_gradient(matrix: Tensor) -> Tensor:
        gradients = gradient_of(parameters, {}, matrix.view(B, 1, 1, B), target)
        return torch.cat([gradient.flatten() for gradient in gradients.values()])

    jacobian = torch.func.jacrev(flat_gradient)(coordinates[0]).flatten(1)  # (P, B * B)
    sizes = torch.linalg.svdvals(jacobian.detach())
    answered = sizes > SEEN * sizes[0]
    missing = max(0, B * B - len(sizes))  # directions beyond the number of parameters
    return {"unseen directions": int((~answered).sum()) + missing,
            "weakest seen one": float(sizes[answered][-1] / sizes[0])}
