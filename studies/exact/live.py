"""What notebook 09 computes on its page beside the plain loop."""

import torch
from torch import Tensor

from lib import data, metrics, models


def photographs(count: int, seed: int = 0) -> data.Batch:
    """One client with as many photographs, of different classes, in float64."""
    photos = data.load("photos", size=32)
    drawn = photos.clients(1, count, seed=seed, unique_labels=True)
    return data.Batch(drawn.images.double(), drawn.labels, drawn.num_classes, drawn.indices,
                      drawn.mean, drawn.std, drawn.name)


def victim(neurons: int, seed: int, activation: str = "relu") -> torch.nn.Module:
    """A dense network with one hidden layer for those photographs, in float64."""
    photos = data.load("photos", size=32)
    return models.dense(photos, hidden=(neurons,), activation=activation, seed=seed).double()


def pictures(found: Tensor, batch: data.Batch) -> Tensor:
    """Inputs of the network (B, pixels), which are normalised, as images (B, C, H, W) in [0, 1]
    units, each beside the private image that it resembles."""
    private = batch.images[0].double()
    mean, std = (t.double()[:, None, None] for t in (batch.mean, batch.std))
    images = found.view_as(private) * std + mean
    return images[metrics.matching(images[None], private[None])[0]]
