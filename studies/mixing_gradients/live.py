"""What notebook 06 computes on its page beside the plain loops: divisions by the closed form, the
search of `lib` in the span, and batches that are turned."""

import numpy as np
import torch
from torch import Tensor

from lib import analytic, attacks, client, data, metrics, models
from studies.mixing_gradients import symmetry

ANGLES = (0, 30, 60, 90, 120)  # degrees; by the last one the images have only changed places


def divided(pictures: data.ImageSet, batch: data.Batch, width: float, seed: int) -> Tensor:
    """What the closed form returns of a batch (B, C, H, W), for a client with one dense layer
    whose weights are drawn from N(0, width²)."""
    victim = models.dense(pictures, init="normal", scale=width, seed=seed)
    shared = client.share(victim, batch).gradients
    images = analytic.demix(shared["1.weight"], shared["1.bias"], batch.labels)
    return images.view_as(batch.images)[0]


def in_span(update: client.SharedUpdate, shape: torch.Size, restarts: int, seed: int
            ) -> tuple[Tensor, Tensor]:
    """The engine's search in the span of one client's batch of this shape (1, B, C, H, W): (images
    (B, C, H, W) in float64, relative squared distance of their gradient)."""
    small, basis = analytic.in_span(update)
    search = attacks.dlg(60, line_search=True, relative=True, labels="idlg")
    guess = attacks.reconstruct(small, search, restarts=restarts, seed=seed)
    return (guess.images.flatten(2) @ basis).view(shape)[0], guess.loss.min()


def in_order(images: Tensor, private: Tensor) -> Tensor:
    """The images (B, C, H, W) in the order of the private ones that they resemble."""
    return images[metrics.matching(images[None], private[None].to(images))[0]]


def rotation(degrees: float) -> Tensor:
    """The matrix Q (3, 3), float64, that turns about (1, 1, 1): Q 1 = 1, and Q Q^T is the unit
    matrix."""
    axis = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64) / 3**0.5
    return torch.linalg.matrix_exp(np.deg2rad(degrees) * axis)


def turned(model: torch.nn.Module, batch: data.Batch
           ) -> tuple[dict[int, Tensor], dict[int, dict[str, float]]]:
    """A batch of three turned by ANGLES: (images (3, C, H, W) by angle, and the distance of their
    gradient to the first one's by angle and loss). model: in float64."""
    private = batch.images[0].double()
    images = {degrees: (rotation(degrees) @ private.flatten(1)).view_as(private)
              for degrees in ANGLES}
    distances = {degrees: symmetry.gradient_distances(model, batch, some)
                 for degrees, some in images.items()}
    return images, distances
