"""What an honest client can see of a dishonest model, before it shares anything."""

import math

import torch
from torch import Tensor, nn

from .. import client, data

SAME = 1 - 1e-4  # cosine between two rows that repeat each other
SHORT = 8  # entries: shorter rows are like one another by chance


def signs(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Four numbers that grow where a model was made to leak.

    images (B, C, H, W) in [0, 1] and labels (B,): the client's own batch, at least two images.
    signal_ratio: for each weight matrix, the largest gradient of one image over the sum of all
    others' (norms); the largest of the matrices. 1 / (B - 1) where all are alike, large where one
    image alone makes the gradient: after the signal-to-noise ratio of SEER (Garov et al. 2024),
    whose exact form we recall and have not read.
    repeated_rows: the share of rows in one weight matrix that are, up to their length, rows of it
    again; the largest of the matrices.
    lean: how far the mean weight of a row lies from 0, in standard errors of the row, averaged over
    the rows of a matrix with its sign; the largest size of it.
    surprise: the batch's mean cross-entropy over that of even guessing.
    ValueError for images or labels that do not fit the model, or a single image."""
    if not isinstance(images, Tensor) or images.dim() != 4 or len(images) < 2:
        raise ValueError("images must be (B, C, H, W) with at least two of them: a sign compares "
                         "one image with the others")
    matrices = [p.detach().flatten(1).double() for p in _parameters(model)
                if p.dim() > 1 and p[0].numel() >= SHORT and len(p) > 1]
    if not matrices:
        raise ValueError("model must have a weight matrix of at least two rows")
    with torch.no_grad():
        outputs = model(images.to(next(model.parameters())))
    known = isinstance(labels, Tensor) and labels.dtype == torch.int64 \
        and labels.shape == outputs.shape[:1]
    if not known or labels.min() < 0 or labels.max() >= outputs.shape[-1]:
        raise ValueError(f"labels must be int64, one an image, from 0 to {outputs.shape[-1] - 1}")
    loss = nn.functional.cross_entropy(outputs, labels.to(outputs.device)).item()
    return {
        "signal_ratio": _signal_ratio(model, images, labels, outputs.shape[-1]),
        "repeated_rows": max(_repeated(rows) for rows in matrices),
        "lean": max(_lean(rows) for rows in matrices),
        "surprise": loss / math.log(outputs.shape[-1]),
    }


def _signal_ratio(model: nn.Module, images: Tensor, labels: Tensor, classes: int) -> float:
    """Each image as a client of its own: its gradient, by weight matrix."""
    alone = data.Batch(images[:, None], labels[:, None], classes)
    ratios = []
    for gradient in client.share(model, alone).gradients.values():
        if gradient.dim() > 2:  # clients, rows, columns: a matrix
            sizes = gradient.flatten(1).double().norm(dim=1)
            others = sizes.sum() - sizes.max()
            if sizes.max() > 0:
                ratios.append((sizes.max() / others.clamp_min(1e-300)).item())
    return min(max(ratios, default=0.0), 1e12)


def _repeated(rows: Tensor) -> float:
    """The share of rows that have a parallel one; rows of zeros are parallel to one another."""
    sizes = rows.norm(dim=1, keepdim=True)
    zero = sizes[:, 0] == 0
    alike = (rows / sizes.clamp_min(1e-300)).square().sum(1) > 0  # rows with a direction
    unit = rows[alike] / sizes[alike]
    cosines = (unit @ unit.mT).abs().fill_diagonal_(0)
    parallel = int((cosines > SAME).any(1).sum()) if len(unit) > 1 else 0
    zeros = int(zero.sum()) if zero.sum() > 1 else 0
    return (parallel + zeros) / len(rows)


def _lean(rows: Tensor) -> float:
    """The mean over rows of mean / standard error; at most 1e6, where a row has no spread."""
    errors = rows.std(dim=1) / rows.shape[1] ** 0.5
    leaning = (rows.mean(1) / errors.clamp_min(1e-300)).clamp(-1e6, 1e6)
    return abs(leaning[rows.abs().sum(1) > 0].mean().item()) if rows.abs().sum() > 0 else 0.0


def _parameters(model) -> list[Tensor]:
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be an nn.Module, not {type(model).__name__}")
    return [*model.parameters()]
